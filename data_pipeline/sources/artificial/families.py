"""Can the family of an instrument be told that was never heard? `python -m data_pipeline.sources.artificial.families`

A classifier learns 'piano' or 'guitar' from notes of all training programs but one of each family, and is asked about those
two; every pair in turn. The last lines ask about the pair that is held out for `test_timbre`, which nothing is chosen by.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from data_pipeline import features as ft
from data_pipeline import front_end, rendering
from data_pipeline.sources.artificial import instruments

# All other programs of the two families in General MIDI: honky-tonk, harpsichord, clavinet; overdriven, distorted, harmonics.
MORE_PIANOS, MORE_GUITARS = (3, 6, 7), (29, 30, 31)
SAME_SAMPLES = ((0, 1, 3), (29, 30))
"""Programs that play the same recordings in the default SoundFont."""
_PITCHES = range(45, 76, 2)
_LENGTH, _SLOT, _START = 0.5, 1.2, 0.25  # seconds: of a note, from a note to the next, before the first
_FRAMES = np.asarray([-1, 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32])  # of a note, counted from its onset
_WIDTH = 58  # of a row's name
_HARMONICS = np.round(ft.BINS_PER_OCTAVE * np.log2(np.arange(1, 9))).astype(int)


@dataclasses.dataclass(frozen=True)
class Fold:
  """One pair left out: shares of the two programs' notes whose family was told."""

  piano: int
  guitar: int
  piano_share: float
  guitar_share: float


def notes_of(program: int) -> np.ndarray:
  """Magnitudes [notes, 192, frames of a note] of single notes of a program, equally loud over their first 200 ms."""
  events = [rendering.Event(0.0, 0, 'program', program)]
  for i, pitch in enumerate(_PITCHES):
    onset = _START + i * _SLOT
    events += [rendering.Event(onset, 0, 'on', pitch, 90), rendering.Event(onset + _LENGTH, 0, 'off', pitch)]
  audio = rendering.render(events, _START + _SLOT * len(_PITCHES))
  magnitude = np.expm1(front_end.constant_q(audio, ft.MIX_BINS)) / front_end.COMPRESSION
  notes = []
  for i in range(len(_PITCHES)):
    onset = round((_START + i * _SLOT) * ft.FRAME_RATE)
    loudness = np.sqrt(np.square(magnitude[onset : onset + 16]).sum(axis=1).mean())
    notes.append(magnitude[onset + _FRAMES].T / loudness)
  return np.stack(notes)


def coloured(notes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """The notes [notes, bins, frames], each through an equaliser (6 dB, six cosines) and with another decay (15 dB a second) at random."""
  order, bins = np.arange(1, 7), notes.shape[1]
  basis = np.cos(np.pi * order[:, None] * (np.arange(bins) + 0.5) / bins) / np.sqrt(order)[:, None]
  basis *= 6.0 / np.sqrt(np.square(basis).sum(axis=0).mean())
  decibels = (rng.normal(size=(len(notes), len(order))) @ basis)[:, :, None]
  decibels = decibels + rng.normal(0, 15.0, size=(len(notes), 1, 1)) * np.maximum(_FRAMES, 0) / ft.FRAME_RATE
  return notes * 10 ** (decibels / 20)


def describe(notes: np.ndarray, changes: bool = False) -> np.ndarray:
  """[notes, values]: compressed levels at the harmonics of every note, and between them, over its frames; the same for all pitches.

  Args:
    changes: only the changes from a frame to the next, to which a lasting colour says little.
  """
  level = np.log1p(front_end.COMPRESSION * np.pad(notes, ((0, 0), (1, _HARMONICS[-1] + 8), (0, 0))))
  values = []
  for pitch, note in zip(_PITCHES, level, strict=True):
    bins = 1 + 2 * (pitch - ft.LOWEST_BIN_PITCH) + _HARMONICS
    at = np.max([note[bins - 1], note[bins], note[bins + 1]], axis=0)
    levels = np.concatenate([at, note[bins + 4]])
    values.append((np.diff(levels, axis=1) if changes else levels).ravel())
  return np.stack(values)


def leave_out(
  notes: dict[int, np.ndarray],
  pianos: tuple[int, ...],
  guitars: tuple[int, ...],
  asked: tuple[tuple[int, ...], tuple[int, ...]] = (instruments.PIANOS, instruments.GUITARS),
  same_samples: bool = True,
  colours: int = 0,
  changes: bool = False,
) -> list[Fold]:
  """Learns from `pianos` and `guitars` without a pair of those `asked`, for every such pair.

  Args:
    notes: program -> as from `notes_of`.
    same_samples: leave out what plays the same recordings, too.
    colours: coloured copies of every note, in training, instead of the note itself.
    changes: as of `describe`.
  """
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler
  from sklearn.svm import SVC

  rng = np.random.default_rng(0)
  plain = {program: describe(notes[program], changes) for program in {*pianos, *guitars, *asked[0], *asked[1]}}
  heard = plain
  if colours:
    heard = {p: np.concatenate([describe(coloured(notes[p], rng), changes) for _ in range(colours)]) for p in pianos + guitars}

  def without(program: int) -> set[int]:
    return {program}.union(*(group for group in SAME_SAMPLES if same_samples and program in group))

  folds = []
  for piano in asked[0]:
    for guitar in asked[1]:
      kept = [p for p in pianos + guitars if p not in without(piano) | without(guitar)]
      family = np.concatenate([np.full(len(heard[p]), p in guitars) for p in kept])
      classifier = make_pipeline(StandardScaler(), SVC(C=3.0)).fit(np.concatenate([heard[p] for p in kept]), family)
      shares = [float((classifier.predict(plain[p]) == is_guitar).mean()) for p, is_guitar in ((piano, False), (guitar, True))]
      folds.append(Fold(piano, guitar, *shares))
  return folds


def row(name: str, folds: list[Fold]) -> str:
  """A line of the table: mean over all folds, and the share of every program."""
  shares: dict[int, list[float]] = {}
  for fold in folds:
    shares.setdefault(fold.piano, []).append(fold.piano_share)
    shares.setdefault(fold.guitar, []).append(fold.guitar_share)
  mean = np.mean([[fold.piano_share, fold.guitar_share] for fold in folds])
  return f'{name:<{_WIDTH}}{mean:>6.2f}  ' + ''.join(f'{np.mean(shares[program]):>6.2f}' for program in sorted(shares))


def main() -> None:
  few, more = (instruments.PIANOS, instruments.GUITARS), (instruments.PIANOS + MORE_PIANOS, instruments.GUITARS + MORE_GUITARS)
  pair = (instruments.HELD_OUT_PIANOS, instruments.HELD_OUT_GUITARS)
  notes = {program: notes_of(program) for program in more[0] + more[1] + pair[0] + pair[1]}
  print(f'{"share of notes of unheard programs told right":<{_WIDTH}}{"mean":>6}  ' + ''.join(f'{p:>6}' for p in few[0] + few[1]))
  rows = itertools.product((('program', False), ('recordings', True)), (('few', few), ('all', more)), (False, True), (0, 4))
  for (unheard, same_samples), (size, (pianos, guitars)), changes, colours in rows:
    folds = leave_out(notes, pianos, guitars, same_samples=same_samples, colours=colours, changes=changes)
    name = f'{unheard} unheard, {size}, {"changes" if changes else "levels"}{", timbres randomised" if colours else ""}'
    print(row(name, folds), flush=True)
  print(f'{"the pair held out for test_timbre":<{_WIDTH}}{"mean":>6}  ' + ''.join(f'{p:>6}' for p in pair[0] + pair[1]))
  for changes, colours in itertools.product((False, True), (0, 4)):
    folds = leave_out(notes, *few, asked=pair, colours=colours, changes=changes)
    print(row(f'few, {"changes" if changes else "levels"}{", timbres randomised" if colours else ""}', folds), flush=True)


if __name__ == '__main__':
  main()
