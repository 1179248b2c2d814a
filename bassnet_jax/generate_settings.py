"""What a user may set for a generation, checked before anything slow begins."""

from __future__ import annotations

import dataclasses
import math
import os

from bassnet_jax import decoding, quantise, soundfont, tempo, trajectory
from bassnet_jax.soundfont import Instrument
from bassnet_jax.tempo import TempoMap
from bassnet_jax.trajectory import Trajectory

MOST_OCTAVES = 3


class GenerateError(ValueError):
  """Nothing can be generated from these inputs or settings; the message says why in plain words."""


@dataclasses.dataclass(frozen=True)
class Settings:
  """Everything that can be chosen; `bassnet_jax.generate.generate` says what each is.

  Attributes:
    inputs: paths.
    position: where in the plane, or None for the model's own or a style's.
    tempo_map: given by the user as a file or as a tempo, or None.
    span: (start, end) seconds of the input in which the bass plays; the end may be infinite.
    instrument: of a SoundFont, or None for the additive synthesizer.
  """

  inputs: tuple[str, ...]
  position: Trajectory | None
  trajectory_file: str | None
  style: tuple[str, str] | None
  onset_threshold: float | None
  articulation: float
  timbre: float
  bass_level: float
  strings: str
  octaves: int
  bpm: float | None
  tempo_file: str | None
  tempo_map: TempoMap | None
  span: tuple[float, float]
  grid: str | None
  instrument: Instrument | None

  def rows(self) -> dict:
    """What settings.json says of them."""
    absolute = lambda path: None if path is None else os.path.abspath(path)  # noqa: E731
    start, end = self.span
    return {
      'style': None if self.style is None else dict(zip(('mix', 'bass'), map(os.path.abspath, self.style), strict=True)),
      'trajectory': absolute(self.trajectory_file),
      'articulation': float(self.articulation),
      'timbre': float(self.timbre),
      'bass_level': float(self.bass_level),
      'strings': self.strings,
      'octave': self.octaves,
      'bpm': None if self.bpm is None else float(self.bpm),
      'tempo_map': absolute(self.tempo_file),
      'seconds': None if self.span == EVERYTHING else [start, None if math.isinf(end) else end],
      'quantize': self.grid,
      'soundfont': None if self.instrument is None else dataclasses.asdict(self.instrument) | {'path': absolute(self.instrument.path)},
    }


EVERYTHING = (0.0, math.inf)


def check(
  paths: list[str],
  z,
  trajectory_file: str | None,
  style: tuple[str, str] | None,
  onset_threshold: float | None,
  articulation: float,
  timbre: float,
  bass_level: float,
  strings: str,
  octaves: int,
  bpm: float | None,
  tempo_file: str | None,
  seconds,
  grid: str | None,
  soundfont_file: str | None,
  program: int | None,
) -> Settings:
  """Looks at every setting that can be wrong, and reads the files that are settings.

  Raises:
    GenerateError: one of them can't be used.
  """
  if not paths:
    raise GenerateError('There is no input; give at least one audio file with --input.')
  if sum(given is not None for given in (z, trajectory_file, style)) > 1:
    raise GenerateError(
      'Several of z, a trajectory and a style are given, and each of them says where in the plane to play. Give one: --z, --trajectory, or '
      '--style_mix with --style_bass.'
    )
  if style is not None and len([path for path in style if path]) != 2:
    raise GenerateError('A style is two files of one song, its mix without bass and its bass. Give both: --style_mix and --style_bass.')
  unit = {'onset threshold': onset_threshold, 'articulation': articulation, 'timbre': timbre, 'bass level': bass_level}
  for name, value in unit.items():
    if value is not None and not 0 <= value <= 1:
      raise GenerateError(f'The {name} is {value:g}; expected 0 to 1.')
  if strings not in decoding.RANGES:
    raise GenerateError(f"The strings are '{strings}'; expected one of {', '.join(decoding.RANGES)}.")
  if octaves != int(octaves) or abs(octaves) > MOST_OCTAVES:
    raise GenerateError(f'The octave shift is {octaves:g}; expected a whole number from -{MOST_OCTAVES} to {MOST_OCTAVES}.')
  if bpm is not None and tempo_file is not None:
    raise GenerateError('A tempo and a tempo map are given. Give one of them: --bpm or --tempo_map.')
  if grid is not None and grid not in quantise.GRIDS:
    raise GenerateError(f"The grid to quantize to is '{grid}'; expected one of {', '.join(quantise.GRIDS)}.")
  if program is not None and soundfont_file is None:
    raise GenerateError('A program is an instrument of a SoundFont; give the file with --soundfont.')
  try:
    position = _position(z, trajectory_file)
    tempo_map = None
    if bpm is not None or tempo_file is not None:
      tempo_map = tempo.read(tempo_file) if bpm is None else tempo.constant(bpm)
    instrument = None if soundfont_file is None else soundfont.find(soundfont_file, program)
  except (trajectory.TrajectoryError, tempo.TempoError, soundfont.SoundFontError) as error:
    raise GenerateError(str(error)) from error
  return Settings(
    tuple(paths),
    position,
    trajectory_file,
    style,
    onset_threshold,
    articulation,
    timbre,
    bass_level,
    strings,
    int(octaves),
    bpm,
    tempo_file,
    tempo_map,
    parse_span(seconds),
    grid,
    instrument,
  )


def parse_span(seconds) -> tuple[float, float]:
  """(start, end) in seconds of '30-60', '1:30-2:00', '30-' (to the end), '-60', of two numbers, or of None (everything).

  Raises:
    GenerateError: this is no such range, or an empty one.
  """
  if seconds is None:
    return EVERYTHING
  expected = 'expected start-end, for example 30-60, 1:30-2:00 or 30- (to the end)'
  try:
    if isinstance(seconds, str):
      first, last = (part.strip() for part in seconds.split('-'))
      start, end = _moment(first) if first else 0.0, _moment(last) if last else math.inf
    else:
      start, end = (float(value) for value in seconds)
  except (TypeError, ValueError):
    raise GenerateError(f"The range of seconds is '{seconds}'; {expected}.") from None
  if not (0 <= start < end) or math.isinf(start):
    raise GenerateError(f'The range of seconds goes from {start:g} to {end:g}; {expected}.')
  return start, end


def _moment(text: str) -> float:
  """Seconds of '90', '1:30' or '1:02:30'."""
  total = 0.0
  for part in text.split(':'):
    value = float(part)
    if not math.isfinite(value):
      raise ValueError(text)
    total = 60 * total + value
  return total


def _position(z, trajectory_file: str | None) -> Trajectory | None:
  if trajectory_file is not None:
    return trajectory.read(trajectory_file)
  if z is None or isinstance(z, Trajectory):
    return z
  return trajectory.parse_position(z) if isinstance(z, str) else trajectory.constant(z)
