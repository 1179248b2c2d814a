"""Weights that come with the package: `python -m bassnet_jax.packaged --checkpoint=WORKDIR --name=short` puts a trained run there.

A packaged model is a folder `bassnet_jax/weights/<name>/`: `weights.npz`, the parameters in float16 (no pickle: reading it runs nothing),
`description.json`, what the checkpoint says of itself, `card.md`, the same for people, and what lies beside a checkpoint: calibration,
latent density, the report's figures.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import Any

import numpy as np
from absl import app, flags

from bassnet_jax import description, model_card
from data_pipeline import commands, npz_file, storage

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'weights')
DEFAULT = 'short'
WEIGHTS_FILE = 'weights.npz'
DESCRIPTION_FILE = 'description.json'
_METRICS_FILE = 'metrics.json'
_SEPARATOR = '/'


def names() -> list[str]:
  """The models that came with this package, the default one first."""
  if not os.path.isdir(FOLDER):
    return []
  found = (name for name in os.listdir(FOLDER) if is_packaged(path(name)))
  return sorted(found, key=lambda name: (name != DEFAULT, name))


def resolve(checkpoint: str | None) -> str:
  """The folder that a --checkpoint means: where there is none of that name, a packaged model may have it; None is the default one."""
  if checkpoint is None:
    return path()
  return path(checkpoint) if checkpoint in names() and not os.path.exists(checkpoint) else checkpoint


def what_to_give() -> str:
  """What a --checkpoint that isn't there should have been."""
  there = ', '.join(names())
  return 'Give the --workdir of a training run' + (f', or a model of this package: {there}.' if there else '.')


def path(name: str = DEFAULT) -> str:
  """The folder of a packaged model, there or not."""
  return os.path.join(FOLDER, name)


def is_packaged(folder: str) -> bool:
  """Whether a folder holds a packaged model (a workdir doesn't)."""
  return os.path.exists(os.path.join(folder, WEIGHTS_FILE))


def write(folder: str, params: Any, described: dict[str, Any]) -> None:
  """Writes parameters and description into a folder.

  Args:
    params: nested dicts of arrays, as `checkpoints.load_params` gives them.
    described: JSON values; its `step` is that of the parameters.

  Raises:
    ValueError: a parameter is beyond float16 or not a number.
  """
  os.makedirs(folder, exist_ok=True)
  arrays = {}
  for name, value in _flatten(params):
    with np.errstate(over='ignore'):
      arrays[name] = np.asarray(value).astype(np.float16)
    if not np.isfinite(arrays[name]).all():
      raise ValueError(f'the parameter {name} has values that float16 cannot hold; the model cannot be packaged. Give another one')
  weights, text = os.path.join(folder, WEIGHTS_FILE), os.path.join(folder, DESCRIPTION_FILE)
  with open(text + '.tmp', 'w', encoding='utf-8') as file:
    json.dump(described, file)
  with open(weights + '.tmp', 'wb') as file:
    np.savez(file, **arrays)
  os.replace(text + '.tmp', text)
  os.replace(weights + '.tmp', weights)  # last: a folder with weights is whole


def read(folder: str) -> tuple[Any, dict[str, Any], int]:
  """Parameters (float32), description and step of a packaged model.

  Raises:
    ValueError: the files are damaged.
  """
  try:
    with open(os.path.join(folder, DESCRIPTION_FILE), encoding='utf-8') as file:
      described = description.check(json.load(file))
    params: dict[str, Any] = {}
    for name, array in npz_file.read(os.path.join(folder, WEIGHTS_FILE)).items():
      if array.dtype.kind != 'f' or not np.isfinite(array).all():
        raise ValueError(f'the parameter {name[:60]!r} holds something other than numbers')
      *parents, last = name.split(_SEPARATOR)
      node = params
      for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
          raise ValueError(f'the parameter {name[:60]!r} lies inside another one')
      node[last] = array.astype(np.float32)
    return params, described, int(described['step'])
  except (OSError, ValueError, KeyError, RecursionError) as error:
    raise ValueError(f'{folder}: the packaged model is damaged or incomplete ({str(error)[:300]}). Install the package anew.') from error


def _flatten(tree: Any, prefix: str = '') -> list[tuple[str, Any]]:
  if not isinstance(tree, dict):
    return [(prefix, tree)]
  return [leaf for key, value in sorted(tree.items()) for leaf in _flatten(value, f'{prefix}{_SEPARATOR}{key}' if prefix else key)]


def pack(checkpoint: str, name: str) -> str:
  """Packs the newest checkpoint of a workdir under a name. Returns the folder."""
  from bassnet_jax import checkpoints, latent_density

  params, described, step = checkpoints.load_params(checkpoint)
  folder = path(name)
  write(folder, params, described | {'step': step})
  beside = (description.CALIBRATION_FILE, latent_density.FILE, os.path.join('report', _METRICS_FILE))
  here = storage.fetch(checkpoint)
  for source in (os.path.join(here, file) for file in beside):
    if os.path.exists(source):
      shutil.copyfile(source, os.path.join(folder, os.path.basename(source)))
    else:
      maker = 'latent_density' if source.endswith(latent_density.FILE) else 'evaluate'
      print(f'{source} is missing: the packaged model goes without it (python -m bassnet_jax.{maker} makes it)')
  storage.write_text(os.path.join(folder, model_card.FILE), card(folder))
  return folder


def card(folder: str) -> str:
  """The card of a packaged model, from what lies in its folder."""
  import experiments
  from bassnet_jax import config as configs

  _, described, _ = read(folder)
  report = os.path.join(folder, _METRICS_FILE)
  metrics = json.loads(storage.read_text(report)) if os.path.exists(report) else None
  experiment = configs.from_dict(described['experiment'])
  command = model_card.training_command(experiment, experiments.get(experiment.name), described['seed'])
  return model_card.card(os.path.basename(folder), described, command, metrics)


@commands.plain_errors()
def main(arguments: list[str]) -> None:
  commands.only_flags(arguments[1:], 'checkpoint')
  if not _CHECKPOINT.value:
    raise ValueError('--checkpoint is missing: give --checkpoint=WORKDIR, the --workdir of a training run')
  if not re.fullmatch(r'[\w-]+', _NAME.value):
    raise ValueError(f'--name={_NAME.value}: expected letters, digits, - and _')
  folder = pack(storage.absolute(_CHECKPOINT.value), _NAME.value)
  size = sum(os.path.getsize(os.path.join(folder, file)) for file in os.listdir(folder))
  print(f'packaged: {folder}, {size / 1e6:.1f} MB')


if __name__ == '__main__':
  # Only here: other commands of this package have flags of the same names.
  _CHECKPOINT = flags.DEFINE_string('checkpoint', None, 'Workdir of a training run.')
  _NAME = flags.DEFINE_string('name', DEFAULT, 'What the packaged model is called.')
  app.run(main, flags_parser=commands.parse_flags)
