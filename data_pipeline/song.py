"""What a source of songs yields, and the one small interface that every source implements."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from data_pipeline.notes import Notes
from data_pipeline.rendering import Instruments

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
class Stem:
  """A part of a mix: one instrument, or one file.

  Attributes:
    audio: [samples] float32, as it is in the mix.
    notes: those that it plays, or None.
  """

  audio: np.ndarray
  notes: Notes | None = None


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
    stems: what `mix` is the sum of, where that was asked for (`StemSource`, `RenderedSource`); else ().
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
  stems: tuple[Stem, ...] = ()


class Source(Protocol):
  """A corpus: lists its songs cheaply, loads one at a time. A frozen dataclass, so that it travels to worker processes."""

  def songs(self) -> Sequence[SongKey]:
    """Every song of the corpus, usable or not, in a stable order. Raises ValueError in plain words if the corpus isn't there."""
    ...

  def load(self, key: SongKey) -> Song:
    """Reads or renders one song; the same key gives the same arrays. Raises SkipSong(reason) if it can't be used."""
    ...


@runtime_checkable
class StemSource(Source, Protocol):
  """A source that knows the parts of its mixes."""

  def load_stems(self, key: SongKey) -> Song:
    """The same song as `load`, with its stems."""
    ...


@runtime_checkable
class RenderedSource(Source, Protocol):
  """A source that plays notes: it can have them played by other instruments."""

  def load_rendered(self, key: SongKey, instruments: Instruments) -> Song:
    """The song of `load`, its mix played by these instruments, with its stems; the bass is that of `load`, if the SoundFont is."""
    ...
