"""Names what is wrong with generated bass lines, by rules on measured figures: so that a page of examples says what fails, too."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassnet_jax.evaluation import metrics
from data_pipeline.features import FRAME_RATE
from data_pipeline.notes import Notes

FEWEST_NOTES = 4
BY_CHANCE = 0.05
"""Onset F1 above its chance that a line needs to count as placed with the music."""
OUT_OF_KEY = 0.1
OFF_CHORD = 0.2
"""Shares by which a line's diatonic and chord-tone rates may lie below the true bass's."""
SPARSE, DENSE = 0.4, 2.0
"""Note densities relative to the true bass's."""
SAME_LINE = 0.9
"""Agreement of lines (note_pc_f1 of one against the other) from which they count as one."""


@dataclasses.dataclass(frozen=True)
class Figures:
  """What is measured of one line over one piece.

  Attributes:
    notes: how many.
    density: notes a second.
    register: duration-weighted mean MIDI pitch, or None without notes.
    note_pc_f1, onset_f1, onset_f1_chance: against the true bass.
    diatonic, chord_tones: shares of the line's duration, as in `metrics`.
  """

  notes: int
  density: float
  register: float | None
  note_pc_f1: float
  onset_f1: float
  onset_f1_chance: float
  diatonic: float
  chord_tones: float


def measure(line: Notes, truth: Notes, mix_notes: Notes, seconds: float) -> Figures:
  """Measures a line over a piece of some seconds."""
  frames = int(seconds * FRAME_RATE)
  lengths = line.offset - line.onset
  return Figures(
    notes=len(line),
    density=len(line) / seconds,
    register=float(line.pitch @ lengths / lengths.sum()) if len(line) else None,
    note_pc_f1=metrics.note_pc_f1(line, truth),
    onset_f1=metrics.onset_f1(line, truth),
    onset_f1_chance=metrics.onset_f1_chance(line, truth, seconds),
    diatonic=metrics.diatonic_rate(line, metrics.diatonic_collections(mix_notes, frames)),
    chord_tones=metrics.chord_tone_rate(line, mix_notes, frames),
  )


def of_line(found: Figures, truth: Figures) -> list[str]:
  """What is wrong with one line beside the true bass, a phrase with its figures each; nothing where no rule is broken."""
  if found.notes < FEWEST_NOTES:
    return [f'hardly plays: {found.notes} notes, the true bass {truth.notes}']
  wrong = []
  if found.onset_f1 < found.onset_f1_chance + BY_CHANCE:
    wrong.append(f'its onsets are placed no better than by chance: F1 {found.onset_f1:.2f}, chance {found.onset_f1_chance:.2f}')
  if found.diatonic < truth.diatonic - OUT_OF_KEY:
    wrong.append(f'plays out of key: {found.diatonic:.2f} of its duration is diatonic, of the true bass {truth.diatonic:.2f}')
  if found.chord_tones < truth.chord_tones - OFF_CHORD:
    wrong.append(f'misses the harmony: {found.chord_tones:.2f} on notes of the mix, the true bass {truth.chord_tones:.2f}')
  if found.density < SPARSE * truth.density:
    wrong.append(f'sparse: {found.density:.1f} notes a second, the true bass {truth.density:.1f}')
  if found.density > DENSE * truth.density:
    wrong.append(f'too dense: {found.density:.1f} notes a second, the true bass {truth.density:.1f}')
  return wrong


def agreement(lines: Sequence[Notes]) -> np.ndarray:
  """note_pc_f1 of every line against every other, [lines, lines]."""
  return np.array([[metrics.note_pc_f1(a, b) for b in lines] for a in lines])


def of_positions(names: Sequence[str], lines: Sequence[Notes]) -> list[str]:
  """Positions of the plane at which the same line comes out: moving z between them changes nothing."""
  same = agreement(lines)
  return [
    f'{names[i]} and {names[j]} give the same line (agreement {same[i, j]:.2f})'
    for i in range(len(lines))
    for j in range(i + 1, len(lines))
    if same[i, j] >= SAME_LINE and len(lines[i])
  ]
