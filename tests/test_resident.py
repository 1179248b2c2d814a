"""The resident input: the same windows as from the files, a function of the key alone."""

import dataclasses
import os

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax.config import DataConfig
from bassnet_jax.inputs import resident
from data_pipeline import extraction
from data_pipeline import features as ft

CONTEXT = 6
CONFIG = DataConfig(window=64, batch_size=64, pair_distance=128)


@pytest.fixture(scope='module')
def paths(coordinates_dir):
  directory = extraction.folder(coordinates_dir, *tiny.DATASET.split('/'))
  return [extraction.song_path(directory, name) for name in tiny.LENGTHS]


@pytest.fixture(scope='module')
def data(paths):
  return resident.load(paths)


def drawn(data, config, context, key) -> dict[str, np.ndarray]:
  batch = jax.jit(resident.draw, static_argnums=(2, 3))(data, key, config, context)
  return {field.name: np.asarray(getattr(batch, field.name)) for field in dataclasses.fields(batch)}


@pytest.mark.parametrize(('window', 'context'), [(64, 6), (512, 60), (1024, ft.CONTEXT_FRAMES)])
def test_every_window_is_the_song_s_own_frames(data, window, context):
  config = dataclasses.replace(CONFIG, window=window)
  found = []
  for seed in range(3):
    found += tiny.check_coordinate_windows(drawn(data, config, context, jax.random.key(seed)), window, context)
  assert {start % 2 for _, start in found} == {0}
  for (first, a), (second, b) in zip(found[::2], found[1::2], strict=True):
    assert first == second and abs(a - b) <= config.pair_distance


def test_songs_shorter_than_a_window_are_masked_and_filled_with_silence(data):
  """No window runs into the next song."""
  config = dataclasses.replace(CONFIG, window=512, batch_size=256)
  batch = drawn(data, config, CONTEXT, jax.random.key(0))
  found = tiny.check_coordinate_windows(batch, 512, CONTEXT)
  short = [i for i, (name, _) in enumerate(found) if name == 'shorter']
  assert short
  assert (batch['valid'].reshape(-1, 512)[short].sum(axis=1) == tiny.LENGTHS['shorter']).all()


def test_gaps_are_silent(data):
  own = np.zeros(len(data.pitch), bool)
  for start, frames in zip(data.start, data.frames, strict=True):
    own[start : start + frames] = True
    assert start >= ft.CONTEXT_FRAMES
  for name, fill in (('mix', 0), ('bass', 0), ('pitch', ft.NO_PITCH), ('onset', 0), ('level', 0)):
    assert (getattr(data, name)[~own] == fill).all(), name
  assert own.sum() == sum(tiny.LENGTHS.values())
  gaps = data.start[1:] - (data.start + data.frames)[:-1]
  assert (gaps >= ft.CONTEXT_FRAMES).all()


def test_a_function_of_the_key_alone(data, paths):
  first = drawn(data, CONFIG, CONTEXT, jax.random.key(3))
  again = drawn(resident.load(paths), CONFIG, CONTEXT, jax.random.key(3))
  for name, values in first.items():
    np.testing.assert_array_equal(values, again[name])
  assert (first['mix'] != drawn(data, CONFIG, CONTEXT, jax.random.key(4))['mix']).any()


def test_songs_come_in_proportion_to_their_length(data):
  config = dataclasses.replace(CONFIG, batch_size=512)
  names = []
  for seed in range(4):
    batch = drawn(data, config, CONTEXT, jax.random.key(seed))
    names += [list(tiny.LENGTHS)[int(number) - 1] for number in batch['mix'][:, 0, CONTEXT, 0]]
  for name, frames in tiny.LENGTHS.items():
    share = frames / sum(tiny.LENGTHS.values())
    sigma = np.sqrt(share * (1 - share) / len(names))
    assert abs(names.count(name) / len(names) - share) < 4 * sigma, name


def test_starts_cover_the_song_from_its_first_to_its_last_frame(data):
  config = dataclasses.replace(CONFIG, batch_size=1024)
  found = tiny.check_coordinate_windows(drawn(data, config, CONTEXT, jax.random.key(0)), 64, CONTEXT)
  starts = [start for name, start in found[::2] if name == 'long']
  assert min(starts) < 60 and max(starts) > 2500 - 64 - 60
  assert np.histogram(starts, bins=4, range=(0, 2500 - 64))[0].min() > len(starts) / 4 * 0.6


def test_a_damaged_file_is_named(paths, tmp_path):
  broken = str(tmp_path / 'broken.npz')
  with open(paths[0], 'rb') as file, open(broken, 'wb') as out:
    out.write(file.read()[: os.path.getsize(paths[0]) // 2])
  with pytest.raises(ft.FeatureFileError, match=r'broken\.npz'):
    resident.load([paths[1], broken])
