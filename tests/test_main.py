"""What `main` does after the report: the bass track for a test song."""

import os
import types

import numpy as np

from bassnet_jax import generate, main
from data_pipeline import catalogue, extraction
from data_pipeline.song import SkipSong, Song, SongKey


class Source:
  """Lists a test song that can't be used before the one that can."""

  def songs(self):
    return [SongKey('a', 'test'), SongKey('b', 'test')]

  def load(self, key):
    if key.id == 'a':
      raise SkipSong('no bass part')
    return Song(key, np.zeros(16_000, np.float32), np.zeros(16_000, np.float32), 'CC0-1.0', 'nobody')


def summary(**songs: str) -> extraction.Summary:
  return extraction.Summary('1.0.0', '', {song: {'split': split} for song, split in songs.items()}, {'a': 'no bass part'}, {})


def test_the_demo_is_of_a_song_that_was_built_whichever_dataset_has_one(tmp_path, monkeypatch):
  played = []
  made = types.SimpleNamespace(files={'bass.wav': 'x', 'mix_with_bass.wav': 'y'})
  monkeypatch.setattr(catalogue, 'source', lambda name, *_: played.append(name) or Source())
  monkeypatch.setattr(generate, 'generate', lambda workdir, mix, **_: played.append(os.path.basename(mix)) or made)
  names = ('bassnet_pop_rock/open_variants', 'bassnet_pop_rock/open')
  main._play(str(tmp_path), types.SimpleNamespace(names=names, summaries=(summary(c='train'), summary(b='test', d='train'))), None)
  assert played == ['bassnet_pop_rock/open', 'b_mix_without_bass.wav']
