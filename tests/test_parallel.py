"""Work in other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_pipeline import parallel


@pytest.fixture
def helper():
  begun = parallel.Helper(os.getpid)
  yield begun
  begun.close()


def refused(word: str) -> None:
  raise ValueError(f'no {word}')


def end() -> None:
  os._exit(1)


def test_a_helper_works_in_another_process(helper):
  process = helper.submit(os.getpid).result()
  assert process != os.getpid()
  assert helper.submit(os.getpid).result() == process
  np.testing.assert_array_equal(helper.submit(np.add, np.arange(3), 1).result(), [1, 2, 3])
  assert helper.submit(sorted, [1, 3, 2], reverse=True).result() == [3, 2, 1]


def test_a_helper_tells_of_errors_and_goes_on(helper):
  with pytest.raises(ValueError, match='no bread') as caught:
    helper.submit(refused, 'bread').result()
  assert str(caught.value) == 'no bread'
  assert 'in refused' in caught.value.__notes__[0]
  assert helper.submit(len, 'abc').result() == 3


def test_a_lost_helper_is_told_of(helper):
  lost = helper.submit(end)
  with pytest.raises(parallel.WorkerLostError, match='ended from outside'):
    lost.result()
  with pytest.raises(parallel.WorkerLostError, match='ended from outside'):
    helper.submit(len, 'abc').result()


def test_a_helper_is_closed_while_it_works():
  helper = parallel.Helper(os.getpid)
  process = helper.submit(os.getpid).result()
  working = helper.submit(time.sleep, 60)
  began = time.monotonic()
  while not working.running() and time.monotonic() - began < 60:
    time.sleep(0.01)
  began = time.monotonic()
  helper.close()
  assert time.monotonic() - began < 5
  with pytest.raises(parallel.WorkerLostError):
    working.result()
  with pytest.raises(ProcessLookupError):
    os.kill(process, 0)


_PARENT = """
import os, time
from data_pipeline import parallel
print(parallel.Helper(os.getpid).submit(os.getpid).result(), flush=True)
time.sleep(60)
"""


def runs(process: int) -> bool:
  try:
    with open(f'/proc/{process}/stat') as file:
      return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
  except FileNotFoundError:
    return False


def test_a_helper_ends_with_a_killed_process():
  with subprocess.Popen([sys.executable, '-c', _PARENT], stdout=subprocess.PIPE, text=True) as parent:
    process = int(parent.stdout.readline())
    assert runs(process)
    parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while runs(process) and time.monotonic() < deadline:
      time.sleep(0.05)
  assert not runs(process)
