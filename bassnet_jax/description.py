"""What a checkpoint says of itself, checked when it is read: a damaged or foreign one is an error in words, before anything uses it."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from bassnet_jax import config as configs
from bassnet_jax.trajectory import LARGEST
from data_pipeline import features as ft
from data_pipeline import storage

CALIBRATION_FILE = 'calibration.json'
_BINS = {'mix_mean': ft.MIX_BINS, 'mix_std': ft.MIX_BINS, 'bass_mean': ft.BASS_BINS, 'bass_std': ft.BASS_BINS}
OPTIONAL = {
  **{'datasets': list, 'source_options': dict, 'licences': dict, 'credits': dict},
  **{'commit': str, 'step': int, 'steps': int, 'seed': int},
}
"""What older descriptions may lack -> its kind."""


class DescriptionError(ValueError):
  """A description can't be used; the message says what is wrong in it."""


def check(description: Any) -> dict[str, Any]:
  """The description, if it holds all that its readers need.

  Raises:
    DescriptionError: it doesn't.
  """
  _need(isinstance(description, dict), 'it is no table')
  for name, kind in {'experiment': dict, 'statistics': dict, 'features_version': str}.items():
    _need(isinstance(description.get(name), kind), f'{name} is missing, or no {"text" if kind is str else "table"}')
  for name, kind in OPTIONAL.items():
    found = description.get(name, kind())
    _need(isinstance(found, kind) and not isinstance(found, bool), f'{name} is of another form')
  _need(all(isinstance(name, str) for name in description.get('datasets', [])), 'datasets holds something else than names')
  options = description.get('source_options', {}).values()
  _need(all(isinstance(given, list) and all(isinstance(item, str) for item in given) for given in options), 'source_options holds no texts')
  counts = [description.get('licences', {}), *description.get('credits', {}).values()]
  _need(all(isinstance(table, dict) and all(map(_is_number, table.values())) for table in counts), 'licences or credits count no songs')
  for name, bins in _BINS.items():
    values = description['statistics'].get(name)
    _need(isinstance(values, list) and len(values) == bins and all(map(_is_number, values)), f'statistics: {name} is not {bins} numbers')
    _need(name.endswith('mean') or min(values) > 0, f'statistics: {name} is not positive')
  try:
    configs.from_dict(description['experiment'])
  except configs.ConfigError as error:
    raise DescriptionError(str(error)) from error
  return description


def read_calibration(folder: str) -> dict[str, Any] | None:
  """Onset threshold and default z that lie beside a checkpoint; None where there are none.

  Raises:
    DescriptionError: the file is damaged.
  """
  path = os.path.join(folder, CALIBRATION_FILE)
  if not storage.exists(path):
    return None
  try:
    found = json.loads(storage.read_text(path))
  except (OSError, ValueError, RecursionError) as error:
    raise DescriptionError(f'{path} cannot be read ({str(error)[:100]}). {_WITHOUT}') from error
  good = isinstance(found, dict)
  if good:
    threshold, z = found.get('onset_threshold', 0.5), found.get('default_z', [0.0, 0.0])
    good = _is_number(threshold) and 0 <= threshold <= 1
    good = good and isinstance(z, list) and len(z) == 2 and all(_is_number(value) and abs(value) <= LARGEST for value in z)
  if not good:
    raise DescriptionError(f'{path}: expected an onset_threshold from 0 to 1 and a default_z of two numbers. {_WITHOUT}')
  return found


_WITHOUT = 'Make it anew with python -m bassnet_jax.evaluate, or delete it: the model then plays with a threshold of 0.5 from z = 0, 0.'


def _need(good: bool, fault: str) -> None:
  if not good:
    raise DescriptionError(fault)


def _is_number(value: Any) -> bool:
  if isinstance(value, bool) or not isinstance(value, int | float):
    return False
  try:
    return math.isfinite(value) and abs(value) < 1e30
  except OverflowError:
    return False
