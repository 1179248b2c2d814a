"""The loss on held-out songs: the same windows whatever the topology, none beyond a song's end counted, and nothing random in it."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny
from jax.sharding import NamedSharding, PartitionSpec

from bassnet_jax import config as configs
from bassnet_jax import losses, train, validation
from bassnet_jax import model as networks
from bassnet_jax.inputs import corpus as corpora

FRAMES = list(tiny.LENGTHS.values())


@pytest.mark.parametrize('size', [2, 3])
@pytest.mark.parametrize('most', [1, 3, 5, 12, 1000])
def test_places_spread_over_all_songs_and_over_each(most, size):
  data = tiny.experiment(data={'window': 64, 'group_size': size, 'pair_distance': 100}).data
  song, start = validation.places(FRAMES, data, most)
  room = [max(frames // (64 * size), 1) for frames in FRAMES]
  assert len(song) == min(most, sum(room)) and start.shape == (len(song), size)
  counts = np.bincount(song, minlength=len(FRAMES))
  assert (counts <= room).all() and (most < len(FRAMES) or counts.min() >= 1)
  if most == 3:
    assert song.tolist() == [0, 1, 3], 'not the first three: evenly over the list'
  assert (start % 2 == 0).all() and (start >= 0).all()
  frames = np.asarray(FRAMES)[song]
  assert (start <= np.maximum(frames - 64, 0)[:, None]).all()
  assert (np.abs(start - start[:, :1]) <= 100).all()
  longest = start[song == 0, 0]
  assert len(set(longest.tolist())) == len(longest), 'the windows of a song differ'


@pytest.fixture(scope='module')
def held_out_corpus(tmp_path_factory):
  """The coordinate songs, as songs for validation."""
  root = str(tmp_path_factory.mktemp('held_out'))
  tiny.write_coordinate_songs(root)
  corpus = corpora.open_corpus(tiny.experiment().data, root, tfds_files=False)
  songs = {name: entry | {'split': 'validation'} for name, entry in corpus.summaries[0].songs.items()}
  return dataclasses.replace(corpus, summaries=(dataclasses.replace(corpus.summaries[0], songs=songs),))


def over(devices: int) -> NamedSharding:
  mesh = jax.make_mesh((devices,), ('data',), devices=jax.devices()[:devices], axis_types=(jax.sharding.AxisType.Auto,))
  return NamedSharding(mesh, PartitionSpec('data'))


@pytest.mark.parametrize('window', [32, 64])
def test_its_windows_are_those_of_the_songs(held_out_corpus, window):
  experiment = tiny.experiment(data={'window': window}, train={'validation_batches': 16})
  made = validation.Validation(experiment, held_out_corpus, over(8))
  batches = [jax.device_get(batch) for batch in made.batches()]
  assert len(batches) == -(-made.groups // 8) == {32: 9, 64: 5}[window] and all(batch.pitch.shape == (8, 2, window) for batch in batches)
  whole = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in vars(batches[0])}
  there = {name: values[: made.groups] for name, values in whole.items()}
  found = tiny.check_coordinate_windows(there, window, networks.context_frames(experiment.model))
  assert {name for name, _ in found} == set(tiny.LENGTHS)
  assert not whole['valid'][made.groups :].any(), 'what fills the batches up is masked'


def test_masked_windows_and_the_number_of_devices_change_nothing(held_out_corpus):
  # z is that of the window alone, and without noise, so that a window's terms don't depend on the batch it is in.
  experiment = tiny.experiment(model={'variational': False}, data={'window': 32}, loss={'exchange': 'none', 'latent_smoothness': 0.0})
  params = networks.init_params(experiment.model, 32, 0)
  figures = {}
  for devices, size in ((1, 16), (8, 16), (1, 10)):
    changed = configs.replace(experiment, data={'batch_size': size}, train={'validation_batches': 16})
    made = validation.Validation(changed, held_out_corpus, over(devices))
    figures[devices, size] = validation.figures(made(params))
    assert made.groups == 70  # 9 batches of 8 groups, of which 2 are masked; or 14 of 5, of which none is
  assert set(figures[1, 16]) == {f'validation/{field.name}' for field in dataclasses.fields(losses.Terms)}
  for name in figures[1, 16]:
    assert figures[8, 16][name] == pytest.approx(figures[1, 16][name], rel=1e-5, abs=1e-7), name
  for name in (*losses.RECONSTRUCTION, 'pitch_accuracy'):  # which are means over frames; others are ratios within a batch
    assert figures[1, 10][f'validation/{name}'] == pytest.approx(figures[1, 16][f'validation/{name}'], rel=1e-5), name
  again = validation.figures(made(params))
  assert again == figures[1, 10], 'nothing in it is drawn anew'


def test_one_batch_is_the_loss_of_its_windows(held_out_corpus):
  """Without augmentation: with it the loss is another."""
  experiment = tiny.experiment(data={'window': 32}, train={'validation_batches': 1})
  params = networks.init_params(experiment.model, 32, 0)
  made = validation.Validation(experiment, held_out_corpus, over(8))
  (batch,) = made.batches()
  found = validation.figures(made(params))['validation/total']

  def loss(changed) -> float:
    return float(jax.jit(lambda: losses.loss(params, batch, jax.random.key(0), changed, held_out_corpus.statistics)[0])())

  assert found == pytest.approx(loss(configs.replace(experiment, data={'transposition': 0, 'gain_db': 0.0, 'equaliser_db': 0.0})), rel=1e-5)
  assert found != pytest.approx(loss(experiment), rel=1e-3)


@pytest.mark.parametrize(
  ('log_every', 'validate_every', 'expected'), [(50, 120, 12), (50, 250, 6), (50, 30, 30), (7, 100, 14), (3, 3, 500)]
)
def test_when_it_is_due(log_every, validate_every, expected):
  config = tiny.experiment(train={'log_every': log_every, 'validate_every': validate_every}).train
  reports = range(log_every, 1501, log_every)
  steps = [step for step in reports if validation.due(step, config)]
  assert len(steps) == expected
  multiples = {-(-multiple // log_every) * log_every for multiple in range(validate_every, 1501, validate_every)}
  assert set(steps) == {step for step in multiples if step in reports}


def test_training_reports_it_and_goes_on_as_without(corpus, tmp_path):
  """The parameters of a run don't depend on whether it is measured."""
  experiment = tiny.experiment(data={'backend': 'resident'}, train={'validate_every': 4, 'validation_batches': 2})
  without = configs.replace(experiment, train={'validate_every': 0})
  for name, settings in (('with', experiment), ('without', without)):
    train.train(settings, corpus, str(tmp_path / name), 0)
  from bassnet_jax import checkpoints, scalar_log

  rows = {name: scalar_log.read_rows(str(tmp_path / name / 'metrics.jsonl')) for name in ('with', 'without')}
  assert [row['step'] for row in rows['with'] if 'validation/total' in row] == [4, 8]
  assert not any('validation/total' in row for row in rows['without'])
  assert [row['total'] for row in rows['with']] == [row['total'] for row in rows['without']]
  first, last = (row['validation/total'] for row in rows['with'] if 'validation/total' in row)
  assert last < first, 'it learns'
  params = [jax.tree.leaves(checkpoints.load_params(str(tmp_path / name))[0]) for name in ('with', 'without')]
  assert all((a == b).all() for a, b in zip(*params, strict=True))


def test_without_songs_for_it_there_is_none(tmp_path):
  tiny.write_coordinate_songs(str(tmp_path))
  corpus = corpora.open_corpus(tiny.experiment().data, str(tmp_path), tfds_files=False)
  assert validation.make(tiny.experiment(train={'validate_every': 1}), corpus, over(8), 8) is None
