"""Imports everything, generates a bass and trains a step; run with networking cut off: `unshare -rn python tests/offline.py FOLDER`."""

from __future__ import annotations

import importlib
import os
import pkgutil
import socket
import sys

import numpy as np
import soundfile
from absl import flags

# Commands that are run by themselves define flags when they are imported twice; and what needs the extras.
_LEFT_OUT = ('bassnet_jax.studio.__main__', 'bassnet_jax.benchmark_torch')


def import_everything() -> int:
  """Every module of the three packages."""
  names = []
  for package in ('bassnet_jax', 'data_pipeline', 'experiments'):
    found = importlib.import_module(package)
    names += [module.name for module in pkgutil.walk_packages(found.__path__, f'{package}.') if module.name not in _LEFT_OUT]
  for name in names:
    before = set(flags.FLAGS)
    importlib.import_module(name)
    # Commands define their flags when they are imported, some under one name: each is imported as if it were alone.
    flags.FLAGS.remove_flag_values({flag: flags.FLAGS[flag] for flag in set(flags.FLAGS) - before})
  return len(names)


def main(folder: str) -> None:
  os.makedirs(folder, exist_ok=True)
  try:
    socket.create_connection(('1.1.1.1', 53), timeout=2).close()
    print('network: reachable')
  except OSError:
    print('network: cut off')
  print(f'modules imported: {import_everything()}')

  from bassnet_jax import checkpoints, packaged, train
  from bassnet_jax.config import DataConfig, Experiment, ModelConfig, TrainConfig
  from bassnet_jax.generate import generate
  from bassnet_jax.inputs import corpus
  from data_pipeline import build, extraction
  from data_pipeline.sources.stems import Stems

  rate, name = 16_000, 'bassnet_pop_rock/stems'
  seconds = np.arange(4 * rate) / rate
  tone = lambda hertz: (0.2 * np.sin(2 * np.pi * hertz * seconds) * np.exp(-4 * (seconds % 0.5))).astype(np.float32)  # noqa: E731
  song = os.path.join(folder, 'songs', 'train', 'one')
  os.makedirs(song)
  soundfile.write(os.path.join(song, 'bass.wav'), tone(55.0), rate)
  soundfile.write(os.path.join(song, 'keys.wav'), tone(440.0) + tone(659.26), rate)
  made = generate(packaged.path(), os.path.join(song, 'keys.wav'), (0.0, 0.0), output=os.path.join(folder, 'out'))
  print(f'generated: {len(made.notes)} notes, {", ".join(sorted(made.files))}')

  data = os.path.join(folder, 'data')
  source = Stems(os.path.join(folder, 'songs'), shortest=2.0)
  extraction.extract(source, extraction.folder(data, *name.split('/')), workers=1)
  build.build(name, data, workers=1)
  small = ModelConfig(
    pitch_channels=4, hidden=16, pitch_dilations=(1,), trunk_dilations=(1,), decoder_dilations=(1,), latent_dilations=(1,)
  )
  for backend in ('resident', 'tfdata'):
    experiment = Experiment(
      name='offline', model=small, train=TrainConfig(steps=1),
      data=DataConfig(datasets=(name,), backend=backend, batch_size=4, window=32, excerpts_in_memory=1, windows_per_excerpt=4),
    )  # fmt: skip
    workdir = os.path.join(folder, backend)
    train.train(experiment, corpus.open_corpus(experiment.data, data), workdir, 0)
    print(f'trained with {backend}: step {checkpoints.load_params(workdir)[2]}')


if __name__ == '__main__':
  sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
  main(sys.argv[1])
