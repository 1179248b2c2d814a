"""Feeds inputs to a reader and judges what comes of each; hypothesis shrinks what is found.

An input may succeed, or be refused by the error that belongs to its reader, in a message that names it. Everything else is a finding:
another exception, more than a few seconds of the processor, more memory than allowed, a file written or removed outside the input's own
folder, a process started, a pickle read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
from hypothesis import strategies as st

SECONDS = 5.0
"""More of the processor than that for one input is a hang."""
LONGEST = 60.0
"""So are that many seconds on the clock; a busy machine takes its time."""
_LONGEST_MESSAGE = 2500
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclasses.dataclass(frozen=True)
class Reader:
  """What is fed, ready to be called.

  Attributes:
    inputs: hypothesis strategy of inputs.
    read: reads one input; what it writes must stay in the folder that `prepare` was given.
    errors: exceptions with which it may refuse.
    names: words of which a refusal must hold one; () where the caller names the input.
    close: ends what `prepare` began.
  """

  inputs: st.SearchStrategy
  read: Callable[[Any], None]
  errors: tuple[type[BaseException], ...]
  names: tuple[str, ...] = ()
  close: Callable[[], None] = lambda: None


@dataclasses.dataclass(frozen=True)
class Target:
  """Something that reads input.

  Attributes:
    name: of it.
    prepare: called with an empty folder, gives its reader.
    share: of the inputs, relative to the others; slow readers get fewer.
  """

  name: str
  prepare: Callable[[pathlib.Path], Reader]
  share: float = 1.0


@dataclasses.dataclass
class Report:
  """What became of a target's inputs; `slowest` is in seconds of the processor; `messages` holds one refusal of every place in the code."""

  target: str
  inputs: int = 0
  taken: int = 0
  refused: int = 0
  slowest: float = 0.0
  findings: list[dict[str, str]] = dataclasses.field(default_factory=list)
  messages: dict[str, str] = dataclasses.field(default_factory=dict)


class Finding(AssertionError):
  """An input did something else than succeed or be refused."""

  def __init__(self, what: str, where: str):
    super().__init__(f'{what} ({where})')
    self.what, self.where = what, where

  @property
  def signature(self) -> tuple[str, str]:
    """Equal for findings of one cause."""
    return self.what.split(':')[0], self.where


class _TooSlow(BaseException):
  """Not an Exception: nothing on the way may catch it."""


class Watch:
  """Notes what the process does outside a folder; an audit hook can't be taken away again, so there is one for all."""

  _hooked = False
  _folder: str | None = None
  _seen: list[str] = []

  @classmethod
  @contextlib.contextmanager
  def over(cls, folder: pathlib.Path) -> Iterator[list[str]]:
    if not cls._hooked:
      sys.addaudithook(cls._note)
      cls._hooked = True
    cls._seen = []
    cls._folder = os.path.realpath(folder) + os.sep
    try:
      yield cls._seen
    finally:
      cls._folder = None

  @classmethod
  def _note(cls, event: str, arguments: tuple) -> None:
    if cls._folder is None:
      return
    if event == 'open':
      if isinstance(arguments[2], int) and arguments[2] & _WRITING:
        cls._check(event, arguments[0])
    elif event in ('os.remove', 'os.rmdir', 'os.mkdir', 'os.chmod'):
      if arguments[-1] == -1:  # else relative to an open folder: `shutil.rmtree`, whose own event tells the place
        cls._check(event, arguments[0])
    elif event in ('os.truncate', 'shutil.rmtree'):
      cls._check(event, arguments[0])
    elif event in ('os.rename', 'os.link', 'os.symlink'):
      cls._check(event, arguments[0])
      cls._check(event, arguments[1])
    elif event in ('subprocess.Popen', 'os.system', 'os.exec', 'pickle.find_class', 'socket.connect', 'socket.getaddrinfo'):
      cls._seen.append(f'{event} {str(arguments[:1])[:100]}')

  @classmethod
  def _check(cls, event: str, path: Any) -> None:
    if isinstance(path, int) or path is None:
      return
    text = os.fsdecode(path)
    if '__pycache__' in text or text == os.devnull:
      return
    if not (os.path.realpath(text) + os.sep).startswith(cls._folder):
      cls._seen.append(f'{event} {text[:200]}')


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
  """Ends what takes too long, where it runs in the main thread."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return

  def stop(number, frame):
    raise _TooSlow

  clocks = ((signal.ITIMER_PROF, signal.SIGPROF, seconds), (signal.ITIMER_REAL, signal.SIGALRM, LONGEST))
  before = [signal.signal(number, stop) for _, number, _ in clocks]
  for clock, _, limit in clocks:
    signal.setitimer(clock, limit)
  try:
    yield
  finally:
    for (clock, number, _), handler in zip(clocks, before, strict=True):
      signal.setitimer(clock, 0)
      signal.signal(number, handler)


def _where(error: BaseException) -> str:
  """The innermost place of this project in a traceback."""
  root = str(pathlib.Path(__file__).resolve().parents[2])
  frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(root) and 'campaign' not in f.filename]
  last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
  return f'{os.path.relpath(last.filename, root) if frames else os.path.basename(last.filename)}:{last.lineno}'


def _once(reader: Reader, value: Any, folder: pathlib.Path, report: Report) -> None:
  """Feeds one input. Raises Finding."""
  begin = time.process_time()
  try:
    with Watch.over(folder) as seen, _deadline(SECONDS):
      reader.read(value)
    report.taken += 1
  except reader.errors as error:
    message = str(error)
    place = _where(error)
    report.refused += 1
    report.messages.setdefault(place, message[:300])
    if not message.strip() or len(message) > _LONGEST_MESSAGE or 'Traceback' in message:
      raise Finding(f'a message of {len(message)} characters: {message[:200]!r}', place) from error
    if type(error) in (ValueError, OSError):
      raise Finding(f'a bare {type(error).__name__}: {message[:200]!r}', place) from error
    if reader.names and not any(name in message for name in reader.names):
      raise Finding(f'a message that does not name the input: {message[:200]!r}', place) from error
  except _TooSlow as error:
    raise Finding(f'more than {SECONDS:g} s', _where(error)) from None
  except Exception as error:
    raise Finding(f'{type(error).__name__}: {str(error)[:200]}', _where(error)) from error
  finally:
    report.slowest = max(report.slowest, time.process_time() - begin)
  if seen:
    raise Finding(f'outside its folder: {seen[0]}', 'audit hook')


def explore(target: Target, inputs: int, seed: int, folder: pathlib.Path, tick: Callable[[int], None] = lambda count: None) -> Report:
  """Feeds a target; goes on behind a finding, which is then known and counts once.

  Args:
    target: what is fed.
    inputs: how many.
    seed: of hypothesis's choices.
    folder: empty, for the target's files.
    tick: is called with 1 after every input.
  """
  report = Report(target.name)
  reader = target.prepare(folder)
  known: set[tuple[str, str]] = set()
  last: list[Any] = [None]

  def one(value: Any) -> None:
    report.inputs += 1
    tick(1)
    try:
      _once(reader, value, folder, report)
    except Finding as finding:
      if finding.signature not in known:
        last[0] = value
        raise

  try:
    for attempt in range(100):
      before = report.inputs
      if before >= inputs:
        break
      settings = hypothesis.settings(
        max_examples=inputs - before,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        verbosity=hypothesis.Verbosity.quiet,
        print_blob=False,
      )
      try:
        hypothesis.seed(seed + attempt)(settings(hypothesis.given(reader.inputs)(one)))()
      except Finding as finding:
        known.add(finding.signature)
        report.findings.append({'what': finding.what, 'where': finding.where, 'input': repr(last[0])[:2000]})
      except hypothesis.errors.Flaky as error:
        report.findings.append({'what': f'not the same twice: {str(error)[:300]}', 'where': '', 'input': repr(last[0])[:2000]})
      if report.inputs == before:
        break
  finally:
    reader.close()
  return report
