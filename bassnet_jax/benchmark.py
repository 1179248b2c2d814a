"""Measures speed: training step, inputs, front end, decoding; `python -m bassnet_jax.benchmark --json=FILE`.

Every training figure comes from the same process: `bare` is the step on one batch kept in memory, the reference of the others.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable

from absl import app, flags, logging

_EXPERIMENT = flags.DEFINE_string('experiment', 'pr_window64', 'Whose network, batch and data are measured.')
_DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of the datasets; what is missing is built there.')
_MANUAL_DIR = flags.DEFINE_string('manual_dir', None, 'Your own corpus, for configurations that read one.')
_SET = flags.DEFINE_multi_string('set', [], 'section.field=value, repeatedly.')
_STEPS = flags.DEFINE_integer('steps', 30, 'Training steps a measurement.')
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Measurements; their median counts.')
_JSON = flags.DEFINE_string('json', None, 'Also write the figures to this file.')

_SONG_SECONDS = 120.0


def _median_seconds(work: Callable[[], object], repeats: int) -> float:
  """Median time of `work`, after one call that isn't counted (compilation)."""
  work()
  times = []
  for _ in range(repeats):
    begin = time.perf_counter()
    work()
    times.append(time.perf_counter() - begin)
  return sorted(times)[len(times) // 2]


def measure(experiment, corpus, steps: int, repeats: int) -> dict[str, float]:
  """All figures, by their public keys."""
  import jax
  import numpy as np

  from bassnet_jax import model as networks
  from bassnet_jax import train, trained
  from bassnet_jax.batch import Batch
  from data_pipeline import features as ft
  from data_pipeline import front_end

  figures: dict[str, float] = {}
  windows = steps * experiment.data.batch_size
  optimizer = train.make_optimizer(experiment, 1000)
  seed_key, mesh = jax.random.key(1), train.make_mesh()

  def step(state, batch):
    return train.train_step(state, batch, seed_key, experiment, corpus.statistics, optimizer)

  tfdata = train.TfDataFeed(experiment, corpus, 0, step, mesh)
  next(tfdata.iterator)
  figures['input.windows_per_second'] = windows / _median_seconds(lambda: [next(tfdata.iterator) for _ in range(steps)], repeats)

  batch = jax.device_put(Batch(**next(tfdata.iterator)))
  one = jax.jit(step, donate_argnums=0)
  states = {'state': jax.jit(lambda: train.init_state(experiment, 0, optimizer))()}

  def run(advance: Callable) -> None:
    state = states['state']
    done = 0
    while done < steps:
      state, count = advance(state)
      done += count
    states['state'] = jax.block_until_ready(state)

  figures['train.bare.windows_per_second'] = windows / _median_seconds(lambda: run(lambda state: (one(state, batch)[0], 1)), repeats)
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
  figures['generate.times_realtime'] = _SONG_SECONDS / _median_seconds(lambda: _generate(model, noise), repeats)
  figures['parameters'] = float(sum(leaf.size for leaf in jax.tree.leaves(params)))
  figures['context_frames'] = float(networks.context_frames(experiment.model))
  figures['peak_memory_mib'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  return figures


def _generate(model, audio) -> None:
  from bassnet_jax.generate import generate
  from data_pipeline import audio as files
  from data_pipeline import features as ft

  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'mix.wav')
    files.save_wav(path, audio, ft.SAMPLE_RATE)
    generate(model, path, output=os.path.join(folder, 'out'))


def main(_) -> None:
  logging.set_verbosity(logging.ERROR)
  import jax

  import experiments
  from bassnet_jax import config as configs
  from bassnet_jax.inputs import corpus as corpora

  try:
    experiment = configs.override(experiments.get(_EXPERIMENT.value), _SET.value)
    corpus = corpora.open_corpus(experiment.data, _DATA_DIR.value, _MANUAL_DIR.value, tfds_files=True)
    figures = measure(experiment, corpus, _STEPS.value, _REPEATS.value)
  except (ValueError, OSError, ModuleNotFoundError) as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
  print(f'{experiment.name}, batch {experiment.data.batch_size}, window {experiment.data.window}, {jax.devices()[0].device_kind}')
  bare = figures['train.bare.windows_per_second']
  for name, value in figures.items():
    ratio = f'{value / bare:8.2f} x bare' if name.endswith('windows_per_second') else ''
    print(f'{name:<36}{value:>12.2f}{ratio}')
  if _JSON.value:
    with open(_JSON.value + '.tmp', 'w') as file:
      json.dump(figures, file, indent=1)
    os.replace(_JSON.value + '.tmp', _JSON.value)


if __name__ == '__main__':
  app.run(main)
