"""The search for z at the beginning of a training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from scipy import stats

from bassnet_jax import latent_search, losses, train
from bassnet_jax import model as networks

SEARCHING = {'search_candidates': 6, 'search_share': 0.5}
GROUPS, WINDOW = 4, 32


def experiment(size=2, **loss):
  data = {'window': WINDOW, 'batch_size': size * GROUPS, 'group_size': size, 'transposition': 0}
  return tiny.experiment(loss=SEARCHING | loss, data=data)


@pytest.fixture(scope='module')
def params():
  return jax.jit(lambda: networks.init_params(tiny.MODEL, WINDOW, 0))()


@pytest.fixture(scope='module')
def batch():
  return tiny.batch(GROUPS, WINDOW, networks.context_frames(tiny.MODEL))


@pytest.mark.parametrize('size', [2, 3])
def test_candidates_are_draws_of_the_prior(size):
  drawn = np.asarray(latent_search.candidates(jax.random.key(0), 500, 8, size))
  assert drawn.shape == (500, 8, size)
  one = drawn[np.arange(500), np.random.default_rng(0).integers(8, size=500)]
  for i in range(size):
    assert stats.kstest(one[:, i], 'norm').pvalue > 1e-2


def test_candidates_of_a_group_lie_in_all_directions():
  drawn = np.asarray(latent_search.candidates(jax.random.key(0), 100, 8, 2))
  turns = np.sort(np.arctan2(drawn[..., 1], drawn[..., 0]), axis=1)
  gaps = np.diff(turns, axis=1, append=turns[:, :1] + 2 * np.pi)
  assert gaps == pytest.approx(2 * np.pi / 8, abs=1e-4)


@pytest.mark.parametrize('size', [2, 4])
def test_the_best_candidate_is_decoded_and_taught(params, size):
  """The loss is that of the cheapest candidate, found here by decoding each alone."""
  e, statistics, key = experiment(size), tiny.statistics(), jax.random.key(3)
  batch = tiny.batch(GROUPS, WINDOW, networks.context_frames(tiny.MODEL), size=size)
  total, terms = jax.jit(lambda p: latent_search.loss(p, batch, key, e, statistics))(params)
  augment_key, draw_key = jax.random.split(key)
  windows = losses.prepare(batch, augment_key, e, statistics)
  net = networks.BassNet(e.model)
  code = net.apply(params, windows.mix, method='encode_mix')
  q = losses.posterior(net, params, code, windows)
  frames = WINDOW + 2 * networks.decoder_reach(e.model)
  prior_key, own_key = jax.random.split(draw_key)
  drawn = jnp.concatenate([latent_search.candidates(prior_key, GROUPS, 4, 2), latent_search.guesses(own_key, q, size, 2)], axis=1)
  costs, misses = [], []
  for k in range(6):
    z = jnp.broadcast_to(jnp.repeat(drawn[:, k], size, axis=0)[:, None], (size * GROUPS, frames, 2))
    outputs = net.apply(params, networks.crop_code(code, frames), z, method='decode')
    costs.append(losses.group_cost(outputs, windows, e.loss, size))
    miss = 0.5 * (jnp.square(z[:, :WINDOW] - q.mu) * jnp.exp(-q.logvar) + q.logvar).sum(axis=-1)
    misses.append(miss.reshape(GROUPS, -1).mean(axis=1))
  costs, misses = np.asarray(costs), np.asarray(misses)
  best = costs.argmin(axis=0)
  chosen = costs[best, np.arange(GROUPS)].sum() / (size * GROUPS * WINDOW)
  assert float(sum(getattr(e.loss, name) * getattr(terms, name) for name in losses.RECONSTRUCTION)) == pytest.approx(chosen, rel=1e-4)
  assert float(terms.search) == pytest.approx(misses[best, np.arange(GROUPS)].mean(), rel=1e-4)
  assert float(total) == pytest.approx(chosen + float(terms.search), rel=1e-4)
  assert len(set(best)) > 1 or (costs.max(axis=0) > costs.min(axis=0)).all(), 'the candidates differ'


def test_the_encoder_learns_from_what_was_found_alone(params, batch):
  """No gradient reaches it through the decoder: z is drawn. And the KL and smoothness have no part."""
  gradient = jax.jit(
    lambda p, e: jax.grad(lambda q: latent_search.loss(q, batch, jax.random.key(3), e, tiny.statistics())[0])(p), static_argnums=1
  )
  one, other = gradient(params, experiment()), gradient(params, experiment(kl=10.0, latent_smoothness=10.0))
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    assert np.array_equal(a, b)
  assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(one['params']['latent_encoder']))


def test_training_searches_first_and_exchanges_then(params, batch):
  e = experiment()
  steps = 8
  assert latent_search.search_steps(e, steps) == 4
  assert latent_search.searching(tiny.experiment(), steps, jnp.zeros(())) is None
  optimizer = train.make_optimizer(e, steps)
  step = jax.jit(functools.partial(_step, e, optimizer, steps))
  state = train.TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
  found = []
  for _ in range(steps):
    state, terms = step(state, batch)
    found.append(float(terms.search) != 0)
  assert found == [True] * 4 + [False] * 4


def _step(experiment, optimizer, steps, state, batch):
  searching = latent_search.searching(experiment, steps, state.step)
  return train.train_step(state, batch, jax.random.key(1), experiment, tiny.statistics(), optimizer, searching)


@pytest.mark.parametrize('size', [2, 3])
def test_guesses_lie_where_the_encoder_says(size):
  """Around the mean over the windows of a group, as far as q is wide."""
  mu = jnp.asarray(np.random.default_rng(0).normal(size=(6, 40, 2)), jnp.float32) + jnp.arange(6)[:, None, None]
  q = networks.Posterior(mu=mu, logvar=jnp.full_like(mu, -4.0))
  drawn = np.asarray(latent_search.guesses(jax.random.key(0), q, size, 2000))
  assert drawn.shape == (6 // size, 2000, 2)
  assert drawn.mean(axis=1) == pytest.approx(np.asarray(mu).reshape(-1, size, 40, 2).mean(axis=(1, 2)), abs=0.01)
  assert drawn.std(axis=1) == pytest.approx(np.exp(-2), rel=0.05)
