"""Moves notes onto the grid of a tempo map, as a sequencer does; the notes as they were played are left as they are."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np

from bassnet_jax.tempo import TempoMap
from data_pipeline.notes import Notes

GRIDS = {f'1/{part}{kind}': Fraction(4, part) * share for part in (4, 8, 16, 32) for kind, share in (('', 1), ('t', Fraction(2, 3)))}
"""Name of a grid -> quarter notes between two of its lines; 't' is triplets."""
SHORTEST = 0.03  # seconds: what is left of a note that the next one has come near to


@dataclasses.dataclass(frozen=True)
class Quantised:
  """Notes on a grid.

  Attributes:
    notes: those that are left: of several that fall on one line the loudest, of equally loud ones the longest.
    moved: [notes] float64, seconds by which each begins later than it was played.
    left_out: how many gave way to another one.
  """

  notes: Notes
  moved: np.ndarray
  left_out: int


def quantise(notes: Notes, tempo_map: TempoMap, grid: str, end: float) -> Quantised:
  """Every note begins on the nearest line of the grid, and keeps its length as far as the next note lets it.

  Args:
    notes: one at a time.
    tempo_map: whose grid; it is that of the MIDI file, so that the notes lie on the sequencer's lines.
    grid: one of `GRIDS`.
    end: seconds, of the song: a note that the nearest line would push to its end goes to the line before.

  Raises:
    ValueError: there is no such grid.
  """
  if grid not in GRIDS:
    raise ValueError(f"The grid is '{grid}'; expected one of {', '.join(GRIDS)}.")
  if not len(notes):
    return Quantised(notes, np.zeros(0), 0)
  step = float(tempo_map.ticks_per_beat * GRIDS[grid])
  line = np.round(tempo_map.ticks_of(notes.onset) / step)
  line = np.where((tempo_map.seconds_of(line * step) > end - SHORTEST) & (line > 0), line - 1, line)
  length = notes.offset - notes.onset
  order = np.lexsort((length, notes.velocity, line))
  last = np.append(line[order][1:] != line[order][:-1], True)  # the loudest, then longest, of each line
  kept = order[last]
  onset = tempo_map.seconds_of(line[kept] * step)
  following = np.append(onset[1:], max(end, onset[-1] + SHORTEST))
  offset = np.maximum(np.minimum(onset + length[kept], following), np.minimum(onset + SHORTEST, following))
  moved = onset - notes.onset[kept]
  return Quantised(dataclasses.replace(notes.where(kept), onset=onset, offset=offset), moved, len(notes) - len(kept))
