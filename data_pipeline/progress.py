"""Progress of long work: one line rewritten in a terminal or a notebook, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO


def clock(seconds: float) -> str:
  """'1:02:03' or '2:03'."""
  hours, rest = divmod(int(max(seconds, 0) + 0.5), 3600)
  minutes, seconds = divmod(rest, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'


class _NotebookLine:
  """One line of a notebook's output that can be replaced. Jupyter, Colab and others agree on this, and not on control characters."""

  def __init__(self, display: Any):
    self._display = display
    self._handle = None

  def show(self, text: str) -> None:
    content = {'text/plain': text}
    if self._handle is None:
      self._handle = self._display(content, raw=True, display_id=True)
    else:
      self._handle.update(content, raw=True)


def _notebook_line(stream: TextIO) -> _NotebookLine | None:
  """A line in the output of the notebook that this process runs for; None outside one, or where `stream` goes elsewhere."""
  ipython = sys.modules.get('IPython')
  shell = ipython.get_ipython() if ipython else None
  if stream is not sys.stderr or not hasattr(shell, 'kernel'):
    return None
  from IPython.display import display

  return _NotebookLine(display)


class Progress:
  """Counts items; prints how many, how fast and how long still.

  Use as a context manager; `update` may be called at every item, printing is rationed.
  """

  def __init__(self, total: int, label: str, unit: str, done: int = 0, stream: TextIO | None = None):
    self._stream = stream or sys.stderr
    self._notebook = _notebook_line(self._stream)
    self._terminal = self._notebook is None and self._stream.isatty()
    self._interval = 0.5 if self._notebook else 0.2 if self._terminal else 10.0
    self._total, self._label, self._unit = total, label, unit
    self._begun_at, self.done = done, done
    self._begin = time.monotonic()
    self._printed = 0.0 if self._terminal or self._notebook else self._begin

  def update(self, count: int = 1, note: str = '') -> None:
    self.done += count
    now = time.monotonic()
    if now - self._printed >= self._interval:
      self._printed = now
      self._print(note)

  def _print(self, note: str) -> None:
    elapsed = time.monotonic() - self._begin
    rate = (self.done - self._begun_at) / max(elapsed, 1e-9)
    left = clock((self._total - self.done) / rate) if rate > 0 else '?'
    share = 100 * self.done / max(self._total, 1)
    line = f'{self._label}: {self.done}/{self._total} {self._unit} ({share:.0f} %), {rate:.1f}/s, {left} left'
    line += f', {note}' if note else ''
    if self._notebook:
      self._notebook.show(line)
      return
    self._stream.write(f'\r\x1b[K{line}' if self._terminal else f'{line}\n')
    self._stream.flush()

  def message(self, text: str) -> None:
    """A line of its own above the progress."""
    self._stream.write(f'\r\x1b[K{text}\n' if self._terminal else f'{text}\n')
    self._stream.flush()

  def __enter__(self) -> Progress:
    return self

  def __exit__(self, kind, *_) -> None:
    if kind is None:
      elapsed = time.monotonic() - self._begin
      line = f'{self._label}: {self.done} {self._unit} in {clock(elapsed)}'
      if self._notebook:
        self._notebook.show(line)
        return
      self._stream.write(f'\r\x1b[K{line}\n' if self._terminal else f'{line}\n')
    elif self._terminal:
      self._stream.write('\n')
    self._stream.flush()
