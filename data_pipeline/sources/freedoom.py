"""The open dataset's music: 66 rock and metal pieces, written by people, inside the two WAD files of the Freedoom project."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import struct
from collections.abc import Sequence

from data_pipeline.midi_file import STRICT, BassRule, song_from_midi
from data_pipeline.rendering import Instruments
from data_pipeline.song import Song, SongKey
from data_pipeline.song_keys import split_by_hash

WADS = ('freedoom1.wad', 'freedoom2.wad')
DEFAULT_FOLDER = '/usr/share/games/doom'
LICENCE = 'BSD-3-Clause'
CREDIT = 'Contributors to the Freedoom project'

_SHARES = {'train': 28 / 46, 'validation': 6 / 46, 'test': 12 / 46}
_SALT = 'freedoom-2929:'
"""Chosen before anything was trained: of 4,000 salts, 82 gave 28 / 6 / 12 of freedoom 0.12.1's usable pieces; this is one of those giving
each split about its share of minutes (80 / 15 / 38), bass notes (16.8 / 3.1 / 6.2 thousand) and pieces moved by an octave (13 / 3 / 6)."""

_HOW_TO_GET = (
  'On Debian or Ubuntu run `apt-get download freedoom && dpkg -x freedoom_*.deb FOLDER` (no administrator needed) and give '
  '--manual_dir=FOLDER, or `apt-get install freedoom`, whose files are found without --manual_dir'
)


class WadError(ValueError):
  """A file isn't a WAD, or is cut short."""


@dataclasses.dataclass(frozen=True)
class Freedoom:
  """The pieces of freedoom1.wad and freedoom2.wad, rendered with a SoundFont.

  A piece that both WADs hold, or one under two names, is there once. The split of a piece is a hash of its content, so
  it depends neither on the order of the files nor on which other pieces there are.

  Attributes:
    folder: searched with all folders below it (an unpacked .deb will do); '' is Debian's place for them.
    soundfont: path of a General MIDI .sf2; None is the one that comes with pretty_midi.
    rule: what a piece must have to be used.
  """

  folder: str = ''
  soundfont: str | None = None
  rule: BassRule = STRICT

  def songs(self) -> Sequence[SongKey]:
    """66 keys, of which 46 can be used (freedoom 0.12.1).

    Raises:
      ValueError: the folder lacks the WADs, or one is damaged.
    """
    return [SongKey(name, split_by_hash(hashlib.sha256(data).hexdigest(), _SHARES, _SALT)) for name, data in self._pieces().items()]

  def load(self, key: SongKey) -> Song:
    """Renders one piece; a minute of music takes about half a second.

    Raises:
      SkipSong: the piece can't be used; 20 of the 66 have no bass part, or break the rule otherwise.
    """
    return self._played(key, None)

  def load_rendered(self, key: SongKey, instruments: Instruments) -> Song:
    """The same piece, its mix played by others; raises SkipSong as `load`."""
    return self._played(key, instruments)

  def _played(self, key: SongKey, players: Instruments | None) -> Song:
    pieces = self._pieces()
    if key.id not in pieces:
      raise ValueError(f'no piece {key.id!r} in {self._folder()}; there are {", ".join(pieces) or "none"}')
    return song_from_midi(key, pieces[key.id], self.rule, LICENCE, CREDIT, self.soundfont, players)

  def _folder(self) -> str:
    return self.folder or DEFAULT_FOLDER

  def _pieces(self) -> dict[str, bytes]:
    """id -> MIDI file, sorted by id."""
    names: dict[bytes, str] = {}  # Of several names of one content the first in the alphabet stays.
    for path in self._wads():
      for name, data in read_music(path):
        names[data] = min(names.get(data, name), name)
    taken = list(names.values())
    pieces = {}
    for data, name in names.items():
      unique = name if taken.count(name) == 1 else f'{name}-{hashlib.sha256(data).hexdigest()[:8]}'
      pieces[unique] = data
    return dict(sorted(pieces.items()))

  def _wads(self) -> list[str]:
    folder = self._folder()
    if os.path.isfile(folder):
      raise ValueError(f'{folder} is a file; the folder that holds {" and ".join(WADS)} is expected. {_HOW_TO_GET}.')
    if not os.path.isdir(folder):
      raise ValueError(f'{folder} does not exist; a folder with {" and ".join(WADS)} somewhere below it is expected. {_HOW_TO_GET}.')
    found: dict[str, str] = {}
    for parent, folders, files in os.walk(folder):
      folders.sort()
      for file in sorted(files):
        if file.lower() in WADS:
          found.setdefault(file.lower(), os.path.join(parent, file))
    missing = [wad for wad in WADS if wad not in found]
    if missing:
      raise ValueError(f'{folder} lacks {" and ".join(missing)} (searched with all folders below it). {_HOW_TO_GET}.')
    return [found[wad] for wad in WADS]


def read_music(path: str) -> list[tuple[str, bytes]]:
  """The MIDI lumps of a WAD file as (name in lower case, file-name safe, bytes), in the order of its directory.

  A WAD is: 'IWAD' or 'PWAD', count and offset of the directory (int32), and there for each lump offset, size (int32), name (8 bytes).

  Raises:
    WadError: not a WAD, or cut short.
  """
  size = os.path.getsize(path)
  with open(path, 'rb') as file:
    head = file.read(12)
    if len(head) < 12 or head[:4] not in (b'IWAD', b'PWAD'):
      raise WadError(f'{path} is not a WAD file: it begins with {head[:4]!r}, not with IWAD or PWAD. {_HOW_TO_GET}.')
    count, start = struct.unpack('<ii', head[4:])
    if count < 0 or start < 12 or start + 16 * count > size:
      raise WadError(f'{path} is cut short or damaged: its directory should end at byte {start + 16 * count} of {size}. {_HOW_TO_GET}.')
    file.seek(start)
    directory = file.read(16 * count)
    music = []
    for offset, length, raw in struct.iter_unpack('<ii8s', directory):
      if length < 4 or offset < 0 or offset + length > size:
        continue  # Markers have no length; damaged entries of other kinds don't concern the music.
      file.seek(offset)
      if file.read(4) == b'MThd':
        file.seek(offset)
        name = raw.split(b'\0')[0].decode('latin-1').lower()
        music.append((re.sub(r'[^a-z0-9_-]', '_', name) or 'unnamed', file.read(length)))
  return music
