"""Baseline bass lines made by rule from the notes of the mix: the ladder that a model has to climb.

They know the true notes and the true kicks of the mix, which the model has to hear in its audio, so beating them is no formality. Their
constants were chosen for the highest `note_pc_f1` on songs written by people (the freedoom corpus, see DATA.md), not for convenience; on
all of its songs, so that on its test split the choice is in the baselines' favour.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.features import into_range
from data_pipeline.notes import KICK_KEYS, Notes, merge, monophonic

LOWEST = 28  # E1, the lowest string of a bass with four
PROGRAM = 33  # finger bass
VELOCITY = 100
STRUM = 0.03
"""Seconds within which notes count as struck together."""
CLOSING = 0.05
"""Seconds before its end at which a note no longer counts as sounding: players' notes overlap into the next a little."""
HIGHEST_FOLLOWED = 43
"""G2: follow_lowest goes down by octaves until it is here or below; the middle of where bass lines of real songs lie."""
ROOT_WINDOW = 0.15
"""Seconds after a kick in which a root is looked for, if the next kick leaves them; longer ones hear the next chord too."""
LONGEST_ROOT = 1.0
DEFAULT_EIGHTH = 0.25  # seconds; 120 beats a minute where no beats are known

# Listeners' ratings of how well each pitch class fits a key of C major and C minor: Krumhansl & Kessler, Psychological Review 89 (1982).
_MAJOR_KEY = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR_KEY = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])


def _chord_templates() -> tuple[np.ndarray, np.ndarray]:
  """Unit vectors of the major triad, the minor triad and the power chord on every root: ([36, 12], roots [36]).

  The root weighs most and the third least, so that of the chords that share two notes the one with its root doubled wins.
  """
  rows, roots = [], []
  for intervals, weights in (((0, 4, 7), (1.0, 0.6, 0.8)), ((0, 3, 7), (1.0, 0.6, 0.8)), ((0, 7), (1.0, 0.8))):
    for root in range(12):
      row = np.zeros(12)
      row[(root + np.array(intervals)) % 12] = weights
      rows.append(row / np.linalg.norm(row))
      roots.append(root)
  return np.array(rows), np.array(roots)


_TEMPLATES, _TEMPLATE_ROOTS = _chord_templates()


def _bass_notes(onset, offset, pitch) -> Notes:
  """A line of one note at a time with this module's program and velocity."""
  count = len(onset)
  return monophonic(Notes.from_rows(np.stack([onset, offset, pitch, np.full(count, VELOCITY), np.full(count, PROGRAM)], axis=1)))


def _lowest_octave(pitch_class: int) -> int:
  """The pitch of a pitch class in the octave from E1."""
  return LOWEST + (pitch_class - LOWEST) % 12


def _together(times: np.ndarray) -> np.ndarray:
  """Sorted times without those that follow a kept one within `STRUM`."""
  kept: list[float] = []
  for time in np.sort(times).tolist():
    if not kept or time - kept[-1] > STRUM:
      kept.append(time)
  return np.array(kept)


def silence() -> Notes:
  """No note at all."""
  return Notes.empty()


def tonic(mix_notes: Notes) -> int:
  """Pitch class of the key's tonic: the Krumhansl-Kessler profile, major or minor, that correlates best with the notes' durations.

  A mix without pitched notes has no tonic; E is returned, the bass's lowest open string.
  """
  pitched = mix_notes.pitched
  durations = np.bincount(pitched.pitch % 12, pitched.offset - pitched.onset, 12)
  if not durations.any() or np.ptp(durations) == 0:
    return LOWEST % 12
  profiles = np.array([np.roll(key, root) for key in (_MAJOR_KEY, _MINOR_KEY) for root in range(12)])
  return int(np.argmax([np.corrcoef(profile, durations)[0, 1] for profile in profiles])) % 12


def tonic_eighths(mix_notes: Notes, beats: np.ndarray | None, seconds: float) -> Notes:
  """Eighth notes on the tonic from the first beat to the end, whatever the mix plays.

  Args:
    mix_notes: notes of the mix.
    beats: [beats] seconds; None or fewer than two: eighths of 120 beats a minute from 0.
    seconds: the piece's length.
  """
  if beats is None or len(beats) < 2:
    onset = np.arange(0, seconds, DEFAULT_EIGHTH)
  else:
    period = beats[-1] - beats[-2]
    later = np.arange(beats[-1] + period, seconds + period, period)
    grid = np.concatenate([beats, later])
    onset = np.sort(np.concatenate([grid[:-1], (grid[:-1] + grid[1:]) / 2]))
    onset = onset[onset < seconds]
  offset = np.append(onset[1:], seconds)
  return _bass_notes(onset, offset, np.full(len(onset), _lowest_octave(tonic(mix_notes))))


def _root(onset: np.ndarray, offset: np.ndarray, pitch: np.ndarray, start: float, end: float) -> int | None:
  """Pitch class of the root of the notes that sound within [start, end) seconds, or None where there are none."""
  within = np.minimum(offset, end) - np.maximum(onset, start)
  # What ends as the kick sounds belongs to the chord before.
  sounds = (within > 0) & ((offset > start + STRUM) | (onset >= start))
  if not sounds.any():
    return None
  durations = np.bincount(pitch[sounds] % 12, within[sounds], 12)
  # The lowest note is as good evidence of the root as all the others together.
  durations[pitch[sounds].min() % 12] += within[sounds].sum()
  return int(_TEMPLATE_ROOTS[np.argmax(_TEMPLATES @ durations)])


def root_on_kick(mix_notes: Notes, beats: np.ndarray | None = None) -> Notes:
  """With every kick, the root of what the pitched mix plays then.

  The root is that of the triad or power chord which best fits the pitch classes, weighted by duration, from the kick to the next one
  (`ROOT_WINDOW` at most), the lowest note weighted up; where nothing sounds it's the previous root. Each note lasts to the next kick,
  `LONGEST_ROOT` at most, in the octave from E1.

  Args:
    mix_notes: notes of the mix, drums included.
    beats: [beats] seconds; they stand in for the kicks in a mix that has none.
  """
  drums, pitched = mix_notes.drums, mix_notes.pitched
  kicks = _together(drums.onset[np.isin(drums.pitch, KICK_KEYS)])
  if not len(kicks) and beats is not None:
    kicks = np.asarray(beats, dtype=np.float64)
  if not len(kicks) or not len(pitched):
    return Notes.empty()
  following = np.append(kicks[1:], np.inf)
  ends = np.minimum(following, kicks + ROOT_WINDOW)
  # Only notes that start before the window's end and not longer before it than the longest note lasts can sound in it.
  first = np.searchsorted(pitched.onset, kicks - (pitched.offset - pitched.onset).max())
  last = np.searchsorted(pitched.onset, ends)
  roots: list[int | None] = []
  for low, high, start, end in zip(first, last, kicks, ends, strict=True):
    root = _root(pitched.onset[low:high], pitched.offset[low:high], pitched.pitch[low:high], start, end)
    roots.append(roots[-1] if root is None and roots else root)
  known = np.array([root is not None for root in roots])
  pitch = [_lowest_octave(root) for root in roots if root is not None]
  return _bass_notes(kicks[known], np.minimum(following, kicks + LONGEST_ROOT)[known], np.array(pitch, dtype=np.float64))


def follow_lowest(mix_notes: Notes) -> Notes:
  """Doubles the lowest line of the pitched mix, down by octaves in the bass range.

  A note is struck whenever a note of the mix is struck that is the lowest sounding one then (of a chord, its lowest); it lasts until that
  note ends or the next is struck. When the lowest note ends and higher ones ring on, nothing is struck: that is no onset of any line, and
  striking it was tried and lost `note_pc_f1`.
  """
  pitched = mix_notes.pitched
  onset, offset, pitch = pitched.onset.tolist(), pitched.offset.tolist(), pitched.pitch.tolist()
  sounding: list[tuple[float, int]] = []  # (offset, pitch)
  line: list[tuple[float, float, int]] = []
  i = 0
  while i < len(onset):
    start, struck = onset[i], []
    while i < len(onset) and onset[i] - start <= STRUM:
      struck.append((pitch[i], offset[i]))
      i += 1
    sounding = [(end, key) for end, key in sounding if end > start + CLOSING]
    lowest, end = min(struck)
    if all(lowest <= key for _, key in sounding):
      line.append((start, end, lowest))
    sounding += [(end, key) for key, end in struck]
  table = np.array(line, dtype=np.float64).reshape(-1, 3)
  return _bass_notes(table[:, 0], table[:, 1], into_range(table[:, 2], LOWEST, HIGHEST_FOLLOWED))


def other_song(bass: Notes, bass_seconds: float, seconds: float) -> Notes:
  """The bass of another song, from its start, repeated if it's shorter and cut where this piece ends.

  Args:
    bass: its notes.
    bass_seconds: its length.
    seconds: this piece's length.
  """
  repeats = int(np.ceil(seconds / bass_seconds)) if bass_seconds > 0 else 0
  return merge(bass.shifted(i * bass_seconds) for i in range(repeats)).between(0, seconds)
