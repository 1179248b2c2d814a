"""Style transfer: the position in the plane that describes how another song's bass goes with its mix."""

from __future__ import annotations

import numpy as np

from bassnet_jax.hearing import LARGEST_STYLE_GAP, mean_posterior
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
    raise StudioError(
      f'The mix and the bass differ in length by {gap:.1f} s; at most {LARGEST_STYLE_GAP:g} s are allowed. Give the mix without bass and '
      'the bass of one song.'
    )
  samples = min(len(mix), len(bass))
  bass = np.asarray(bass[:samples])
  try:
    analysis = front_end.analyse(np.asarray(mix[:samples]), bass)
  except front_end.SilentMixError:
    raise StudioError('The mix of the other song is silent: nothing in it is above -70 LUFS. Give another file.') from None
  found = mean_posterior(model, analysis, bass)
  if found is None:
    raise StudioError('The bass of the other song is silent beside its mix. Give both as they were in the song, at one gain.')
  x, y = found
  return float(x), float(y)
