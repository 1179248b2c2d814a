"""A generated bass track, and what is said of it: its picture, its title, how fast each step was, a summary, what decided it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata

import numpy as np

import bassnet_jax
from bassnet_jax import export, piano_roll
from bassnet_jax.decoding import Prediction
from bassnet_jax.piano_roll import pitch_name
from bassnet_jax.song_input import Mix
from bassnet_jax.tempo import TempoMap
from bassnet_jax.trajectory import Trajectory
from data_pipeline import features
from data_pipeline.notes import Notes


@dataclasses.dataclass(frozen=True)
class Generated:
  """A bass track and how it was made. A notebook shows it as its piano roll.

  Attributes:
    notes: the bass line, quantised where that was asked for.
    played: the same as it was played, before quantisation.
    bass_audio: [samples] float32, the bass alone at the mix's own scale, of the mix's length; None where audio wasn't asked for.
    mix_audio: [samples, channels] float32, the mix with the bass, scaled as a whole if it would clip; None likewise.
    sample_rate: Hz, of both; the first input's.
    prediction: what the network said.
    z: [frames, 2] float32, the latent position of every frame.
    mix_features: [frames, 192] float32, log-compressed magnitudes of the mix, 80 frames a second.
    beats: [beats] seconds, of the tempo map.
    tempo_map: of the MIDI file.
    span: (start, end) seconds of the song in which the bass plays; the end may be infinite.
    title: of the picture.
    settings: everything that settings.json says.
    files: file name to path; empty without an output folder.
  """

  notes: Notes
  played: Notes
  bass_audio: np.ndarray | None
  mix_audio: np.ndarray | None
  sample_rate: int
  prediction: Prediction
  z: np.ndarray
  mix_features: np.ndarray
  beats: np.ndarray
  tempo_map: TempoMap
  span: tuple[float, float]
  title: str
  settings: dict
  files: dict[str, str]

  def picture(self, longest: float = piano_roll.LONGEST) -> bytes:
    """The piano roll over the mix, as the content of a PNG file, of the first `longest` seconds in which the bass plays."""
    return piano_roll.draw(self.notes, self.mix_features, beats=self.beats, title=self.title, longest=longest, span=self.span)

  def _repr_png_(self) -> bytes:
    return self.picture()


def format_of(mix: Mix) -> str:
  """Rate and channels in words."""
  return f'{mix.rate / 1000:g} kHz, {({1: "mono", 2: "stereo"}).get(mix.channels, f"{mix.channels} channels")}'


def speed(seconds: float, started: float) -> str:
  """How long a step took on so many seconds of music; `started` is what `time.perf_counter` said then."""
  spent = max(time.perf_counter() - started, 1e-6)
  return f'{spent:.1f} s, {seconds / spent:.0f} times real time'


def title(paths: Sequence[str], position: Trajectory) -> str:
  """Of the picture: the inputs and the position."""
  names = ' + '.join(map(os.path.basename, paths))
  x, y = position.position[0]
  where = f'z = ({x:.2f}, {y:.2f})' if len(position.time) == 1 else f'z moves over {len(position.time)} points'
  return f'Bass for {names if len(names) < 60 else names[:57] + "..."},  {where}'


def summarise(report, made: Generated, started: float) -> None:
  """Reports how many notes there are, what was left out or made quieter, and the files."""
  notes, measured = made.notes, made.settings['measured']
  span = f', {pitch_name(int(notes.pitch.min()))} to {pitch_name(int(notes.pitch.max()))}' if len(notes) else ''
  report(f'{len(notes)} notes{span}; all together {speed(measured["seconds"], started)}')
  if not len(notes):
    report('no note is above the onset threshold: lower --onset_threshold or move z')
  if measured.get('notes_left_out_by_quantization'):
    report(
      f'{measured["notes_left_out_by_quantization"]} notes shared a line of the {made.settings["quantize"]} grid with a louder one '
      f'and were left out; {export.PLAYED_MIDI} and {export.NOTES} have all of them'
    )
  for name, scale in ((export.BASS, measured['bass_scale']), (export.PREVIEW, measured['preview_scale'])):
    if scale < 1:
      report(f'{name} is {-20 * np.log10(scale):.1f} dB quieter as a whole, so that nothing clips')
  for path in made.files.values():
    report(f'  {path}')


def digest(path: str) -> str:
  """SHA-256 of a file."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def versions() -> dict[str, str]:
  """Versions that decide the result."""
  found = {name: metadata.version(name) for name in ('numpy', 'scipy', 'librosa', 'soxr', 'jax', 'flax')}
  return {'bassnet_jax': bassnet_jax.__version__, 'python': platform.python_version(), 'features': features.VERSION, **found}
