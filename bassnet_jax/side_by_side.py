"""Processes side by side, each on its share of the cores: one small network on two cores is slower than two on one each."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

INTERRUPTED = 143
"""Exit code of a run that a signal ended, its state saved."""
_TAIL = 4000  # bytes of a process's error output that are looked at for its last words


class Stopped(Exception):
  """A signal asked for an end."""


def shares(cores: Sequence[int], jobs: int) -> list[list[int]]:
  """Cores of each job, as evenly as they go round; with more jobs than cores, jobs share one."""
  if jobs >= len(cores):
    return [[cores[i % len(cores)]] for i in range(jobs)]
  return [list(cores[i::jobs]) for i in range(jobs)]


class Processes:
  """Runs Python processes, `jobs` at a time. SIGINT and SIGTERM are passed on, once, and end the work when the processes have ended.

  A context manager, to be entered in the main thread.
  """

  def __init__(self, jobs: int, words: str):
    """words: of the `Stopped` that is raised."""
    self._jobs, self._words = jobs, words
    self._asked = False
    self._running: set[subprocess.Popen] = set()
    self._lock = threading.RLock()  # the signal handler may interrupt its holder, the main thread
    self._shares: queue.SimpleQueue[list[int] | None] = queue.SimpleQueue()
    several = jobs > 1 and hasattr(os, 'sched_setaffinity')
    for share in shares(sorted(os.sched_getaffinity(0)), jobs) if several else [None] * jobs:
      self._shares.put(share)
    self._before: dict[int, Any] = {}

  def __enter__(self) -> Processes:
    self._before = {number: signal.signal(number, self._pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *_) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _pass_on(self, *_) -> None:
    with self._lock:
      first, self._asked = not self._asked, True
      for process in self._running if first else ():
        process.send_signal(signal.SIGTERM)

  def work_through(self, work: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Calls `work` with every item, `jobs` at a time, in their order.

    Raises:
      Stopped: a signal came. No item was begun after it.
    """
    if self._jobs == 1:
      for item in items:
        self._check()
        work(item)
      self._check()
      return
    with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
      done = [pool.submit(self._begin, work, item) for item in items]
      try:
        for future in done:
          future.result()
      except BaseException:
        for future in done:
          future.cancel()
        raise
    self._check()

  def _begin(self, work: Callable[[Any], None], item: Any) -> None:
    self._check()
    work(item)

  def _check(self) -> None:
    if self._asked:
      raise Stopped(self._words)

  def run(self, arguments: Sequence[str], name: str) -> tuple[int, str]:
    """Runs python with arguments, its error output shown as it comes; with several jobs line by line, after its name.

    Returns:
      exit code (negative: the signal that killed it) and its last words on the error output.

    Raises:
      Stopped: it was asked to end, and has.
    """
    share = self._shares.get()
    process, tail = None, b''
    try:
      with self._lock:
        self._check()
        with _on_cores(share):
          # In a session of its own: Ctrl-C in a terminal goes to a whole group, and a run takes a second signal for 'at once'.
          process = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.PIPE, start_new_session=True)
        self._running.add(process)
      label = f'{name}: ' if self._jobs > 1 else ''
      for piece in process.stderr if label else iter(lambda: process.stderr.read1(65536), b''):
        sys.stderr.write(label + piece.decode(errors='replace'))
        sys.stderr.flush()
        tail = (tail + piece)[-_TAIL:]
      code = process.wait()
    finally:
      with self._lock:
        self._running.discard(process)
      self._shares.put(share)
    if code == INTERRUPTED:
      self._asked = True
    self._check()
    return code, last_words(tail.decode(errors='replace'))


@contextlib.contextmanager
def _on_cores(share: list[int] | None) -> Iterator[None]:
  """Ties this thread to cores, which a process that it starts inherits; with None it stays where it is."""
  if share is None:
    yield
    return
  before = os.sched_getaffinity(0)
  os.sched_setaffinity(0, share)
  try:
    yield
  finally:
    os.sched_setaffinity(0, before)


def last_words(text: str) -> str:
  """What a process said of its end: from its last line that begins with 'error:' on, or its last line."""
  lines = [line.rpartition('\r')[2].strip() for line in text.splitlines()]
  lines = [line for line in lines if line and not line.startswith('(BASSNET_JAX_TRACEBACK')]
  begins = [i for i, line in enumerate(lines) if line.startswith('error:')]
  return ' '.join(lines[begins[-1] :] if begins else lines[-1:]) or 'it said nothing'
