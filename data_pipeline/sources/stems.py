"""Any folder of song folders with one audio file a stem, in which a file-name pattern tells the bass."""

from __future__ import annotations

import configparser
import dataclasses
import fnmatch
import os
from collections.abc import Sequence

import numpy as np

from data_pipeline import audio
from data_pipeline.song import SkipSong, Song, SongKey
from data_pipeline.song_keys import UNKNOWN, licence_and_credit, song_keys

EXTENSIONS = ('.wav', '.flac', '.ogg', '.oga', '.opus', '.mp3', '.aif', '.aiff')


@dataclasses.dataclass(frozen=True)
class Stems:
  """`<song>/<stem>.<ext>`, at any depth: every folder that holds audio files is a song.

  If top folders are named train, validation or test, they are the splits; else 80 / 8 / 12 % by a hash of the song's id. Credit comes
  from `song.ini` (artist, title, charter), licence and credit from `licence.txt` and `credit.txt`, beside the stems or above.
  Stems are summed as they are, without gain; a shorter one is followed by silence.

  Attributes:
    folder: where the songs are; hidden files and folders are left out.
    bass: pattern, or patterns separated by commas, of the bass stems' names without extension, in any case ('*bass*'); several bass
      stems are summed.
    not_bass: patterns of stems that go into the mix although `bass` fits them: bass drums, bassoons.
    full_mixes: patterns of files that are not stems but mixes of them: never used, since the bass is in them.
    ignore: patterns of other files that are no stems (a metronome, a preview).
    shortest: seconds of audio that a song must have.
    longest_minutes: longer songs are skipped.
  """

  folder: str
  bass: str = '*bass*'
  not_bass: str = '*bass*drum*,*bassoon*,*bass*clarinet*,*bass*trombone*,*bass*flute*'
  full_mixes: str = (
    'mix,mixture,master,mixdown,full,fullmix,full[ _-]mix,*[ _-]mix,*[ _-]mixture,*[ _-]master,*[ _-]mixdown,'
    'instrumental,backing,backing[ _-]track,accompaniment,karaoke,*nobass*,*no[ _-]bass*,*without[ _-]bass*,*minus*bass*'
  )
  ignore: str = 'preview,click,metronome,click track,crowd'
  shortest: float = 5.0
  longest_minutes: float = 60.0

  def songs(self) -> Sequence[SongKey]:
    """A key for every folder with audio files, sorted by path.

    Raises:
      ValueError: the folder doesn't exist or holds no song folder.
    """
    return list(self._folders())

  def load(self, key: SongKey) -> Song:
    """Reads and sums the stems of one song; notes are None, targets come from the audio.

    Raises:
      SkipSong: no bass stem, nothing but bass, an unusable file, silence, too short or too long.
    """
    folder = self._folders().get(key)
    if folder is None:
      raise SkipSong(f'{key.id} is no longer in {self.folder}')
    bass_files, mix_files = self._stems(folder)
    try:
      bass, mix = (_sum([audio.load(path, longest=60 * self.longest_minutes) for path in paths]) for paths in (bass_files, mix_files))
      length = max(len(bass), len(mix))
      bass, mix = (np.pad(stem, (0, length - len(stem))) for stem in (bass, mix))
      audio.check_usable(bass, _names(bass_files), self.shortest)
      audio.check_usable(mix, _names(mix_files), self.shortest)
    except audio.AudioError as error:
      raise SkipSong(str(error)) from error
    licence, credit = licence_and_credit(folder, self.folder)
    if credit == UNKNOWN:
      credit = credit_from_ini(folder) or credit
    return Song(key=key, mix=mix, bass=bass, licence=licence, credit=credit)

  def _stems(self, folder: str) -> tuple[list[str], list[str]]:
    """Paths of the bass stems and of the other stems."""
    files = audio_files(folder)
    stems = [file for file in files if not _matches(file, self.full_mixes) and not _matches(file, self.ignore)]
    bass = [file for file in stems if _matches(file, self.bass) and not _matches(file, self.not_bass)]
    others = [file for file in stems if file not in bass]
    if not bass:
      raise SkipSong(f'no bass stem: no file matches {self.bass!r}; found {", ".join(files)}')
    if not others:
      left_out = [file for file in files if file not in stems]
      raise SkipSong(
        f'nothing but bass: found {", ".join(files)}' + (f' (left out as full mixes: {", ".join(left_out)})' if left_out else '')
      )
    return [os.path.join(folder, file) for file in bass], [os.path.join(folder, file) for file in others]

  def _folders(self) -> dict[SongKey, str]:
    if not os.path.isdir(self.folder):
      raise ValueError(f'{self.folder!r} is not a folder; a folder of song folders is expected. Give it by --manual_dir.')
    relatives = []
    for parent, folders, _ in os.walk(self.folder):
      folders[:] = sorted(name for name in folders if not name.startswith('.'))
      if parent != self.folder and audio_files(parent):
        relatives.append(os.path.relpath(parent, self.folder))
    if not relatives:
      raise ValueError(
        f'{self.folder!r} holds no folder with audio files ({", ".join(EXTENSIONS)}); one folder a song, one file a stem is expected, '
        'like SONG/bass.wav, SONG/drums.wav. Give another --manual_dir.'
      )
    relatives.sort()
    return {key: os.path.join(self.folder, relative) for key, relative in zip(song_keys(relatives), relatives, strict=True)}


def audio_files(folder: str) -> list[str]:
  """Names of the audio files in a folder, hidden ones left out, sorted."""
  return sorted(file for file in os.listdir(folder) if file.lower().endswith(EXTENSIONS) and not file.startswith('.'))


def credit_from_ini(folder: str) -> str:
  """'Artist: Title (chart: ...)' from the song.ini of rhythm games, or '' where there is none or it is unreadable."""
  path = next((os.path.join(folder, file) for file in sorted(os.listdir(folder)) if file.lower() == 'song.ini'), None)
  if path is None:
    return ''
  with open(path, encoding='utf-8-sig', errors='replace') as file:
    text = file.read(100_000)
  parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
  try:
    parser.read_string(text)
  except configparser.Error:
    return ''  # A credit isn't worth a song: it stays 'unknown', as where there is no song.ini.
  section = next((parser[name] for name in parser.sections() if name.lower() == 'song'), {})
  artist, title, charter = (' '.join((section.get(field) or '').split()) for field in ('artist', 'name', 'charter'))
  credit = ': '.join(part for part in (artist, title) if part)
  return f'{credit} (chart: {charter})' if credit and charter else credit


def _matches(file: str, patterns: str) -> bool:
  name = os.path.splitext(file)[0].lower()
  return any(fnmatch.fnmatchcase(name, pattern.strip().lower()) for pattern in patterns.split(',') if pattern.strip())


def _names(paths: list[str]) -> str:
  return ' + '.join(paths)


def _sum(stems: list[np.ndarray]) -> np.ndarray:
  """[longest] float32: the sum of stems of unequal length."""
  total = np.zeros(max(len(stem) for stem in stems), dtype=np.float32)
  for stem in stems:
    total[: len(stem)] += stem
  return total
