"""What keeps the loop over steps fast: compiled once and kept, buffers given away, nothing sent to the devices but the batch.

That nothing is fetched from them can't be seen on a CPU, whose memory is the host's.
"""

import os
import subprocess
import sys

import jax
import pytest
import tiny

from bassnet_jax import latent_search, train


@pytest.mark.parametrize('backend', ['resident', 'tfdata'])
def test_a_step_gives_its_buffers_away_and_sends_nothing_to_the_devices(corpus, backend):
  experiment = tiny.experiment(data={'backend': backend})
  mesh, optimizer, seed_key = train.make_mesh(), train.make_optimizer(experiment, 8), jax.random.key(1)

  def step(state, batch):
    searching = latent_search.searching(experiment, 8, state.step)
    return train.train_step(state, batch, seed_key, experiment, corpus.statistics, optimizer, searching)

  kind = train.ResidentFeed if backend == 'resident' else train.TfDataFeed
  feed = kind(experiment, corpus, 0, step, mesh)
  replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  state = jax.jit(lambda: train.init_state(experiment, 0, optimizer), out_shardings=replicated)()
  state, _ = feed(state, 1)  # compiles
  compiled = feed._steps if backend == 'resident' else feed._step
  for _ in range(3):
    before = state
    # tf.data's batches are sent explicitly, which the guard lets pass.
    with jax.transfer_guard('disallow'):
      state, _ = feed(state, 1)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before.params) + jax.tree.leaves(before.optimizer))
  assert compiled._cache_size() == 1, 'compiled once'
  with pytest.raises(RuntimeError, match='Disallowed'), jax.transfer_guard('disallow'):
    jax.jit(lambda x: x + 1)(1.0)  # the guard is awake


def test_compiled_programs_are_kept_for_the_next_process(tmp_path):
  program = """
import sys, jax
from bassnet_jax import compilation
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith('cache_hits') else None)
folder = compilation.keep_compiled(sys.argv[1])
jax.jit(lambda x: jax.numpy.sin(x) @ x.T)(jax.numpy.ones((8, 8))).block_until_ready()
print(len(hits), folder)
"""
  environment = os.environ | {'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0', 'JAX_PLATFORMS': 'cpu'}
  environment.pop('JAX_COMPILATION_CACHE_DIR', None)

  def run(folder) -> tuple[int, str]:
    command = [sys.executable, '-c', program, str(folder)]
    hits, used = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    return int(hits), used

  first, used = run(tmp_path)
  assert first == 0 and os.listdir(used) and used.startswith(str(tmp_path))
  assert run(tmp_path)[0] > 0
  assert run('none') == (0, 'None')
