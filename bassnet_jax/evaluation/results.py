"""Reads what finished runs left under `results/<experiment>/<seed>/`, and takes means and intervals over seeds."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from bassnet_jax.evaluation import metrics_check, planes

METRICS_FILE = 'metrics.json'
FAILURE_FILE = 'failure.json'
MAPS_FILE = 'maps.json'
"""In a folder of its own beside METRICS_FILE: the plane on further songs, as `python -m bassnet_jax.plane_maps` leaves it."""
DIVERGED_FILE = 'diverged.txt'
"""In the workdir of a seed whose loss stopped being finite while others trained beside it: what went wrong."""
NOT_RECORDED = 'not recorded'
DEFAULT_VARIANT = 'default'
WITHOUT_SEARCH = {
  'rolled': "the window's own z, rolled in time",
  'window_mean': "the mean of the window's z",
  'smoothness': 'smoothness only',
  'kl_lag': 'KL between frames',
  'l2': 'L2 around the window mean',
  'nostability': 'none',
}
"""Variants whose constraint has no part of the search, on artificial sets and on music alike, and what it is then."""


class ResultError(ValueError):
  """A result can't be used; the message names its file and what to do."""


Figure = Callable[[dict[str, Any]], float | None]
"""A number made from the metrics of one run."""


@dataclasses.dataclass(frozen=True)
class Result:
  """One finished run.

  Attributes:
    experiment, seed: from the folder's names, which the metrics must agree with.
    metrics: what metrics.json holds.
    folder: where it lies.
  """

  experiment: str
  seed: int
  metrics: dict[str, Any]
  folder: str

  def run(self, name: str) -> Any:
    """A field of `run`, None where an older version didn't record it."""
    return self.metrics.get('run', {}).get(name)

  def plane(self) -> planes.Plane | None:
    path = os.path.join(self.folder, planes.FILE)
    try:
      return planes.load(path) if os.path.exists(path) else None
    except planes.PlaneError as error:
      raise ResultError(str(error)) from error

  def further_maps(self) -> list[tuple[str, dict[str, Any]]]:
    """(folder, what its maps.json holds) of every measurement of the plane on further songs."""
    found = []
    for name in sorted(os.listdir(self.folder)):
      path = os.path.join(self.folder, name, MAPS_FILE)
      maps = _json(path)
      if maps is None:
        continue
      fault = metrics_check.fault(maps)
      if fault is not None:
        raise ResultError(f'{path}: {fault}. Remove the file, and python -m bassnet_jax.plane_maps makes it again.')
      found.append((os.path.dirname(path), maps))
    return found


@dataclasses.dataclass(frozen=True)
class Failure:
  """A run that the sweep could not finish; the message names no folder of the machine."""

  experiment: str
  seed: int
  message: str


@dataclasses.dataclass(frozen=True, order=True)
class Conditions:
  """What must be equal for two runs to be averaged or compared.

  Attributes:
    steps: of training.
    preset: full, laptop, or `NOT_RECORDED`.
    settings: the `--set` assignments, joined by blanks; '' for none.
  """

  steps: int
  preset: str
  settings: str

  def __str__(self) -> str:
    return f'{self.steps:,} steps, preset {self.preset}' + (f', {self.settings}' if self.settings not in ('', NOT_RECORDED) else '')


@dataclasses.dataclass(frozen=True)
class Row:
  """Runs of one experiment under the same conditions, by seed: one line of a table."""

  experiment: str
  conditions: Conditions
  results: tuple[Result, ...]

  @property
  def seeds(self) -> tuple[int, ...]:
    return tuple(result.seed for result in self.results)

  @property
  def family(self) -> tuple[str, int, str]:
    """(set, window, variant): 'a1_window64_nostability' is ('a1', 64, 'nostability'); the variant of the plain name is 'default'."""
    return family(self.experiment)


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A figure over seeds.

  Attributes:
    mean: None where a run has no such value (`missing` counts those).
    interval: 95 %, or None; an end that is null in a run ('never') is infinite.
    within_run: the interval is over songs inside the only run, and says nothing of other seeds.
    seeds: how many runs have the figure.
    missing: how many of the row's runs have it as null ('never').
  """

  mean: float | None
  interval: tuple[float, float] | None
  within_run: bool
  seeds: int
  missing: int = 0

  def __str__(self) -> str:
    if self.mean is None:
      return f'never ({self.missing} of {self.seeds + self.missing})' if self.missing else ''
    text = f'{self.mean:.3f}'
    if self.interval is not None:
      low, high = ('never' if math.isinf(end) else f'{end:.3f}' for end in self.interval)
      text += f' [{low}, {high}]' + (' within run' if self.within_run else '')
    return text + (f'; never in {self.missing} of {self.seeds + self.missing}' if self.missing else '')


def family(experiment: str) -> tuple[str, int, str]:
  """(set, window, variant) of an experiment's name; a name of another form is its own set, with window 0."""
  match = re.fullmatch(r'(.+?)_window(\d+)(?:_(.+))?', experiment)
  return (match[1], int(match[2]), match[3] or DEFAULT_VARIANT) if match else (experiment, 0, DEFAULT_VARIANT)


def read(root: str) -> tuple[list[Result], list[Failure]]:
  """Every result and every recorded failure under a folder; a folder that isn't there holds none.

  Raises:
    ResultError: a file is not JSON, of another form, or lies in the folder of another run.
  """
  found, failures = [], []
  for experiment in sorted(os.listdir(root)) if os.path.isdir(root) else []:
    seeds = [name for name in os.listdir(os.path.join(root, experiment)) if name.isdigit()] if _is_folder(root, experiment) else []
    for seed in sorted(seeds, key=int):
      folder = os.path.join(root, experiment, seed)
      metrics = _json(os.path.join(folder, METRICS_FILE))
      if metrics is not None:
        fault = metrics_check.fault(metrics)
        if fault is not None:
          raise ResultError(f'{os.path.join(folder, METRICS_FILE)}: {fault}. Remove the file, and the sweep makes it again.')
        run = metrics.get('run', {})
        named = (run.get('experiment', experiment), run.get('seed', int(seed)))
        if named != (experiment, int(seed)):
          raise ResultError(
            f'{folder}: {METRICS_FILE} is of {str(named[0])[:60]}, seed {str(named[1])[:20]}. Move it to the folder of that run.'
          )
        found.append(Result(experiment, int(seed), metrics, folder))
        continue
      failure = _json(os.path.join(folder, FAILURE_FILE))
      if failure is not None and not isinstance(failure, dict):
        raise ResultError(f'{os.path.join(folder, FAILURE_FILE)} holds no table. Remove the file, and the sweep makes it again.')
      if failure is not None:
        failures.append(Failure(experiment, int(seed), str(failure.get('message', ''))))
  return found, failures


def _is_folder(*parts: str) -> bool:
  return os.path.isdir(os.path.join(*parts))


def _json(path: str) -> dict[str, Any] | None:
  if not os.path.exists(path):
    return None
  try:
    with open(path, encoding='utf-8') as file:
      return json.load(file)
  except (ValueError, RecursionError) as error:
    raise ResultError(f'{path} is not JSON ({str(error)[:200]}). Remove the file, and the sweep makes it again.') from error


def read_run(path: str) -> dict[str, Any]:
  """The part `run` of a metrics.json. Raises ResultError."""
  metrics = _json(path)
  fault = metrics_check.fault(metrics)
  if fault is not None:
    raise ResultError(f'{path}: {fault}. Remove the file, and the sweep makes it again.')
  return metrics.get('run', {})


def conditions(result: Result) -> Conditions:
  settings = result.run('settings')
  return Conditions(
    steps=int(result.run('steps') or 0),
    preset=str(result.run('preset') or NOT_RECORDED),
    settings=NOT_RECORDED if settings is None else ' '.join(settings),
  )


def rows(results: Iterable[Result]) -> list[Row]:
  """Groups runs; what differs in steps, preset or settings never shares a row."""
  groups: dict[tuple, list[Result]] = {}
  for result in results:
    groups.setdefault((family(result.experiment), result.experiment, conditions(result)), []).append(result)

  def order(key: tuple) -> tuple:
    (name, window, variant), _, under = key
    return name, window, under, variant != DEFAULT_VARIANT, variant

  return [Row(key[1], key[2], tuple(sorted(groups[key], key=lambda r: r.seed))) for key in sorted(groups, key=order)]


def lookup(metrics: dict[str, Any], name: str) -> Any:
  """The value under a dotted name; a key may itself hold dots ('test_timbre.control'). KeyError if there is none."""
  if name in metrics:
    return metrics[name]
  parts = name.split('.')
  for length in range(len(parts) - 1, 0, -1):
    inner = metrics.get('.'.join(parts[:length]))
    if isinstance(inner, dict):
      return lookup(inner, '.'.join(parts[length:]))
  raise KeyError(name)


def values(row: Row, figure: str | Figure) -> dict[int, float | None]:
  """Seed -> figure, over the runs that have it.

  Args:
    figure: a dotted name, or a function of the metrics that raises KeyError where it can't be had.
  """
  found = {}
  for result in row.results:
    try:
      value = lookup(result.metrics, figure) if isinstance(figure, str) else figure(result.metrics)
      found[result.seed] = None if value is None else float(value)
    except KeyError:
      continue
    except (TypeError, ValueError, OverflowError) as error:
      raise ResultError(
        f'{os.path.join(result.folder, METRICS_FILE)}: {figure if isinstance(figure, str) else "a figure"} is no number. '
        'Remove the file, and the sweep makes it again.'
      ) from error
  return found


def t_interval(sample: Sequence[float]) -> tuple[float, float]:
  """95 % interval of the mean of at least two values, by Student's t. It is not cut at 0 or 1."""
  if len(sample) < 2:
    raise ValueError(f'an interval over {len(sample)} value: it needs two at least')
  half = stats.t.ppf(0.975, len(sample) - 1) * np.std(sample, ddof=1) / np.sqrt(len(sample))
  return float(np.mean(sample) - half), float(np.mean(sample) + half)


def estimate(row: Row, figure: str | Figure) -> Estimate:
  """Mean over the seeds of a row with its t interval; of one seed, the interval that the run itself gives, if it does."""
  found = values(row, figure)
  numbers = [value for value in found.values() if value is not None]
  missing = len(found) - len(numbers)
  if not numbers:
    return Estimate(None, None, False, 0, missing)
  if len(numbers) > 1:
    return Estimate(float(np.mean(numbers)), t_interval(numbers), False, len(numbers), missing)
  within = _within_run(row, figure) if isinstance(figure, str) else None
  return Estimate(numbers[0], within, within is not None, 1, missing)


def estimate_of_data(row: Row, name: str) -> Estimate:
  """A figure that no training changes (of the mix, or of a line that no model plays): the first run's, with its interval over songs."""
  return estimate(dataclasses.replace(row, results=row.results[:1]), name)


def _within_run(row: Row, name: str) -> tuple[float, float] | None:
  """The interval beside the one value that a row has."""
  for result in row.results:
    try:
      if lookup(result.metrics, name) is not None:
        low, high = lookup(result.metrics, f'{name}_ci95')
        return tuple(math.inf if end is None else float(end) for end in (low, high))
    except KeyError:
      continue
    except (TypeError, ValueError, OverflowError) as error:
      raise ResultError(
        f'{os.path.join(result.folder, METRICS_FILE)}: {name}_ci95 is no pair of numbers. Remove the file, and the sweep makes it again.'
      ) from error
  return None


def difference(row: Row, other: Row, figure: str | Figure) -> Estimate:
  """row - other, paired by seed.

  Raises:
    ValueError: the rows' conditions differ, which would compare unequal training.
  """
  if row.conditions != other.conditions:
    raise ValueError(f'{row.experiment} ({row.conditions}) and {other.experiment} ({other.conditions}) were not trained alike')
  a, b = values(row, figure), values(other, figure)
  pairs = [a[seed] - b[seed] for seed in a if a[seed] is not None and b.get(seed) is not None]
  if not pairs:
    return Estimate(None, None, False, 0)
  return Estimate(float(np.mean(pairs)), t_interval(pairs) if len(pairs) > 1 else None, False, len(pairs))
