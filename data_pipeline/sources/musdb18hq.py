"""MUSDB18-HQ: 150 songs as WAV, `train/` and `test/`, then `<Artist - Title>/{mixture,drums,bass,other,vocals}.wav`."""

from __future__ import annotations

import dataclasses
import os

from data_pipeline.song import SkipSong, SongKey
from data_pipeline.song_keys import song_id
from data_pipeline.sources.stem_corpus import SongStems, StemCorpus, folders_with, stem_file

LICENCE = 'MUSDB18: for academic, not commercial use (most songs CC BY-NC-SA 4.0; the corpus lists the terms of each)'
OTHERS = ('drums', 'other', 'vocals')

VALIDATION = frozenset(
  (
    'ANiMAL - Rockshow',
    'Actions - One Minute Smile',
    'Alexander Ross - Goodbye Bolero',
    'Clara Berry And Wooldog - Waltz For My Victims',
    'Fergessen - Nos Palpitants',
    'James May - On The Line',
    'Johnny Lokke - Promises & Lies',
    'Leaf - Summerghost',
    'Meaxic - Take A Step',
    'Patrick Talbot - A Reason To Leave',
    'Skelpolu - Human Mistakes',
    'Traffic Experiment - Sirens',
    'Triviul - Angelsaint',
    'Young Griffo - Pennies',
  )
)
"""The 14 songs of `train/` that everyone validates on: those of the package musdb, so that results compare."""


@dataclasses.dataclass(frozen=True)
class Musdb18HQ(StemCorpus):
  """Songs of `train/` and `test/` below a folder; mixture.wav, which has the bass in it, is never read."""

  def places(self) -> dict[SongKey, str]:
    """A key for every song folder.

    Raises:
      ValueError: there is none.
    """

    def is_song(path: str, _: list[str], files: list[str]) -> bool:
      return split_folder(path) is not None and any(file.lower().endswith('.wav') for file in files)

    relatives = folders_with(self.folder, is_song, "MUSDB18-HQ's train/<Artist - Title>/bass.wav and test/<Artist - Title>/bass.wav")
    return {musdb_key(self.folder, relative): os.path.join(self.folder, relative) for relative in relatives}

  def stems(self, place: str) -> SongStems:
    """Raises SkipSong: one of the four stems is missing."""
    files = {stem: stem_file(place, stem) for stem in ('bass', *OTHERS)}
    missing = [stem for stem, file in files.items() if file is None]
    if missing:
      raise SkipSong(f'{", ".join(f"{stem}.wav" for stem in missing)} missing in {place}; copy them again')
    return SongStems([files['bass']], [files[stem] for stem in OTHERS], LICENCE, credit(os.path.basename(place)))


def split_folder(path: str) -> str | None:
  """'train' or 'test', the folder that a song lies in; None elsewhere."""
  name = os.path.basename(os.path.dirname(os.path.abspath(path))).lower()
  return name if name in ('train', 'test') else None


def musdb_key(root: str, relative: str) -> SongKey:
  """The key of a song by its path below the corpus, without an extension."""
  split = split_folder(os.path.join(root, relative))
  return SongKey(song_id(relative), 'validation' if split == 'train' and os.path.basename(relative) in VALIDATION else split)


def credit(name: str) -> str:
  """'Artist: Title' from 'Artist - Title'."""
  artist, separator, title = name.partition(' - ')
  return f'{artist}: {title}' if separator else name
