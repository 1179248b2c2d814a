"""Runs one function over many songs in worker processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import multiprocessing.connection
import os
import threading
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


def results(function: Callable[..., Any], tasks: Sequence[tuple], workers: int | None = None) -> Iterator[Any]:
  """Yields function(*task) of every task, in the order in which they are done.

  Args:
    function: at the top level of a module, so that workers can import it.
    workers: processes; default: one a core; with 1 everything runs in this process.

  Raises:
    WorkerLostError: the system killed a worker.
    Exception: what `function` raised; tasks not begun are dropped.
  """
  if not tasks:
    return
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
