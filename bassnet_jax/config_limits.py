"""Which values the fields of a configuration may have; what is outside would end in a traceback, or in nothing, hours later."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any, Literal

LIMITS: dict[str, tuple[float, float]] = {
  'model.pitch_channels': (1, 1024),
  'model.hidden': (1, 8192),
  'model.pitch_dilations': (1, 256),
  'model.trunk_dilations': (1, 256),
  'model.decoder_dilations': (1, 256),
  'model.latent_dilations': (1, 256),
  'model.latent_size': (2, 2),  # the plane, everywhere else
  'loss.cqt': (0, 1e6),
  'loss.pitch': (0, 1e6),
  'loss.onset': (0, 1e6),
  'loss.level': (0, 1e6),
  'loss.kl': (0, 1e6),
  'loss.free_bits': (0, 1e3),
  'loss.onset_positive': (0, 1e6),
  'loss.latent_smoothness': (0, 1e6),
  'loss.smoothness_lag': (1, 1024),
  'loss.latent_l2': (0, 1e6),
  'loss.kl_lag': (0, 1e6),
  'loss.search_candidates': (0, 1024),
  'loss.search_share': (0, 1),
  'data.window': (2, 1024),  # of an excerpt's frames
  'data.batch_size': (2, 2**20),
  'data.group_size': (2, 1024),
  'data.pair_distance': (0, 10**6),
  'data.windows_per_excerpt': (1, 10**6),
  'data.excerpts_in_memory': (1, 10**6),
  'data.transposition': (0, 24),
  'data.gain_db': (0, 60),
  'data.equaliser_db': (0, 60),
  'data.max_songs': (0, 10**9),
  'train.passes': (0, 1e9),
  'train.steps': (0, 10**12),
  'train.learning_rate': (0, 100),
  'train.warmup_steps': (0, 10**12),
  'train.final_learning_rate': (0, 1),
  'train.weight_decay': (0, 100),
  'train.gradient_clip': (1e-12, 1e12),
  'train.log_every': (1, 10**9),
  'train.checkpoint_every': (1, 10**9),
  'train.validate_every': (0, 10**9),
  'train.validation_batches': (1, 10**4),
  'train.checkpoints_kept': (1, 10**6),
  'evaluation.max_songs': (0, 10**9),
  'evaluation.validation_songs': (1, 10**9),
}
"""Lowest and highest value of a field, or of every item of one that is a list; a field that isn't here may have any of its type."""
MOST_ITEMS = 64
"""Of a field that is a list."""
WORDS = {int: 'a whole number', float: 'a number', bool: 'true or false', str: 'text'}
"""Type of a field -> what its user reads."""
_NOT_EMPTY = ('data.datasets',)


def fault(experiment: Any) -> str | None:
  """What is wrong with the first field whose value is of another type or out of its range; None if all is well."""
  for section in dataclasses.fields(experiment):
    values = getattr(experiment, section.name)
    if not dataclasses.is_dataclass(section.default):
      continue
    if not isinstance(values, type(section.default)):
      return f'{section.name}: found {_short(values)}; expected a table of settings'
    hints = typing.get_type_hints(type(values))
    for field in dataclasses.fields(values):
      name = f'{section.name}.{field.name}'
      wrong = _fault(name, getattr(values, field.name), hints[field.name])
      if wrong is not None:
        return f'{name}: {wrong}'
  return None


def _fault(name: str, value: Any, kind: Any) -> str | None:
  arguments = typing.get_args(kind)
  if typing.get_origin(kind) is Literal:
    return None if value in arguments else f'found {_short(value)}; expected one of {", ".join(map(str, arguments))}'
  if typing.get_origin(kind) is tuple:
    if not isinstance(value, tuple) or len(value) > MOST_ITEMS:
      return f'found {_short(value)}; expected a list of at most {MOST_ITEMS}'
    if not value and name in _NOT_EMPTY:
      return 'the list is empty; expected at least one'
    return next((wrong for item in value if (wrong := _fault(name, item, arguments[0])) is not None), None)
  if kind is bool or kind is str:
    return None if isinstance(value, kind) else f'found {_short(value)}; expected {WORDS[kind]}'
  allowed = int | float if kind is float else kind
  if isinstance(value, bool) or not isinstance(value, allowed):
    return f'found {_short(value)}; expected {WORDS.get(kind, kind.__name__)}'
  low, high = LIMITS.get(name, (-math.inf, math.inf))
  if not low <= value <= high or value != value or abs(value) == math.inf:
    return f'found {_short(value)}; expected {_range(low, high)}'
  return None


def _range(low: float, high: float) -> str:
  if math.isinf(high):
    return 'a finite number'
  first, last = (str(int(limit)) if float(limit).is_integer() else f'{limit:g}' for limit in (low, high))
  return first if low == high else f'{first} to {last}'


def _short(value: Any) -> str:
  try:
    return repr(value)[:60]
  except ValueError:  # a whole number of thousands of digits has no text
    return 'a number of thousands of digits'
