"""Several seeds in one compiled step: each is the run that it would be alone, through interruptions and a neighbour that diverges."""

import contextlib
import dataclasses
import os
import signal

import jax
import numpy as np
import pytest
import test_train
import tiny

from bassnet_jax import config as configs
from bassnet_jax import scalar_log, train, train_seeds
from bassnet_jax.checkpoints import load_params


def tiny_experiment(train=None):
  # Adam makes steps of the learning rate's size out of rounding errors, too: at this one they stay under 1e-5.
  return tiny.experiment(data={'backend': 'resident', 'window': 32}, train={'learning_rate': 1e-4} | (train or {}))


@pytest.fixture(scope='module')
def corpus(corpus):
  """The small a1, whose six songs leave bins almost without variance: standardised so, one step would throw rounding errors far apart."""
  floor = {name: np.maximum(getattr(corpus.statistics, name), 0.3) for name in ('mix_std', 'bass_std')}
  return dataclasses.replace(corpus, statistics=dataclasses.replace(corpus.statistics, **floor))


@pytest.fixture(scope='module')
def alone(corpus, tmp_path_factory):
  """seed -> workdir, each trained on its own."""
  root = tmp_path_factory.mktemp('alone')
  workdirs = {seed: str(root / str(seed)) for seed in (0, 1)}
  for seed, workdir in workdirs.items():
    train.train(tiny_experiment(), corpus, workdir, seed)
  return workdirs


def folders(root, seeds) -> dict[int, str]:
  return {seed: str(root / str(seed)) for seed in seeds}


# Added alike to every pitch class before a softmax, it changes nothing: its gradient is rounding noise, which Adam makes into whole steps.
WITHOUT_EFFECT = ".params['params']['latent_encoder']['Dense_0']['bias']"


def assert_close(a: str, b: str) -> None:
  """Parameters, optimiser and step of two workdirs agree within 1e-5."""
  a, b = test_train.everything(a), test_train.everything(b)
  assert a.keys() == b.keys() and len(a) > 50 and WITHOUT_EFFECT in a
  for name in a.keys() - {WITHOUT_EFFECT}:
    np.testing.assert_allclose(a[name], b[name], rtol=0, atol=1e-5, err_msg=name)


def test_each_seed_is_the_run_that_it_is_alone(corpus, alone, tmp_path):
  together = folders(tmp_path, alone)
  assert train_seeds.train_seeds(tiny_experiment(), corpus, together) == {}
  for seed, workdir in together.items():
    assert_close(alone[seed], workdir)
    assert sorted(os.listdir(os.path.join(workdir, 'checkpoints'))) == sorted(os.listdir(os.path.join(alone[seed], 'checkpoints')))
    description, expected = load_params(workdir)[1], load_params(alone[seed])[1]
    assert description.pop('seeds_at_once') == 2
    del description['commit'], expected['commit']
    assert description == expected
    rows = [scalar_log.read_rows(os.path.join(folder, 'metrics.jsonl')) for folder in (workdir, alone[seed])]
    assert [row['step'] for row in rows[0]] == [2, 4, 6, 8]
    np.testing.assert_allclose([row['total'] for row in rows[0]], [row['total'] for row in rows[1]], rtol=1e-4)
    assert train.train(tiny_experiment(), corpus, workdir, seed) == 8  # a single run finds it complete
  a, b = (load_params(together[seed])[0] for seed in (0, 1))
  assert any((x != y).any() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_stopped_and_gone_on_together_or_alone(corpus, alone, tmp_path, monkeypatch):
  """A group goes on as a group; one of its seeds may also go on by itself, and the group with what is left."""
  together = folders(tmp_path, alone)
  stopping = type('StoppingHere', (test_train.Stopping,), {'after': 3, 'number': signal.SIGTERM})
  monkeypatch.setattr(train_seeds, 'Progress', stopping)
  with pytest.raises(train.Interrupted, match='stopped at step 3 of 8; the states are saved'):
    train_seeds.train_seeds(tiny_experiment(), corpus, together)
  monkeypatch.undo()
  assert [load_params(workdir)[2] for workdir in together.values()] == [3, 3]
  train.train(tiny_experiment(), corpus, together[1], 1)
  assert train_seeds.train_seeds(tiny_experiment(), corpus, together) == {}
  for seed, workdir in together.items():
    assert load_params(workdir)[2] == 8
    assert_close(alone[seed], workdir)


@pytest.mark.slow
def test_seeds_on_devices_of_their_own(corpus, alone, tmp_path):
  """Eight seeds on the eight simulated devices of the tests: no batch is split."""
  together = folders(tmp_path, range(8))
  assert train_seeds.train_seeds(tiny_experiment(train={'steps': 8}), corpus, together) == {}
  for seed, workdir in alone.items():
    assert_close(workdir, together[seed])


def test_a_seed_that_diverges_leaves_the_others_alone(corpus, alone, tmp_path, monkeypatch):
  """Seed 1 begins with a parameter that isn't finite."""
  init = train.init_state

  def poisoned(experiment, seed, optimizer):
    state = init(experiment, seed, optimizer)
    return dataclasses.replace(state, params=jax.tree.map(lambda leaf: jax.numpy.where(seed == 1, jax.numpy.nan, leaf), state.params))

  monkeypatch.setattr(train, 'init_state', poisoned)
  together = folders(tmp_path, alone)
  failed = train_seeds.train_seeds(tiny_experiment(), corpus, together)
  monkeypatch.undo()
  assert list(failed) == [1] and 'is not finite; training stops' in failed[1]
  with open(os.path.join(together[1], train_seeds.DIVERGED_FILE)) as file:
    assert file.read() == failed[1]
  assert not [name for name in os.listdir(os.path.join(together[1], 'checkpoints')) if name.isdigit()]
  assert_close(alone[0], together[0])


def test_other_inputs_and_settings_are_refused(corpus, alone, tmp_path):
  with pytest.raises(configs.ConfigError, match=r'data\.backend=tfdata: .*--set data\.backend=resident'):
    train_seeds.train_seeds(tiny.experiment(), corpus, folders(tmp_path, (0, 1)))
  changed = configs.replace(tiny_experiment(), loss={'kl': 0.5})
  with pytest.raises(train.TrainingError, match=r'loss\.kl: 0\.01 -> 0\.5'):
    train_seeds.train_seeds(changed, corpus, alone)


def test_seeds_that_are_no_numbers():
  assert train_seeds.seeds_of(['0', ' 2']) == [0, 2]
  for listed in (['a', 'b'], ['1.5'], []):
    with pytest.raises(ValueError, match=r'--seeds=.*: expected whole numbers, separated by commas'):
      train_seeds.seeds_of(listed)


def test_which_seeds_go_together():
  assert train_seeds.groups({0: [], 1: []}) == [(0, [0, 1])]
  assert train_seeds.groups({0: [4, 6], 1: [6, 7]}) == [(6, [0, 1])]
  # A kill between two saves, or a seed that was begun alone: nobody goes back.
  assert train_seeds.groups({0: [4], 1: [], 2: [4]}) == [(0, [1]), (4, [0, 2])]


class Counting(test_train.Stopping):
  """Keeps how many steps every call made."""

  calls: list[int] = []

  def update(self, count: int = 1, note: str = '') -> None:
    self.calls.append(count)
    super().update(count, note)


@pytest.fixture(scope='module')
def searching(corpus, tmp_path_factory):
  """(experiment, workdir) of one seed, step by step; it stops searching after three steps, within a call of two."""
  experiment = configs.replace(tiny_experiment(), loss={'search_candidates': 3, 'search_share': 0.4})
  workdir = str(tmp_path_factory.mktemp('step_by_step'))
  train.train(experiment, corpus, workdir, 0)
  return experiment, workdir


@pytest.mark.slow
@pytest.mark.parametrize('several', [False, True], ids=['alone', 'seeds'])
def test_many_steps_a_call_are_as_many_single_steps(corpus, searching, tmp_path, monkeypatch, several):
  """What an accelerator runs, through two stops: logs, checkpoints and stops fall on the same steps as those of single steps."""
  experiment, expected = searching
  workdirs = folders(tmp_path, (0, 1) if several else (0,))

  def start(steps_per_call: int, stop_at: int) -> list[int]:
    """Steps of every call."""
    calls: list[int] = []
    progress = type('CountingHere', (Counting,), {'after': stop_at, 'calls': calls})
    monkeypatch.setattr(train_seeds if several else train, 'Progress', progress)
    with pytest.raises(train.Interrupted, match=f'stopped at step {stop_at} of 8') if stop_at else contextlib.nullcontext():
      if several:
        assert train_seeds.train_seeds(experiment, corpus, workdirs, steps_per_call) == {}
      else:
        train.train(experiment, corpus, workdirs[0], 0, steps_per_call=steps_per_call)
    return calls

  assert start(1, 1) == [1]
  assert start(2, 6) == [1, 2, 2], 'the first call ends where the others do, the second stops searching within'
  assert start(2, 0) == [2]
  assert_close(expected, workdirs[0])
  rows, single = (scalar_log.read_rows(os.path.join(folder, 'metrics.jsonl')) for folder in (workdirs[0], expected))
  assert [row['step'] for row in rows] == [row['step'] for row in single] == [2, 4, 6, 8]
  assert [row['search'] > 0 for row in rows] == [True, False, False, False]
  for name in rows[0].keys() - {'windows_per_second', 'data_wait'}:
    np.testing.assert_allclose([row[name] for row in rows], [row[name] for row in single], rtol=1e-4, atol=1e-5, err_msg=name)
