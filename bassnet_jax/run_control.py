"""What guards a run: one process a workdir, and an orderly end on a signal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable, Iterator

import jax

from data_pipeline import storage


class WorkdirBusyError(RuntimeError):
  """Another run is using the workdir."""


@contextlib.contextmanager
def exclusive(workdir: str, work: str = '') -> Iterator[None]:
  """One run a workdir; the lock goes with the process, however it ends. A workdir in a bucket is locked for this machine's runs alone.

  Args:
    work: '' is training, 'run_' all that `main` does, so that one holds both; a lock each.
  """
  folder = storage.local(workdir)
  os.makedirs(folder, exist_ok=True)
  with open(os.path.join(folder, f'.lock_{work}{jax.process_index()}'), 'w') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise WorkdirBusyError(f'another run is using {workdir}: wait for it, stop it, or give another --workdir') from error
    yield


@contextlib.contextmanager
def end_signals() -> Iterator[Callable[[], bool]]:
  """SIGTERM and the first SIGINT ask for an end; the loop saves and stops."""
  asked = []

  def handle(number, frame):
    del frame
    asked.append(number)
    if len(asked) > 1:
      raise KeyboardInterrupt

  before = {}
  try:
    for number in (signal.SIGTERM, signal.SIGINT):
      before[number] = signal.signal(number, handle)
  except ValueError:  # not in the main thread (a notebook's worker): the caller's handlers stay
    before = {}
  try:
    yield lambda: bool(asked)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
