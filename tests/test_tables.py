"""Which training songs a report reads."""

import pytest
import tiny

from bassnet_jax.config import DataConfig
from bassnet_jax.evaluation import tables
from bassnet_jax.inputs import corpus as corpora

SORTED = sorted(tiny.LENGTHS)


@pytest.mark.parametrize(('max_songs', 'most', 'expected'), [(0, 3, SORTED[:3]), (2, 3, SORTED[:2]), (4, 3, SORTED[:3]), (0, 60, SORTED)])
def test_songs_that_training_left_out_are_no_training_songs(coordinates_dir, max_songs, most, expected):
  data = DataConfig(datasets=(tiny.DATASET,), max_songs=max_songs)
  corpus = corpora.open_corpus(data, coordinates_dir, tfds_files=False)
  assert [song.id for song in tables.training_songs(corpus, data, most)] == expected
