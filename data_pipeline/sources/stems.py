"""Any folder of song folders with one audio file a stem, in which a file-name pattern tells the bass."""

from __future__ import annotations

import configparser
import dataclasses
import fnmatch
import os

from data_pipeline.song import SkipSong, SongKey
from data_pipeline.song_keys import UNKNOWN, licence_and_credit, places_below
from data_pipeline.sources.stem_corpus import EXTENSIONS, SongStems, StemCorpus, audio_files


@dataclasses.dataclass(frozen=True)
class Stems(StemCorpus):
  """`<song>/<stem>.<ext>`, at any depth: every folder that holds audio files is a song.

  If top folders are named train, validation or test, they are the splits; else 80 / 8 / 12 % by a hash of the song's id. Credit comes
  from `song.ini` (artist, title, charter), licence and credit from `licence.txt` and `credit.txt`, beside the stems or above.
  Stems are summed as they are, without gain; a shorter one is followed by silence.

  Attributes:
    bass: pattern, or patterns separated by commas, of the bass stems' names without extension, in any case ('*bass*'); several bass
      stems are summed.
    not_bass: patterns of stems that go into the mix although `bass` fits them: bass drums, bassoons.
    full_mixes: patterns of files that are not stems but mixes of them: never used, since the bass is in them.
    ignore: patterns of other files that are no stems (a metronome, a preview).
  """

  bass: str = '*bass*'
  not_bass: str = '*bass*drum*,*bassoon*,*bass*clarinet*,*bass*trombone*,*bass*flute*'
  full_mixes: str = (
    'mix,mixture,master,mixdown,full,fullmix,full[ _-]mix,*[ _-]mix,*[ _-]mixture,*[ _-]master,*[ _-]mixdown,'
    'instrumental,backing,backing[ _-]track,accompaniment,karaoke,*nobass*,*no[ _-]bass*,*without[ _-]bass*,*minus*bass*'
  )
  ignore: str = 'preview,click,metronome,click track,crowd'

  def stems(self, place: str) -> SongStems:
    """Sorts the files of one song; notes are None, targets come from the audio.

    Raises:
      SkipSong: no bass stem, or nothing but bass.
    """
    bass, others = self._sorted_out(place)
    licence, credit = licence_and_credit(place, self.folder)
    if credit == UNKNOWN:
      credit = credit_from_ini(place) or credit
    return SongStems(bass, others, licence, credit)

  def _sorted_out(self, folder: str) -> tuple[list[str], list[str]]:
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

  def places(self) -> dict[SongKey, str]:
    """A key for every folder with audio files, sorted by path.

    Raises:
      ValueError: the folder doesn't exist or holds no song folder.
    """
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
    return places_below(self.folder, relatives)


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
