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
  """No such experiment or preset; the message names the nearest, or says how to list them."""


def register(function: Callable[[], Experiment]) -> Callable[[], Experiment]:
  """Registers a function that returns an experiment under the function's name."""
  if function.__name__ in _EXPERIMENTS:
    raise ValueError(f'two experiments are called {function.__name__}')
  _EXPERIMENTS[function.__name__] = function
  return function


_LIST = 'python -m bassnet_jax.main --list'
_NEAREST = 3


def names() -> list[str]:
  return sorted(_EXPERIMENTS)


def give_one() -> str:
  """What to say where no experiment is named."""
  return f'--experiment is missing: give --experiment=NAME, for example --experiment=pr_window64; {_LIST} names all {len(names())}.'


def get(name: str) -> Experiment:
  """The experiment of that name.

  Raises:
    UnknownExperimentError: there is none.
  """
  if name not in _EXPERIMENTS:
    begun = [known for known in names() if name and known.startswith(name)][:_NEAREST]
    close = difflib.get_close_matches(name.lower(), names(), n=_NEAREST, cutoff=0.5) or begun
    hint = f' Did you mean {" or ".join(close)}?' if close else ''
    raise UnknownExperimentError(f'there is no experiment {name[:60]!r}.{hint} {_LIST} names all {len(names())}.')
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
