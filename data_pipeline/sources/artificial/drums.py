"""Drums that sound on every eighth, and the bass lines that go with the kick, with the snare or with the off-beats."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.notes import DRUMS, Notes
from data_pipeline.sources.artificial import instruments
from data_pipeline.sources.artificial.score import BASS_PROGRAM, SECONDS, bass_pitch

KICK, SNARE, OFF_BEAT = 0, 1, 2
"""Roles of an eighth: each has exactly one, so that of the bass lines that follow the roles exactly one sounds at a time."""
_LENGTH = 0.8  # share of the time to the next eighth for which a bass note sounds


@dataclasses.dataclass(frozen=True)
class Groove:
  """Drums, and the grid that they make.

  Attributes:
    times: [eighths + 1] seconds; the last is the end of the last eighth.
    roles: [eighths], `KICK`, `SNARE` or `OFF_BEAT`.
    velocities: [eighths], of the time-keeper.
    rows: notes of the drums, for `Notes.from_rows`.
    beats: [beats] seconds.
  """

  times: np.ndarray
  roles: np.ndarray
  velocities: np.ndarray
  rows: list[tuple[float, float, int, int, int]]
  beats: np.ndarray


def groove(rng: np.random.Generator, held_out: bool, longest_runs: tuple[int, int] = (2, 2)) -> Groove:
  """A time-keeper on every eighth; kick or snare on every beat, in an order that never repeats; off-beats swing a little.

  At 160 beats a minute and the strongest swing, an off-beat is 157 ms before the next beat.

  Args:
    longest_runs: how many kicks, how many snares may follow each other.
  """
  beat = 60 / rng.uniform(80, 160)
  start, swing = rng.uniform(0.0, 0.1), rng.uniform(0.5, 0.58)
  beats = int((SECONDS - start) / beat)
  downs = start + beat * np.arange(beats + 1)
  times = np.stack([downs[:-1], downs[:-1] + swing * beat], axis=1).ravel()
  roles = np.full(2 * beats, OFF_BEAT)
  role, run = int(rng.integers(2)), 0
  for i in range(beats):
    if run == longest_runs[role] or (run and rng.random() < 0.5):
      role, run = 1 - role, 0
    roles[2 * i], run = role, run + 1
  kick = int(rng.choice(instruments.HELD_OUT_KICKS if held_out else instruments.KICKS))
  snare = int(rng.choice(instruments.HELD_OUT_SNARES if held_out else instruments.SNARES))
  keeper = int(rng.choice(instruments.HELD_OUT_TIMEKEEPERS if held_out else instruments.TIMEKEEPERS))
  velocities = rng.integers(80, 116, size=len(roles))
  rows = []
  for time, role, velocity in zip(times, roles, velocities, strict=True):
    rows.append((time, time + 0.1, keeper, int(velocity), DRUMS))
    if role != OFF_BEAT:
      rows.append((time, time + 0.1, (kick, snare)[role], int(rng.integers(55, 86)), DRUMS))
  return Groove(np.append(times, downs[-1]), roles, velocities, rows, downs[:-1])


def bass_line(groove: Groove, role: int, classes: np.ndarray) -> Notes:
  """The bass on all eighths of a role, short, so that lines of different roles never sound together.

  It is as loud as the time-keeper, which is so whatever the role: the bass alone must not tell the pattern.

  Args:
    classes: [eighths], the pitch class that the bass would have on each.
  """
  at = groove.roles == role
  onsets, gaps = groove.times[:-1][at], np.diff(groove.times)[at]
  return Notes(
    onset=onsets,
    offset=onsets + _LENGTH * gaps,
    pitch=bass_pitch(np.asarray(classes)[at]),
    velocity=groove.velocities[at],
    program=np.full(len(onsets), BASS_PROGRAM),
  )
