"""Measures speed: training step, inputs, front end, decoding; `python -m bassnet_jax.benchmark --json=FILE`.

Every training figure comes from the same process: `bare` is the step on one batch kept in memory, the reference of the others.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import app, flags

from bassnet_jax import memory, op_shares
from data_pipeline import commands, storage

_EXPERIMENT = flags.DEFINE_string('experiment', 'pr_window64', 'Whose network, batch and data are measured.')
_DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of the datasets; what is missing is built there.')
_MANUAL_DIR = flags.DEFINE_string('manual_dir', None, 'Your own corpus, for configurations that read one.')
_SET = flags.DEFINE_multi_string('set', [], 'section.field=value, repeatedly.')
_STEPS = flags.DEFINE_integer('steps', 30, 'Training steps a measurement.')
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Measurements; their median counts.')
_PROFILE = flags.DEFINE_string('profile', None, 'Folder for a trace of a few training steps (xprof and TensorBoard show it).')
_GROWTH = flags.DEFINE_bool('growth', False, 'Also how the step grows with batch and window, and decoding with the length of the song.')
_TORCH = flags.DEFINE_bool('torch', True, 'Also the same network in PyTorch, where torch is installed.')
_JSON = flags.DEFINE_string('json', None, 'Also write the figures to this file.')

_SONG_SECONDS = 120.0
_MATRIX = 2048  # rows and columns of the product whose rate the step's is compared with
_TRACED_STEPS = 5
_GROUPS_SHOWN = 20  # of the parts of a traced step, the largest


def _median_seconds(work: Callable[[], object], repeats: int) -> float:
  """Median time of `work`, after one call that isn't counted (compilation)."""
  work()
  times = []
  for _ in range(repeats):
    begin = time.perf_counter()
    work()
    times.append(time.perf_counter() - begin)
  return sorted(times)[len(times) // 2]


def _alternating_seconds(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
  """Median time of each, one after the other in every round, so that a machine's slow minutes fall on all of them."""
  times: dict[str, list[float]] = {name: [] for name in works}
  for work in works.values():
    work()
  for _ in range(repeats):
    for name, work in works.items():
      begin = time.perf_counter()
      work()
      times[name].append(time.perf_counter() - begin)
  return {name: sorted(values)[len(values) // 2] for name, values in times.items()}


def matmul_rate(repeats: int) -> float:
  """FLOP/s of a large matrix product in float32, the rate that a step is measured against."""
  import jax
  import jax.numpy as jnp

  left = jax.random.normal(jax.random.key(0), (_MATRIX, _MATRIX), jnp.float32)
  product = jax.jit(jnp.matmul)
  return 2 * _MATRIX**3 / _median_seconds(lambda: jax.block_until_ready(product(left, left)), repeats)


def startup_seconds() -> float:
  """From starting the command to its end, where it only lists experiments and asks jax for its devices."""
  program = 'import bassnet_jax.main, bassnet_jax.train, experiments, jax; jax.devices()'
  begin = time.perf_counter()
  subprocess.run([sys.executable, '-c', program], check=True)
  return time.perf_counter() - begin


def measure_torch(ours: Callable, params, experiment, statistics, batch, steps: int, repeats: int) -> dict[str, float]:
  """Windows/s of the PyTorch twin on one batch kept in memory, eager and compiled, and how many times as fast `ours` is in the same rounds.

  Args:
    ours: does `steps` steps.

  Returns:
    nothing where torch is not installed.
  """
  try:
    from bassnet_jax import benchmark_torch
  except ModuleNotFoundError as error:
    print(f'the PyTorch twin is left out: {error}', flush=True)
    return {}
  works = {'ours': ours}
  for name, compiled in (('torch', False), ('torch_compiled', True)):
    step = benchmark_torch.make_step(params, experiment, statistics, batch, compiled, os.cpu_count() or 1)
    works[name] = lambda step=step: [step() for _ in range(steps)]
  seconds = _alternating_seconds(works, repeats)
  figures = {f'train.{name}.windows_per_second': steps * experiment.data.batch_size / seconds[name] for name in works if name != 'ours'}
  return figures | {f'train.times_{name}': seconds[name] / seconds['ours'] for name in works if name != 'ours'}


def measure_growth(experiment, statistics, steps: int, repeats: int) -> dict[str, float]:
  """Windows/s of the bare step over batch sizes and windows, on noise; what is alike in all of them but one."""
  import jax
  import numpy as np

  from bassnet_jax import config as configs
  from bassnet_jax import model as networks
  from bassnet_jax import train
  from bassnet_jax.batch import Batch
  from data_pipeline import features as ft

  figures, rng = {}, np.random.default_rng(0)
  base = experiment.data
  shapes = [(size, base.window) for size in (8, 32, 128)] + [(base.batch_size, window) for window in (128, 256, 512)]
  for size, window in dict.fromkeys(shapes):
    changed = configs.replace(experiment, data={'batch_size': size, 'window': window})
    inner, outer = (size // 2, 2, window), (size // 2, 2, window + 2 * networks.context_frames(experiment.model))
    batch = Batch(
      mix=rng.gamma(1, 0.5, (*outer, ft.MIX_BINS)).astype(np.float16),
      bass=rng.gamma(1, 0.5, (*outer, ft.BASS_BINS)).astype(np.float16),
      pitch=rng.integers(0, ft.PITCHES, inner).astype(np.uint8),
      onset=rng.integers(0, 2, inner).astype(np.uint8),
      level=rng.uniform(0, 1, inner).astype(np.float16),
      valid=np.ones(inner, bool),
    )
    optimizer = train.make_optimizer(changed, 1000)
    step = _bare_step(changed, statistics, optimizer)
    state = {'now': jax.jit(lambda changed=changed, optimizer=optimizer: train.init_state(changed, 0, optimizer))()}
    placed = jax.device_put(batch)

    def work(step=step, state=state, placed=placed) -> None:
      for _ in range(steps):
        state['now'], _ = step(state['now'], placed)
      jax.block_until_ready(state['now'])

    figures[f'growth.batch{size}_window{window}.windows_per_second'] = steps * size / _median_seconds(work, repeats)
  return figures


def _bare_step(experiment, statistics, optimizer) -> Callable:
  import jax

  from bassnet_jax import train

  seed_key = jax.random.key(1)
  return jax.jit(lambda state, batch: train.train_step(state, batch, seed_key, experiment, statistics, optimizer), donate_argnums=0)


def measure(experiment, corpus, steps: int, repeats: int, profile: str | None, growth: bool, with_torch: bool) -> dict[str, float]:
  """All figures, by their public keys."""
  import jax
  import numpy as np

  from bassnet_jax import model as networks
  from bassnet_jax import train, trained
  from bassnet_jax.batch import Batch
  from data_pipeline import features as ft
  from data_pipeline import front_end

  figures: dict[str, float] = {'startup_seconds': startup_seconds()}
  windows = steps * experiment.data.batch_size
  optimizer = train.make_optimizer(experiment, 1000)
  seed_key, mesh = jax.random.key(1), train.make_mesh()

  def step(state, batch):
    return train.train_step(state, batch, seed_key, experiment, corpus.statistics, optimizer)

  tfdata = train.TfDataFeed(experiment, corpus, 0, step, mesh)
  next(tfdata.iterator)
  figures['input.windows_per_second'] = windows / _median_seconds(lambda: [next(tfdata.iterator) for _ in range(steps)], repeats)

  batch = jax.device_put(Batch(**next(tfdata.iterator)))
  one = _bare_step(experiment, corpus.statistics, optimizer)
  states = {'state': jax.jit(lambda: train.init_state(experiment, 0, optimizer))()}

  def run(advance: Callable) -> None:
    state = states['state']
    done = 0
    while done < steps:
      state, count = advance(state)
      done += count
    states['state'] = jax.block_until_ready(state)

  def bare() -> None:
    run(lambda state: (one(state, batch)[0], 1))

  figures['train.bare.windows_per_second'] = windows / _median_seconds(bare, repeats)
  compiled = one.lower(states['state'], batch).compile()
  flops = compiled.cost_analysis()['flops']
  figures['train.gflop_per_step'] = flops / 1e9
  figures['train.gflop_per_second'] = flops / 1e9 * figures['train.bare.windows_per_second'] / experiment.data.batch_size
  figures['matmul.gflop_per_second'] = matmul_rate(repeats) / 1e9
  figures['train.matmul_share'] = figures['train.gflop_per_second'] / figures['matmul.gflop_per_second']
  if profile:
    os.makedirs(profile, exist_ok=True)
    with jax.profiler.trace(os.path.abspath(profile)):
      for i in range(_TRACED_STEPS):
        with jax.profiler.StepTraceAnnotation('train', step_num=i):
          run(lambda state: (one(state, batch)[0], steps))
    print(f'trace of {_TRACED_STEPS} training steps: {profile}', flush=True)
    spent = op_shares.milliseconds(profile, compiled.as_text(), _TRACED_STEPS)
    for group, value in list(spent.items())[:_GROUPS_SHOWN]:
      print(f'{100 * value / sum(spent.values()):5.1f} %{value:8.2f} ms  {group}', flush=True)
  figures['train.tfdata.windows_per_second'] = windows / _median_seconds(lambda: run(lambda state: (tfdata(state, 1)[0], 1)), repeats)
  tfdata.wait, begin = 0.0, time.perf_counter()
  run(lambda state: (tfdata(state, 1)[0], 1))
  figures['train.data_wait'] = tfdata.wait / (time.perf_counter() - begin)
  resident = train.ResidentFeed(experiment, corpus, 0, step, mesh)
  figures['train.resident.windows_per_second'] = windows / _median_seconds(
    lambda: run(lambda state: (resident(state, resident.steps_per_call)[0], resident.steps_per_call)), repeats
  )

  noise = np.random.default_rng(0).normal(0, 0.1, int(_SONG_SECONDS * ft.SAMPLE_RATE)).astype(np.float32)
  figures['cqt.times_realtime'] = _SONG_SECONDS / _median_seconds(lambda: front_end.analyse(noise), repeats)
  params = jax.device_get(states['state'].params)
  model = trained.TrainedModel(params, train.describe(experiment, corpus, 0, 1000), 0)
  mix = front_end.analyse(noise).mix
  code = model.encode_mix(mix)
  figures['encode.times_realtime'] = _SONG_SECONDS / _median_seconds(lambda: model.encode_mix(mix), repeats)
  figures['decode.times_realtime'] = _SONG_SECONDS / _median_seconds(lambda: model.decode(code, np.zeros(2)), repeats)
  if growth:
    for minutes in (1, 4, 10):
      long = np.resize(mix, (int(60 * minutes * ft.FRAME_RATE), mix.shape[1]))
      work = lambda long=long: model.decode(model.encode_mix(long), np.zeros(2))  # noqa: E731
      figures[f'growth.song{minutes}min.times_realtime'] = 60 * minutes / _median_seconds(work, repeats)
  figures['generate.times_realtime'] = _SONG_SECONDS / _median_seconds(lambda: _generate(model, noise), repeats)
  figures['parameters'] = float(sum(leaf.size for leaf in jax.tree.leaves(params)))
  figures['context_frames'] = float(networks.context_frames(experiment.model))
  figures['peak_memory_mib'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  if with_torch:
    host = Batch(**{field.name: np.asarray(getattr(batch, field.name)) for field in dataclasses.fields(batch)})
    figures |= measure_torch(bare, params, experiment, corpus.statistics, host, steps, repeats)
  if growth:
    figures |= measure_growth(experiment, corpus.statistics, max(steps // 3, 1), repeats)
  return figures


def _generate(model, audio) -> None:
  from bassnet_jax.generate import generate
  from data_pipeline import audio as files
  from data_pipeline import features as ft

  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'mix.wav')
    files.save_wav(path, audio, ft.SAMPLE_RATE)
    generate(model, path, output=os.path.join(folder, 'out'))


@commands.plain_errors()
def main(arguments: list[str]) -> None:
  commands.only_flags(arguments[1:], None, 'set')
  memory.keep_freed()  # for the PyTorch twin too
  import jax

  import experiments
  from bassnet_jax import config as configs
  from bassnet_jax.inputs import corpus as corpora

  experiment = configs.override(experiments.get(_EXPERIMENT.value), _SET.value)
  corpus = corpora.open_corpus(experiment.data, _DATA_DIR.value, _MANUAL_DIR.value, tfds_files=True)
  figures = measure(experiment, corpus, _STEPS.value, _REPEATS.value, _PROFILE.value, _GROWTH.value, _TORCH.value)
  print(f'{experiment.name}, batch {experiment.data.batch_size}, window {experiment.data.window}, {jax.devices()[0].device_kind}')
  bare = figures['train.bare.windows_per_second']
  for name, value in figures.items():
    ratio = f'{value / bare:8.2f} x bare' if name.endswith('windows_per_second') else ''
    print(f'{name:<48}{value:>12.2f}{ratio}')
  if _JSON.value:
    storage.write_json(_JSON.value, figures)


if __name__ == '__main__':
  app.run(main)
