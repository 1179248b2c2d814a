"""No network at run time: with networking cut off everything imports, generates and trains; and what the nightly run would run."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from campaign import nightly as nightly_table

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NIGHTLY = os.path.join(ROOT, 'launch', 'nightly.sh')


@pytest.mark.slow
def test_everything_works_with_networking_cut_off(tmp_path):
  cut_off = ['unshare', '--map-root-user', '--net']
  if not shutil.which('unshare') or subprocess.run([*cut_off, 'true'], capture_output=True).returncode:
    pytest.skip('this system does not let a process have a network of its own (unshare --net)')
  # One device, as a user has: not the eight of the tests.
  environment = {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'} | {'PYTHONPATH': ROOT, 'HOME': str(tmp_path)}
  done = subprocess.run(
    [*cut_off, sys.executable, os.path.join(ROOT, 'tests', 'offline.py'), str(tmp_path / 'work')],
    env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-3000:]
  for words in ('network: cut off', 'generated: ', 'trained with resident: step 1', 'trained with tfdata: step 1'):
    assert words in done.stdout, done.stdout


def nightly(*arguments: str, code: int = 0) -> str:
  done = subprocess.run([NIGHTLY, *arguments], capture_output=True, text=True, timeout=60)
  assert done.returncode == code, done.stderr
  return done.stdout if code == 0 else done.stderr


def test_the_nightly_run_tests_lowest_and_newest_and_the_long_campaign():
  printed = nightly('--dry_run', 'lowest', 'newest', 'plain', 'campaign')
  assert '--resolution lowest-direct' in printed and '--resolution highest' in printed
  assert printed.count('-m pytest') == 2 and printed.count('--no-deps tinysoundfont') == 3
  assert '-m tests.campaign kills --tries=100' in printed and '-m tests.campaign faults' in printed
  assert '-m tests.campaign load \n' in printed and '-m tests.campaign load --users=4 --seconds=1 --sessions=400' in printed
  assert printed.index('tests.campaign faults') < printed.index('tests.campaign kills')
  assert '-m tests.campaign nightly' not in printed, 'it keeps the table; it is no part of the campaign'


def test_pythons_are_found_on_the_path_and_among_pyenv_s(monkeypatch, tmp_path):
  """pyenv's own programs on the path refuse where a version is not chosen."""
  python = tmp_path / 'pyenv' / 'versions' / '3.19.2' / 'bin' / 'python3.19'
  python.parent.mkdir(parents=True)
  (tmp_path / 'bin').mkdir()
  for path, code in ((python, 0), (tmp_path / 'bin' / 'python3.19', 127), (tmp_path / 'bin' / 'python3.20', 0)):
    path.write_text(f'#!/bin/sh\nexit {code}\n')
    path.chmod(0o755)
  monkeypatch.setenv('PATH', str(tmp_path / 'bin'), prepend=os.pathsep)
  monkeypatch.setenv('PYENV_ROOT', str(tmp_path / 'pyenv'))
  printed = nightly('--dry_run', 'python3.19', 'python3.20', 'python3.18')
  assert f'{python} -m venv' in printed and f'{tmp_path / "bin" / "python3.20"} -m venv' in printed
  assert "== python3.18: not installed (neither on PATH nor among pyenv's versions), skipped" in printed
  everything = [line.split()[1].rstrip(':') for line in nightly('--dry_run').splitlines() if line.startswith('== ')]
  assert everything[:3] == ['lowest', 'lowest', 'newest'] and {'plain', 'python3.19', 'python3.20', 'campaign'} <= set(everything)
  assert f'python3.{sys.version_info.minor}' not in everything or sys.version_info.minor in (12, 13), 'that is what newest tests'


def test_each_stage_stays_as_it_ended_at_its_last_time(tmp_path):
  def kept(stage: str, result: str) -> list[list[str]]:
    arguments = ['nightly', f'--stage={stage}', f'--result={result}', '--seconds=7', f'--results={tmp_path}']
    assert nightly_table.main(arguments) == 0
    return [row[:3] for row in json.loads((tmp_path / 'nightly.json').read_text())['table'][1:]]

  assert kept('lowest', 'failed') == [['lowest', 'failed', '7']]
  assert kept('python3.14', 'not installed')[1:] == [['python3.14', 'not installed', '7']]
  assert kept('lowest', 'passed') == [['lowest', 'passed', '7'], ['python3.14', 'not installed', '7']]
  assert json.loads((tmp_path / 'nightly.json').read_text())['statements'][0].startswith('stages run: 1, passed: 1')


def test_an_unknown_stage_is_refused():
  assert 'there is no stage newset; there are: lowest newest' in nightly('newset', code=2)


def test_the_script_is_clean():
  checker = shutil.which('shellcheck') or os.path.join(os.path.dirname(sys.executable), 'shellcheck')
  if not os.path.exists(checker):
    pytest.skip('shellcheck is not installed')
  subprocess.run([checker, NIGHTLY], check=True)
