"""Compares the music of two corpora: what of the songs is spread how, and how far apart the two are.

  python -m data_pipeline.music_statistics --data_dir=data

compares the training songs of `open` with those of `freedoom`, which must be built (stage 1 is enough). Validation and test songs are
not opened.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import sys
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.stats

from data_pipeline import catalogue, commands, extraction
from data_pipeline import features as ft
from data_pipeline.notes import KICK_KEYS, Notes

_SPLIT = 'train'
_GRID = 12
"""Places of a beat: sixteenths and triplets."""
_TOGETHER = 0.05
"""Seconds within which two notes begin together."""
_MAJOR = np.isin(np.arange(12), (0, 2, 4, 5, 7, 9, 11)).astype(float)
_KEY_SECONDS = 12.0


@dataclasses.dataclass(frozen=True)
class Piece:
  """The notes of one song.

  Attributes:
    bass, mix: its notes; drums are in the mix.
    beats: [beats] seconds.
    seconds: length.
  """

  bass: Notes
  mix: Notes
  beats: np.ndarray
  seconds: float

  def place(self, seconds: np.ndarray) -> np.ndarray:
    """[...] times in beats."""
    step = float(np.median(np.diff(self.beats)))
    known = np.arange(len(self.beats))
    times = np.concatenate([[self.beats[0] - 8 * step], self.beats, [self.beats[-1] + 8 * step]])
    return np.interp(seconds, times, np.concatenate([[-8], known, [known[-1] + 8]]))


def pieces(name: str, data_dir: str, songs: int | None = None) -> Iterator[Piece]:
  """The training songs of a dataset: `open` is composed, without a sound; of others stage 1 is read.

  Raises:
    ValueError: a song has no notes or no beats.
    FileNotFoundError: stage 1 isn't there.
  """
  if name == 'bassnet_pop_rock/open':
    from data_pipeline.sources.open_band import OpenBand, compose

    source = OpenBand()
    for key in [key for key in source.songs() if key.split == _SPLIT][:songs]:
      score = compose(source.seed, int(key.id.partition('-')[2]))
      yield Piece(score.notes, score.mix_notes, score.beats, score.seconds)
    return
  directory = extraction.folder(data_dir, *catalogue.parse(name))
  for song in extraction.load_summary(directory).splits()[_SPLIT][:songs]:
    features = ft.load(extraction.song_path(directory, song))
    if features.mix_notes is None or features.beats is None or len(features.beats) < 2:
      raise ValueError(
        f'{name}: {song} has no notes of its mix or no beats; give --left and --right that are played from notes, as '
        'bassnet_pop_rock/open is'
      )
    yield Piece(features.notes, features.mix_notes, np.asarray(features.beats), features.seconds)


def statistics(piece: Piece) -> dict[str, float]:
  """What is compared of a song: name with unit -> value."""
  bass, pitched, drums = piece.bass, piece.mix.pitched, piece.mix.drums
  played = _span(bass)
  at = piece.place(bass.onset)
  phase = np.round(at * _GRID).astype(int) % _GRID
  leaps = np.abs(np.diff(bass.pitch))
  gaps = np.diff(bass.onset)
  near = gaps < 2.0  # what follows a rest isn't an interval of the line
  leaps = leaps[near] if near.any() else np.zeros(1)
  length = bass.offset - bass.onset
  low, high = np.percentile(bass.pitch, [10, 90])
  kicks = drums.onset[np.isin(drums.pitch, KICK_KEYS)]
  return {
    'tempo, beats a minute': 60 / float(np.median(np.diff(piece.beats))),
    'bass notes a second': len(bass) / played,
    'bass notes a beat': len(bass) / max(float(at[-1] - at[0]), 1.0),
    'bass register, median MIDI pitch': float(np.median(bass.pitch)),
    'bass range, semitones (10-90 %)': float(high - low),
    'bass pitch classes in 8 s': _variety(bass),
    'onsets off the beat, share': float(np.mean(phase != 0)),
    'onsets off the eighths, share': float(np.mean(~np.isin(phase, (0, _GRID // 2)))),
    'evenness of onsets, share of commonest gap': _commonest(np.round(np.diff(at) * _GRID)[near]) if near.any() else 1.0,
    'repeated pitches, share': float(np.mean(leaps == 0)),
    'steps of 1-2 semitones, share': float(np.mean((leaps == 1) | (leaps == 2))),
    'leaps of 5 and more, share': float(np.mean(leaps >= 5)),
    'octave leaps, share': float(np.mean(leaps == 12)),
    'note length, median s': float(np.median(length)),
    'legato, median length / gap': float(np.median(np.minimum(length[:-1] / np.maximum(gaps, 0.02), 1.0)[near])) if near.any() else 1.0,
    'silence of the bass, share': 1 - _covered(bass, piece.seconds),
    'bars like the one before, share': _repetition(bass, piece, 1),
    'bars heard before within a minute, share': _repetition_in_a_minute(bass, piece),
    'mix, pitched notes a second': len(pitched) / piece.seconds,
    'mix, voices at once': float((pitched.offset - pitched.onset).sum() / piece.seconds),
    'drum notes a second': len(drums) / piece.seconds,
    'bass with kick, share of bass onsets': _beside(bass.onset, kicks),
    'bass doubled in the mix, share': _doubled(bass, pitched),
    'key changes a minute': _key_changes(piece),
  }


def _span(notes: Notes) -> float:
  return max(float(notes.offset.max() - notes.onset[0]), 1.0)


def _variety(bass: Notes) -> float:
  """Mean number of pitch classes in windows of 8 s that have notes."""
  window = (bass.onset // 8).astype(int)
  return float(np.mean([len(set((bass.pitch[window == w] % 12).tolist())) for w in np.unique(window)]))


def _commonest(values: np.ndarray) -> float:
  return float(np.unique(values, return_counts=True)[1].max() / len(values))


def _covered(notes: Notes, seconds: float) -> float:
  """Share of the time in which a note sounds."""
  ends = np.maximum.accumulate(notes.offset)
  starts = np.maximum(notes.onset, np.append(0.0, ends[:-1]))
  return float(np.maximum(ends - starts, 0).sum() / seconds)


def _repetition(bass: Notes, piece: Piece, back: int | None) -> float:
  """Share of stretches of four beats with notes that are the same as the one `back` before, or (None) as any before."""
  place = np.round(piece.place(bass.onset) * _GRID).astype(int)
  bars: dict[int, list] = {}
  for at, pitch in zip(place.tolist(), bass.pitch.tolist(), strict=True):
    bars.setdefault(at // (4 * _GRID), []).append((at % (4 * _GRID), pitch))
  seen, same = set(), 0
  for number in sorted(bars):
    figure = tuple(sorted(bars[number]))
    same += figure in seen if back is None else figure == tuple(sorted(bars.get(number - back, [])))
    seen.add(figure)
  return same / len(bars)


def _repetition_in_a_minute(bass: Notes, piece: Piece) -> float:
  """The same within each minute apart: the longer a piece, the more has been heard before."""
  minutes = [bass.where((bass.onset >= start) & (bass.onset < start + 60)) for start in np.arange(0, max(piece.seconds - 30, 1), 60)]
  return float(np.mean([_repetition(part, piece, None) for part in minutes if len(part)]))


def _beside(onsets: np.ndarray, others: np.ndarray) -> float:
  """Share of onsets beside which one of the others begins."""
  if not len(others) or not len(onsets):
    return 0.0
  after = np.minimum(np.searchsorted(others, onsets - _TOGETHER), len(others) - 1)
  return float(np.mean(np.abs(others[after] - onsets) <= _TOGETHER))


def _doubled(bass: Notes, pitched: Notes) -> float:
  """Share of bass notes with which a note of their pitch class begins in the mix."""
  found = np.zeros(len(bass), dtype=bool)
  for pitch_class in range(12):
    mine = bass.pitch % 12 == pitch_class
    others = pitched.onset[pitched.pitch % 12 == pitch_class]
    if mine.any() and len(others):
      after = np.minimum(np.searchsorted(others, bass.onset[mine] - _TOGETHER), len(others) - 1)
      found[mine] = np.abs(others[after] - bass.onset[mine]) <= _TOGETHER
  return float(found.mean())


def _key_changes(piece: Piece) -> float:
  """Changes a minute of the seven-note collection that fits best, in stretches of 12 s; a change to a neighbour counts half."""
  notes = [(n.onset, n.offset, n.pitch % 12) for n in (piece.bass, piece.mix.pitched)]
  onset, offset, pitch = (np.concatenate(column) for column in zip(*notes, strict=True))
  keys = []
  for start in np.arange(0, piece.seconds - _KEY_SECONDS / 2, _KEY_SECONDS):
    weight = np.clip(np.minimum(offset, start + _KEY_SECONDS) - np.maximum(onset, start), 0, None)
    chroma = np.bincount(pitch, weight, minlength=12)
    if chroma.sum():
      fits = [float(np.roll(_MAJOR, key) @ chroma) for key in range(12)]
      keys.append(int(np.argmax(fits)))
  changes = sum(0.5 if (a - b) % 12 in (5, 7) else 1.0 for a, b in itertools.pairwise(keys) if a != b)
  return 60 * changes / piece.seconds


@dataclasses.dataclass(frozen=True)
class Row:
  """One statistic of two corpora.

  Attributes:
    name: with its unit.
    left, right: [songs] values.
  """

  name: str
  left: np.ndarray
  right: np.ndarray

  @property
  def kolmogorov_smirnov(self) -> float:
    """Largest difference of the two cumulative distributions, 0..1."""
    return float(scipy.stats.ks_2samp(self.left, self.right).statistic)

  @property
  def wasserstein(self) -> float:
    """Earth mover's distance in standard deviations of the right corpus."""
    return float(scipy.stats.wasserstein_distance(self.left, self.right) / max(float(np.std(self.right)), 1e-9))


def compare(left: Iterable[Piece], right: Iterable[Piece]) -> list[Row]:
  """All statistics of two corpora."""
  values = [[statistics(piece) for piece in corpus] for corpus in (left, right)]
  return [Row(name, *(np.asarray([song[name] for song in corpus]) for corpus in values)) for name in values[0][0]]


def table(rows: list[Row], left: str, right: str) -> str:
  """10 %, 50 % and 90 % of the songs of either corpus, and the distances."""
  lines = [f'{"":<44}{left:>26}{right:>26}{"KS":>7}{"EMD/sd":>8}', f'{"":<44}' + 2 * f'{"10 %":>10}{"50 %":>8}{"90 %":>8}']
  for row in rows:
    spread = [np.percentile(values, [10, 50, 90]) for values in (row.left, row.right)]
    cells = ''.join(f'{a:>10.2f}{b:>8.2f}{c:>8.2f}' for a, b, c in spread)
    lines.append(f'{row.name:<44}{cells}{row.kolmogorov_smirnov:>7.2f}{row.wasserstein:>8.2f}')
  mean = [float(np.mean([getattr(row, name) for row in rows])) for name in ('kolmogorov_smirnov', 'wasserstein')]
  lines.append(f'{"mean":<44}{"":>52}{mean[0]:>7.2f}{mean[1]:>8.2f}')
  return '\n'.join(lines)


@commands.plain_errors()
def main(arguments: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog='python -m data_pipeline.music_statistics', description=__doc__.splitlines()[0])
  parser.add_argument('--data_dir', default='data', help='folder of the datasets')
  parser.add_argument('--left', default='bassnet_pop_rock/open', help='one dataset')
  parser.add_argument('--right', default='bassnet_pop_rock/freedoom', help='the other')
  defined = parser.parse_args(arguments)
  right = list(pieces(defined.right, os.path.abspath(defined.data_dir)))  # first: it may not be there
  left = list(pieces(defined.left, os.path.abspath(defined.data_dir)))
  rows = compare(left, right)
  print(f'training songs: {len(left)} of {defined.left}, {len(right)} of {defined.right}')
  print(table(rows, defined.left.partition('/')[2], defined.right.partition('/')[2]))
  return 0


if __name__ == '__main__':
  sys.exit(main())
