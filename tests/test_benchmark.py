"""The benchmark's public keys, and that what it measures is what it says."""

import datetime
import json
import os
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import benchmark, hardware, op_shares, timing, train
from bassnet_jax.batch import Batch
from bassnet_jax.inputs import corpus as corpora

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEYS = {
  'startup_seconds', 'input.windows_per_second', 'train.bare.windows_per_second', 'train.tfdata.windows_per_second',
  'train.resident.windows_per_second', 'train.data_wait', 'train.resident.data_wait', 'train.matmul_share', 'cqt.times_realtime',
  'decode.times_realtime', 'generate.times_realtime', 'peak_memory_mib', 'step.search_windows_per_second',
  'step.whole_run_windows_per_second',
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
    '--nostudio', '--growth', f'--json={tmp_path / "figures.json"}', f'--profile={tmp_path / "trace"}',
    *(f'--set={name}={value}' for name, value in small.items()),
  ]  # fmt: skip
  environment = os.environ | {'PYTHONPATH': ROOT, 'XLA_FLAGS': '--xla_backend_optimization_level=0'}
  done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
  assert done.returncode == 0, done.stderr[-3000:]
  figures = json.loads((tmp_path / 'figures.json').read_text())
  left_out = figures.pop('left_out')
  words = {name: value for name, value in figures.items() if isinstance(value, str)}
  numbers = {name: value for name, value in figures.items() if name not in words}
  assert set(numbers) >= KEYS and all(np.isfinite(value) and value >= 0 for value in numbers.values())
  assert 0 < figures['train.matmul_share'] < 1.5
  shapes = ((8, 32), (32, 32), (128, 32), (8, 128), (8, 256), (8, 512))
  growth = {f'growth.batch{size}_window{window}.windows_per_second' for size, window in shapes}
  assert {name for name in numbers if name.startswith('growth.batch')} == growth
  assert sum(name.startswith('growth.song') for name in numbers) == 3
  low, high = sorted(figures[name] for name in ('step.search_windows_per_second', 'train.bare.windows_per_second'))
  assert low <= figures['step.whole_run_windows_per_second'] <= high
  assert datetime.datetime.fromisoformat(words['date']).tzinfo is not None and words['hardware'] == hardware.describe()
  assert words['train.bare.device'] == hardware.describe() and words['train.bare.precision'] == 'float32'
  assert left_out['studio.move_to_sound_ms'] == '--nostudio' and left_out['device.peak_memory_mib'] == 'this device does not tell'
  assert 'studio.move_to_sound_ms                         left out: --nostudio' in done.stdout
  if 'train.torch' not in left_out:
    assert figures['train.torch.windows_per_second'] > 0 and words['train.torch.precision'] == 'float32'
    assert words['train.torch.device'].startswith('CPU, ')
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


@pytest.mark.parametrize('flag', ['--steps=0', '--repeats=0', '--steps=-3', '--repeats=many'])
def test_nothing_is_measured_with_impossible_numbers(flag, monkeypatch, capsys):
  """Said before a dataset is looked for."""
  monkeypatch.setattr(corpora, 'open_corpus', lambda *_, **__: pytest.fail('a dataset was opened'))
  assert benchmark.main(['benchmark', flag]) == 2
  said = capsys.readouterr().err
  assert said.startswith(f'error: flag {flag}') and 'Traceback' not in said


def test_calls_of_more_steps_than_asked_for_are_counted_as_what_they_are():
  """On an accelerator a call makes 50 steps where 30 are asked for."""

  def work() -> int:
    time.sleep(0.05)
    return 50

  assert 300 < timing.steps_per_second({'one': work}, 3)['one'] <= 1000


@pytest.mark.parametrize('steps_per_call', [1, 2])
def test_drawing_alone_is_the_resident_input_s_own(corpus, steps_per_call):
  """Every batch of the asked steps, and no other, once a measurement."""
  experiment = tiny.experiment(data={'backend': 'resident', 'window': 32})
  feed = train.ResidentFeed(experiment, corpus, 0, lambda *_: None, train.make_mesh(), steps_per_call)
  draw, drawn = feed.draw, []

  def recording(stored, step):
    jax.debug.callback(lambda at: drawn.append(int(at)), step)
    return draw(stored, step)

  feed.draw = recording
  assert benchmark.drawing_seconds(feed, 3, 1) > 0
  jax.effects_barrier()
  assert sorted(drawn) == sorted(2 * list(range(3 if steps_per_call == 1 else 4)))


def test_the_studio_s_latency_is_told_or_why_it_is_not(monkeypatch):
  monkeypatch.setattr(benchmark.shutil, 'which', lambda name: None)
  with pytest.raises(benchmark.LeftOutError, match='no Chromium'):
    benchmark.studio_latency()
  monkeypatch.setattr(benchmark.shutil, 'which', lambda name: f'/usr/bin/{name}')

  def run(code: int, errors: str, figures: dict | None):
    def runs(command, **_):
      path = next(word for word in command if word.startswith('--json=')).removeprefix('--json=')
      if figures is not None:
        with open(path, 'w') as file:
          json.dump(figures, file)
      return subprocess.CompletedProcess(command, code, '', errors)

    monkeypatch.setattr(benchmark.subprocess, 'run', runs)
    return benchmark.studio_latency()

  # Exit code 1: an aim was missed, which is a figure too.
  found = run(1, '', {'studio.move_to_sound.p50_ms': 30.0, 'studio.move_to_sound.p95_ms': 90.0})
  assert found == {'studio.move_to_sound_ms.p50': 30.0, 'studio.move_to_sound_ms.p95': 90.0}
  with pytest.raises(benchmark.LeftOutError, match='error: playwright is missing'):
    run(2, 'a warning\nerror: playwright is missing: pip install playwright\n(how to see more)\n', None)


def test_words_for_precision_and_memory_of_a_device(monkeypatch):
  assert hardware.precision('float32') == 'float32' and hardware.peak_memory_mib() is None
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert hardware.products() == 'tf32' and hardware.precision('float32') == 'float32, products in TF32 where the device has it'
  assert hardware.precision('bfloat16').startswith('layers in bfloat16, parameters and losses in float32')
  with jax.default_matmul_precision('highest'):
    assert hardware.products() == 'float32'

  class Device:
    def __init__(self, peak: int):
      self.memory_stats = lambda: {'peak_bytes_in_use': peak << 20}

  monkeypatch.setattr(jax, 'local_devices', lambda: [Device(100), Device(300)])
  assert hardware.peak_memory_mib() == 300
