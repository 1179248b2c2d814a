"""Songs of rhythm games (Frets on Fire, Clone Hero, Phase Shift, Rock Band exports): a folder a song, `song.ini`, a chart, stems."""

from __future__ import annotations

import configparser
import dataclasses
import os
import re

import mido
import numpy as np

from data_pipeline.song import SkipSong, SongKey
from data_pipeline.song_keys import UNKNOWN, licence_and_credit, places_below
from data_pipeline.sources.stem_corpus import SongStems, StemCorpus, audio_files
from data_pipeline.sources.stems import credit_from_ini

_CHARTS = ('notes.mid', 'notes.chart')
_MARKS = ('song.ini', *_CHARTS)
_OTHERS = re.compile(r'(song|guitar|vocals(_\d)?|drums(_\d)?|keys|backing|rhythm)')
"""Stems that go into the mix; preview, crowd and whatever else lies there don't."""
_PACKED = '.sng'
_SHARE_OF_BASS = 0.5


@dataclasses.dataclass(frozen=True)
class RhythmGame(StemCorpus):
  """Every folder with a song.ini or a chart (notes.mid, notes.chart) below a folder.

  `bass` is the bass. `rhythm` is the bass or a second guitar: without `bass` it is taken for the bass if the chart has a bass part and no
  rhythm part, or, where the chart has neither, if song.ini says so (diff_bass, diff_rhythm); else the song is skipped. `song` is
  everything that has no stem of its own and goes into the mix, unless the bass is heard in it.
  """

  def places(self) -> dict[SongKey, str]:
    """A key for every song folder, and for every packed .sng file, which can't be read.

    Raises:
      ValueError: there is none.
    """
    if not os.path.isdir(self.folder):
      raise ValueError(f'{self.folder!r} is not a folder; a folder of song folders with {_MARKS[0]} is expected. Give it by --manual_dir.')
    relatives = []
    for parent, folders, files in os.walk(self.folder):
      folders[:] = sorted(name for name in folders if not name.startswith('.'))
      if any(file.lower() in _MARKS for file in files):
        relatives.append(os.path.relpath(parent, self.folder))
        folders.clear()
      else:
        relatives += [os.path.relpath(os.path.join(parent, file), self.folder) for file in files if file.lower().endswith(_PACKED)]
    if not relatives:
      raise ValueError(
        f'{self.folder!r} holds no song folder: {", ".join(_MARKS)} are looked for, with bass.ogg or rhythm.ogg beside them. '
        'Give another --manual_dir; for songs without these files use the configuration stems.'
      )
    return places_below(self.folder, relatives)

  def stems(self, place: str) -> SongStems:
    """Raises SkipSong: packed, no bass stem, a rhythm stem that may be a guitar, or nothing but bass."""
    if place.lower().endswith(_PACKED):
      raise SkipSong('a packed .sng file; unpack it into a folder of stems first')
    files = {os.path.splitext(file)[0].lower(): file for file in audio_files(place)}
    found = ', '.join(files.values())
    if not files:
      packed = [file for file in sorted(os.listdir(place)) if file.lower().endswith('.mogg')]
      raise SkipSong(
        'no audio file' + (f'; {", ".join(packed)} is a multichannel file of the game itself: export it to stems' if packed else '')
      )
    if 'bass' in files:
      bass = 'bass'
    elif 'rhythm' in files:
      _check_rhythm_is_bass(place)
      bass = 'rhythm'
    else:
      raise SkipSong(f'no bass stem: neither bass nor rhythm; found {found}')
    mix = [name for name in files if name != bass and _OTHERS.fullmatch(name)]
    if not mix:
      raise SkipSong(f'nothing but bass: found {found}')
    licence, credit = licence_and_credit(place, self.folder)
    if credit == UNKNOWN:
      credit = credit_from_ini(place) or credit
    paths = {name: os.path.join(place, file) for name, file in files.items()}
    return SongStems([paths[bass]], [paths[name] for name in mix], licence, credit)

  def check_parts(self, stems: SongStems, bass: np.ndarray, mix: np.ndarray) -> None:
    """Some charters put the whole song into song.ogg, beside the stems: the mix then holds the bass as well."""
    share = float(np.dot(mix, bass) / np.dot(bass, bass))  # Least squares: how much of the bass the mix holds; 1 where it is in whole.
    if share > _SHARE_OF_BASS:
      names = ', '.join(os.path.basename(path) for path in stems.mix)
      raise SkipSong(f'the bass is heard in the mix too ({share:.0%} of it, in {names}): song is the full mix')


def _check_rhythm_is_bass(place: str) -> None:
  parts = chart_parts(place)
  where = 'the chart'
  if not parts:
    parts, where = _ini_parts(place), 'song.ini'
  if 'bass' in parts and 'rhythm' not in parts:
    return
  if 'rhythm' in parts:
    also = ' and a bass part' if 'bass' in parts else ''
    raise SkipSong(f'no bass stem: rhythm is a second guitar, {where} has a rhythm part{also}')
  raise SkipSong('no bass stem: rhythm may be a second guitar; neither the chart nor song.ini has a bass part')


def chart_parts(place: str) -> set[str]:
  """Which of 'bass' and 'rhythm' the chart has notes for; empty if there is no chart that can be read."""
  present = {file.lower(): os.path.join(place, file) for file in sorted(os.listdir(place))}
  parts = set()
  if 'notes.mid' in present:
    try:
      tracks = mido.MidiFile(present['notes.mid'], clip=True).tracks
    except (OSError, EOFError, ValueError, KeyError, IndexError, mido.KeySignatureError):
      tracks = []  # A chart only helps; the stems are judged without it.
    for track in tracks:
      name = re.fullmatch(r'PART (BASS|RHYTHM)', track.name.strip().upper())
      if name and any(message.type == 'note_on' and message.velocity for message in track):
        parts.add(name[1].lower())
  if 'notes.chart' in present:
    with open(present['notes.chart'], encoding='utf-8-sig', errors='replace') as file:
      text = file.read(20_000_000)
    for name in re.findall(r'\[(?:Easy|Medium|Hard|Expert)Double(Bass|Rhythm)\]\s*\{[^}]*=\s*N\s', text):
      parts.add(name.lower())
  return parts


def _ini_parts(place: str) -> set[str]:
  """Which of 'bass' and 'rhythm' song.ini gives a difficulty from 0 on."""
  path = next((os.path.join(place, file) for file in sorted(os.listdir(place)) if file.lower() == 'song.ini'), None)
  if path is None:
    return set()
  parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
  with open(path, encoding='utf-8-sig', errors='replace') as file:
    try:
      parser.read_string(file.read(100_000))
    except configparser.Error:
      return set()
  section = next((parser[name] for name in parser.sections() if name.lower() == 'song'), {})
  return {part for part in ('bass', 'rhythm') if re.fullmatch(r'\s*\d+\s*', section.get(f'diff_{part}') or '')}
