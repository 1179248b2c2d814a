"""No network at run time: with networking cut off everything imports, generates and trains; and what the nightly run would run."""

import os
import shutil
import subprocess
import sys

import pytest

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
  assert printed.index('tests.campaign faults') < printed.index('tests.campaign kills')
  assert '-m tests.campaign nightly' not in printed, 'it keeps the table; it is no part of the campaign'


def test_an_unknown_stage_is_refused():
  assert 'there is no stage newset; there are: lowest newest' in nightly('newset', code=2)


def test_the_script_is_clean():
  checker = shutil.which('shellcheck') or os.path.join(os.path.dirname(sys.executable), 'shellcheck')
  if not os.path.exists(checker):
    pytest.skip('shellcheck is not installed')
  subprocess.run([checker, NIGHTLY], check=True)
