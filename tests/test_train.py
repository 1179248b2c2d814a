"""Training: known numbers, devices, faults, and a resume that is as if nothing had happened."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from bassnet_jax import config as configs
from bassnet_jax import model as networks
from bassnet_jax import run_control, scalar_log, train
from bassnet_jax.batch import Batch
from bassnet_jax.checkpoints import Checkpoints, load_params
from bassnet_jax.inputs import resident
from data_pipeline.progress import Progress

CONTEXT = networks.context_frames(tiny.MODEL)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BACKENDS = ('resident', 'tfdata')

GOLDEN = {
  'total': 5.82374,
  'cqt': 0.65238,
  'pitch': 3.86836,
  'onset': 1.01662,
  'level': 0.17094,
  'kl': 1.4066,
  'latent_smoothness': 1.01374,
  'latent_l2': 0.10891,
  'kl_lag': 0.66901,
  'search': 0.0,
  'pitch_accuracy': 0.03125,
}


def stepper(experiment, statistics, steps: int):
  """(state, step function), compiled."""
  optimizer = train.make_optimizer(experiment, steps)
  state = jax.jit(lambda: train.init_state(experiment, 0, optimizer))()
  step = jax.jit(lambda state, batch: train.train_step(state, batch, jax.random.key(1), experiment, statistics, optimizer))
  return state, step


def test_golden_steps():
  experiment = tiny.experiment(data={'window': 32})
  state, step = stepper(experiment, tiny.statistics(), 8)
  batch = tiny.batch(2, 32, CONTEXT)
  for _ in range(3):
    state, terms = step(state, batch)
  found = {name: round(float(value), 5) for name, value in dataclasses.asdict(terms).items()}
  message = (
    f'The third step on a fixed batch gives other numbers than before. If the network, a loss term, the augmentation or the optimiser '
    f'was changed on purpose, say so in the commit and set\nGOLDEN = {found}\nOtherwise something changed that nobody meant to change.'
  )
  assert found == pytest.approx(GOLDEN, rel=1e-4, abs=1e-4), message


def test_learns_one_batch_by_heart(corpus):
  """Real windows, no augmentation, no noise: 150 steps bring every reconstruction term far down."""
  experiment = tiny.experiment(
    loss={'exchange': 'none', 'kl': 0.0, 'latent_smoothness': 0.0},
    data={'transposition': 0, 'gain_db': 0.0, 'equaliser_db': 0.0, 'batch_size': 4, 'window': 32},
    train={'learning_rate': 1e-2, 'warmup_steps': 10},
  )
  state, step = stepper(experiment, corpus.statistics, 150)
  data = resident.load(corpus.paths('train'))
  batch = jax.jit(resident.draw, static_argnums=(2, 3))(data, jax.random.key(0), experiment.data, CONTEXT)
  state, first = step(state, batch)
  for _ in range(149):
    state, last = step(state, batch)
  assert float(last.total) < 0.4 * float(first.total)
  assert float(last.pitch) < 0.5 and float(last.pitch_accuracy) > 0.9


@pytest.mark.slow
def test_one_device_and_eight_agree(corpus):
  """The same five steps, on batches laid over one and over eight devices."""
  experiment = tiny.experiment(data={'backend': 'resident', 'window': 32})
  optimizer = train.make_optimizer(experiment, 5)
  results = []
  for count in (1, 8):
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:count]), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def step(state, batch: Batch):
      return train.train_step(state, batch, jax.random.key(1), experiment, corpus.statistics, optimizer)

    feed = train.ResidentFeed(experiment, corpus, 0, step, mesh)
    state, losses = jax.jit(lambda: train.init_state(experiment, 0, optimizer), out_shardings=replicated)(), []
    for _ in range(5):
      state, terms = feed(state, 1)
      losses.append(float(terms.total))
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state.params)} == {count}
    results.append(losses)
  np.testing.assert_allclose(*results, rtol=1e-5)
  assert len(set(results[0])) == 5


class Stopping(Progress):
  """A progress line that sends this process a signal after so many steps."""

  after, number = 0, signal.SIGTERM

  def update(self, count: int = 1, note: str = '') -> None:
    super().update(count, note)
    if self.done == self.after:
      os.kill(os.getpid(), self.number)


def stopped_after(monkeypatch, step: int, number=signal.SIGTERM) -> None:
  monkeypatch.setattr(train, 'Progress', type('StoppingHere', (Stopping,), {'after': step, 'number': number}))


def everything(workdir: str) -> dict:
  """Every array of the newest checkpoint: parameters, optimiser, step."""
  experiment = configs.from_dict(load_params(workdir)[1]['experiment'])
  optimizer = train.make_optimizer(experiment, experiment.train.steps)
  shapes = jax.eval_shape(lambda: train.init_state(experiment, 0, optimizer))
  place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes)
  with Checkpoints(workdir) as checkpoints:
    state = checkpoints.restore(checkpoints.latest_step(), shapes, None)
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def assert_identical(a: dict, b: dict) -> None:
  assert a.keys() == b.keys() and len(a) > 50
  for name in a:
    np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.fixture(scope='module', params=BACKENDS)
def uninterrupted(request, corpus, tmp_path_factory):
  """(experiment, workdir) of a run of eight steps."""
  experiment = tiny.experiment(data={'backend': request.param, 'window': 32})
  workdir = str(tmp_path_factory.mktemp(f'run_{request.param}'))
  assert train.train(experiment, corpus, workdir, 0) == 8
  return experiment, workdir


def test_stopped_by_signals_and_gone_on_is_as_if_never_stopped(uninterrupted, corpus, tmp_path, monkeypatch):
  experiment, whole = uninterrupted
  workdir = str(tmp_path)
  for step, number in ((3, signal.SIGTERM), (6, signal.SIGINT)):
    stopped_after(monkeypatch, step, number)
    with pytest.raises(train.Interrupted, match=f'stopped at step {step} of 8; the state is saved'):
      train.train(experiment, corpus, workdir, 0)
    assert load_params(workdir)[2] == step
  monkeypatch.undo()
  train.train(experiment, corpus, workdir, 0)
  assert_identical(everything(whole), everything(workdir))
  rows = [scalar_log.read_rows(os.path.join(folder, 'metrics.jsonl')) for folder in (whole, workdir)]
  assert [row['step'] for row in rows[1]] == [2, 4, 6, 8]
  assert [row['total'] for row in rows[0]] == [row['total'] for row in rows[1]]


@pytest.mark.slow
def test_another_seed_is_another_run(uninterrupted, corpus, tmp_path):
  experiment, whole = uninterrupted
  train.train(experiment, corpus, str(tmp_path), 1)
  a, b = everything(whole), everything(str(tmp_path))
  assert any((a[name] != b[name]).any() for name in a if 'params' in name)


def test_a_finished_run_stays_as_it_is(uninterrupted, corpus, capsys):
  experiment, whole = uninterrupted
  assert train.train(experiment, corpus, whole, 0) == 8
  assert 'training is complete: 8 steps' in capsys.readouterr().out


def test_changed_settings_are_refused_and_named(uninterrupted, corpus):
  experiment, whole = uninterrupted
  changed = configs.replace(experiment, loss={'kl': 0.5}, train={'steps': 16})
  with pytest.raises(train.TrainingError, match=r'other settings:\n  loss\.kl: 0\.01 -> 0\.5\n  train\.steps: 8 -> 16\n  steps: 8 -> 16'):
    train.train(changed, corpus, whole, 0)
  with pytest.raises(train.TrainingError, match='seed: 0 -> 3'):
    train.train(experiment, corpus, whole, 3)
  statistics = dataclasses.replace(corpus.statistics, mix_mean=corpus.statistics.mix_mean + 1)
  with pytest.raises(train.TrainingError, match='dataset was built anew'):
    train.train(experiment, dataclasses.replace(corpus, statistics=statistics), whole, 0)


def test_a_second_run_in_the_workdir_is_refused(uninterrupted, corpus):
  experiment, whole = uninterrupted
  with run_control.exclusive(whole), pytest.raises(run_control.WorkdirBusyError, match='another run is using'):
    train.train(experiment, corpus, whole, 0)
  train.train(experiment, corpus, whole, 0)


def test_the_checkpoint_says_what_it_is(uninterrupted):
  experiment, whole = uninterrupted
  params, description, step = load_params(whole)
  assert step == 8 and configs.from_dict(description['experiment']) == experiment
  assert description['licences'] == {'CC0-1.0': 6} and description['datasets'] == [tiny.DATASET] and description['seed'] == 0
  assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize('log_every', [pytest.param(2, marks=pytest.mark.slow), 50])
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(corpus, tmp_path, log_every):
  """Also where no report falls into the run: the broken state must not be saved."""
  poisoned = corpus.statistics.bass_mean.copy()
  poisoned[3] = np.nan
  broken = dataclasses.replace(corpus, statistics=dataclasses.replace(corpus.statistics, bass_mean=poisoned))
  experiment = tiny.experiment(data={'backend': 'resident', 'window': 32}, train={'log_every': log_every})
  with pytest.raises(train.TrainingError, match=r'step \d+: the loss term total, cqt, .*is not finite; training stops'):
    train.train(experiment, broken, str(tmp_path), 0)
  with Checkpoints(str(tmp_path)) as checkpoints:
    assert checkpoints.latest_step() is None


def test_batches_that_do_not_divide_are_refused_with_a_size_that_does():
  with pytest.raises(configs.ConfigError, match=r'batch_size=12 windows: .*over 8 devices, such as 16'):
    train.check_settings(tiny.experiment(data={'batch_size': 12}))
  with pytest.raises(configs.ConfigError, match=r'expected a multiple of data\.group_size=2 .* such as 16'):
    train.check_settings(tiny.experiment(data={'batch_size': 17}))
  with pytest.raises(configs.ConfigError, match=r'data\.group_size=4 whose groups divide over 8 devices, such as 32'):
    train.check_settings(tiny.experiment(data={'batch_size': 36, 'group_size': 4}))
  train.check_settings(tiny.experiment(data={'batch_size': 48}))


def test_a_window_without_two_frames_of_the_smoothness_lag_is_refused():
  """The term would be 0, and nothing would say so."""
  with pytest.raises(configs.ConfigError, match=r'smoothness_lag=32 frames of windows of data\.window=32: expected less'):
    train.check_settings(tiny.experiment(data={'window': 32}, loss={'smoothness_lag': 32}))
  train.check_settings(tiny.experiment(data={'window': 32}, loss={'smoothness_lag': 32, 'latent_smoothness': 0}))


def test_steps_follow_from_passes(corpus):
  experiment = tiny.experiment(data={'window': 64}, train={'steps': 0, 'passes': 2.0})
  assert train.total_steps(experiment, corpus) == 2 * 6 * 1024 // 64 // 16
  assert train.total_steps(configs.replace(experiment, data={'max_songs': 1}), corpus) == 2


def test_the_learning_rate_warms_up_and_decays():
  """A parameter with a constant gradient moves by the learning rate a step (Adam)."""
  experiment = tiny.experiment(train={'learning_rate': 0.1, 'warmup_steps': 10, 'weight_decay': 0.0, 'final_learning_rate': 0.1})
  optimizer = train.make_optimizer(experiment, 200)
  params = jnp.zeros(())
  state, moves = optimizer.init(params), []
  for _ in range(200):
    update, state = jax.jit(optimizer.update)(jnp.ones(()), state, params)
    moves.append(-float(update))
  assert moves[0] == 0 and moves[5] == pytest.approx(0.05, rel=1e-3)
  assert max(moves) == pytest.approx(0.1, rel=1e-3) and np.argmax(moves) == 10
  assert moves[-1] == pytest.approx(0.01, rel=0.02)
