"""MoisesDB: 240 songs, `<uuid>/data.json` and `<uuid>/<stemName>/<track id>.wav`; stems hold several tracks."""

from __future__ import annotations

import dataclasses
import os

from data_pipeline.song import SkipSong, SongKey
from data_pipeline.song_keys import song_id, split_by_hash
from data_pipeline.sources.metadata_file import mapping
from data_pipeline.sources.stem_corpus import SongStems, StemCorpus, folders_with

LICENCE = 'CC-BY-NC-SA-4.0'
_METADATA = 'data.json'


@dataclasses.dataclass(frozen=True)
class MoisesDB(StemCorpus):
  """Every folder with a data.json below a folder. All tracks of the stem `bass` are the bass, those of all other stems the mix.

  Songs of one artist are in one split: 80 / 8 / 12 % of the artists by a hash. A song is skipped if a track of it has bleed, since the
  bass may then be heard in the mix.

  Attributes:
    bleed: True: use songs with bleed all the same.
  """

  bleed: bool = False

  def places(self) -> dict[SongKey, str]:
    """A key for every song, sorted by uuid.

    Raises:
      ValueError: there is none.
    """
    relatives = folders_with(self.folder, lambda _, __, files: _METADATA in files, f"MoisesDB's <uuid>/{_METADATA}")
    keys = {}
    for relative in relatives:
      place = os.path.join(self.folder, relative)
      try:
        artist = str(mapping(os.path.join(place, _METADATA)).get('artist') or '')
      except SkipSong:
        artist = ''  # Said again, with the reason, when the song is loaded.
      keys[SongKey(song_id(relative), split_by_hash(artist or relative))] = place
    return keys

  def stems(self, place: str) -> SongStems:
    """Raises SkipSong: no bass, nothing else, bleed, or a track's file is missing."""
    metadata = mapping(os.path.join(place, _METADATA))
    bass: list[str] = []
    mix: list[str] = []
    bleeding, names = [], []
    try:
      for stem in metadata['stems']:
        names.append(str(stem['stemName']))
        for track in stem.get('tracks') or []:
          file = os.path.join(place, stem['stemName'], f'{track["id"]}.{track.get("extension") or "wav"}')
          (bass if stem['stemName'] == 'bass' else mix).append(file)
          if track.get('has_bleed'):
            bleeding.append(f'{stem["stemName"]} ({track.get("trackType") or "no type"})')
    except (KeyError, TypeError, AttributeError) as error:
      raise SkipSong(f'{os.path.join(place, _METADATA)}: stems with stemName and tracks are expected ({error!r})') from error
    if not bass:
      raise SkipSong(f'no bass stem: the stems are {", ".join(names) or "none"}')
    if not mix:
      raise SkipSong(f'nothing but bass: the stems are {", ".join(names)}')
    if bleeding and not self.bleed:
      raise SkipSong(f'bleed in {", ".join(bleeding)}: the bass may be heard in the mix (--source_set bleed=true takes such songs)')
    missing = [os.path.relpath(file, place) for file in bass + mix if not os.path.isfile(file)]
    if missing:
      raise SkipSong(f'{", ".join(missing)} missing, although {_METADATA} names it; copy it again')
    credit = ': '.join(str(metadata[field]) for field in ('artist', 'song') if metadata.get(field))
    return SongStems(bass, mix, LICENCE, f'{credit} (MoisesDB)' if credit else 'MoisesDB')
