"""Trains named experiments over seeds and builds RESULTS.md; `python -m bassnet_jax.sweep --experiments='a?_window64*' --seeds=3`.

Every run is a process of its own, `python -m bassnet_jax.main`: whatever happens to it, the sweep goes on. Several may be at work side by
side, each on its share of the cores (`bassnet_jax.side_by_side`). This module itself touches no accelerator.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import itertools
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Sequence

from absl import app, flags

from bassnet_jax import config as configs
from bassnet_jax import side_by_side
from bassnet_jax.evaluation import planes, results
from data_pipeline import commands, storage
from data_pipeline.progress import clock

_WORDS = 'the sweep was stopped; what was trained is saved. The same command goes on.'


@dataclasses.dataclass(frozen=True)
class Plan:
  """Where a sweep reads and writes, and how its runs are changed.

  Attributes:
    workdir, data_dir, results: absolute folders.
    manual_dir: of the user's own corpus, or None.
    preset, settings: as of `main`.
    seeds_at_once: how many seeds of an experiment are trained in one compiled step.
  """

  workdir: str
  data_dir: str
  results: str
  manual_dir: str | None = None
  preset: str = 'full'
  settings: tuple[str, ...] = ()
  seeds_at_once: int = 1

  def run_folder(self, experiment: str, seed: int) -> str:
    return os.path.join(self.workdir, experiment, str(seed))

  def result_folder(self, experiment: str, seed: int) -> str:
    return os.path.join(self.results, experiment, str(seed))

  def arguments(self, experiment: str) -> list[str]:
    """What decides a run, but its seed and its folders: they differ from machine to machine."""
    changed = [f'--preset={self.preset}'] if self.preset != 'full' else []
    return [f'--experiment={experiment}', *changed, *(word for assignment in self.settings for word in ('--set', assignment))]

  def folders(self) -> list[str]:
    return [f'--data_dir={self.data_dir}', *([f'--manual_dir={self.manual_dir}'] if self.manual_dir else [])]

  def command(self, experiment: str, seed: int) -> str:
    """What makes this run alone."""
    return shlex.join(['python', '-m', 'bassnet_jax.main', *self.arguments(experiment), f'--seed={seed}'])


def select(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
  """The experiments that a list of names and patterns means.

  Raises:
    ValueError: a pattern matches none.
  """
  chosen: list[str] = []
  listed = f'python -m bassnet_jax.main --list names all {len(names)}.'
  if not patterns:
    raise ValueError(f"--experiments is missing: give --experiments=NAME or a pattern such as 'a?_window64*'. {listed}")
  for pattern in patterns:
    matching = fnmatch.filter(names, pattern.strip())
    if not matching:
      close = difflib.get_close_matches(pattern.strip(), names, n=3, cutoff=0.5)
      hint = f' Did you mean {" or ".join(close)}?' if close else ''
      raise ValueError(f'--experiments: {pattern.strip()!r} matches no experiment.{hint} {listed}')
    chosen += [name for name in matching if name not in chosen]
  return chosen


def check(plan: Plan, names: Iterable[str]) -> None:
  """Finds a user's mistake before anything is trained.

  Raises:
    ValueError: a wrong preset or setting, or several seeds at once without the resident input.
  """
  import experiments

  for name in names:
    experiment = configs.override(experiments.preset(experiments.get(name), plan.preset), plan.settings)
    if plan.seeds_at_once > 1 and experiment.data.backend != 'resident':
      raise ValueError(
        f'--seeds_at_once={plan.seeds_at_once}: {name} has data.backend={experiment.data.backend}; '
        'several seeds share one copy of the data in device memory: add --set data.backend=resident'
      )


def sweep(plan: Plan, names: Sequence[str], seeds: Sequence[int], jobs: int = 1) -> list[tuple[str, int]]:
  """Makes every result that is missing; a failure is recorded and the sweep goes on.

  Seed 0 of every experiment comes first, then seed 1 of every one, so that a table of all rows stands early; with several seeds at
  once the same goes for groups of seeds.

  Args:
    jobs: how many runs are at work at a time.

  Returns:
    (experiment, seed) of the runs that failed.

  Raises:
    ValueError: see `check`.
    side_by_side.Stopped: a signal came.
  """
  check(plan, names)
  groups = [seeds[i : i + plan.seeds_at_once] for i in range(0, len(seeds), plan.seeds_at_once)]
  wanted = [(name, [seed for seed in group if not is_done(plan, name, seed)]) for group, name in itertools.product(groups, names)]
  wanted = [(name, group) for name, group in wanted if group]
  missing = sum(len(group) for _, group in wanted)
  total = len(names) * len(seeds)
  print(f'sweep: {total} runs ({len(names)} experiments, {len(seeds)} seeds), {total - missing} have their result', flush=True)
  failed: list[tuple[str, int]] = []
  begin, begun, done = time.monotonic(), 0, 0
  with side_by_side.Processes(jobs, _WORDS) as processes:

    def run(job: tuple[str, Sequence[int]]) -> None:
      nonlocal begun, done
      name, group = job
      elapsed = time.monotonic() - begin
      left = f'about {clock(elapsed / done * (missing - done))} left' if done else 'time left: known after the first'
      which = f'run {begun + 1}' if len(group) == 1 else f'runs {begun + 1} to {begun + len(group)}'
      begun += len(group)
      print(
        f'sweep: {which} of {missing}: {name}, seed {", ".join(map(str, group))}; {len(failed)} failed, {clock(elapsed)} so far, {left}',
        flush=True,
      )
      failed.extend((name, seed) for seed in run_group(plan, name, group, processes))
      done += len(group)

    processes.work_through(run, wanted)
  print(f'sweep: {missing - len(failed)} runs made, {len(failed)} failed, in {clock(time.monotonic() - begin)}', flush=True)
  return failed


def is_done(plan: Plan, name: str, seed: int) -> bool:
  """Whether a result is there; says so where it was made otherwise than is now asked."""
  path = os.path.join(plan.result_folder(name, seed), results.METRICS_FILE)
  if not os.path.exists(path):
    return False
  run = results.read_run(path)
  made = (run.get('preset', plan.preset), tuple(run.get('settings', plan.settings)))
  if made != (plan.preset, plan.settings):
    print(
      f'sweep: {name}, seed {seed} is skipped: its result is of preset {made[0]} with settings {list(made[1])}, '
      f'not of preset {plan.preset} with {list(plan.settings)}. For those, give another --results and --workdir.',
      flush=True,
    )
  return True


def run_group(plan: Plan, name: str, seeds: Sequence[int], processes: side_by_side.Processes) -> list[int]:
  """Trains (or goes on), evaluates and publishes seeds of one experiment; returns those that failed."""
  failed: dict[int, str] = {}
  if len(seeds) > 1:
    listed, where = ','.join(map(str, seeds)), os.path.join(plan.workdir, name)
    command = ['-m', 'bassnet_jax.train_seeds', *plan.arguments(name), f'--seeds={listed}', f'--workdir={where}', *plan.folders()]
    code, words = processes.run(command, name)
    if code != 0:
      diverged = {seed: _text(os.path.join(plan.run_folder(name, seed), results.DIVERGED_FILE)) for seed in seeds}
      failed = {seed: why for seed, why in diverged.items() if why} if code == 1 else {}
      failed = failed or dict.fromkeys(seeds, f'training seeds {listed} together, exit code {code}: {words}')
  for seed in seeds:
    if seed not in failed:
      command = ['-m', 'bassnet_jax.main', *plan.arguments(name), f'--seed={seed}']
      command += [f'--workdir={plan.run_folder(name, seed)}', *plan.folders(), '--nodemo']
      code, words = processes.run(command, f'{name} {seed}')
      if code == 0:
        publish(plan, name, seed)
      else:
        failed[seed] = f'exit code {code}: {words}'
  for seed, why in failed.items():
    record_failure(plan, name, seed, why)
  return list(failed)


def _text(path: str) -> str:
  if not os.path.exists(path):
    return ''
  with open(path) as file:
    return file.read()


def publish(plan: Plan, name: str, seed: int) -> None:
  """Copies what is kept of a run's report into the results; metrics.json comes last, it says that the rest is there."""
  report, folder = os.path.join(plan.run_folder(name, seed), 'report'), plan.result_folder(name, seed)
  with open(os.path.join(report, results.METRICS_FILE)) as file:
    metrics = json.load(file)
  metrics['run'] |= {'preset': plan.preset, 'settings': list(plan.settings), 'command': plan.command(name, seed)}
  os.makedirs(folder, exist_ok=True)
  if os.path.exists(os.path.join(report, planes.FILE)):
    shutil.copyfile(os.path.join(report, planes.FILE), os.path.join(folder, planes.FILE + '.tmp'))
    os.replace(os.path.join(folder, planes.FILE + '.tmp'), os.path.join(folder, planes.FILE))
  storage.write_json(os.path.join(folder, results.METRICS_FILE), metrics)
  failure = os.path.join(folder, results.FAILURE_FILE)
  if os.path.exists(failure):
    os.remove(failure)


def record_failure(plan: Plan, name: str, seed: int, message: str) -> None:
  """Reports a failed run and keeps its message, without this machine's folders, among the results."""
  print(f'sweep: {name}, seed {seed} failed: {message}\nsweep: going on', file=sys.stderr, flush=True)
  folders = [(plan.workdir, 'WORKDIR'), (plan.data_dir, 'DATA_DIR'), (plan.results, 'RESULTS'), (plan.manual_dir, 'MANUAL_DIR')]
  for path, word in [*folders, (os.getcwd(), '.'), (os.path.expanduser('~'), '~')]:
    message = message.replace(path, word) if path else message
  os.makedirs(plan.result_folder(name, seed), exist_ok=True)
  storage.write_json(
    os.path.join(plan.result_folder(name, seed), results.FAILURE_FILE), {'message': message, 'command': plan.command(name, seed)}
  )


@commands.plain_errors()
def main(arguments: Sequence[str]) -> None:
  """Flags in, exit code out: 0 if every run has its result, 1 if one failed, 2 for a user's mistake, 143 if interrupted."""
  import experiments
  from bassnet_jax.evaluation import results_page

  commands.only_flags(arguments[1:], 'experiments', 'set')
  kept = os.path.abspath(_RESULTS.value)
  failed: list[tuple[str, int]] = []
  try:
    if not _REPORT_ONLY.value:
      plan = Plan(
        workdir=storage.only_local(_WORKDIR.value, 'a sweep'),
        data_dir=storage.absolute(_DATA_DIR.value),
        results=kept,
        manual_dir=_MANUAL_DIR.value,
        preset=_PRESET.value,
        settings=tuple(_SET.value),
        seeds_at_once=_SEEDS_AT_ONCE.value,
      )
      failed = sweep(plan, select(_EXPERIMENTS.value, experiments.names()), range(_SEEDS.value), _JOBS.value)
    if not any(results.read(kept)):
      raise ValueError(
        f'--results={_RESULTS.value} holds no result; expected EXPERIMENT/SEED/metrics.json below it, as a sweep leaves them'
      )
    described = {name: experiments.description(name).splitlines()[0] for name in experiments.names()}
    print(f'results: {results_page.write(kept, described)}', flush=True)
  except side_by_side.Stopped as error:
    print(error, file=sys.stderr)
    sys.exit(side_by_side.INTERRUPTED)
  if failed:
    print(f'{len(failed)} runs failed: ' + ', '.join(f'{name} seed {seed}' for name, seed in failed), file=sys.stderr)
    sys.exit(1)


if __name__ == '__main__':
  _EXPERIMENTS = flags.DEFINE_list('experiments', [], "Names or patterns, separated by commas: 'a?_window64*,pr_window64'.")
  _SEEDS = flags.DEFINE_integer('seeds', 1, 'Seeds 0 .. N-1 of every experiment.', lower_bound=1)
  _SEEDS_AT_ONCE = flags.DEFINE_integer('seeds_at_once', 1, 'Seeds trained in one compiled step (resident input).', lower_bound=1)
  _JOBS = flags.DEFINE_integer('jobs', 1, 'Runs at work side by side, each on its share of the cores.', lower_bound=1)
  _WORKDIR = flags.DEFINE_string('workdir', os.path.join('runs', 'sweep'), 'Checkpoints and reports: WORKDIR/EXPERIMENT/SEED.')
  _DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of the datasets; what is missing is built there.')
  _MANUAL_DIR = flags.DEFINE_string('manual_dir', None, 'Your own corpus, for configurations that read one.')
  _PRESET = flags.DEFINE_string('preset', 'full', 'full, or laptop: minutes a run on two cores.')
  _SET = flags.DEFINE_multi_string('set', [], 'section.field=value, repeatedly, for every run.')
  _RESULTS = flags.DEFINE_string('results', 'results', 'RESULTS/EXPERIMENT/SEED/metrics.json of finished runs; RESULTS.md lies beside it.')
  _REPORT_ONLY = flags.DEFINE_bool('report_only', False, 'Train nothing; build RESULTS.md from what is there.')
  app.run(main, flags_parser=commands.parse_flags)
