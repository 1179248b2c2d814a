"""Injects faults into real runs and looks at what becomes of them: `python -m tests.campaign.faults`.

A fault is handled if the run says what happened and what to do (no traceback), loses nothing that was whole, and, once the fault is
gone, ends with the parameters of a run that never met it. Results: RESULTS/faults.json, from which `python -m tests.campaign` makes its
page. Some faults need root, for mounts; where those are not allowed they are skipped, saying so. A call that was stopped goes on where it
was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the tests' makers of songs

from data_pipeline import extraction
from data_pipeline.progress import Progress

from . import kills, part, runs
from .runs import Laboratory, Running, Setting

RESIDENT, TFDATA = Setting('resident'), Setting('tfdata')
_STOP_AT = 9  # steps: two checkpoints are whole then, and the signal makes a third; two are kept
_FAULTS: dict[str, tuple[Callable[[Scene], None], str]] = {}


class Unavailable(Exception):
  """The fault can't be made here; the message says why."""


def fault(expected: str) -> Callable:
  """Registers a function that makes a fault, under its name; `expected` says in words what is to happen."""

  def register(function: Callable[[Scene], None]) -> Callable[[Scene], None]:
    _FAULTS[function.__name__] = (function, expected)
    return function

  return register


def names() -> list[str]:
  return list(_FAULTS)


@dataclasses.dataclass
class Scene:
  """Where a fault is made: a folder of its own, in the laboratory of the campaign.

  Attributes:
    said: the last words of the run that met the fault.
  """

  campaign: kills.Campaign
  folder: pathlib.Path
  said: str = ''

  @property
  def workdir(self) -> pathlib.Path:
    return self.folder / 'run'

  @property
  def laboratory(self) -> Laboratory:
    return self.campaign.laboratory

  def start(
    self,
    setting: Setting,
    *more: str,
    data_dir: pathlib.Path | None = None,
    prefix: Sequence[str] = (),
    workdir: pathlib.Path | None = None,
  ) -> Running:
    command = self.laboratory.command(setting, workdir or self.workdir, data_dir or self.laboratory.data_dir(setting.report), *more)
    return Running([*prefix, *command], self.folder / f'log_{time.monotonic_ns()}.txt')

  def run(self, setting: Setting, code: int, *words: str, flags: Sequence[str] = (), **where) -> str:
    """Runs the command to its end, which must have this exit code and these words, and no traceback. Returns what it printed."""
    running = self.start(setting, *flags, **where)
    try:
      found = running.wait(kills.LONGEST)[0]
    finally:
      running.end()
    text = running.text()
    expect('Traceback (most recent call last)' not in text, f'a traceback: {text[-1500:]}')
    expect(found == code, f'exit code {found}, expected {code}: {text[-1500:]}')
    for word in words:
      expect(word in text, f'{word!r} was not said: {text[-1500:]}')
    if code:
      self.said = self.without_places(text[text.rfind('error: ') :]).strip()
    return text

  def without_places(self, text: str) -> str:
    """A message without the folders of this machine; the program may have cut it within one."""
    return text.replace(str(self.folder), 'FOLDER').replace(str(self.laboratory.root), 'LABORATORY')

  def begun(self, setting: Setting) -> None:
    """Puts a run that was stopped half-way into the workdir; it is made once for a setting."""
    kept = self.laboratory.root / 'begun' / setting.name
    if not (kept / 'stopped').exists():
      shutil.rmtree(kept, ignore_errors=True)
      kept.mkdir(parents=True)
      command = self.laboratory.command(setting, kept / 'run', self.laboratory.data_dir(setting.report))
      running = Running(command, kept / 'log.txt')
      try:
        kills.wait_for_step(kept / 'run', running, _STOP_AT)
        running.send(signal.SIGTERM, [0])
        code = running.wait(kills.LONGEST)[0]
      finally:
        running.end()
      expect(code == 143, f'a run that was to be stopped ended with {code}: {running.text()[-1500:]}')
      (kept / 'stopped').touch()
    shutil.copytree(kept / 'run', self.workdir)

  def ends_as_if_nothing_had_happened(self, setting: Setting, workdir: pathlib.Path | None = None) -> None:
    same, _ = kills.compare(self.campaign.undisturbed(setting), workdir or self.workdir, setting.report)
    expect(same, 'the run ends with other parameters than one that was left in peace')
    left = kills.remains(workdir or self.workdir)
    expect(not left, f'left over: {left}')


def expect(condition: bool, message: str) -> None:
  if not condition:
    raise AssertionError(message)


# Disks


@contextlib.contextmanager
def mounted(place: pathlib.Path, *arguments: str) -> Iterator[pathlib.Path]:
  """A mount that is undone at the end. Raises Unavailable: not allowed here."""
  place.mkdir(parents=True, exist_ok=True)
  done = subprocess.run(['mount', *arguments, str(place)], capture_output=True, text=True, check=False) if shutil.which('mount') else None
  if done is None or done.returncode:
    raise Unavailable(f'mounting is not allowed here: {done.stderr.strip() if done else "there is no mount"}')
  try:
    yield place
  finally:
    subprocess.run(['umount', '--lazy', str(place)], check=False)


@contextlib.contextmanager
def small_disk(place: pathlib.Path, megabytes: int) -> Iterator[pathlib.Path]:
  with mounted(place, '-t', 'tmpfs', '-o', f'size={megabytes}m', 'tmpfs') as disk:
    yield disk


def fill(disk: pathlib.Path, free: int) -> pathlib.Path:
  """A file that leaves so many bytes of a disk free."""
  filler = disk / 'filler'
  with open(filler, 'wb') as file:
    file.write(bytes(max(shutil.disk_usage(disk).free - free, 0)))
  return filler


@fault('stops with a message; with room again the same command ends as if nothing had happened')
def disk_full_in_a_save(scene: Scene) -> None:
  _disk_full_in_a_save(scene, RESIDENT)


@fault('the same, with the position of tf.data in the checkpoint')
def disk_full_in_a_save_of_tfdata(scene: Scene) -> None:
  _disk_full_in_a_save(scene, TFDATA)


def _disk_full_in_a_save(scene: Scene, setting: Setting) -> None:
  scene.begun(setting)
  with small_disk(scene.folder / 'disk', 64) as disk:
    shutil.copytree(scene.workdir, disk / 'run')
    filler = fill(disk, 200_000)
    scene.run(setting, 2, 'error: ', 'make room', workdir=disk / 'run')
    filler.unlink()
    scene.run(setting, 0, 'going on from step', workdir=disk / 'run')
    scene.ends_as_if_nothing_had_happened(setting, disk / 'run')


@fault('stops with a message; with room again the dataset is built to its end and training is the same')
def disk_full_in_the_dataset_build(scene: Scene) -> None:
  with small_disk(scene.folder / 'disk', 64) as disk:
    features = disk / 'data' / os.path.relpath(extraction.folder('/', *runs.DATASET.split('/')), '/')
    features.mkdir(parents=True)  # what was begun is not refused at once for lack of room
    filler = fill(disk, 500_000)
    scene.run(TFDATA, 2, 'error: ', 'make room', data_dir=disk / 'data')
    filler.unlink()
    scene.run(TFDATA, 0, data_dir=disk / 'data')
    scene.ends_as_if_nothing_had_happened(TFDATA)
    left = kills.remains(disk / 'data')
    expect(not left, f'left over: {left}')


@fault('stops with a message; with room again the report is whole')
def disk_full_while_the_report_is_written(scene: Scene) -> None:
  setting = Setting('resident', report=True)
  with small_disk(scene.folder / 'disk', 64) as disk:
    shutil.copytree(scene.campaign.undisturbed(setting), disk / 'run')
    shutil.rmtree(disk / 'run' / 'report')
    filler = fill(disk, 60_000)
    scene.run(setting, 2, 'error: ', 'make room', workdir=disk / 'run')
    expect(not (disk / 'run' / 'report' / 'index.html').exists(), 'a report that is not whole has a page')
    filler.unlink()
    scene.run(setting, 0, 'report: ', workdir=disk / 'run')
    scene.ends_as_if_nothing_had_happened(setting, disk / 'run')


@fault('stops with a message that names the folder')
def read_only_workdir(scene: Scene) -> None:
  place = scene.folder / 'read_only'
  place.mkdir()
  with mounted(place, '--bind', '-o', 'ro', str(place)):
    scene.run(RESIDENT, 2, 'error: ', str(place), 'give a folder that can be written to', workdir=place / 'run')


@fault('a built dataset needs no writing: trains as ever')
def read_only_data_dir(scene: Scene) -> None:
  scene.campaign.undisturbed(TFDATA)
  place, data = scene.folder / 'read_only', scene.laboratory.data_dir(False)
  with mounted(place, '--bind', '-o', 'ro', str(data)):
    scene.run(TFDATA, 0, data_dir=place)
    scene.ends_as_if_nothing_had_happened(TFDATA)


@fault('stops with a message: another user owns the folder')
def workdir_of_another_user(scene: Scene) -> None:
  if os.geteuid() or not shutil.which('setpriv'):
    raise Unavailable('needs root and setpriv')
  prefix = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  if subprocess.run(
    [*prefix, sys.executable, '-c', 'import bassnet_jax.train'], cwd='/', env=runs.environment(), capture_output=True
  ).returncode:
    raise Unavailable('another user can not read this installation')
  for folder in (scene.laboratory.root, *scene.folder.parents):
    if not folder.stat().st_mode & 0o001:
      raise Unavailable(f'another user can not look into {folder}')
  scene.begun(RESIDENT)
  scene.run(RESIDENT, 2, 'error: ', str(scene.workdir), 'change its permissions', prefix=prefix)


# Checkpoints


def damage(path: pathlib.Path, how: str) -> None:
  """Truncates a file, zeroes or garbles its middle third, flips one bit, or takes it away."""
  data = bytearray(path.read_bytes())
  third = slice(len(data) // 3, 2 * len(data) // 3)
  if how == 'missing':
    path.unlink()
    return
  if how == 'truncated':
    data = data[: len(data) // 2]
  elif how == 'zeroed':
    data[third] = bytes(len(data[third]))
  elif how == 'garbage':
    data[third] = random.Random(0).randbytes(len(data[third]))
  elif how == 'one bit':
    data[len(data) // 2] ^= 1
  else:
    raise ValueError(how)
  path.write_bytes(data)


def newest(workdir: pathlib.Path) -> pathlib.Path:
  return max((path for path in (workdir / 'checkpoints').iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def arrays_file(checkpoint: pathlib.Path) -> pathlib.Path:
  """The largest file of a checkpoint's state: arrays."""
  return max(
    (path for path in (checkpoint / 'state').rglob('*') if path.is_file() and path.parent.name == 'd'), key=lambda path: path.stat().st_size
  )


def _damaged_newest(scene: Scene, setting: Setting, how: str, which: Callable[[pathlib.Path], pathlib.Path]) -> None:
  scene.begun(setting)
  last = newest(scene.workdir)
  damage(which(last), how)
  text = scene.run(setting, 0, f'the checkpoint of step {last.name} is damaged', 'going on from step')
  scene.said = scene.without_places(next(line for line in text.splitlines() if 'is damaged' in line))
  expect((scene.workdir / 'damaged_checkpoints' / last.name).is_dir(), 'the damaged checkpoint is gone')
  scene.ends_as_if_nothing_had_happened(setting)


@fault('goes on from the one before, saying so, to the same end')
def newest_checkpoint_truncated(scene: Scene) -> None:
  _damaged_newest(scene, RESIDENT, 'truncated', arrays_file)


@fault('the same')
def newest_checkpoint_zeroed(scene: Scene) -> None:
  _damaged_newest(scene, RESIDENT, 'zeroed', arrays_file)


@fault('the same')
def newest_checkpoint_garbled(scene: Scene) -> None:
  _damaged_newest(scene, RESIDENT, 'garbage', lambda last: last / 'description' / 'metadata')


@fault('the same; storage does not notice it, the checksums do')
def newest_checkpoint_with_one_bit_flipped(scene: Scene) -> None:
  _damaged_newest(scene, RESIDENT, 'one bit', arrays_file)


@fault('the same')
def newest_checkpoint_lacks_a_file(scene: Scene) -> None:
  _damaged_newest(scene, RESIDENT, 'missing', arrays_file)


@fault('the same, where it is the position of tf.data that is damaged')
def newest_input_position_garbled(scene: Scene) -> None:
  _damaged_newest(scene, TFDATA, 'garbage', lambda last: next((last / 'input').glob('*/iterator.data*')))


@fault('refuses, and touches nothing')
def every_checkpoint_damaged(scene: Scene) -> None:
  scene.begun(RESIDENT)
  checkpoints = sorted((scene.workdir / 'checkpoints').iterdir())
  for checkpoint in checkpoints:
    damage(arrays_file(checkpoint), 'truncated')
  scene.run(RESIDENT, 2, 'no checkpoint can be read', 'to begin anew')
  expect(sorted((scene.workdir / 'checkpoints').iterdir()) == checkpoints, 'checkpoints were moved or deleted')


# Runs


@fault('the second refuses; the first ends as if nothing had happened')
def two_runs_in_one_workdir(scene: Scene) -> None:
  scene.campaign.undisturbed(RESIDENT)
  first = scene.start(RESIDENT)
  try:
    while first.alive() and not (scene.workdir / 'experiment.json').exists():
      time.sleep(0.01)
    scene.run(RESIDENT, 2, 'another run is using', 'give another --workdir')
    expect(first.wait(kills.LONGEST) == [0], f'the first run ended otherwise: {first.text()[-1500:]}')
  finally:
    first.end()
  scene.ends_as_if_nothing_had_happened(RESIDENT)


@fault('refuses and shows the difference; with --accept_changes goes on')
def changed_settings_on_resume(scene: Scene) -> None:
  scene.begun(RESIDENT)
  changed = ['--set=loss.kl=0.5']
  scene.run(RESIDENT, 2, 'loss.kl: 0.01 -> 0.5', '--accept_changes', flags=changed)
  scene.run(RESIDENT, 0, 'with other settings', 'loss.kl: 0.01 -> 0.5', 'going on from step', flags=[*changed, '--accept_changes'])


@fault('refuses, also with --accept_changes: the parameters would not fit')
def changed_network_on_resume(scene: Scene) -> None:
  scene.begun(RESIDENT)
  scene.run(RESIDENT, 2, 'model.hidden: 16 -> 24', 'do not fit', flags=['--set=model.hidden=24', '--accept_changes'])


@fault('refuses and names both versions')
def dataset_of_another_feature_version(scene: Scene) -> None:
  scene.campaign.undisturbed(RESIDENT)
  data = scene.folder / 'data'
  shutil.copytree(scene.laboratory.data_dir(False), data)
  path = next(data.glob('features/*/*/*/summary.json'))
  path.write_text(json.dumps(json.loads(path.read_text()) | {'version': '0.9.0'}))
  scene.run(RESIDENT, 2, 'version 0.9.0', 'this package makes', data_dir=data)


@fault('stops and says which file; deleted, it is packed anew and training ends the same')
def dataset_file_garbled(scene: Scene) -> None:
  scene.campaign.undisturbed(TFDATA)
  data = scene.folder / 'data'
  shutil.copytree(scene.laboratory.data_dir(False), data)
  record = next(data.glob(f'{runs.DATASET}/*/*.tfrecord*'))
  damage(record, 'garbage')
  scene.run(TFDATA, 2, 'training data can not be read', 'Delete', data_dir=data)
  shutil.rmtree(record.parent)
  scene.run(TFDATA, 0, data_dir=data)
  scene.ends_as_if_nothing_had_happened(TFDATA)


_SHIFTED = """import time
earlier = lambda read, step: lambda: read() - 400 * 86_400 * step
time.time, time.time_ns = earlier(time.time, 1), earlier(time.time_ns, 10**9)
"""


def clock_set_back(folder: pathlib.Path) -> list[str]:
  """What to write before a command so that its clock is 400 days late: faketime, for all of it; without that, for what Python asks."""
  if shutil.which('faketime'):
    return ['faketime', '-f', '-400d']
  folder.mkdir(exist_ok=True)
  (folder / 'sitecustomize.py').write_text(_SHIFTED)  # read by every Python at its start
  return ['env', f'PYTHONPATH={folder}{os.pathsep}{runs.ROOT}']


@fault('nothing depends on clocks: the newest checkpoint is the one of the highest step')
def clock_goes_backwards(scene: Scene) -> None:
  scene.begun(RESIDENT)
  last = newest(scene.workdir)
  for path in [last, *last.rglob('*')]:
    os.utime(path, (1_000_000_000, 1_000_000_000))  # the newest looks like the oldest
  scene.run(RESIDENT, 0, f'going on from step {last.name}', prefix=clock_set_back(scene.folder / 'clock'))
  scene.ends_as_if_nothing_had_happened(RESIDENT)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a fault; `handled` is None where it could not be made, `found` then says why."""

  name: str
  expected: str
  handled: bool | None
  found: str
  seconds: float


def attempt(campaign: kills.Campaign, name: str) -> Outcome:
  """Makes one fault."""
  function, expected = _FAULTS[name]
  folder = campaign.laboratory.root / 'faults' / name
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  scene, begin = Scene(campaign, folder), time.monotonic()
  try:
    function(scene)
    handled, found = True, scene.said
  except Unavailable as error:
    handled, found = None, str(error)
  except (AssertionError, RuntimeError, TimeoutError, OSError, ValueError, StopIteration) as error:
    handled, found = False, f'{type(error).__name__}: {error}'
  if handled is not False:
    shutil.rmtree(folder)
  return Outcome(name, expected, handled, found, time.monotonic() - begin)


def run(chosen: Sequence[str], results: pathlib.Path, root: pathlib.Path) -> list[Outcome]:
  """Makes the faults that the results lack or that were not handled, and writes the results after each."""
  campaign = kills.Campaign(Laboratory(root))
  before = [Outcome(**each) for each in part.kept(str(results), 'faults').get('outcomes', ())]
  outcomes = [each for each in before if each.handled and each.name in chosen]
  command = 'python -m tests.campaign.faults' + (f' --faults={",".join(chosen)}' if list(chosen) != names() else '')
  with Progress(len(chosen), 'faults', 'faults', done=len(outcomes)) as progress:
    for name in [name for name in chosen if all(each.name != name for each in outcomes)]:
      outcome = attempt(campaign, name)
      outcomes = sorted([*outcomes, outcome], key=lambda each: names().index(each.name))
      words = {True: 'handled', False: 'NOT HANDLED', None: 'skipped'}[outcome.handled]
      progress.message(f'{name}: {words}, {outcome.seconds:.0f} s' + ('' if outcome.handled else f': {outcome.found}'))
      progress.update()
      made = [each for each in outcomes if each.handled is not None]
      statement = f'faults injected: {len(made)}; handled: {sum(bool(each.handled) for each in made)}; could not be made here: '
      part.write(
        str(results), 'faults', title='Faults injected', command=command, statements=[statement + str(len(outcomes) - len(made))],
        table=[['fault', 'expected', 'handled'], *([each.name.replace('_', ' '), each.expected, _word(each)] for each in outcomes)],
        outcomes=[dataclasses.asdict(each) for each in outcomes],
      )  # fmt: skip
  return outcomes


def _word(outcome: Outcome) -> str:
  return {True: 'yes', False: 'NO', None: f'skipped: {outcome.found}'}[outcome.handled]


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command. Returns its exit code: 0, 1 if a fault was not handled, 2 for a user's mistake."""
  from absl import flags, logging

  logging.set_verbosity(logging.ERROR)  # orbax tells of every folder that it reads
  defined = flags.FlagValues()
  flags.DEFINE_list('faults', names(), 'only these', flag_values=defined)
  flags.DEFINE_string('results', 'docs/campaign', 'folder of faults.json', flag_values=defined)
  flags.DEFINE_string('folder', None, 'where the runs are; default: a temporary one, deleted at the end', flag_values=defined)
  flags.DEFINE_bool('help', False, 'show this text', flag_values=defined)
  try:
    defined(list(sys.argv if arguments is None else arguments))
    if defined.help:
      print(f'{__doc__}\n{defined.get_help()}')
      return 0
    unknown = [name for name in defined.faults if name not in names()]
    if unknown:
      raise flags.Error(f'--faults={unknown[0]}: there are {", ".join(names())}')
  except flags.Error as error:
    print(f'faults: {error}', file=sys.stderr)
    return 2
  folder = part.begin('faults', defined.folder)
  outcomes = run(defined.faults, pathlib.Path(defined.results), folder)
  return part.end(folder, defined.folder, all(outcome.handled is not False for outcome in outcomes))


if __name__ == '__main__':
  sys.exit(main())
