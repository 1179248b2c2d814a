"""Faults that a run meets: damaged checkpoints and datasets, changed settings, a second run, a full disk, lost parents."""

import dataclasses
import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import types

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import checkpoints, config, digests, distributed, run_control, train
from bassnet_jax.checkpoints import CheckpointError, Checkpoints, load_params
from data_pipeline import build, extraction, file_errors
from data_pipeline import features as ft

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXPERIMENT = tiny.experiment(data={'backend': 'resident', 'window': 32})
DESCRIPTION = {
  'experiment': config.to_dict(EXPERIMENT),
  'statistics': tiny.statistics().to_lists(),
  'features_version': ft.VERSION,
}


def state(seed: int = 0) -> train.TrainState:
  optimizer = train.make_optimizer(EXPERIMENT, 8)
  return jax.jit(lambda: train.init_state(EXPERIMENT, seed, optimizer))()


class Position:
  """An input whose position is a file."""

  def write(self, path: str) -> None:
    pathlib.Path(path + '.data').write_bytes(bytes(range(256)) * 8)


@pytest.fixture(scope='module')
def saved(tmp_path_factory) -> pathlib.Path:
  """A workdir with the checkpoints of steps 4 and 8, a position of the input in each."""
  workdir = tmp_path_factory.mktemp('saved')
  with Checkpoints(str(workdir)) as manager:
    for step in (4, 8):
      manager.save(step, state(step), DESCRIPTION | {'pair': (1, 2)}, Position())
  return workdir


@pytest.fixture
def workdir(saved, tmp_path) -> pathlib.Path:
  return shutil.copytree(saved, tmp_path / 'run')


def parts(checkpoint: pathlib.Path) -> dict[str, pathlib.Path]:
  """Files of each kind that a checkpoint needs."""
  arrays = sorted((path for path in (checkpoint / 'state').glob('**/d/*') if path.is_file()), key=lambda path: path.stat().st_size)
  return {
    'arrays': arrays[-1],
    'manifest': checkpoint / 'state' / 'manifest.ocdbt',
    'structure': checkpoint / 'state' / '_METADATA',
    'description': checkpoint / 'description' / 'metadata',
    'digests': checkpoint / 'digests' / 'metadata',
    'input': next((checkpoint / 'input').glob('*/*.data')),
  }


def test_a_whole_checkpoint_is_left_alone(workdir):
  before = sorted(workdir.rglob('*'))
  assert checkpoints.set_damaged_aside(str(workdir)) == []
  assert sorted(workdir.rglob('*')) == before


@pytest.mark.parametrize(
  ('part', 'how'),
  [
    ('arrays', 'one bit'), ('arrays', 'truncated'), ('arrays', 'missing'), ('manifest', 'zeroed'), ('structure', 'missing'),
    ('description', 'garbage'), ('description', 'one bit'), ('digests', 'truncated'), ('input', 'one bit'), ('input', 'missing'),
  ],
)  # fmt: skip
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(workdir, part, how, capsys):
  """Found, named and set aside; readers, who move nothing, say so and take the one before too."""
  from campaign.faults import damage

  path = parts(workdir / 'checkpoints' / '8')[part]
  damage(path, how)
  if part in ('arrays', 'description', 'manifest'):
    params, _, step = load_params(str(workdir))
    assert step == 4 and 'the checkpoint of step 8 is damaged' in capsys.readouterr().err
    assert digests.of_tree({'params': params}) == digests.of_tree({'params': state(4).params})
  lines = checkpoints.set_damaged_aside(str(workdir))
  assert len(lines) == 1 and lines[0].startswith('the checkpoint of step 8 is damaged (')
  assert (workdir / 'damaged_checkpoints' / '8').is_dir()
  with Checkpoints(str(workdir)) as manager:
    assert manager.latest_step() == 4
    manager.save(8, state(8), DESCRIPTION, Position())
  assert load_params(str(workdir))[2] == 8


def test_late_callbacks_of_a_failed_save_print_no_traceback(monkeypatch):
  """Tensorstore comes back to a loop that Orbax has closed; other errors that nobody can catch are shown as ever."""
  shown = []
  monkeypatch.setattr(sys, 'unraisablehook', shown.append)
  checkpoints._ignore_late_callbacks.__wrapped__()
  for text in ('Event loop is closed', 'something else'):
    sys.unraisablehook(types.SimpleNamespace(exc_value=RuntimeError(text)))
  assert [str(each.exc_value) for each in shown] == ['something else']


def test_a_save_that_a_sleeping_computer_interrupted_is_no_traceback(workdir, monkeypatch):
  """The minutes for which Orbax waits pass at once in a process that is stopped and goes on (SIGSTOP, a closed lid)."""

  def late(*_, **__):
    raise TimeoutError('completed 3/4 futures but timed out after 600.00 seconds')

  with Checkpoints(str(workdir)) as manager:
    with monkeypatch.context() as patch:
      patch.setattr(manager._manager, 'wait_until_finished', late)
      with pytest.raises(CheckpointError, match=r'not saved in time \(completed .*asleep.* The same command goes on'):
        manager.wait()
    manager.wait()
    assert manager.latest_step() == 8


def test_where_none_is_whole_none_is_touched(workdir):
  from campaign.faults import damage

  for step in ('4', '8'):
    damage(parts(workdir / 'checkpoints' / step)['manifest'], 'garbage')
  with pytest.raises(CheckpointError, match=r'no checkpoint can be read.*\n  step 8: .*\n  step 4: .*\n.*to begin anew'):
    checkpoints.set_damaged_aside(str(workdir))
  with pytest.raises(CheckpointError, match='no checkpoint can be read'):
    load_params(str(workdir))
  assert sorted(path.name for path in (workdir / 'checkpoints').iterdir()) == ['4', '8']


def test_a_checkpoint_of_before_there_were_checksums_is_taken(workdir):
  shutil.rmtree(workdir / 'checkpoints' / '8' / 'digests')
  assert checkpoints.set_damaged_aside(str(workdir)) == [] and load_params(str(workdir))[2] == 8


def test_the_newest_is_the_one_of_the_highest_step_whatever_clocks_say(workdir):
  for path in (workdir / 'checkpoints' / '8').rglob('*'):
    os.utime(path, (10, 10))
  os.utime(workdir / 'checkpoints' / '8', (10, 10))
  assert load_params(str(workdir))[2] == 8
  with Checkpoints(str(workdir)) as manager:
    manager.save(12, state(), {}, None)
    manager.wait()
    assert manager.all_steps() == [8, 12]


def test_training_goes_on_from_the_one_before_to_the_same_end(corpus, tmp_path, capsys):
  from campaign.faults import damage

  whole, broken = tmp_path / 'whole', tmp_path / 'broken'
  experiment = config.replace(EXPERIMENT, train={'checkpoint_every': 3})
  train.train(experiment, corpus, str(whole), 0)
  shutil.copytree(whole, broken)
  for path in (broken / 'checkpoints' / '8' / 'state').glob('**/d/*'):  # in one file alone, it may be where no array lies
    damage(path, 'one bit')
  assert train.train(experiment, corpus, str(broken), 0) == 8
  said = capsys.readouterr().out
  assert 'the checkpoint of step 8 is damaged' in said and 'going on from step 6 of 8' in said
  assert checkpoints.stored_digests(str(whole), 8) == checkpoints.stored_digests(str(broken), 8)

  changed = config.replace(experiment, loss={'kl': 0.5}, train={'steps': 10})
  with pytest.raises(train.TrainingError, match=r'loss\.kl: 0\.01 -> 0\.5\n.*\n.*\n.*--accept_changes goes on'):
    train.train(changed, corpus, str(broken), 0)
  assert train.train(changed, corpus, str(broken), 0, accept_changes=True) == 10
  assert 'with other settings:\n  loss.kl: 0.01 -> 0.5' in capsys.readouterr().out
  with pytest.raises(train.TrainingError, match=r'model\.hidden: 16 -> 24\n.*do not fit these'):
    train.train(config.replace(changed, model={'hidden': 24}), corpus, str(broken), 0, accept_changes=True)


def test_a_lock_goes_with_its_process(tmp_path):
  """SIGKILL leaves none behind; training and `main` have one each."""
  program = f"""
import sys, time
from bassnet_jax import run_control
with run_control.exclusive({str(tmp_path)!r}):
  print('locked', flush=True)
  time.sleep(600)
"""
  process = subprocess.Popen([sys.executable, '-c', program], env=os.environ | {'PYTHONPATH': ROOT}, stdout=subprocess.PIPE, text=True)
  assert process.stdout.readline() == 'locked\n'
  with pytest.raises(run_control.WorkdirBusyError, match='another run is using'), run_control.exclusive(str(tmp_path)):
    pass
  with run_control.exclusive(str(tmp_path), 'run_'):
    pass
  process.send_signal(signal.SIGKILL)
  process.wait()
  with run_control.exclusive(str(tmp_path)):
    pass


def test_a_dataset_of_another_version_or_damaged_is_refused(tmp_path):
  tiny.write_coordinate_songs(str(tmp_path))
  directory = extraction.folder(str(tmp_path), *tiny.DATASET.split('/'))
  path = pathlib.Path(directory, 'summary.json')
  whole = path.read_text()
  path.write_text(json.dumps(json.loads(whole) | {'version': '0.1.0'}))
  with pytest.raises(ValueError, match=f'features of version 0.1.0; this package makes {ft.VERSION}.*delete that folder'):
    build.build(tiny.DATASET, str(tmp_path), tfds_files=False)
  path.write_text(whole[: len(whole) // 2])
  with pytest.raises(ValueError, match=r'summary\.json is damaged \(.*\)\. Delete it and run python -m data_pipeline.build again'):
    build.build(tiny.DATASET, str(tmp_path), tfds_files=False)
  assert len(list(pathlib.Path(directory, 'songs').iterdir())) == len(tiny.LENGTHS)


def test_two_builds_of_one_dataset_take_turns(tmp_path, capsys):
  """The second waits for the first and finds the dataset built."""
  directory = extraction.folder(str(tmp_path), *tiny.DATASET.split('/'))
  done = []
  second = threading.Thread(target=lambda: done.append(build.build(tiny.DATASET, str(tmp_path), tfds_files=False)))
  with build._alone(directory, tiny.DATASET):
    second.start()
    deadline = time.monotonic() + 60
    said = ''
    while 'another process is building' not in said and time.monotonic() < deadline:
      said += capsys.readouterr().out
      time.sleep(0.01)
    assert 'another process is building bassnet_artificial/a1' in said and not done
    tiny.write_coordinate_songs(str(tmp_path))
  second.join(60)
  assert len(done) == 1 and done[0].source == 'coordinates'


WORKERS = """
import sys, time
from data_pipeline import parallel

def work(i):
  print('working', flush=True)
  time.sleep(600)

if __name__ == '__main__':
  parallel.compiler_cache.fill = lambda: None
  list(parallel.results(work, [(0,), (1,)], 2))
"""


def test_workers_end_with_the_process_that_started_them(tmp_path):
  """SIGKILL to a build leaves no process behind."""
  from campaign.runs import session_members

  program = tmp_path / 'program.py'
  program.write_text(WORKERS)
  process = subprocess.Popen(
    [sys.executable, str(program)], env=os.environ | {'PYTHONPATH': ROOT}, stdout=subprocess.PIPE, text=True, start_new_session=True
  )
  assert [process.stdout.readline() for _ in range(2)] == ['working\n'] * 2
  assert len(session_members(process.pid)) >= 3
  process.kill()
  process.wait()
  deadline = time.monotonic() + 20
  while session_members(process.pid) and time.monotonic() < deadline:
    time.sleep(0.05)
  assert session_members(process.pid) == []


def test_errors_of_the_file_system_say_what_to_do():
  full = OSError(errno.ENOSPC, 'No space left on device', '/data/song.npz')
  assert file_errors.explain(full) == (
    "No space left on device: '/data/song.npz'\nthe disk is full: make room, then run the same command again; it goes on from what is whole"
  )
  assert '/data' in file_errors.explain(PermissionError(errno.EACCES, 'Permission denied', '/data')).splitlines()[0]
  library = ValueError('a long text\nUNKNOWN: Error writing "/x": No space left on device [OS error 28]\nmore')
  assert file_errors.explain(library).splitlines()[0] == 'UNKNOWN: Error writing "/x": No space left on device [OS error 28]'
  assert file_errors.explain(library).endswith('whole')
  assert file_errors.explain(ValueError('data.window=3: odd')) == 'data.window=3: odd'


def test_errors_of_the_runtime_that_are_no_fault_of_the_program(monkeypatch):
  assert distributed.runtime_error(RuntimeError('INTERNAL: who knows')) is None
  assert 'smaller data.batch_size' in distributed.runtime_error(RuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes'))
  gone = ValueError('UNKNOWN: Gloo AllGather failed: [pair.cc:547] Connection closed by peer [127.0.0.1]:28551')
  assert not distributed.lost_partner(gone)
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  assert distributed.lost_partner(gone) and not distributed.lost_partner(ValueError('data.window=3: odd'))
  found = distributed.runtime_error(RuntimeError('UNKNOWN: Gloo all-reduce failed: Connection closed by peer\nmore'))
  assert 'process 0 of 2 lost another one' in found and 'same command' in found and 'more' not in found


def test_checksums_see_types_shapes_and_order():
  values = np.arange(6, dtype=np.float32)
  others = (values.reshape(2, 3), values[::-1], values.astype(np.float64), values.view(np.int32))
  found = {digests.of_tree({'a': each})['a'] for each in (values, *others)}
  assert len(found) == 5
  assert digests.of_tree({'a': np.asfortranarray(values.reshape(2, 3))}) == digests.of_tree({'a': values.reshape(2, 3)})
  assert digests.of_tree(dataclasses.asdict(EXPERIMENT.train)).keys() == {field.name for field in dataclasses.fields(EXPERIMENT.train)}
  assert digests.of_json({'a': 1, 'b': [2]}) == digests.of_json({'b': [2], 'a': 1}) != digests.of_json({'a': 1, 'b': [3]})


@pytest.mark.parametrize('installed', [True, False])
def test_clocks_that_are_set_back(installed, tmp_path, monkeypatch):
  from campaign import faults

  if installed and not shutil.which('faketime'):
    pytest.skip('there is no faketime (Debian package faketime)')
  if not installed:
    monkeypatch.setattr(faults.shutil, 'which', lambda name: None)
  program = 'import time; print(time.time(), time.time_ns() / 1e9)'
  command = [*faults.clock_set_back(tmp_path / 'clock'), sys.executable, '-c', program]
  done = subprocess.run(command, env=faults.runs.environment(), capture_output=True, text=True, check=True)
  for seconds in map(float, done.stdout.split()):
    assert abs(time.time() - 400 * 86_400 - seconds) < 60


CI_TRIES, CI_SEED = 12, 2289


@pytest.mark.parametrize('seed', [CI_SEED, 0])
def test_the_plan_of_kills_holds_everything(seed):
  """Twelve tries: every kind, both inputs in a step and in a save, with two processes too, and other process counts; thirty: every cell."""
  from campaign import kills

  plans = [kills.plan_of(seed, number) for number in range(CI_TRIES)]
  assert plans == [kills.plan_of(seed, number) for number in range(CI_TRIES)]
  settings = [(plan.kind, plan.setting.backend, plan.setting.processes) for plan in plans]
  assert {kind for kind, _, _ in settings} == set(kills.KINDS) and {plan.signal for plan in plans} == {'KILL', 'TERM'}
  assert {setting[1:] for setting in settings} == {(b, n) for b in ('tfdata', 'resident') for n in (1, 2)}
  assert {setting for setting in settings if setting[0] in ('step', 'save') and setting[2] == 2} == {
    (kind, backend, 2) for kind in ('step', 'save') for backend in ('tfdata', 'resident')
  }
  assert {(plan.setting.processes, plan.processes_after) for plan in plans} == {(1, 1), (2, 2), (1, 2), (2, 1)}
  assert len({plan.setting for plan in plans}) <= 6, 'each setting costs a run that nobody disturbs'
  cells = kills.cells()
  assert len(cells) == len(set(cells)) == 30 and set(kills.FIRST) < set(cells)
  for turn in range(2):
    plans = [kills.plan_of(seed, number) for number in range(turn * len(cells), (turn + 1) * len(cells))]
    assert {(plan.kind, plan.setting.backend, plan.setting.processes, plan.processes_after) for plan in plans} == set(cells)
    assert sum(plan.signal == 'TERM' for plan in plans) == len(cells) // 3
  assert all(plan.setting.backend == 'resident' for plan in plans if plan.setting.processes != plan.processes_after)


@pytest.mark.slow
def test_every_kind_of_kill_once_and_the_run_goes_on_to_the_same_end(tmp_path):
  """The first twelve tries of `python -m tests.campaign.kills`; what they hold is tested above."""
  from campaign import kills

  outcomes = kills.run(CI_TRIES, CI_SEED, tmp_path / 'results', tmp_path / 'laboratory')
  assert all(each['good'] for each in outcomes), [each for each in outcomes if not each['good']]
  assert {each['plan']['kind'] for each in outcomes if each['hit']} == set(kills.KINDS)


def mounts_are_allowed(place) -> bool:
  from campaign import faults

  place.mkdir()
  try:
    with faults.mounted(place, '-t', 'tmpfs', 'tmpfs'):
      return True
  except faults.Unavailable:
    return False


@pytest.mark.slow
def test_faults_that_a_real_run_meets(tmp_path):
  """Five of `python -m tests.campaign.faults`; the others have quicker tests above, or are left to the command."""
  from campaign import faults

  chosen = ('disk_full_in_a_save', 'newest_input_position_garbled', 'two_runs_in_one_workdir', 'read_only_workdir', 'clock_goes_backwards')
  outcomes = faults.run(chosen, tmp_path / 'results', tmp_path / 'laboratory')
  # Mounts need root, Linux, and a container that allows them; there none may be left out.
  left_out = () if mounts_are_allowed(tmp_path / 'mount') else (None,)
  assert all(each.handled in (True, *left_out) for each in outcomes), [each for each in outcomes if not each.handled]
