"""Measures speed: training step, inputs, front end, decoding; `python -m bassnet_jax.benchmark --json=FILE`.

Every training figure comes from the same process: `bare` is the step on one batch kept in memory, the reference of the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import flags

from bassnet_jax import memory, op_shares, timing
from data_pipeline import commands, storage

_SONG_SECONDS = 120.0
_MATRIX = 2048  # rows and columns of the product whose rate the step's is compared with
_TRACED_STEPS = 5
_GROUPS_SHOWN = 20  # of the parts of a traced step, the largest
_STUDIO_FLAGS = ('--seconds=60', '--drag_seconds=5')  # of `studio_benchmark`: a song of a minute is enough for the latency


def matmul_rate(repeats: int) -> float:
  """FLOP/s of a large matrix product in float32, the rate that a step is measured against."""
  import jax
  import jax.numpy as jnp

  left = jax.random.normal(jax.random.key(0), (_MATRIX, _MATRIX), jnp.float32)
  product = jax.jit(jnp.matmul)
  return 2 * _MATRIX**3 / timing.median_seconds(lambda: jax.block_until_ready(product(left, left)), repeats)


def startup_seconds() -> float:
  """From starting the command to its end, where it only lists experiments and asks jax for its devices."""
  program = 'import bassnet_jax.main, bassnet_jax.train, experiments, jax; jax.devices()'
  begin = time.perf_counter()
  subprocess.run([sys.executable, '-c', program], check=True)
  return time.perf_counter() - begin


class LeftOutError(RuntimeError):
  """A figure can't be had here; the message says why."""


def studio_latency() -> dict[str, float]:
  """Milliseconds from a move of the dot to sound, of the model that comes with the package, in a real browser.

  In a process of its own, before this one takes the accelerator's memory.

  Raises:
    LeftOutError: there is no browser, or the studio can't be measured.
  """
  if shutil.which('chromium') is None:
    raise LeftOutError('no Chromium (apt-get install chromium)')
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'studio.json')
    command = [sys.executable, '-m', 'bassnet_jax.studio_benchmark', f'--json={path}', *_STUDIO_FLAGS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # exit code 1: measured, and an aim is missed
    if not os.path.exists(path):
      said = [line for line in done.stderr.splitlines() if line.strip()]
      raise LeftOutError(next((line for line in said if line.startswith('error: ')), said[-1] if said else 'it says nothing'))
    with open(path) as file:
      found = json.load(file)
  return {f'studio.move_to_sound_ms.{name}': found[f'studio.move_to_sound.{name}_ms'] for name in ('p50', 'p95')}


def drawing_seconds(feed, steps: int, repeats: int) -> float:
  """Seconds in which the resident input draws the batches of at least `steps` steps by itself, for each step.

  Args:
    feed: a `train.ResidentFeed`.
  """
  import jax
  import jax.numpy as jnp

  count = feed.steps_per_call
  calls = -(-steps // count)

  @jax.jit
  def draw(stored, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    def one(step: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
      batch = feed.draw(stored, step)
      return step + 1, sum(jnp.sum(leaf, dtype=jnp.float32) for leaf in jax.tree.leaves(batch))  # every number is read

    return one(step, None) if count == 1 else jax.lax.scan(one, step, length=count)

  def work() -> None:
    step = jnp.zeros((), jnp.int32)
    for _ in range(calls):
      step, sums = draw(feed.stored, step)
    jax.block_until_ready(sums)

  return timing.median_seconds(work, repeats) / (calls * count)


def measure_torch(
  ours: dict[str, Callable[[], int]], params, experiment, statistics, batch, steps: int, repeats: int
) -> tuple[dict[str, float | str], dict[str, str]]:
  """The PyTorch twin on one batch kept in memory, eager and compiled, on the device and in the precision of JAX.

  Args:
    ours: 'bare' and 'resident', as of `timing.steps_per_second`; they take turns with the twin.

  Returns:
    windows/s, and how many times as fast `ours` are in the same rounds; and what is left out, with the reason.
  """
  import jax

  from bassnet_jax import hardware

  try:
    from bassnet_jax import benchmark_torch

    device = benchmark_torch.device_of(jax.default_backend())
    benchmark_torch.use_precision(hardware.products())
    threads = hardware.cores()

    def twin(compiled: bool) -> Callable[[], int]:
      step = benchmark_torch.make_step(params, experiment, statistics, batch, compiled, threads, device)

      def work() -> int:
        for _ in range(steps):
          step()
        benchmark_torch.wait(device)
        return steps

      return work

    works, left_out = {'torch': twin(False), 'torch_compiled': twin(True)}, {}
  except (ModuleNotFoundError, ValueError) as error:
    return {}, {'train.torch': str(error)}
  try:
    works['torch_compiled']()
  except RuntimeError as error:  # no C compiler, for example
    del works['torch_compiled']
    left_out['train.torch_compiled'] = str(error).strip().splitlines()[0][:200]
  rates = timing.steps_per_second(ours | works, repeats)
  figures: dict[str, float | str] = {
    'train.torch.device': benchmark_torch.name_of(device, threads),
    'train.torch.precision': hardware.precision(experiment.model.dtype),
  }
  for name in works:
    figures[f'train.{name}.windows_per_second'] = rates[name] * experiment.data.batch_size
    figures[f'train.times_{name}'] = rates['bare'] / rates[name]
    figures[f'train.resident.times_{name}'] = rates['resident'] / rates[name]
  return figures, left_out


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
    inner = (size // base.group_size, base.group_size, window)
    outer = (*inner[:2], window + 2 * networks.context_frames(experiment.model))
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

    figures[f'growth.batch{size}_window{window}.windows_per_second'] = steps * size / timing.median_seconds(work, repeats)
  return figures


def _bare_step(experiment, statistics, optimizer) -> Callable:
  import jax

  from bassnet_jax import train

  seed_key = jax.random.key(1)
  return jax.jit(lambda state, batch: train.train_step(state, batch, seed_key, experiment, statistics, optimizer), donate_argnums=0)


def _search_step(experiment, statistics, optimizer) -> Callable:
  """(state, batch, whether z is searched for) -> (state, terms): the step of a run that searches at its beginning."""
  import jax

  from bassnet_jax import train

  seed_key = jax.random.key(1)

  def step(state, batch, searching):
    return train.train_step(state, batch, seed_key, experiment, statistics, optimizer, searching)

  return jax.jit(step, donate_argnums=0)


def measure(
  experiment, corpus, steps: int, repeats: int, profile: str | None, growth: bool, with_torch: bool, with_studio: bool
) -> tuple[dict[str, float | str], dict[str, str]]:
  """All figures, by their public keys; and what is left out, with the reason."""
  import jax
  import numpy as np

  from bassnet_jax import hardware, latent_search, train, trained
  from bassnet_jax import model as networks
  from bassnet_jax.batch import Batch
  from data_pipeline import features as ft
  from data_pipeline import front_end

  figures: dict[str, float | str] = {'startup_seconds': startup_seconds()}
  left_out: dict[str, str] = {}
  try:
    if not with_studio:
      raise LeftOutError('--nostudio')
    figures |= studio_latency()
  except LeftOutError as error:
    left_out['studio.move_to_sound_ms'] = str(error)
  size = experiment.data.batch_size
  optimizer = train.make_optimizer(experiment, 1000)
  seed_key, mesh = jax.random.key(1), train.make_mesh()

  def step(state, batch):
    return train.train_step(state, batch, seed_key, experiment, corpus.statistics, optimizer)

  tfdata = train.TfDataFeed(experiment, corpus, 0, step, mesh)
  next(tfdata.iterator)
  figures['input.windows_per_second'] = steps * size / timing.median_seconds(lambda: [next(tfdata.iterator) for _ in range(steps)], repeats)

  batch = jax.device_put(Batch(**next(tfdata.iterator)))
  one = _bare_step(experiment, corpus.statistics, optimizer)
  states = {'state': jax.jit(lambda: train.init_state(experiment, 0, optimizer))()}

  def running(advance: Callable, steps_per_call: int = 1) -> Callable[[], int]:
    """Does `steps` steps or, in whole calls, a few more, and says how many."""

    def work() -> int:
      state, done = states['state'], 0
      while done < steps:
        state, done = advance(state)[0], done + steps_per_call
      states['state'] = jax.block_until_ready(state)
      return done

    return work

  def rate(work: Callable[[], int]) -> float:
    return size * timing.steps_per_second({'one': work}, repeats)['one']

  feed = train.ResidentFeed(experiment, corpus, 0, step, mesh)
  bare, from_files = running(lambda state: one(state, batch)), running(lambda state: tfdata(state, 1))
  resident = running(lambda state: feed(state, feed.steps_per_call), feed.steps_per_call)
  cpu = jax.default_backend() == 'cpu'
  figures['train.bare.device'] = hardware.describe() if cpu else jax.devices()[0].device_kind
  figures['train.bare.precision'] = hardware.precision(experiment.model.dtype)
  # In turns, so that a machine's slow minutes fall on all of them.
  rates = timing.steps_per_second({'bare': bare, 'tfdata': from_files, 'resident': resident}, repeats)
  figures |= {f'train.{name}.windows_per_second': size * found for name, found in rates.items()}
  bare_rate = figures['train.bare.windows_per_second']
  compiled = one.lower(states['state'], batch).compile()
  flops = compiled.cost_analysis()['flops']
  figures['train.gflop_per_step'] = flops / 1e9
  figures['train.gflop_per_second'] = flops / 1e9 * bare_rate / size
  figures['matmul.gflop_per_second'] = matmul_rate(repeats) / 1e9
  figures['train.matmul_share'] = figures['train.gflop_per_second'] / figures['matmul.gflop_per_second']
  if profile:
    os.makedirs(profile, exist_ok=True)
    with jax.profiler.trace(os.path.abspath(profile)):
      for i in range(_TRACED_STEPS):
        with jax.profiler.StepTraceAnnotation('train', step_num=i):
          states['state'] = jax.block_until_ready(one(states['state'], batch)[0])
    print(f'trace of {_TRACED_STEPS} training steps: {profile}', flush=True)
    spent = op_shares.milliseconds(profile, compiled.as_text(), _TRACED_STEPS)
    for group, value in list(spent.items())[:_GROUPS_SHOWN]:
      print(f'{100 * value / sum(spent.values()):5.1f} %{value:8.2f} ms  {group}', flush=True)
  if experiment.loss.search_candidates:
    search, searching = _search_step(experiment, corpus.statistics, optimizer), jax.numpy.asarray(True)
    found = figures['step.search_windows_per_second'] = rate(running(lambda state: search(state, batch, searching)))
    share = latent_search.search_steps(experiment, 1000) / 1000
    figures['step.whole_run_windows_per_second'] = 1 / (share / found + (1 - share) / bare_rate)
  else:
    left_out['step.search_windows_per_second'] = f'{experiment.name} does not search (loss.search_candidates=0)'
  tfdata.wait, begin = 0.0, time.perf_counter()
  from_files()
  figures['train.data_wait'] = tfdata.wait / (time.perf_counter() - begin)
  # Nothing waits on the host; what the input costs is the drawing of a batch, inside the step.
  figures['train.resident.data_wait'] = drawing_seconds(feed, steps, repeats) * rates['resident']
  figures['train.resident.steps_per_call'] = float(feed.steps_per_call)

  noise = np.random.default_rng(0).normal(0, 0.1, int(_SONG_SECONDS * ft.SAMPLE_RATE)).astype(np.float32)
  figures['cqt.times_realtime'] = _SONG_SECONDS / timing.median_seconds(lambda: front_end.analyse(noise), repeats)
  params = jax.device_get(states['state'].params)
  model = trained.TrainedModel(params, train.describe(experiment, corpus, 0, 1000), 0)
  mix = front_end.analyse(noise).mix
  code = model.encode_mix(mix)
  figures['encode.times_realtime'] = _SONG_SECONDS / timing.median_seconds(lambda: model.encode_mix(mix), repeats)
  figures['decode.times_realtime'] = _SONG_SECONDS / timing.median_seconds(lambda: model.decode(code, np.zeros(2)), repeats)
  if growth:
    for minutes in (1, 4, 10):
      long = np.resize(mix, (int(60 * minutes * ft.FRAME_RATE), mix.shape[1]))
      work = lambda long=long: model.decode(model.encode_mix(long), np.zeros(2))  # noqa: E731
      figures[f'growth.song{minutes}min.times_realtime'] = 60 * minutes / timing.median_seconds(work, repeats)
  figures['generate.times_realtime'] = _SONG_SECONDS / timing.median_seconds(lambda: _generate(model, noise), repeats)
  figures['parameters'] = float(sum(leaf.size for leaf in jax.tree.leaves(params)))
  figures['context_frames'] = float(networks.context_frames(experiment.model))
  figures['peak_memory_mib'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  device_peak = hardware.peak_memory_mib()
  if device_peak is None:
    left_out['device.peak_memory_mib'] = 'this device does not tell'
  else:
    figures['device.peak_memory_mib'] = device_peak
  if with_torch:
    host = Batch(**{field.name: np.asarray(getattr(batch, field.name)) for field in dataclasses.fields(batch)})
    ours = {'bare': bare, 'resident': resident}
    found, missing = measure_torch(ours, params, experiment, corpus.statistics, host, steps, repeats)
    figures, left_out = figures | found, left_out | missing
  else:
    left_out['train.torch'] = '--notorch'
  if growth:
    figures |= measure_growth(experiment, corpus.statistics, max(steps // 3, 1), repeats)
  return figures, left_out


def table(figures: dict[str, float | str], left_out: dict[str, str]) -> str:
  """The figures as lines: name, value, and how it compares with the bare step."""
  bare, lines = figures['train.bare.windows_per_second'], []
  for name, value in figures.items():
    if isinstance(value, str):
      lines.append(f'{name:<48}{value}')
      continue
    ratio = f'{value / bare:8.2f} x bare' if name.endswith('windows_per_second') else ''
    lines.append(f'{name:<48}{value:>12.2f}{ratio}')
  return '\n'.join([*lines, *(f'{name:<48}left out: {reason}' for name, reason in left_out.items())])


def _generate(model, audio) -> None:
  from bassnet_jax.generate import generate
  from data_pipeline import audio as files
  from data_pipeline import features as ft

  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'mix.wav')
    files.save_wav(path, audio, ft.SAMPLE_RATE)
    generate(model, path, output=os.path.join(folder, 'out'))


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'experiment', 'pr_window64', 'whose network, batch and data are measured')
  define(flags.DEFINE_string, 'data_dir', 'data', 'folder of the datasets; what is missing is built there')
  define(flags.DEFINE_string, 'manual_dir', None, 'your own corpus, for configurations that read one')
  define(flags.DEFINE_multi_string, 'set', [], 'section.field=value, repeatedly')
  define(flags.DEFINE_integer, 'steps', 30, 'training steps a measurement', lower_bound=1)
  define(flags.DEFINE_integer, 'repeats', 5, 'measurements; their median counts', lower_bound=1)
  define(flags.DEFINE_string, 'profile', None, 'folder for a trace of a few training steps (xprof and TensorBoard show it)')
  define(flags.DEFINE_bool, 'growth', False, 'also how the step grows with batch and window, and decoding with the length of the song')
  define(flags.DEFINE_bool, 'torch', True, 'also the same network in PyTorch, where torch is installed')
  define(flags.DEFINE_bool, 'studio', True, 'also how soon a move of the dot is heard, where Chromium and playwright are installed')
  define(flags.DEFINE_string, 'json', None, 'also write the figures to this file')


@commands.with_flags(_define_flags, bare='experiment')
def main(defined: flags.FlagValues) -> int:
  """Prints the figures."""
  memory.keep_freed()  # for the PyTorch twin too
  if defined.torch:
    # torch.compile loads triton, which crashes the process where tensorflow was loaded before it (triton 3.8, tensorflow 2.21): not after.
    with contextlib.suppress(ImportError):
      import triton  # noqa: F401

  import experiments
  from bassnet_jax import config as configs
  from bassnet_jax.inputs import corpus as corpora

  experiment = configs.override(experiments.get(defined.experiment), defined.set)
  corpus = corpora.open_corpus(experiment.data, defined.data_dir, defined.manual_dir, tfds_files=True)
  asked = (defined.steps, defined.repeats, defined.profile, defined.growth, defined.torch, defined.studio)
  figures, left_out = measure(experiment, corpus, *asked)

  from bassnet_jax import hardware

  made = {'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'), 'hardware': hardware.describe()}
  print(f'{experiment.name}, batch {experiment.data.batch_size}, window {experiment.data.window}, {made["hardware"]}, {made["date"]}')
  print(table(figures, left_out))
  if defined.json:
    storage.write_json(defined.json, made | {'experiment': experiment.name} | figures | {'left_out': left_out})
  return 0


if __name__ == '__main__':
  sys.exit(main())
