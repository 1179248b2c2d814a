"""Style transfer: the position in the plane that describes how another song's bass goes with its mix."""

from __future__ import annotations

import numpy as np

from bassnet_jax import trajectory
from bassnet_jax.generate import AUDIBLE, LARGEST_STYLE_GAP
from bassnet_jax.studio.limits import StudioError
from data_pipeline import features


def position(model, mix: np.ndarray, bass: np.ndarray) -> tuple[float, float]:
  """The mean posterior over the frames in which the bass sounds.

  Args:
    model: a trained model.
    mix, bass: [samples] float32, 16 kHz, of one song.

  Raises:
    StudioError: they aren't of one song, or one is silent.
  """
  from data_pipeline import front_end

  gap = abs(len(mix) - len(bass)) / features.SAMPLE_RATE
  if gap > LARGEST_STYLE_GAP:
    raise StudioError(f'The two files differ in length by {gap:.1f} s. Give the mix without bass and the bass of one song.')
  samples = min(len(mix), len(bass))
  try:
    analysis = front_end.analyse(np.asarray(mix[:samples]), np.asarray(bass[:samples]))
  except front_end.SilentMixError:
    raise StudioError('The mix of the other song is silent: nothing in it is above -70 LUFS. Give another file.') from None
  sounds = features.level_of(np.asarray(bass[:samples]) * analysis.gain, len(analysis.mix)) > AUDIBLE
  if not sounds.any():
    raise StudioError('The bass of the other song is silent beside its mix. Give both as they were in the song, at one gain.')
  mean, _ = model.posterior(analysis.mix, analysis.bass)
  x, y = np.clip(mean[sounds].mean(axis=0, dtype=np.float64), -trajectory.LARGEST, trajectory.LARGEST)
  return float(x), float(y)
