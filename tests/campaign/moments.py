"""Moments of a run, told from the files that it leaves: so that a signal really comes in a step, in a save, in the build, ..."""

from __future__ import annotations

import dataclasses
import pathlib
import random
from collections.abc import Callable

from bassnet_jax import scalar_log

from . import runs


@dataclasses.dataclass(frozen=True)
class View:
  """Where a run's files are.

  Attributes:
    workdir, data_dir: of the run.
    log: what it prints.
    begun: seconds since the epoch; what is older was left by an earlier start.
    printed: bytes of the log at the start.
  """

  workdir: pathlib.Path
  data_dir: pathlib.Path
  log: pathlib.Path
  begun: float
  printed: int

  def says(self, words: str) -> bool:
    return words.encode() in self.log.read_bytes()[self.printed :]

  def step(self) -> int:
    """The last step that was logged."""
    rows = scalar_log.read_rows(str(self.workdir / 'metrics.jsonl'))
    return int(rows[-1]['step']) if rows else 0

  def saving(self) -> list[pathlib.Path]:
    """Checkpoints that are not whole yet."""
    return [path for path in _entries(self.workdir / 'checkpoints') if not path.name.isdigit()]

  def pictures(self) -> list[pathlib.Path]:
    return [path for path in _entries(self.workdir / 'report') if path.suffix == '.png' and _newer(path, self.begun)]

  def songs(self) -> int:
    """Feature files that are whole."""
    return len(list(self.data_dir.glob('features/*/*/*/songs/*.npz')))

  def extracted(self) -> bool:
    return any(self.data_dir.glob('features/*/*/*/summary.json'))

  def packing(self) -> bool:
    return any(self.data_dir.glob(f'{runs.DATASET}/*incomplete*'))


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
  try:
    return sorted(folder.iterdir())
  except FileNotFoundError:
    return []


def _newer(path: pathlib.Path, seconds: float) -> bool:
  try:
    return path.stat().st_mtime >= seconds
  except FileNotFoundError:
    return False


@dataclasses.dataclass(frozen=True)
class Moment:
  """One kind of moment.

  Attributes:
    what: in words.
    reached: whether the run is there; the number was drawn for this try.
    left: whether the files still say so when the run is held still.
    draw: a number that says when.
    longest: seconds to wait at most after it was reached, before the run is held still.
    report: needs songs for a report. build: begins without a dataset.
  """

  what: str
  reached: Callable[[View, int], bool]
  left: Callable[[View], bool]
  draw: Callable[[random.Random], int] = lambda drawn: 0
  longest: float = 0.0
  report: bool = False
  build: bool = False


def _evaluating(view: View, _: int = 0) -> bool:
  begun = view.says('training is complete') or _newer(view.workdir / 'report', view.begun)
  return begun and (view.workdir / 'report').is_dir() and not view.pictures() and not view.says('report: ')


def _reporting(view: View, count: int = 1) -> bool:
  return len(view.pictures()) >= count and not _newer(view.workdir / 'report' / 'index.html', view.begun)


KINDS: dict[str, Moment] = {
  'start': Moment(
    'between the start and the first step: restoring, compiling',
    lambda view, _: view.says('run: ') and view.step() == 0,
    lambda view: view.step() == 0,
    longest=2.0,
  ),
  'step': Moment(
    'in a step',
    lambda view, step: view.step() >= step and not view.saving(),
    lambda view: not view.saving(),
    lambda drawn: drawn.randint(2, runs.STEPS // 2),
    longest=0.1,
  ),
  'save': Moment(
    'in a save',
    lambda view, step: view.step() >= step and bool(view.saving()),
    lambda view: bool(view.saving()),
    lambda drawn: drawn.randint(3, runs.STEPS - 8),
    longest=0.02,
  ),
  'evaluation': Moment('in the evaluation', _evaluating, _evaluating, longest=1.0, report=True),
  'report': Moment('while the report is written', _reporting, _reporting, lambda drawn: drawn.randint(1, 4), longest=0.2, report=True),
  'features': Moment(
    'in the dataset build, among the songs',
    lambda view, count: view.songs() >= count and not view.extracted(),
    lambda view: not view.extracted(),
    lambda drawn: drawn.randint(0, 3),
    longest=0.3,
    build=True,
  ),
  'packing': Moment(
    'in the dataset build, while packing',
    lambda view, _: view.packing(),
    lambda view: view.packing(),
    longest=0.2,
    build=True,
  ),
}
