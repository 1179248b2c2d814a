"""A user's folder of multitrack MIDI files, rendered with a SoundFont."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from data_pipeline.midi_file import LENIENT, BassRule, song_from_midi
from data_pipeline.rendering import Instruments
from data_pipeline.song import SkipSong, Song, SongKey
from data_pipeline.song_keys import licence_and_credit, song_keys

_EXTENSIONS = ('.mid', '.midi')


@dataclasses.dataclass(frozen=True)
class MidiFolder:
  """Every .mid and .midi file below a folder.

  If top folders are named train, validation or test, they are the splits; else 80 / 8 / 12 % by a hash of the song's id. A song's
  licence and credit are what `licence.txt` and `credit.txt` say, beside it or in the nearest folder above.

  Attributes:
    folder: where the files are; hidden files and folders are left out.
    soundfont: path of a General MIDI .sf2; None is the one that comes with pretty_midi.
    rule: what a piece must have to be used; laxer than that of the open dataset.
  """

  folder: str
  soundfont: str | None = None
  rule: BassRule = LENIENT

  def songs(self) -> Sequence[SongKey]:
    """A key for every file, sorted by path.

    Raises:
      ValueError: the folder doesn't exist or holds no MIDI file.
    """
    return list(self._files())

  def load(self, key: SongKey) -> Song:
    """Renders one file.

    Raises:
      SkipSong: the file is damaged or breaks `rule`.
    """
    return self._played(key, None)

  def load_rendered(self, key: SongKey, instruments: Instruments) -> Song:
    """The same file, its mix played by others; raises SkipSong as `load`."""
    return self._played(key, instruments)

  def _played(self, key: SongKey, players: Instruments | None) -> Song:
    path = self._files().get(key)
    if path is None:
      raise SkipSong(f'{key.id} is no longer in {self.folder}')
    licence, credit = licence_and_credit(os.path.dirname(path), self.folder)
    return song_from_midi(key, path, self.rule, licence, credit, self.soundfont, players)

  def _files(self) -> dict[SongKey, str]:
    if not os.path.isdir(self.folder):
      raise ValueError(
        f'{self.folder!r} is not a folder; a folder with {" or ".join(_EXTENSIONS)} files is expected. Give it by --manual_dir.'
      )
    relatives = []
    for parent, folders, files in os.walk(self.folder):
      folders[:] = sorted(name for name in folders if not name.startswith('.'))
      relatives += [
        os.path.relpath(os.path.join(parent, file), self.folder)
        for file in files
        if file.lower().endswith(_EXTENSIONS) and not file.startswith('.')
      ]
    if not relatives:
      raise ValueError(
        f'{self.folder!r} holds no {" or ".join(_EXTENSIONS)} file, in no folder below it either. Give another --manual_dir.'
      )
    relatives.sort()
    # The extension belongs to the id where it isn't .mid, so that a.mid and a.midi are two songs.
    keys = song_keys([relative.removesuffix('.mid') for relative in relatives])
    return {key: os.path.join(self.folder, relative) for key, relative in zip(keys, relatives, strict=True)}
