"""The benchmark's public keys, and that what it measures is what it says."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import op_shares, train
from bassnet_jax.batch import Batch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEYS = {
  'startup_seconds', 'input.windows_per_second', 'train.bare.windows_per_second', 'train.tfdata.windows_per_second',
  'train.resident.windows_per_second', 'train.data_wait', 'train.matmul_share', 'cqt.times_realtime', 'decode.times_realtime',
  'generate.times_realtime', 'peak_memory_mib',
}  # fmt: skip


@pytest.mark.slow
def test_every_public_figure_is_written(data_dir, tmp_path):
  """A small network, one step, once; with trace and PyTorch's figures where it is installed."""
  small = {
    'data.batch_size': 8, 'data.window': 32, 'model.pitch_channels': 4, 'model.hidden': 16, 'model.trunk_dilations': '1',
    'data.excerpts_in_memory': 4,
  }  # fmt: skip
  command = [
    sys.executable, '-m', 'bassnet_jax.benchmark', '--experiment=a1_window64', f'--data_dir={data_dir}', '--steps=1', '--repeats=1',
    f'--json={tmp_path / "figures.json"}', f'--profile={tmp_path / "trace"}', *(f'--set={name}={value}' for name, value in small.items()),
  ]  # fmt: skip
  environment = os.environ | {'PYTHONPATH': ROOT, 'XLA_FLAGS': '--xla_backend_optimization_level=0'}
  done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
  assert done.returncode == 0, done.stderr[-3000:]
  figures = json.loads((tmp_path / 'figures.json').read_text())
  assert set(figures) >= KEYS and all(np.isfinite(value) and value >= 0 for value in figures.values())
  assert 0 < figures['train.matmul_share'] < 1.5
  assert 'train.torch.windows_per_second' in figures or 'the PyTorch twin is left out' in done.stdout
  assert any(name.endswith('.xplane.pb') for _, _, names in os.walk(tmp_path / 'trace') for name in names)


def test_a_trace_is_summed_over_the_parts_of_the_network(tmp_path):
  """Two products in modules of different names and a gradient: their groups are found in a real trace, with time in them."""
  import jax.numpy as jnp

  def work(x):
    with jax.named_scope('mix_encoder'):
      x = jnp.sin(x @ x)
    with jax.named_scope('decoder'):
      return jnp.cos(x @ x).sum()

  x = jnp.ones((300, 300))
  compiled = jax.jit(jax.grad(work)).lower(x).compile()
  jax.block_until_ready(compiled(x))
  with jax.profiler.trace(str(tmp_path)):
    for _ in range(2):
      jax.block_until_ready(compiled(x))
  spent = op_shares.milliseconds(str(tmp_path), compiled.as_text(), 2)
  assert all(value > 0 for value in spent.values()) and list(spent.values()) == sorted(spent.values(), reverse=True)
  assert {'forward mix_encoder, product', 'forward decoder, product', 'backward mix_encoder, product'} <= set(spent)


def test_bfloat16_trains_as_float32_does():
  """Five steps on one batch: finite, close, and not the same numbers."""
  found = {}
  for dtype in ('float32', 'bfloat16'):
    experiment = tiny.experiment(data={'window': 32}, model={'dtype': dtype})
    optimizer = train.make_optimizer(experiment, 8)
    state = jax.jit(lambda e=experiment, o=optimizer: train.init_state(e, 0, o))()
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype('float32')}, 'parameters stay float32'

    @jax.jit
    def step(state, batch: Batch, e=experiment, o=optimizer):
      return train.train_step(state, batch, jax.random.key(1), e, tiny.statistics(), o)

    losses = []
    for _ in range(5):
      state, terms = step(state, tiny.batch(2, 32, train.networks.context_frames(experiment.model)))
      assert terms.total.dtype == np.float32
      losses.append(float(terms.total))
    found[dtype] = losses
  assert np.isfinite(found['bfloat16']).all() and found['bfloat16'] != found['float32']
  np.testing.assert_allclose(found['bfloat16'], found['float32'], rtol=0.03)
