"""Work in other processes: one function over many songs, and what goes on beside this process."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from data_pipeline import compiler_cache


class WorkerLostError(ValueError):
  """A worker process ended without a result; the message says what to do."""


def _end_with_parent() -> None:
  """In a worker: ends it when the process that started it is gone; else one that was killed would leave workers waiting for ever."""
  parent = multiprocessing.parent_process()

  def watch() -> None:
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()


class Helper:
  """One process beside this one, for what would keep its interpreter busy. It ends with this one, whatever ends this one."""

  def __init__(self, prepare: Callable[[], Any]):
    """Starts it.

    Args:
      prepare: is called there at once, so that it is done when the first work comes; at the top level of a module.
    """
    # Not multiprocessing.Process, which would import this program's main module there first.
    self._connection, theirs = multiprocessing.Pipe()
    self._process = subprocess.Popen(
      [sys.executable, '-c', f'from {__name__} import _serve; _serve({theirs.fileno()})'],
      pass_fds=[theirs.fileno()],
      stdin=subprocess.DEVNULL,
      env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
      start_new_session=True,  # a terminal's Ctrl-C is for this process, which tells of it
    )
    theirs.close()
    self._waiting = concurrent.futures.ThreadPoolExecutor(1)
    self.submit(prepare)

  def submit(self, function: Callable[..., Any], *arguments, **named) -> concurrent.futures.Future:
    """Calls a function there, after what was submitted before. What it raises is raised here; WorkerLostError where the process is gone."""
    return self._waiting.submit(self._ask, function, arguments, named)

  def close(self) -> None:
    """Ends the process, whatever it does."""
    self._process.kill()
    self._process.wait()
    self._waiting.shutdown(cancel_futures=True)
    self._connection.close()

  def _ask(self, *work) -> Any:
    try:
      self._connection.send(work)
      result, error = self._connection.recv()
    except (EOFError, ConnectionError) as lost:
      raise WorkerLostError(
        'the process that helps this one was ended from outside, as systems do when memory runs out. Close other programs, and run the '
        'same command again.'
      ) from lost
    if error is not None:
      raise error
    return result


def _serve(number: int) -> None:
  """What a helper does until the process that started it is gone; `number` is that of the file by which they speak."""
  with multiprocessing.connection.Connection(number) as connection, contextlib.suppress(EOFError, ConnectionError):
    while True:
      function, arguments, named = connection.recv()
      try:
        answer = function(*arguments, **named), None
      except Exception as error:
        error.add_note(f'In the helping process:\n{traceback.format_exc()}')
        answer = None, error
      connection.send(answer)
      del function, arguments, named, answer  # not to be held until the next work comes


def results(function: Callable[..., Any], tasks: Sequence[tuple], workers: int | None = None) -> Iterator[Any]:
  """Yields function(*task) of every task, in the order in which they are done.

  Args:
    function: at the top level of a module, so that workers can import it.
    workers: processes; default: one a core; with 1 everything runs in this process.

  Raises:
    ValueError: `workers` is negative.
    WorkerLostError: the system killed a worker.
    Exception: what `function` raised; tasks not begun are dropped.
  """
  if not tasks:
    return
  if workers is not None and workers < 0:
    raise ValueError(f'--workers={workers}: expected a number of processes, 1 or more; without --workers it is one a core')
  workers = min(workers or os.cpu_count() or 1, len(tasks))
  if workers == 1:
    yield from (function(*task) for task in tasks)
    return
  compiler_cache.fill()
  context = multiprocessing.get_context('spawn')  # fork is unsafe once jax or tensorflow run threads
  with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
    jobs = [pool.submit(function, *task) for task in tasks]
    try:
      for job in concurrent.futures.as_completed(jobs):
        yield job.result()
    except BrokenProcessPool as error:
      raise WorkerLostError(
        f'one of {workers} worker processes was ended from outside, as systems do when memory runs out. '
        f'What is done is kept: run the same command again, with --workers={max(workers // 2, 1)}.'
      ) from error
    finally:
      for job in jobs:
        job.cancel()
