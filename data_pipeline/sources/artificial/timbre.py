"""a2: two instruments play two lines; the bass doubles the piano's or the guitar's."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.notes import Notes
from data_pipeline.sources.artificial import instruments
from data_pipeline.sources.artificial.score import BASS_PROGRAM, SECONDS, ArtificialScore, bass_pitch

PATTERNS = ('piano', 'guitar')
_SCALE = (0, 2, 4, 5, 7, 9, 11)
_OUTSIDE = 0.15  # share of the notes that may lie outside the key
_REGISTER = (45, 63)  # the lowest pitch of a line in a bar, MIDI; a line spans an octave from there
_LONGEST = 3  # eighths from one onset of a line to the next
# The same under both patterns: a velocity taken from the line could tell the family by the bass alone.
_BASS_VELOCITY = 90
_GAP = 0.92  # share of the time to the line's next onset for which the bass sounds


@dataclasses.dataclass
class _Line:
  """A line while it is made: its notes so far, and how it plays in this bar."""

  programs: tuple[int, ...]
  steps: list[int] = dataclasses.field(default_factory=list)  # eighth of every onset
  classes: list[int] = dataclasses.field(default_factory=list)
  pitches: list[int] = dataclasses.field(default_factory=list)
  velocities: list[int] = dataclasses.field(default_factory=list)
  played_by: list[int] = dataclasses.field(default_factory=list)
  program: int = 0
  bottom: int = 0
  loudness: int = 0

  def begin_bar(self, rng: np.random.Generator) -> None:
    """Register, loudness and program are drawn anew: only the family of the instrument tells the lines apart for long."""
    self.program = int(rng.choice(self.programs))
    self.bottom = int(rng.integers(*_REGISTER))
    self.loudness = int(rng.integers(80, 116))

  def add(self, step: int, pitch_class: int, accent: int) -> None:
    self.steps.append(step)
    self.classes.append(pitch_class)
    self.pitches.append(self.bottom + (pitch_class - self.bottom) % 12)
    self.velocities.append(instruments.equal_velocity(self.loudness + accent, self.program))
    self.played_by.append(self.program)


def compose(rng: np.random.Generator, held_out: bool) -> ArtificialScore:
  """Two lines of eighths and longer notes whose pitch classes differ at any time."""
  piano = _Line(instruments.HELD_OUT_PIANOS if held_out else instruments.PIANOS)
  guitar = _Line(instruments.HELD_OUT_GUITARS if held_out else instruments.GUITARS)
  lines = (piano, guitar)
  eighth = 60 / rng.uniform(80, 160) / 2
  start, tonic = rng.uniform(0.0, 0.1), int(rng.integers(12))
  for step in range(int((SECONDS - start) / eighth)):
    if step % 8 == 0:
      for line in lines:
        line.begin_bar(rng)
      struck = _rhythms(rng, [line.steps[-1] - step if line.steps else -_LONGEST for line in lines])
    attacking = [line for line, rhythm in zip(lines, struck, strict=True) if rhythm[step % 8]]
    # Neither what the other line plays now nor what it has only just left, which still rings.
    sounding = {id(line): line.classes[-1] for line in lines if line.classes}
    for i in rng.permutation(len(attacking)):
      line = attacking[i]
      other = guitar if line is piano else piano
      forbidden = {other.classes[-1], sounding[id(other)]} if id(other) in sounding else set(other.classes)
      line.add(step, _draw_class(rng, tonic, forbidden), int(rng.integers(-8, 9)))
  sustain = rng.uniform(0.7, 1.0, size=2)
  rows, patterns = [], []
  for line, length in zip(lines, sustain, strict=True):
    onsets = start + eighth * np.asarray(line.steps)
    gaps = np.append(onsets[1:], min(onsets[-1] + _LONGEST * eighth, SECONDS)) - onsets
    rows += zip(onsets, onsets + length * gaps, line.pitches, line.velocities, line.played_by, strict=True)
    patterns.append(
      Notes(
        onset=onsets,
        offset=onsets + _GAP * gaps,
        pitch=bass_pitch(np.asarray(line.classes)),
        velocity=np.full(len(onsets), _BASS_VELOCITY),
        program=np.full(len(onsets), BASS_PROGRAM),
      )
    )
  return ArtificialScore(Notes.from_rows(rows), tuple(patterns), np.arange(start, SECONDS, 2 * eighth))


def _rhythms(rng: np.random.Generator, last: list[int]) -> np.ndarray:
  """[2, 8] bool: the eighths of a bar that each line strikes; the two differ in two places at least.

  Args:
    last: eighth of each line's latest onset, counted from the bar's beginning (negative).
  """
  while True:
    struck = np.zeros((2, 8), bool)
    for line in range(2):
      density, previous = rng.choice([0.35, 0.5, 0.7]), last[line]
      for step in range(8):
        if step - previous >= _LONGEST or rng.random() < density:
          struck[line, step], previous = True, step
    if (struck[0] != struck[1]).sum() >= 2:
      return struck


def _draw_class(rng: np.random.Generator, tonic: int, forbidden: set[int]) -> int:
  """A pitch class, mostly of the key."""
  choices = range(12) if rng.random() < _OUTSIDE else [(tonic + degree) % 12 for degree in _SCALE]
  return int(rng.choice([c for c in choices if c not in forbidden]))
