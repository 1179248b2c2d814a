"""Looks experiments up by name, and shrinks them for a laptop."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from bassnet_jax.config import Experiment, replace

_EXPERIMENTS: dict[str, Callable[[], Experiment]] = {}
# What --preset=laptop changes; max_songs=0: all songs in the report.
_LAPTOP = {
  # Half of the windows a step, to save time: a1 to a3 reach their aims with it (RESULTS.md).
  'artificial': {'train': {'steps': 1500}, 'data': {'batch_size': 16}, 'evaluation': {'max_songs': 0}},
  'music': {'train': {'steps': 1000}, 'evaluation': {'max_songs': 8}},
}


class UnknownExperimentError(ValueError):
  """No such experiment or preset; the message lists those that exist."""


def register(function: Callable[[], Experiment]) -> Callable[[], Experiment]:
  """Registers a function that returns an experiment under the function's name."""
  if function.__name__ in _EXPERIMENTS:
    raise ValueError(f'two experiments are called {function.__name__}')
  _EXPERIMENTS[function.__name__] = function
  return function


_LIST = '\npython -m bassnet_jax.main --list says what each is.'


def names() -> list[str]:
  return sorted(_EXPERIMENTS)


def give_one() -> str:
  """What to say where no experiment is named."""
  return f'--experiment is missing: give --experiment=NAME; there are: {", ".join(names())}{_LIST}'


def get(name: str) -> Experiment:
  """The experiment of that name.

  Raises:
    UnknownExperimentError: there is none.
  """
  if name not in _EXPERIMENTS:
    close = difflib.get_close_matches(name, _EXPERIMENTS, n=1)
    hint = f'\nDid you mean {close[0]}?' if close else ''  # last: the list fills a screen
    raise UnknownExperimentError(f'there is no experiment {name!r}; there are: {", ".join(names())}{hint}{_LIST}')
  return replace(_EXPERIMENTS[name](), name=name)


def description(name: str) -> str:
  """The experiment's docstring."""
  get(name)
  return _EXPERIMENTS[name].__doc__ or ''


def preset(experiment: Experiment, name: str) -> Experiment:
  """The same experiment at another size: 'full' as it is, 'laptop' for minutes on two cores.

  Raises:
    UnknownExperimentError: no such preset.
  """
  if name == 'full':
    return experiment
  if name == 'laptop':
    return replace(replace(experiment, train={'checkpoint_every': 500}), **_LAPTOP[experiment.evaluation.kind])
  raise UnknownExperimentError(f'there is no preset {name!r}; there are: full, laptop')
