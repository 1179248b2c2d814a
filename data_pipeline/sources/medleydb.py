"""MedleyDB 1 and 2: `<Artist_Title>/<Artist_Title>_STEMS/*_STEM_NN.wav` with a `*_METADATA.yaml`, beside or in a folder Metadata."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from data_pipeline.song import SkipSong, SongKey
from data_pipeline.song_keys import song_id, split_by_hash
from data_pipeline.sources.metadata_file import mapping
from data_pipeline.sources.stem_corpus import SongStems, StemCorpus, folders_with

LICENCE = 'CC-BY-NC-SA-4.0'
BASSES = frozenset(('electric bass', 'double bass', 'bass guitar', 'synth bass'))
_EVERYTHING = frozenset(('main system',))
"""A stem of this name is a recording of all instruments together."""
_NO_INSTRUMENTS = frozenset(('unlabeled', 'fx/processed sound'))


@dataclasses.dataclass(frozen=True)
class MedleyDB(StemCorpus):
  """Every folder with a `_STEMS` folder below a folder; metadata may lie in any folder `Metadata` below it.

  A stem's `instrument` tells the bass; `component: bass` doesn't: it is the lowest part, a cello or a left hand as well. Songs of one
  artist are in one split: 80 / 8 / 12 % of the artists by a hash. Songs with bleed are skipped: the bass is heard in their mix.

  Attributes:
    bleed: True: use songs with bleed all the same.
  """

  bleed: bool = False

  def places(self) -> dict[SongKey, str]:
    """A key for every song.

    Raises:
      ValueError: there is none.
    """

    def is_song(path: str, folders: list[str], _: list[str]) -> bool:
      return f'{os.path.basename(path)}_STEMS' in folders

    relatives = folders_with(self.folder, is_song, "MedleyDB's <Artist_Title>/<Artist_Title>_STEMS/")
    keys = {}
    for relative in relatives:
      artist = os.path.basename(relative).partition('_')[0]
      keys[SongKey(song_id(relative), split_by_hash(artist))] = os.path.join(self.folder, relative)
    return keys

  def stems(self, place: str) -> SongStems:
    """Raises SkipSong: no metadata, no bass, bass and others in one stem, bleed, or a file is missing."""
    name = os.path.basename(place)
    metadata = mapping(self._metadata(place, f'{name}_METADATA.yaml'))
    stems = metadata.get('stems')
    if not isinstance(stems, dict) or not all(isinstance(stem, dict) and stem.get('filename') for stem in stems.values()):
      raise SkipSong(f'{name}_METADATA.yaml: no table of stems with their file names; copy it again')
    if not self.bleed and str(metadata.get('has_bleed')).lower() in ('yes', 'true'):
      raise SkipSong('has_bleed: the bass is heard in other stems (--source_set bleed=true takes such songs)')
    bass, mix = [], []
    for number, stem in sorted(stems.items()):
      instruments = _instruments(stem)
      if instruments & _EVERYTHING or (instruments & BASSES and instruments - BASSES - _NO_INSTRUMENTS):
        raise SkipSong(f'stem {number} has the bass and others in one: {", ".join(sorted(instruments))}')
      (bass if instruments & BASSES else mix).append(os.path.join(place, f'{name}_STEMS', str(stem['filename'])))
    if not bass:
      found = sorted(set().union(*(_instruments(stem) for stem in stems.values())))
      lowest = [str(stem.get('instrument')) for stem in stems.values() if stem.get('component') == 'bass']
      raise SkipSong(
        f'no bass stem: the instruments are {", ".join(found)}' + (f' (component bass: {", ".join(lowest)})' if lowest else '')
      )
    if not mix:
      raise SkipSong(f'nothing but bass: {", ".join(map(os.path.basename, bass))}')
    missing = [os.path.basename(file) for file in bass + mix if not os.path.isfile(file)]
    if missing:
      raise SkipSong(f'{", ".join(missing)} missing in {name}_STEMS; copy them again')
    credit = ': '.join(str(metadata[field]) for field in ('artist', 'title') if metadata.get(field)) or name
    return SongStems(bass, mix, LICENCE, f'{credit} (MedleyDB)')

  def _metadata(self, place: str, file: str) -> str:
    """Beside the song, or in the nearest folder `Metadata` of the folders above it, up to the corpus."""
    if os.path.isfile(os.path.join(place, file)):
      return os.path.join(place, file)
    root, above = os.path.abspath(self.folder), os.path.abspath(place)
    while above != root and above.startswith(root):
      above = os.path.dirname(above)
      for relative in ('Metadata', os.path.join('medleydb', 'data', 'Metadata')):
        if os.path.isfile(os.path.join(above, relative, file)):
          return os.path.join(above, relative, file)
    raise SkipSong(f'{file} is neither in {place} nor in a folder Metadata above it')


def _instruments(stem: dict[str, Any]) -> set[str]:
  """Instruments of a stem and of the recordings that it was mixed from, in lower case."""
  found: set[str] = set()
  raw = stem.get('raw')
  for part in (stem, *(raw.values() if isinstance(raw, dict) else ())):
    instrument = part.get('instrument') if isinstance(part, dict) else None
    found |= {str(name).lower() for name in (instrument if isinstance(instrument, list) else [instrument]) if name}
  return found
