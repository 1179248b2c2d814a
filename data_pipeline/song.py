"""What a source of songs yields, and the one small interface that every source implements."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from data_pipeline.notes import Notes

SPLITS = ('train', 'validation', 'test')


class SkipSong(Exception):
  """This song can't be used; the message is the reason that the build's summary shows. The build goes on."""


@dataclasses.dataclass(frozen=True)
class SongKey:
  """Names a song before any audio is read.

  Attributes:
    id: unique within the source and stable from run to run; file-name safe ([A-Za-z0-9._-]).
    split: 'train', 'validation', 'test', or a source's own further split ('test_timbre').
  """

  id: str
  split: str


@dataclasses.dataclass(frozen=True)
class Song:
  """A mix without bass and its bass, as audio and, where they are known, as notes.

  Attributes:
    key: name and split.
    mix: [samples] float32, mono, 16 kHz; without the bass.
    bass: [samples] float32, same clock, same length, same gain as in the original mix.
    licence: SPDX identifier or plain words.
    credit: who is to be named.
    notes: the bass notes, one at a time, or None where only audio is known (the targets then come from the audio).
    mix_notes: the notes of the mix, drums included, or None.
    beats: [beats] seconds of the beats, or None.
    patterns: artificial sets: the bass notes of every pattern over this mix (counterfactuals); else ().
    pattern: artificial sets: index of the pattern that `bass` plays; else -1.
  """

  key: SongKey
  mix: np.ndarray
  bass: np.ndarray
  licence: str
  credit: str
  notes: Notes | None = None
  mix_notes: Notes | None = None
  beats: np.ndarray | None = None
  patterns: tuple[Notes, ...] = ()
  pattern: int = -1


class Source(Protocol):
  """A corpus: lists its songs cheaply, loads one at a time. A frozen dataclass, so that it travels to worker processes."""

  def songs(self) -> Sequence[SongKey]:
    """Every song of the corpus, usable or not, in a stable order. Raises ValueError in plain words if the corpus isn't there."""
    ...

  def load(self, key: SongKey) -> Song:
    """Reads or renders one song; the same key gives the same arrays. Raises SkipSong(reason) if it can't be used."""
    ...
