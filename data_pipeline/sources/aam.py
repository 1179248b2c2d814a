"""AAM, Artificial Audio Multitracks: `NNNN_<Instrument>.flac` in one folder or several, with MIDI files and annotations; notes known."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import math
import os
import re
from collections.abc import Iterator

import numpy as np

from data_pipeline.midi_file import NoNotes, read_piece
from data_pipeline.notes import DRUMS, Notes, merge
from data_pipeline.song import SkipSong, SongKey
from data_pipeline.song_keys import split_by_hash
from data_pipeline.sources.stem_corpus import EXTENSIONS, SongStems, StemCorpus

LICENCE = 'CC-BY-4.0'
CREDIT = 'AAM: Artificial Audio Multitracks (Ostermann, Vatolkin, Ebeling 2023)'
_BASS = '*bass*'
_NO_BASS = ('*bassdrum*', '*bassoon*', '*bassclarinet*', '*basstrombone*', '*bassflute*')
_FULL_MIXES = ('mix', 'demo', 'master')
_NAME = re.compile(r'(\d{4,})_([A-Za-z0-9]+)$')
_BASS_PROGRAM = 33
_COLUMN = 'Onset events of '


@dataclasses.dataclass(frozen=True)
class Aam(StemCorpus):
  """Songs by their number, wherever below a folder their files lie: the archives may be unpacked into one folder or one each.

  The bass is every instrument with Bass in its name (ElectricBass, DoubleBassPizz, ...; no bass drum, no bassoon), the mix every other;
  NNNN_mix.flac is never read. Notes come from NNNN_<Instrument>.mid, else from NNNN_onsets.arff, beats from NNNN_beatinfo.arff. Where
  one is missing the audio serves all the same; where one is damaged the song is skipped, so that the build's summary tells of it.
  """

  def places(self) -> dict[SongKey, str]:
    """Key -> number of the song.

    Raises:
      ValueError: there is none.
    """
    if not os.path.isdir(self.folder):
      raise ValueError(f"{self.folder!r} is not a folder; AAM's NNNN_<Instrument>.flac are expected there. Give it by --manual_dir.")
    numbers = sorted({number for number, _, path in _files(self.folder) if path.lower().endswith(EXTENSIONS)})
    if not numbers:
      raise ValueError(
        f'{self.folder!r} holds no NNNN_<Instrument>.flac, in no folder below it either (0001_ElectricBass.flac, for example). '
        'Unpack the multitrack archives there, or give another --manual_dir.'
      )
    return {SongKey(number, split_by_hash(number)): number for number in numbers}

  def stems(self, place: str) -> SongStems:
    """Raises SkipSong: no bass, nothing else, or damaged notes or beats."""
    audio: dict[str, str] = {}
    other: dict[str, str] = {}
    for part, path in _index(self.folder).get(place, ()):
      if path.lower().endswith(EXTENSIONS):
        audio[part] = path
      else:
        other[part + os.path.splitext(path)[1].lower()] = path
    instruments = sorted(part for part in audio if part.lower() not in _FULL_MIXES)
    bass = [name for name in instruments if _is_bass(name)]
    mix = [name for name in instruments if name not in bass]
    if not bass:
      raise SkipSong(f'no bass stem: the instruments are {", ".join(instruments) or "not there, only a mix"}')
    if not mix:
      raise SkipSong(f'nothing but bass: {", ".join(instruments)}')
    by_midi = all(f'{name}.mid' in other for name in instruments)
    onsets = _onset_columns(other['onsets.arff']) if 'onsets.arff' in other and not by_midi else {}
    notes, mix_notes = (
      _together([_midi_notes(other[f'{name}.mid'], name) if f'{name}.mid' in other else onsets.get(name) for name in names])
      for names in (bass, mix)
    )
    beats = _beats(other['beatinfo.arff']) if 'beatinfo.arff' in other else None
    return SongStems([audio[name] for name in bass], [audio[name] for name in mix], LICENCE, CREDIT, notes, mix_notes, beats)


def _files(folder: str) -> Iterator[tuple[str, str, str]]:
  """(number, what, path) of every file named NNNN_what.extension."""
  for parent, folders, files in os.walk(folder):
    folders[:] = sorted(name for name in folders if not name.startswith('.') and name != '__MACOSX')
    for file in sorted(files):
      match = _NAME.match(os.path.splitext(file)[0])
      if match:
        yield match[1], match[2], os.path.join(parent, file)


@functools.lru_cache(maxsize=2)
def _index(folder: str) -> dict[str, list[tuple[str, str]]]:
  """Number -> (what, path) of its files; tens of thousands in all, searched once a process."""
  found: dict[str, list[tuple[str, str]]] = {}
  for number, part, path in _files(folder):
    found.setdefault(number, []).append((part, path))
  return found


def _is_bass(instrument: str) -> bool:
  name = instrument.lower()
  return fnmatch.fnmatchcase(name, _BASS) and not any(fnmatch.fnmatchcase(name, pattern) for pattern in _NO_BASS)


def _program(instrument: str) -> int:
  """Drums, a bass, or 0: AAM's other instruments have no General MIDI numbers."""
  return DRUMS if 'drum' in instrument.lower() else _BASS_PROGRAM if _is_bass(instrument) else 0


def _together(parts: list[Notes | None]) -> Notes | None:
  return None if any(part is None for part in parts) else merge(parts)


def _damaged(path: str, found: str) -> SkipSong:
  return SkipSong(f'{path} is damaged: {found}. Get it anew; or delete it, then the song is taken without what it says')


def _midi_notes(path: str, instrument: str) -> Notes | None:
  """Notes of an instrument, None where it plays none. Raises SkipSong: the file is damaged."""
  try:
    notes = read_piece(path).notes
  except NoNotes:
    return None
  except SkipSong as error:
    raise _damaged(path, str(error)) from error
  return dataclasses.replace(notes, program=np.full(len(notes), _program(instrument)))


def _rows(path: str) -> tuple[list[str], list[list[str]], list[float]]:
  """Names of the columns, cells of the rows, and the rows' seconds. Some files lack the line @DATA, so a row is what begins with a number.

  Raises:
    SkipSong: there are no columns or no rows, or a row doesn't begin with a time.
  """
  columns, rows, times = [], [], []
  with open(path, encoding='utf-8', errors='replace') as file:
    for number, line in enumerate(file, 1):
      if line[:10].upper() == '@ATTRIBUTE':
        quoted = re.search(r"'([^']*)'", line)
        columns.append(quoted[1] if quoted else line[10:].strip().partition(' ')[0])
      elif line[:1].isdigit():
        rows.append([cell.strip(' \'"\n\r') for cell in re.split(r',(?![^\[]*\])', line)])
        times.append(_seconds(path, number, rows[-1][0]))
  if not columns or not rows:
    raise _damaged(path, f'{len(columns)} lines with @ATTRIBUTE and {len(rows)} that begin with a time; an ARFF table is expected')
  return columns, rows, times


def _seconds(path: str, number: int, cell: str) -> float:
  """The time of a row. Raises SkipSong: it is no number."""
  try:
    seconds = float(cell)
  except ValueError:
    seconds = math.nan
  if not math.isfinite(seconds):
    raise _damaged(path, f'line {number} begins with {cell[:30]!r}; seconds are expected')
  return seconds


def _onset_columns(path: str) -> dict[str, Notes]:
  """Instrument -> notes. A row is a moment at which any instrument begins a note; '[+41,45]': 41 begins, 45 still sounds.

  A note ends at the first row that doesn't list it, or lists it as begun again: no earlier, for all that the file says. Files of the
  first release have no signs; there every listed pitch begins.

  Raises:
    SkipSong: the file is damaged.
  """
  columns, rows, times = _rows(path)
  result = {}
  for index, column in enumerate(columns):
    if not column.startswith(_COLUMN):
      continue
    name = column.removeprefix(_COLUMN).strip()
    cells = [re.findall(r'\+?\d{1,3}(?!\d)', row[index]) if index < len(row) else [] for row in rows]
    signed = any(event.startswith('+') for cell in cells for event in cell)
    notes, sounding = [], {}
    for time, cell in zip(times, cells, strict=True):
      begun = {int(event) for event in cell if event.startswith('+') or not signed}
      held = {int(event) for event in cell} - begun
      for pitch in [pitch for pitch in sounding if pitch not in held]:
        notes.append((sounding.pop(pitch), time, pitch, 90, _program(name)))
      sounding |= {pitch: time for pitch in begun}
    end = times[-1] + 0.5
    notes += [(onset, end, pitch, 90, _program(name)) for pitch, onset in sounding.items()]
    result[name] = Notes.from_rows([note for note in notes if note[1] > note[0]])
  if not result:
    raise _damaged(path, f"no column is called '{_COLUMN}...'; the first are {', '.join(name[:30] for name in columns[:4])}")
  return result


def _beats(path: str) -> np.ndarray | None:
  """[beats] seconds; None where they go backwards, as in some files of the first release. Raises SkipSong: the file is damaged."""
  times = np.asarray(_rows(path)[2])
  return times if len(times) > 1 and (np.diff(times) > 0).all() else None
