"""What all corpora of recorded stems share: a song's files in, its mix and bass out; a new corpus is one small file."""

from __future__ import annotations

import abc
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence

import numpy as np

from data_pipeline import audio
from data_pipeline.notes import Notes
from data_pipeline.song import SkipSong, Song, SongKey, Stem

EXTENSIONS = ('.wav', '.flac', '.ogg', '.oga', '.opus', '.mp3', '.aif', '.aiff')

_SHORTEST_STEM = 0.1
"""Seconds; a stem may end early, but what is shorter than this is damaged."""


@dataclasses.dataclass(frozen=True)
class SongStems:
  """Which files of a song are its bass and which its mix, and what is known besides.

  Attributes:
    bass: stems that are summed to the bass; at least one.
    mix: stems that are summed to the mix; at least one, none of them with the bass in it.
    licence, credit: as in `Song`.
    notes: the bass notes on the stems' clock, or None. They are checked against the audio: see `note_fit`.
    mix_notes: notes of the mix, drums included, or None.
    beats: [beats] seconds, or None.
  """

  bass: Sequence[str]
  mix: Sequence[str]
  licence: str
  credit: str
  notes: Notes | None = None
  mix_notes: Notes | None = None
  beats: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class StemCorpus(abc.ABC):
  """A `Source` of stems. A subclass is a frozen dataclass with `places` and `stems`, and with fields of its own where it has options.

  Attributes:
    folder: of the corpus, or a folder above it; hidden files and folders are left out.
    shortest: seconds of audio that a song must have.
    longest_minutes: longer songs are skipped.
  """

  folder: str
  shortest: float = 5.0
  longest_minutes: float = 60.0

  @abc.abstractmethod
  def places(self) -> dict[SongKey, str]:
    """Key -> folder, or whatever else `stems` finds the song by; in a stable order.

    Raises:
      ValueError: the corpus isn't there; what was expected, what was found.
    """

  @abc.abstractmethod
  def stems(self, place: str) -> SongStems:
    """The files of one song. Raises SkipSong(reason) if it can't be used."""

  def read(self, path: str) -> np.ndarray:
    """[samples] float32 mono at 16 kHz of one stem. Raises AudioError."""
    return audio.load(path, longest=60 * self.longest_minutes)

  def header(self, path: str) -> audio.AudioInfo:
    """What the header of one stem says. Raises AudioError."""
    return audio.info(path)

  def glance(self, key: SongKey) -> float:
    """Seconds of a song from the headers of its stems. Raises SkipSong: what is wrong with it, as far as these show it."""
    stems = self.stems(self._place(key))
    try:
      return max(header.seconds for header in self.check_headers(stems))
    except audio.AudioError as error:
      raise SkipSong(str(error)) from error

  def check_headers(self, stems: SongStems) -> list[audio.AudioInfo]:
    """The headers of all stems.

    Raises:
      AudioError: one can't be read, or one has as many samples as another at another rate: such stems would run apart.
    """
    paths = [*stems.bass, *stems.mix]
    headers = [self.header(path) for path in paths]
    first = headers[0]
    for path, header in zip(paths, headers, strict=True):
      counts = (round(header.seconds * header.rate), round(first.seconds * first.rate))
      if counts[0] == counts[1] and header.rate != first.rate:
        raise audio.AudioError(
          f'{path}: its header says {header.rate} samples a second, but it has exactly as many samples ({counts[0]}) as {paths[0]} at '
          f'{first.rate}: one of the two headers is wrong. Export them anew.'
        )
    return headers

  def songs(self) -> Sequence[SongKey]:
    """Every song. Raises ValueError as `places`."""
    return list(self.places())

  def load(self, key: SongKey) -> Song:
    """Reads and sums the stems of one song, without gain; a shorter stem is followed by silence.

    Raises:
      SkipSong: no bass stem, nothing but bass, an unusable file, silence, too short or too long.
    """
    return self._read(key, self.read)

  def load_stems(self, key: SongKey) -> Song:
    """The same song, with the stems of its mix, all in memory at once; raises SkipSong as `load`."""
    kept: dict[str, np.ndarray] = {}

    def read(path: str) -> np.ndarray:
      kept[path] = self.read(path)
      return kept[path]

    song = self._read(key, read)
    paths = self.stems(self._place(key)).mix
    padded = (np.pad(kept[path], (0, len(song.mix) - len(kept[path]))) for path in paths)
    return dataclasses.replace(song, stems=tuple(Stem(part) for part in padded))

  def _read(self, key: SongKey, read: Callable[[str], np.ndarray]) -> Song:
    stems = self.stems(self._place(key))
    try:
      self.check_headers(stems)
      bass, mix = add_up(stems.bass, read), add_up(stems.mix, read)
      audio.check_usable(bass, ' + '.join(stems.bass), self.shortest)
      audio.check_usable(mix, ' + '.join(stems.mix), self.shortest)
    except audio.AudioError as error:
      raise SkipSong(str(error)) from error
    length = max(len(bass), len(mix))
    bass, mix = (np.pad(part, (0, length - len(part))) for part in (bass, mix))
    self.check_parts(stems, bass, mix)
    notes = stems.notes
    if notes is not None:
      from data_pipeline import note_fit

      notes = note_fit.fitted(notes, bass)
    return Song(key, mix, bass, stems.licence, stems.credit, notes=notes, mix_notes=stems.mix_notes, beats=stems.beats)

  def _place(self, key: SongKey) -> str:
    place = _known_places(self).get(key) or self.places().get(key)
    if place is None:
      raise SkipSong(f'{key.id} is no longer in {self.folder}')
    return place

  def check_parts(self, stems: SongStems, bass: np.ndarray, mix: np.ndarray) -> None:  # noqa: B027, most corpora have nothing to check
    """What a corpus can only tell from the sound. Raises SkipSong."""


@functools.lru_cache(maxsize=4)
def _known_places(corpus: StemCorpus) -> dict[SongKey, str]:
  """The places of a corpus, looked for once a process: a large one is slow to search."""
  return corpus.places()


def add_up(paths: Sequence[str], read: Callable[[str], np.ndarray]) -> np.ndarray:
  """[longest] float32: the sum of stems of unequal length, one in memory at a time besides. Raises AudioError."""
  total = np.zeros(0, dtype=np.float32)
  for path in paths:
    stem = read(path)
    audio.check_long_enough(stem, path, _SHORTEST_STEM)
    if len(stem) > len(total):
      total = np.pad(total, (0, len(stem) - len(total)))
    total[: len(stem)] += stem
  return total


def audio_files(folder: str) -> list[str]:
  """Names of the audio files in a folder, hidden ones left out, sorted."""
  return sorted(file for file in os.listdir(folder) if file.lower().endswith(EXTENSIONS) and not file.startswith('.'))


def stem_file(folder: str, name: str) -> str | None:
  """Path of the audio file `name` in `folder`, whatever its extension; None if there is none."""
  found = [file for file in audio_files(folder) if os.path.splitext(file)[0] == name]
  return os.path.join(folder, found[0]) if found else None


def folders_with(root: str, wanted: Callable[[str, list[str], list[str]], bool], described: str) -> list[str]:
  """Folders below `root` that are songs, as sorted relative paths; what is inside a song isn't searched.

  Args:
    root: of the corpus, searched in all depths.
    wanted: told (path, folders in it, files in it), says whether this is a song.
    described: what was looked for, for the message.

  Raises:
    ValueError: `root` is no folder, or nothing below it is a song.
  """
  if not os.path.isdir(root):
    raise ValueError(f'{root!r} is not a folder; expected: {described}. Give it by --manual_dir.')
  found = []
  for parent, folders, files in os.walk(root):
    folders[:] = sorted(name for name in folders if not name.startswith('.') and name != '__MACOSX')
    if parent != root and wanted(parent, folders, files):
      found.append(os.path.relpath(parent, root))
      folders.clear()
  if not found:
    inside = ', '.join(sorted(os.listdir(root))[:6]) or 'nothing'
    raise ValueError(f'{root!r} holds no such song: {described}. Found there: {inside}. Give another --manual_dir.')
  return sorted(found)
