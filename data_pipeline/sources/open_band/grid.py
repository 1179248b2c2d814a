"""The grid that the band plays on: meters, grid notes, and the clock that turns ticks into seconds."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

SIXTEENTH = 6
EIGHTH = 12
QUARTER = 24
"""Ticks; 24 a quarter note, so that sixteenths and eighth triplets both lie on whole ticks."""


class Tone(NamedTuple):
  """A note on the grid: `tick` and `length` in ticks, MIDI pitch, velocity 1..127, program 0..127 or DRUMS."""

  tick: int
  length: int
  pitch: int
  velocity: int
  program: int


@dataclasses.dataclass(frozen=True)
class Meter:
  """A meter as groups of eighths, one group a beat: 4/4 = (2, 2, 2, 2), 6/8 = (3, 3), 7/8 = (2, 2, 3).

  Attributes:
    name: '4/4', ...
    groups: eighths of each beat.
    backbeats: beats that the snare marks.
    half_backbeats: beats that the snare marks in half time.
  """

  name: str
  groups: tuple[int, ...]
  backbeats: tuple[int, ...]
  half_backbeats: tuple[int, ...]

  @property
  def bar(self) -> int:
    """Ticks of a bar."""
    return EIGHTH * sum(self.groups)

  @property
  def beats(self) -> tuple[int, ...]:
    """Ticks of the beats of a bar."""
    return tuple(EIGHTH * sum(self.groups[:i]) for i in range(len(self.groups)))

  @property
  def half(self) -> int:
    """Tick of the beat nearest to the middle of the bar, where a second chord of the bar enters."""
    return min(self.beats, key=lambda tick: (abs(tick - self.bar / 2), -tick))

  @property
  def ternary(self) -> bool:
    """Whether beats are divided in three (6/8, 12/8)."""
    return set(self.groups) == {3}

  @property
  def beat(self) -> int:
    """Ticks of the beat that the tempo counts."""
    return EIGHTH * self.groups[0]


METERS = {
  meter.name: meter
  for meter in (
    Meter('4/4', (2, 2, 2, 2), (1, 3), (2,)),
    Meter('3/4', (2, 2, 2), (2,), (2,)),
    Meter('6/8', (3, 3), (1,), (1,)),
    Meter('12/8', (3, 3, 3, 3), (1, 3), (2,)),
    Meter('7/8', (2, 2, 3), (1, 2), (2,)),
    Meter('5/4', (2, 2, 2, 2, 2), (2, 4), (3,)),
  )
}


@dataclasses.dataclass(frozen=True)
class Clock:
  """Seconds of ticks: constant tempo within each section, swing within each beat.

  Attributes:
    starts: [sections] ticks at which a section begins, rising, the first 0.
    rates: [sections] seconds a tick.
    eighth_swing: where the second eighth of a quarter falls, 0.5 (straight) .. 0.67 (triplet).
    sixteenth_swing: the same for sixteenths within an eighth.
  """

  starts: np.ndarray
  rates: np.ndarray
  eighth_swing: float = 0.5
  sixteenth_swing: float = 0.5

  def seconds(self, ticks: np.ndarray) -> np.ndarray:
    """[n] ticks -> [n] float64 seconds."""
    ticks = _swung(np.asarray(ticks, dtype=np.float64), EIGHTH, self.sixteenth_swing)
    ticks = _swung(ticks, QUARTER, self.eighth_swing)
    origins = np.concatenate([[0.0], np.cumsum(np.diff(self.starts) * self.rates[:-1])])
    section = np.clip(np.searchsorted(self.starts, ticks, side='right') - 1, 0, len(self.starts) - 1)
    return origins[section] + (ticks - self.starts[section]) * self.rates[section]


def _swung(ticks: np.ndarray, period: int, swing: float) -> np.ndarray:
  """Moves the middle of every `period` to the fraction `swing` of it; in between, linearly."""
  if swing == 0.5:
    return ticks
  start = np.floor(ticks / period) * period
  phase = (ticks - start) / period
  warped = np.where(phase < 0.5, phase * 2 * swing, swing + (phase - 0.5) * 2 * (1 - swing))
  return start + period * warped


def choose(rng: np.random.Generator, weights: dict):
  """A key of `weights`, drawn with the probability that its value is of the sum."""
  options = list(weights)
  mass = np.cumsum(np.fromiter(weights.values(), dtype=np.float64))
  return options[int(np.searchsorted(mass, rng.random() * mass[-1], side='right'))]


def pick(rng: np.random.Generator, options):
  """One of a sequence, all equally likely; unlike `Generator.choice` it keeps the Python type."""
  return options[int(rng.integers(len(options)))]
