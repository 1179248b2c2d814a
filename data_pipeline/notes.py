"""Notes as columns: the one form in which notes travel between sources, targets, evaluation and generation."""

from __future__ import annotations

import dataclasses

import numpy as np

DRUMS = 128
"""Program number of the drum kit; 0..127 are the General MIDI programs. On drum notes `pitch` is the GM percussion key."""

KICK_KEYS = (35, 36)
SNARE_KEYS = (37, 38, 39, 40)


@dataclasses.dataclass(frozen=True)
class Notes:
  """Notes in columns, sorted by onset.

  Attributes:
    onset: [notes] float64, seconds.
    offset: [notes] float64, seconds, later than the onset.
    pitch: [notes] int64, MIDI note number (A4 = 69).
    velocity: [notes] int64, 1..127.
    program: [notes] int64, General MIDI program 0..127, or `DRUMS`.
  """

  onset: np.ndarray
  offset: np.ndarray
  pitch: np.ndarray
  velocity: np.ndarray
  program: np.ndarray

  def __len__(self) -> int:
    return len(self.onset)

  @classmethod
  def from_rows(cls, rows) -> Notes:
    """From rows of (onset, offset, pitch, velocity, program), [notes, 5] or a list of tuples; sorts by onset, then pitch."""
    table = np.asarray(list(rows), dtype=np.float64).reshape(-1, 5)
    table = table[np.lexsort((table[:, 2], table[:, 0]))]
    return cls(table[:, 0], table[:, 1], *(table[:, i].astype(np.int64) for i in (2, 3, 4)))

  @classmethod
  def empty(cls) -> Notes:
    return cls.from_rows([])

  def rows(self) -> np.ndarray:
    """The inverse of `from_rows`: [notes, 5] float64."""
    return np.stack([self.onset, self.offset, self.pitch, self.velocity, self.program], axis=1).astype(np.float64)

  def where(self, keep: np.ndarray) -> Notes:
    """The notes that a boolean mask or an index array [notes] selects."""
    return Notes(*(getattr(self, f.name)[keep] for f in dataclasses.fields(self)))

  def between(self, start: float, end: float) -> Notes:
    """The notes that start in [start, end) seconds, on the same clock, cut at `end`."""
    kept = self.where((self.onset >= start) & (self.onset < end))
    return dataclasses.replace(kept, offset=np.minimum(kept.offset, end))

  def shifted(self, seconds: float) -> Notes:
    """The same notes, later by `seconds`."""
    return dataclasses.replace(self, onset=self.onset + seconds, offset=self.offset + seconds)

  def transposed(self, semitones: int) -> Notes:
    return dataclasses.replace(self, pitch=self.pitch + semitones)

  @property
  def drums(self) -> Notes:
    return self.where(self.program == DRUMS)

  @property
  def pitched(self) -> Notes:
    return self.where(self.program != DRUMS)


def merge(parts) -> Notes:
  """One `Notes` from several."""
  parts = list(parts)
  return Notes.from_rows(np.concatenate([part.rows() for part in parts])) if parts else Notes.empty()


def monophonic(notes: Notes, shortest: float = 0.02) -> Notes:
  """One note at a time: a note ends where the next begins; of notes that start within `shortest` seconds the lowest stays."""
  kept: list[int] = []
  for i in range(len(notes)):
    if kept and notes.onset[i] - notes.onset[kept[-1]] < shortest:
      if notes.pitch[i] < notes.pitch[kept[-1]]:
        kept[-1] = i
    else:
      kept.append(i)
  line = notes.where(np.asarray(kept, dtype=np.int64))
  following = np.append(line.onset[1:], np.inf)
  return dataclasses.replace(line, offset=np.maximum(np.minimum(line.offset, following), line.onset + 1e-3))
