"""Kills real training runs at random moments, lets them go on, and compares: `python -m tests.campaign.kills --tries=100 --seed=0`.

Every try starts `python -m bassnet_jax.main` (tfdata or resident, one process or two), holds it still at a moment of one kind
(`moments.KINDS`), sends SIGKILL or SIGTERM, starts the same command again, and compares the final state with that of a run that nobody
disturbed. A call that was stopped goes on where it was. Results: RESULTS/kills.json, from which `python -m tests.campaign` makes its page.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent import futures

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the tests' makers of songs

from bassnet_jax import scalar_log
from bassnet_jax.checkpoints import load_params, stored_digests
from data_pipeline.progress import Progress

from . import part, runs
from .moments import KINDS, Moment, View
from .runs import Laboratory, Running, Setting

ATTEMPTS = 8
"""Starts in which a try waits for its moment; the first is enough but for moments as short as the wait within them."""
LONGEST = 1800.0
"""Seconds that a start may last: the machine may be busy with other things."""
_SIGNALS = {'KILL': signal.SIGKILL, 'TERM': signal.SIGTERM}


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a try does; a function of the seed and its number.

  Attributes:
    kind: of `moments.KINDS`.
    signal: 'KILL' or 'TERM'.
    setting: of the run.
    alone: of two processes, only one is sent the signal; a killed one's partner is killed a second later, as clusters do.
    processes_after: how many processes go on; another number than before only with the resident input, in training.
    draw: seed of the try.
  """

  kind: str
  signal: str
  setting: Setting
  alone: bool
  processes_after: int
  draw: int


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a try.

  Attributes:
    plan: of it, as plain values.
    hit: whether the signal came at the moment that was meant; none is sent at another.
    at: the step that was logged when it was sent.
    identical: parameters, optimiser and report as without the disturbance, bit for bit.
    difference: largest relative difference of the last losses; where the number of processes changed, to the nearer of the runs of both.
    left_over: files and processes that should not be there.
    problem: what went wrong, or ''.
    seconds: of the try.
  """

  plan: dict
  hit: bool
  at: int
  identical: bool
  difference: float
  left_over: list[str]
  problem: str
  seconds: float

  @property
  def good(self) -> bool:
    moved = self.plan['processes_after'] != self.plan['setting']['processes']
    return self.hit and not self.problem and not self.left_over and (self.difference <= 1e-5 if moved else self.identical)


FIRST = (
  ('start', 'tfdata', 1, 1), ('step', 'resident', 2, 1), ('save', 'tfdata', 2, 2), ('evaluation', 'resident', 1, 1),
  ('report', 'resident', 1, 1), ('features', 'resident', 1, 1), ('packing', 'tfdata', 1, 1), ('step', 'tfdata', 2, 2),
  ('save', 'resident', 2, 2), ('step', 'resident', 1, 1), ('save', 'resident', 1, 2), ('save', 'tfdata', 1, 1),
)  # fmt: skip
"""Kind, input, processes before and after, of the first twelve tries, which are CI's: every kind, both inputs with one process and with
two, both of them in a step and in a save, and both changes of the number of processes. Few settings: each costs a run left in peace."""


def cells() -> list[tuple[str, str, int, int]]:
  """Kind, input, processes before and after: all that there are. tf.data's position is one for each process, so that it can't move."""
  same = [(kind, backend, count, count) for kind in KINDS for backend in ('tfdata', 'resident') for count in (1, 2)]
  moved = [(kind, 'resident', *counts) for kind in ('step', 'save') for counts in ((1, 2), (2, 1))]
  return [cell for cell in same + moved if cell[:2] != ('packing', 'resident')]  # the resident input packs nothing


def plan_of(seed: int, number: int) -> Plan:
  """What a try does. All `cells` have had their turn after as many tries, and again after as many more; every third signal is SIGTERM."""
  turn, place = divmod(number, len(cells()))
  shuffled = random.Random(f'{seed} {turn}')
  first = list(FIRST) if turn == 0 else []
  others = [cell for cell in cells() if cell not in first]
  shuffled.shuffle(others)
  kind, backend, processes, after = (first + others)[place]
  thirds = ['KILL', 'KILL', 'TERM']
  random.Random(f'{seed} signal {number // 3}').shuffle(thirds)
  name = thirds[number % 3]
  drawn = random.Random(f'{seed} try {number}')
  # Elsewhere than in training SIGTERM ends a process at once, and the others with it only after their own time.
  alone = processes == 2 and (kind in ('step', 'save') or name == 'KILL') and drawn.random() < 0.5
  return Plan(kind, name, Setting(backend, processes, KINDS[kind].report), alone, after, drawn.randrange(2**31))


class Campaign:
  """Tries in one laboratory, from several threads if wanted; runs that nobody disturbs are made once for each setting."""

  def __init__(self, laboratory: Laboratory):
    self.laboratory = laboratory
    self._lock = threading.Lock()  # whoever holds it may change the datasets that tries share, or look for what was left in them
    self._started: list[Running] = []
    self._over = False

  def end(self) -> None:
    """Kills every run, of other threads too, and starts none any more: their tries end soon, without a result that counts."""
    self._over = True
    for running in list(self._started):
      if any(process.poll() is None for process in running.processes):
        running.end()

  def undisturbed(self, setting: Setting) -> pathlib.Path:
    """The workdir of a finished run."""
    folder = self.laboratory.root / 'undisturbed' / setting.name
    with self._lock:
      if not (folder / 'finished').exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._to_the_end(setting, folder / 'run', self.laboratory.data_dir(setting.report), folder / 'log.txt')
        (folder / 'finished').touch()
    return folder / 'run'

  def _start(self, setting: Setting, workdir: pathlib.Path, data_dir: pathlib.Path, log: pathlib.Path) -> Running:
    if self._over:
      raise RuntimeError('the campaign was stopped')
    running = Running(self.laboratory.command(setting, workdir, data_dir), log, setting.processes)
    self._started.append(running)
    return running

  def _to_the_end(self, setting: Setting, workdir: pathlib.Path, data_dir: pathlib.Path, log: pathlib.Path) -> Running:
    running = self._start(setting, workdir, data_dir, log)
    try:
      codes = running.wait(LONGEST)
    finally:
      running.end()
    if any(codes):
      raise RuntimeError(f'the run ended with {codes}: {running.text()[-1500:]}')
    return running

  def attempt(self, plan: Plan, number: int) -> Outcome:
    """One try, in a folder of its own that is deleted if all went well."""
    begin = time.monotonic()
    after = dataclasses.replace(plan.setting, processes=plan.processes_after)
    # Sums in another order can tip a choice that is nearly even, from where on runs of one process and of two part: it may go either way.
    wholes = [self.undisturbed(setting) for setting in dict.fromkeys((plan.setting, after))]
    folder = self.laboratory.root / f'try_{number}'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    workdir, log = folder / 'run', folder / 'log.txt'
    data_dir = folder / 'data' if KINDS[plan.kind].build else self.laboratory.data_dir(plan.setting.report)
    outcome = Outcome(dataclasses.asdict(plan), False, 0, False, 0.0, [], '', 0.0)
    try:
      at, started = self._disturb(plan, workdir, data_dir, log)
      outcome = dataclasses.replace(outcome, hit=True, at=at)
      started.append(self._to_the_end(after, workdir, data_dir, log))
      left = [f'process {member}' for running in started for member in running.left_over()]
      with self._lock:
        identical, difference = min((compare(whole, workdir, plan.setting.report) for whole in wholes), key=lambda pair: pair[1])
        left += remains(workdir) + remains(data_dir)
      outcome = dataclasses.replace(outcome, identical=identical, difference=difference, left_over=left)
      traceback = 'Traceback (most recent call last)'
      if traceback in log.read_text(errors='replace'):
        outcome = dataclasses.replace(outcome, problem='a traceback was printed')
    except (RuntimeError, TimeoutError, ValueError, OSError) as error:
      outcome = dataclasses.replace(outcome, problem=f'{type(error).__name__}: {error}'[-1500:])
    outcome = dataclasses.replace(outcome, seconds=time.monotonic() - begin)
    if outcome.good:
      shutil.rmtree(folder)
    return outcome

  def _disturb(self, plan: Plan, workdir, data_dir, log) -> tuple[int, list[Running]]:
    """Sends the signal while the run is held still at its moment. Returns (step, what was started).

    Raises:
      TimeoutError: the moment did not come.
      RuntimeError: the run ended otherwise than by the signal.
    """
    drawn, moment = random.Random(plan.draw), KINDS[plan.kind]
    wanted, delay = moment.draw(drawn), drawn.random() * moment.longest
    which = [drawn.randrange(plan.setting.processes)] if plan.alone else list(range(plan.setting.processes))
    started = []
    for _ in range(ATTEMPTS):
      running = self._start(plan.setting, workdir, data_dir, log)
      started.append(running)
      try:
        view = View(workdir, data_dir, log, running.begun, running.printed)
        while self._wait_for(running, moment, view, wanted, delay):
          running.freeze()
          if running.alive() and moment.left(view):
            at = view.step()
            running.send(_SIGNALS[plan.signal], which)
            running.thaw()
            if self._stopped(plan, running):
              return at, started
            delay /= 2
            break
          running.thaw()  # it was over sooner than the wait within it
          delay /= 2
        codes = running.wait(LONGEST)
        if any(codes):
          raise RuntimeError(f'nobody disturbed it, but it ended with {codes}: {running.text()[-1500:]}')
      finally:
        if any(process.poll() is None for process in running.processes):  # else its workers must end by themselves
          running.end()
      shutil.rmtree(workdir)  # it came to its end: once more from the beginning
      if moment.build:
        shutil.rmtree(data_dir)
    raise TimeoutError(f'{moment.what}: not met in {ATTEMPTS} starts')

  def _wait_for(self, running: Running, moment: Moment, view: View, wanted: int, delay: float) -> bool:
    """Waits for a moment, and then within it. Returns False if the run is over."""
    while running.alive() and not moment.reached(view, wanted):
      time.sleep(0.001)
      if time.time() - running.begun > LONGEST:
        raise TimeoutError(f'{moment.what} did not come: {running.text()[-1500:]}')
    deadline = time.monotonic() + delay
    while running.alive() and moment.left(view) and (left := deadline - time.monotonic()) > 0:
      time.sleep(min(left, 0.001))
    return running.alive()

  def _stopped(self, plan: Plan, running: Running) -> bool:
    """Whether the signal ended a run; SIGTERM doesn't where the last step is done, and the run comes to its end."""
    codes = running.wait_together(LONGEST)
    if plan.signal == 'TERM' and not any(codes):
      return False
    # The partner of a process that is gone may notice before it is killed too: it says so and ends (2), or jax ends it (SIGABRT).
    partner = {2, -signal.SIGABRT} if plan.setting.processes > 1 else set()
    if not set(codes) <= {-signal.SIGKILL, -signal.SIGTERM, 143} | partner:
      raise RuntimeError(f'after {plan.signal} {KINDS[plan.kind].what} it ended with {codes}: {running.text()[-1500:]}')
    return True


def wait_for_step(workdir: pathlib.Path, running: Running, step: int) -> None:
  """Returns when a run has logged this step, or is over."""
  while running.alive():
    rows = scalar_log.read_rows(str(workdir / 'metrics.jsonl'))
    if rows and rows[-1]['step'] >= step:
      return
    time.sleep(0.005)


def compare(whole: pathlib.Path, workdir: pathlib.Path, report: bool) -> tuple[bool, float]:
  """(all arrays and the report's figures are the same bit for bit, largest relative difference of the last row of losses)."""
  (a, _, step), (b, _, last) = load_params(str(whole)), load_params(str(workdir))
  if not step == last == runs.STEPS:
    raise RuntimeError(f'the runs end at steps {step} and {last}, expected {runs.STEPS}')
  same = _bytes(a) == _bytes(b) and stored_digests(str(whole), step) == stored_digests(str(workdir), step)
  rows = [scalar_log.read_rows(str(folder / 'metrics.jsonl')) for folder in (whole, workdir)]
  if [row['step'] for row in rows[0]] != [row['step'] for row in rows[1]]:
    raise RuntimeError('metrics.jsonl lacks rows, or has some twice')
  names = ('total', 'cqt', 'pitch', 'onset', 'level')
  difference = max(abs(rows[0][-1][name] - rows[1][-1][name]) / max(abs(rows[0][-1][name]), 1e-9) for name in names)
  if report:
    figures = [json.loads((folder / 'report' / 'metrics.json').read_text()) for folder in (whole, workdir)]
    for each in figures:
      each.pop('run')  # seconds, and so on
    same = same and figures[0] == figures[1]
    pages = [sorted(path.name for path in (folder / 'report').iterdir()) for folder in (whole, workdir)]
    same = same and pages[0] == pages[1]
  return same, difference


def _bytes(tree) -> list[bytes]:
  import jax
  import numpy as np

  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def remains(folder: pathlib.Path) -> list[str]:
  """Half-written files that no later start cleared away."""
  found = [path for path in folder.rglob('*') if 'tmp' in path.name or 'incomplete' in path.name]
  return [str(path.relative_to(folder)) for path in found if 'compiled' not in path.parts]


def summary(outcomes: Sequence[dict]) -> list[list[str]]:
  """Rows of the campaign's table: for every kind of moment, and together."""
  rows = [['moment', 'tries', 'of these hit', 'good', 'seconds a try']]
  kinds = [kind for kind in KINDS if any(each['plan']['kind'] == kind for each in outcomes)]
  for kind in [*kinds, None]:
    these = [each for each in outcomes if kind is None or each['plan']['kind'] == kind]
    if these:
      rows.append(
        [
          KINDS[kind].what if kind else 'all',
          str(len(these)),
          f'{sum(each["hit"] for each in these)} of {len(these)}',
          f'{sum(each["good"] for each in these)} of {len(these)}',
          f'{sum(each["seconds"] for each in these) / len(these):.0f}',
        ]
      )
  return rows


def statements(outcomes: Sequence[dict]) -> list[str]:
  """What the tries show, in words."""
  same = [each for each in outcomes if each['plan']['processes_after'] == each['plan']['setting']['processes']]
  moved = [each for each in outcomes if each not in same]
  lines = [
    f'kills tried: {len(outcomes)}; resumes bit-identical on the same devices and '
    f'process count: {sum(each["good"] for each in same)} of {len(same)}'
  ]
  if moved:
    lines.append(
      f'gone on with another number of processes, losses within 1e-5 of a run with as many as before or as after: '
      f'{sum(each["good"] for each in moved)} of {len(moved)} (largest difference {max(each["difference"] for each in moved):.1e})'
    )
  for name, key in (('input', 'backend'), ('processes', 'processes')):
    values = sorted({each['plan']['setting'][key] for each in outcomes}, key=str)
    lines.append(f'{name}: ' + ', '.join(f'{value} {sum(each["plan"]["setting"][key] == value for each in outcomes)}' for value in values))
  counts = {value: sum(each['plan']['signal'] == value for each in outcomes) for value in _SIGNALS}
  lines.append('signals: ' + ', '.join(f'SIG{value} {count}' for value, count in counts.items()))
  return lines


def run(tries: int, seed: int, results: pathlib.Path, root: pathlib.Path, kinds: Sequence[str] = (), at_once: int = 1) -> list[dict]:
  """Makes the tries that the results lack, and writes them after each, in the order of their numbers.

  Args:
    kinds: only tries of these; all if empty.
    at_once: tries at one time. What they come to does not depend on it.
  """
  command = f'python -m tests.campaign.kills --tries={tries} --seed={seed}' + (f' --kinds={",".join(kinds)}' if kinds else '')
  command += f' --at_once={at_once}' if at_once > 1 else ''
  kept = part.kept(str(results), 'kills')
  outcomes = kept['outcomes'][:tries] if kept and (kept['seed'], kept['kinds']) == (seed, list(kinds)) else []
  wanted = (number for number in itertools.count() if not kinds or plan_of(seed, number).kind in kinds)
  numbers = list(itertools.islice(wanted, tries))
  campaign = Campaign(Laboratory(root))
  with futures.ThreadPoolExecutor(at_once) as pool, Progress(tries, 'kills', 'tries', done=len(outcomes)) as progress:
    plans = {number: plan_of(seed, number) for number in numbers[len(outcomes) :]}
    waiting = [pool.submit(campaign.attempt, plan, number) for number, plan in plans.items()]
    try:
      for plan, outcome in zip(plans.values(), (each.result() for each in waiting), strict=True):
        outcomes.append(dataclasses.asdict(outcome) | {'good': outcome.good})
        words = f'{plan.setting.name}, SIG{plan.signal} {KINDS[plan.kind].what}, after step {outcome.at}: '
        words += ('bit-identical' if outcome.identical else f'losses within {outcome.difference:.1e}') if outcome.good else 'NOT THE SAME'
        progress.message(words + ('' if outcome.hit else ' (its moment was not hit)') + f', {outcome.seconds:.0f} s')
        if not outcome.good:
          progress.message(f'  {outcome.problem or outcome.left_over or outcome.difference}')
        progress.update()
        part.write(
          str(results), 'kills', title='Killed and gone on', command=command, statements=statements(outcomes), table=summary(outcomes),
          kinds=list(kinds), seed=seed, outcomes=outcomes,
        )  # fmt: skip
    except BaseException:
      pool.shutdown(wait=False, cancel_futures=True)
      campaign.end()
      raise
  return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command. Returns its exit code: 0, 1 if a try did not end well, 2 for a user's mistake."""
  from absl import flags, logging

  logging.set_verbosity(logging.ERROR)  # orbax tells of every folder that it reads
  defined = flags.FlagValues()
  flags.DEFINE_integer('tries', 100, 'in all', lower_bound=1, flag_values=defined)
  flags.DEFINE_integer('seed', 0, 'of all choices', lower_bound=0, flag_values=defined)
  flags.DEFINE_list('kinds', [], f'only these of {", ".join(KINDS)}', flag_values=defined)
  flags.DEFINE_integer('at_once', 1, 'tries at one time', lower_bound=1, flag_values=defined)
  flags.DEFINE_string('results', 'docs/campaign', 'folder of kills.json', flag_values=defined)
  flags.DEFINE_string('folder', None, 'where the runs are; default: a temporary one, deleted at the end', flag_values=defined)
  flags.DEFINE_bool('help', False, 'show this text', flag_values=defined)
  try:
    defined(list(sys.argv if arguments is None else arguments))
    if defined.help:
      print(f'{__doc__}\n{defined.get_help()}')
      return 0
    unknown = [kind for kind in defined.kinds if kind not in KINDS]
    if unknown:
      raise flags.Error(f'--kinds={unknown[0]}: there are {", ".join(KINDS)}')
  except flags.Error as error:
    print(f'kills: {error}', file=sys.stderr)
    return 2
  folder = part.begin('kills', defined.folder)
  outcomes = run(defined.tries, defined.seed, pathlib.Path(defined.results), folder, defined.kinds, defined.at_once)
  print('\n'.join('  '.join(f'{cell:<62}' if i == 0 else f'{cell:>13}' for i, cell in enumerate(row)) for row in summary(outcomes)))
  print('\n'.join(statements(outcomes)))
  return part.end(folder, defined.folder, all(each['good'] for each in outcomes))


if __name__ == '__main__':
  sys.exit(main())
