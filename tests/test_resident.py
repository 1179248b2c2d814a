"""The resident input: the same windows as from the files, a function of the key alone."""

import dataclasses
import os

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import train, train_seeds
from bassnet_jax.config import ConfigError, DataConfig, TrainConfig
from bassnet_jax.inputs import corpus as corpora
from bassnet_jax.inputs import resident, resident_shards
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


@pytest.mark.parametrize(('window', 'context', 'size'), [(64, 6, 2), (64, 6, 8), (512, 60, 4), (1024, ft.CONTEXT_FRAMES, 2)])
def test_every_window_is_the_song_s_own_frames(data, window, context, size):
  config = dataclasses.replace(CONFIG, window=window, group_size=size)
  found = []
  for seed in range(3):
    found += tiny.check_coordinate_windows(drawn(data, config, context, jax.random.key(seed)), window, context)
  assert {start % 2 for _, start in found} == {0}
  for i in range(1, size):
    for (first, a), (second, b) in zip(found[::size], found[i::size], strict=True):
      assert first == second and abs(a - b) <= config.pair_distance


def test_songs_shorter_than_a_window_are_masked_and_filled_with_silence(data):
  """No window runs into the next song."""
  config = dataclasses.replace(CONFIG, window=512, batch_size=256)
  batch = drawn(data, config, CONTEXT, jax.random.key(0))
  found = tiny.check_coordinate_windows(batch, 512, CONTEXT)
  short = [i for i, (name, _) in enumerate(found) if name == 'shorter']
  assert short
  assert (batch['valid'].reshape(-1, 512)[short].sum(axis=1) == tiny.LENGTHS['shorter']).all()


@pytest.mark.parametrize(('window', 'dilations'), [(63, (1, 2)), (64, (1, 255))])
def test_windows_that_cannot_be_cut_are_refused_before_anything_is_compiled(coordinates_dir, window, dilations):
  """More context than the silence between songs would be the next song's frames."""
  experiment = tiny.experiment(data={'backend': 'resident', 'window': window}, model={'trunk_dilations': dilations})
  corpus = corpora.open_corpus(experiment.data, coordinates_dir)
  with pytest.raises(ConfigError, match=f'data.window={window}, with .* expected an even window and at most 256 frames'):
    train.ResidentFeed(experiment, corpus, 0, lambda *_: None, train.make_mesh())
  with pytest.raises(ConfigError, match='expected an even window'):
    train_seeds.Stepper(experiment, corpus, [0], None, 8)


def test_calls_are_of_many_steps_on_an_accelerator_and_end_where_reports_do(monkeypatch):
  config = TrainConfig(log_every=50, checkpoint_every=1000)
  assert resident.steps_per_call(config) == 1 and resident.steps_per_call(config, 25) == 25
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert resident.steps_per_call(config) == 50
  for wrong in (0, 20):
    with pytest.raises(ConfigError, match=f'{wrong} steps a call: expected a divisor of train.log_every=50'):
      resident.steps_per_call(config, wrong)
  assert [train.steps_of_call(step, 50, 120) for step in (0, 3, 50, 100, 119)] == [50, 47, 50, 20, 1]


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


def test_a_file_of_another_length_than_the_summary_says_is_named(paths):
  mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  frames = [count + (name == 'short') for name, count in tiny.LENGTHS.items()]
  for load in (lambda: resident.load(paths, frames=frames), lambda: resident_shards.load(paths, frames, mesh)):
    with pytest.raises(ft.FeatureFileError, match=r'short\.npz holds 300 frames, .* says 301'):
      load()


def test_a_damaged_file_is_named(paths, tmp_path):
  broken = str(tmp_path / 'broken.npz')
  with open(paths[0], 'rb') as file, open(broken, 'wb') as out:
    out.write(file.read()[: os.path.getsize(paths[0]) // 2])
  with pytest.raises(ft.FeatureFileError, match=r'broken\.npz'):
    resident.load([paths[1], broken])


@pytest.mark.parametrize('devices', [1, 2, 8])
def test_songs_spread_over_devices_give_the_same_batches(data, paths, devices):
  """Bit for bit; songs shorter than a window and more devices than songs among them."""
  mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:devices]), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  spread = resident_shards.load(paths, [ft.frames_of(path) for path in paths], mesh)
  assert {len(shard.data) for shard in spread.mix.addressable_shards} == {len(spread.mix) // devices}
  config = dataclasses.replace(CONFIG, window=256)
  draw = jax.jit(lambda key: resident_shards.draw(spread, key, config, CONTEXT, mesh))
  for seed in range(3):
    batch, expected = draw(jax.random.key(seed)), drawn(data, config, CONTEXT, jax.random.key(seed))
    assert batch.mix.sharding.is_equivalent_to(jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data')), batch.mix.ndim)
    for name, values in expected.items():
      np.testing.assert_array_equal(np.asarray(getattr(batch, name)), values, err_msg=name)


def test_shards_are_filled_evenly_and_hold_every_song_apart():
  frames = np.random.default_rng(0).integers(100, 20_000, 200)
  where = resident_shards.layout(frames, 8)
  used = [sum(resident.room(count) for count in frames[where.shard == shard]) for shard in range(8)]
  assert max(used) < 1.02 * np.mean(used) and where.length == max(used) + ft.CONTEXT_FRAMES + resident.TAIL
  for shard in range(8):
    songs = np.flatnonzero(where.shard == shard)
    songs = songs[np.argsort(where.start[songs])]
    ends = where.start[songs] + np.maximum(frames[songs], ft.EXCERPT_FRAMES)
    assert where.start[songs[0]] >= ft.CONTEXT_FRAMES and (where.start[songs[1:]] - ends[:-1] >= ft.CONTEXT_FRAMES).all()
    assert ends[-1] + ft.CONTEXT_FRAMES <= where.length


@pytest.mark.parametrize(
  ('placement', 'room', 'expected'),
  [
    ('auto', 10e9, False), ('auto', 1e9, True), ('replicated', 10e9, False), ('sharded', 10e9, True),
    ('auto', 0.1e9, None), ('replicated', 1e9, None),
  ],
)  # fmt: skip
def test_songs_are_spread_where_one_device_has_no_room(monkeypatch, placement, room, expected):
  """80 songs of 10 minutes are 2.6 GB of features."""
  mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
  monkeypatch.setattr(resident_shards, 'device_room', lambda mesh: room)
  frames, config = [48_000] * 80, dataclasses.replace(CONFIG, resident_placement=placement)
  if expected is not None:
    assert resident_shards.is_needed(frames, config, mesh) == expected
    return
  with pytest.raises(ConfigError, match=r'the features are 2\.6 GB, 0\.3 GB on each of 8 devices .* room for .*data\.backend=tfdata'):
    resident_shards.is_needed(frames, config, mesh)
