"""Excerpts, the TFDS files made of them, and reading these without this package."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tiny

from data_pipeline import build, excerpts, extraction
from data_pipeline import features as ft

REACH = ft.CONTEXT_FRAMES


@pytest.fixture(scope='module')
def long_song():
  return tiny.coordinate_song('long')


def test_excerpts_have_stable_keys_shapes_and_positions(long_song):
  made = list(excerpts.excerpts(long_song))
  assert [key for key, _ in made] == ['long-0000000', 'long-0001024', 'long-0002048']
  assert [example['position'] for _, example in made] == [0, 1024, 2048]
  assert [example['frames'] for _, example in made] == [1024, 1024, 2500 - 2048]
  for _, example in made:
    assert example['mix'].shape == (1024 + 2 * REACH, ft.MIX_BINS)
    assert example['bass'].shape == (1024 + 2 * REACH, ft.BASS_BINS)
    assert {example[name].shape for name in ('pitch', 'onset', 'level')} == {(1024 + 2 * REACH,)}


def test_context_frames_are_the_neighbours_frames(long_song):
  first, second, third = (example for _, example in excerpts.excerpts(long_song))
  for name in ('mix', 'bass', 'pitch', 'onset', 'level'):
    whole = getattr(long_song, name)
    np.testing.assert_array_equal(first[name][REACH:], whole[: 1024 + REACH])
    np.testing.assert_array_equal(second[name], whole[1024 - REACH : 2048 + REACH])
    np.testing.assert_array_equal(third[name][: REACH + 452], whole[2048 - REACH :])
    # What the one shows as its context, the other has as its own.
    np.testing.assert_array_equal(first[name][REACH + 1024 :], second[name][REACH : 2 * REACH])


def test_beyond_the_ends_there_is_silence(long_song):
  first, _, third = (example for _, example in excerpts.excerpts(long_song))
  for name, fill in (('mix', 0), ('bass', 0), ('pitch', ft.NO_PITCH), ('onset', 0), ('level', 0)):
    assert (first[name][:REACH] == fill).all()
    assert (third[name][REACH + 452 :] == fill).all()


def test_notes_of_an_excerpt_count_from_its_first_frame(long_song):
  pieces = [(example['position'] / ft.FRAME_RATE, example['notes']) for _, example in excerpts.excerpts(long_song)]
  together = np.concatenate([rows + np.array([start, start, 0, 0, 0]) for start, rows in pieces])
  np.testing.assert_allclose(together[:, 0], long_song.notes.onset, atol=1e-5)
  np.testing.assert_array_equal(together[:, 2], long_song.notes.pitch)
  for start, rows in pieces:
    assert (rows[:, 0] >= 0).all() and (rows[:, 1] <= 12.8 + 1e-5).all(), start


def test_every_pattern_is_stored(long_song):
  for _, example in excerpts.excerpts(long_song):
    for pattern in range(3):
      rows = example['pattern_notes'][example['pattern_notes'][:, 0] == pattern][:, 1:]
      np.testing.assert_array_equal(rows[:, 2], example['notes'][:, 2] + pattern)


def test_tfds_files_give_back_every_excerpt_exactly(coordinates_dir):
  import tensorflow_datasets as tfds

  builder = tfds.builder_from_directory(build.tfds_folder(tiny.DATASET, coordinates_dir))
  found = {(e['song_id'].decode(), int(e['position'])): e for e in builder.as_dataset(split='train').as_numpy_iterator()}
  expected = {(e['song_id'], e['position']): e for name in tiny.LENGTHS for _, e in excerpts.excerpts(tiny.coordinate_song(name))}
  assert sorted(found) == sorted(expected)
  for key, example in expected.items():
    assert set(found[key]) == set(example)
    for name, value in example.items():
      got = found[key][name]
      if isinstance(value, str):
        assert got.decode() == value
      else:
        np.testing.assert_array_equal(got, value, err_msg=f'{key} {name}')
        if isinstance(value, np.ndarray):
          assert got.dtype == value.dtype, name


def test_metadata_names_songs_licences_and_statistics(coordinates_dir):
  import tensorflow_datasets as tfds

  metadata = tfds.builder_from_directory(build.tfds_folder(tiny.DATASET, coordinates_dir)).info.metadata
  assert metadata['songs']['short']['licence'] == 'licence of short'
  assert len(metadata['statistics']['mix_mean']) == ft.MIX_BINS
  assert metadata['skipped'] == {}


def test_packing_again_gives_the_same_bytes(coordinates_dir, tmp_path):
  """Shards don't depend on the run: two people who build a dataset have the same one."""
  tiny.write_coordinate_songs(str(tmp_path))
  build.build(tiny.DATASET, str(tmp_path))
  there, here = (build.tfds_folder(tiny.DATASET, root) for root in (coordinates_dir, str(tmp_path)))
  records = sorted(name for name in os.listdir(there) if 'tfrecord' in name)
  assert records and records == sorted(name for name in os.listdir(here) if 'tfrecord' in name)
  for name in records:
    with open(os.path.join(there, name), 'rb') as a, open(os.path.join(here, name), 'rb') as b:
      assert a.read() == b.read(), name


def test_records_have_their_features_in_one_order(coordinates_dir):
  """Protobuf's own order differs from process to process, which makes other bytes of the same dataset."""
  import tensorflow as tf

  folder = build.tfds_folder(tiny.DATASET, coordinates_dir)
  (shard,) = [os.path.join(folder, name) for name in os.listdir(folder) if 'tfrecord' in name]
  records = list(tf.data.TFRecordDataset(shard).as_numpy_iterator())
  assert len(records) > 1
  for record in records:
    assert tf.train.Example.FromString(record).SerializeToString(deterministic=True) == record


def test_reads_without_this_package(data_dir, tmp_path):
  """As in Colab: `tfds.load` and `builder_from_directory` in a process that can't import data_pipeline."""
  program = f"""
    import json, sys

    class Absent:  # the packages may be installed; here they don't exist
      def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('bassnet_jax', 'data_pipeline', 'experiments'):
          raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, Absent())
    import tensorflow_datasets as tfds
    dataset, info = tfds.load('bassnet_artificial/a1', data_dir={data_dir!r}, with_info=True)
    sizes = {{split: sum(1 for _ in part) for split, part in dataset.items()}}
    example = next(dataset['train'].as_numpy_iterator())
    builder = tfds.builder_from_directory({build.tfds_folder(tiny.DATASET, data_dir)!r})
    again = next(builder.as_dataset(split='train').as_numpy_iterator())
    print(json.dumps({{
      'sizes': sizes,
      'mix': [*example['mix'].shape, str(example['mix'].dtype), float(example['mix'].astype('float64').sum())],
      'same': bool((again['mix'] == example['mix']).all()),
      'song': example['song_id'].decode(),
      'songs': len(info.metadata['songs']),
    }}))
  """
  environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
  done = subprocess.run(
    [sys.executable, '-I', '-c', textwrap.dedent(program)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
  )
  assert done.returncode == 0, done.stderr[-3000:]
  said = json.loads(done.stdout.splitlines()[-1])
  assert said['sizes'] == {'train': 6, 'validation': 3, 'test': 6, 'test_timbre': 3}
  assert said['same'] and said['songs'] == 18
  song = ft.load(extraction.song_path(extraction.folder(data_dir, 'bassnet_artificial', 'a1'), said['song']))
  assert said['mix'] == [1536, 192, 'float16', pytest.approx(float(song.mix.astype(np.float64).sum()))]
