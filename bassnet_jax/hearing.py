"""What a model hears: from audio files to features of the part of a mix that it was trained on, and to the position of a style."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from bassnet_jax import trajectory
from bassnet_jax.generate_settings import GenerateError
from bassnet_jax.song_input import LONGEST_SECONDS
from bassnet_jax.soundfont import SoundFontError
from bassnet_jax.trajectory import Trajectory
from data_pipeline import features

SHORTEST_SECONDS = 0.5
LARGEST_STYLE_GAP = 1.0  # seconds by which a style's mix and bass may differ in length


@contextlib.contextmanager
def in_plain_words() -> Iterator[None]:
  """Errors of audio files and SoundFonts as errors of generation."""
  from data_pipeline.audio import AudioError

  try:
    yield
  except (AudioError, SoundFontError) as error:
    raise GenerateError(str(error)) from error


def check_usable(mono: np.ndarray, name: str) -> None:
  """Raises GenerateError: [samples] float32, 16 kHz, of which nothing can be made; `name` is named."""
  from data_pipeline import audio

  with in_plain_words():
    audio.check_usable(mono, name, shortest=SHORTEST_SECONDS)


def _load(path: str) -> np.ndarray:
  from data_pipeline import audio

  with in_plain_words():
    return audio.load(path, features.SAMPLE_RATE, longest=LONGEST_SECONDS)


def analyse(mix: np.ndarray, bass: np.ndarray | None, name: str):
  """The front end's `Analysis` of audio, [samples] float32, 16 kHz. Raises GenerateError: the mix is silent; `name` is named."""
  from data_pipeline import front_end

  try:
    return front_end.analyse(mix, bass)
  except front_end.SilentMixError as error:
    raise GenerateError(f'{name}: {error}. Was it muted when it was exported?') from error


def part_heard(model):
  """The part of a mix (`separation.Part`) that a model was trained on, and listens to; None: the mix itself."""
  from data_pipeline import separation

  return separation.part_of(model.describe.get('datasets', ()))


def heard(part, mix: np.ndarray) -> np.ndarray:
  """The part of a mix, [samples] float32, 16 kHz, that `part_heard` gave."""
  from data_pipeline import separation

  return mix if part is None else separation.separate(mix, part)


def listen(mix: np.ndarray, part, name: str, beats: bool):
  """All that is to be known of a mix before a model plays to it.

  Args:
    mix: [samples] float32, 16 kHz.
    part: what the model listens to, as `part_heard` gave it.
    name: of the mix, for errors.
    beats: whether they are tracked.

  Returns:
    the front end's `Analysis`, and the beats, [beats] seconds, or None.

  Raises:
    GenerateError: what is heard is silent.
  """
  from bassnet_jax import beats as beat_tracking  # with scipy.signal, which a process that has its mix analysed by another doesn't need

  analysis = analyse(heard(part, mix), None, name)
  return analysis, beat_tracking.track(analysis.mix).seconds if beats else None


def style_position(model, style: tuple[str, str]) -> Trajectory:
  """The mean posterior of another song's mix and bass, over the frames in which that bass sounds."""
  mix, bass = _load(style[0]), _load(style[1])
  gap = abs(len(mix) - len(bass)) / features.SAMPLE_RATE
  if gap > LARGEST_STYLE_GAP:
    raise GenerateError(
      f'The style mix {style[0]} and the style bass {style[1]} differ in length by {gap:.1f} s; '
      f'at most {LARGEST_STYLE_GAP:g} s are allowed. Give the mix without bass and the bass of one song.'
    )
  samples = min(len(mix), len(bass))
  check_usable(mix[:samples], style[0])
  check_usable(bass[:samples], style[1])
  analysis = analyse(heard(part_heard(model), mix[:samples]), bass[:samples], style[0])
  position = mean_posterior(model, analysis, bass[:samples])
  if position is None:
    raise GenerateError(
      f'{style[1]}: the style bass is silent beside its mix. Give the bass and the mix as they were in the song, at one gain.'
    )
  return trajectory.constant(position)


def mean_posterior(model, analysis, bass: np.ndarray) -> np.ndarray | None:
  """The latent position [2] of a song's bass: the mean posterior over the frames in which it sounds; None where it never does.

  Args:
    model: a trained model.
    analysis: the front end's, of mix and bass.
    bass: [samples] float32, 16 kHz, that was analysed.
  """
  sounds = features.level_of(bass * analysis.gain, len(analysis.mix)) > features.AUDIBLE
  if not sounds.any():
    return None
  mean, _ = model.posterior(analysis.mix, analysis.bass)
  return np.clip(np.mean(mean[sounds], axis=0, dtype=np.float64), -trajectory.LARGEST, trajectory.LARGEST)
