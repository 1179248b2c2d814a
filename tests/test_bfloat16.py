"""bfloat16: the network's layers alone are computed in it, and training comes to the same losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from bassnet_jax import losses, scalar_log, train
from bassnet_jax import model as networks

DTYPES = ('float32', 'bfloat16')
STEPS = 300


@pytest.mark.slow
def test_300_steps_come_to_the_same_losses(corpus, tmp_path):
  """The same windows in both precisions: the loss at the end differs less than that of another seed does.

  Not every term: on this small network the CQT's ends 6 % higher in bfloat16, more than seeds differ in it.
  """
  ends = {}
  for dtype, seed in (('float32', 0), ('bfloat16', 0), ('float32', 1)):
    experiment = tiny.experiment(
      model={'dtype': dtype}, data={'backend': 'resident', 'window': 32, 'transposition': 0},
      train={'steps': STEPS, 'warmup_steps': 30, 'log_every': 1, 'checkpoint_every': STEPS},
    )  # fmt: skip
    workdir = str(tmp_path / f'{dtype}_{seed}')
    train.train(experiment, corpus, workdir, seed)
    rows = scalar_log.read_rows(f'{workdir}/metrics.jsonl')
    assert [row['step'] for row in rows] == list(range(1, STEPS + 1))
    mean = lambda name, part, rows=rows: np.mean([row[name] for row in rows[part]])  # noqa: E731
    assert mean('total', slice(-50, None)) < 0.8 * mean('total', slice(0, 50)), 'it learns'
    ends[dtype, seed] = mean('total', slice(-50, None))
  difference, noise = abs(ends['bfloat16', 0] - ends['float32', 0]), abs(ends['float32', 1] - ends['float32', 0])
  assert difference < noise, f'{difference} between precisions, {noise} between seeds'


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('loudness', [0.0, 12.0])
def test_extreme_features_give_finite_losses_and_gradients(dtype, loudness):
  """Silence, and features ten times as loud as any: log1p of the compressed magnitudes stays below 10."""
  experiment = tiny.experiment(model={'dtype': dtype}, data={'window': 32})
  params = jax.jit(lambda: networks.init_params(experiment.model, 32, 0))()
  batch = tiny.batch(2, 32, networks.context_frames(experiment.model))
  batch = batch.replace(mix=jnp.full_like(batch.mix, loudness), bass=jnp.full_like(batch.bass, loudness))

  @jax.jit
  def both(params):
    make = lambda p: losses.loss(p, batch, jax.random.key(0), experiment, tiny.statistics())  # noqa: E731
    return jax.value_and_grad(make, has_aux=True)(params)

  (total, terms), gradients = both(params)
  for leaf in jax.tree.leaves((total, terms, gradients)):
    assert leaf.dtype == np.float32 and np.isfinite(leaf).all()


def test_what_is_summed_up_stays_in_float32():
  """Outputs and posterior; the mix code, which is kept for whole songs, is half as large."""
  config = tiny.experiment(model={'dtype': 'bfloat16'}).model
  net, frames = networks.BassNet(config), 32 + 2 * networks.context_frames(config)
  mix, bass = jnp.ones((1, frames, 192)), jnp.ones((1, frames, 144))
  params = jax.eval_shape(lambda: networks.init_params(config, 32, 0))
  code = jax.eval_shape(lambda params: net.apply(params, mix, method='encode_mix'), params)
  posterior = jax.eval_shape(lambda params: net.apply(params, net.apply(params, mix, method='encode_mix'), bass, method='encode'), params)
  outputs = jax.eval_shape(lambda params: net.apply(params, mix, bass), params)
  assert {leaf.dtype for leaf in jax.tree.leaves((posterior, outputs))} == {np.dtype('float32')}
  assert {leaf.dtype for leaf in jax.tree.leaves(code)} == {jnp.dtype('bfloat16')}
