"""Runs the network in one thread, the most urgent work first: the dot, then whole lines, then maps; moves of several pages go together."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any

QUIET = 0.15
"""Seconds without a foreground call after which the background goes on."""
TOGETHER = 4
"""Moves that are decoded in one call, at most, and moves that may be left to be finished when the next are decoded."""
CROWD = 8
"""Moves that are decoded in one call where more wait than two such calls take; see `line.BRIEF`."""
_MOST_IN_A_ROW = 4
_FOREGROUND, _BACKGROUND = 1, 2


class Network:
  """A thread each for the network, for the messages of moves, for those of whole lines, and for analyses: none delays the dot."""

  def __init__(self):
    self._network = concurrent.futures.ThreadPoolExecutor(1, 'network')
    self._pieces = concurrent.futures.ThreadPoolExecutor(1, 'pieces')
    self._lines = concurrent.futures.ThreadPoolExecutor(1, 'lines')
    self._analysis = concurrent.futures.ThreadPoolExecutor(1, 'analysis')
    self._jobs: list[tuple[int, int, Callable, asyncio.Future]] = []
    self._moves: dict[tuple[Any, Callable], list[tuple[Callable[[], Any], asyncio.Future]]] = {}
    self._in_a_row = 0
    self._grouped: set[Any] = set()
    self._numbers = itertools.count()
    self._busy = False
    self._finishing = 0
    self._waiting = 0
    self._last = 0.0
    self.analyses = 0
    """Analyses, exports and the like that are under way or wait."""

  async def run(self, function: Callable, *arguments: Any) -> Any:
    """A foreground call; keep each below a tenth of a second."""
    return await self._foreground(self._call(_FOREGROUND, functools.partial(function, *arguments)))

  async def near(self, model: Any, decode: Callable[[Any, list], list], item: Callable[[], Any], finish: Callable[[Any, Any], Any]) -> Any:
    """`finish(result, item)` of one of the results of `decode(model, items)`, before all else.

    What waits for one model is decoded in one call (see `group`). No more is decoded than can be finished, so that what waits, waits as
    a wish that may still change.

    Args:
      item: is called when its turn comes to be decoded.
      finish: runs in a thread of its own: what was decoded to a message.
    """

    async def call() -> Any:
      loop = asyncio.get_running_loop()
      future = loop.create_future()
      self._moves.setdefault((model, decode), []).append((item, future))
      self._next()
      try:
        return await loop.run_in_executor(self._pieces, finish, *await future)
      finally:
        if future.done() and not future.cancelled() and future.exception() is None:
          self._finishing -= 1
          self._next()

    return await self._foreground(call())

  def group(self, model: Any, compiling: Callable[[], Any]) -> None:
    """From the end of `compiling` on, moves that wait for a model are decoded in one call; it runs among the analyses, beside the dot."""

    def done(finished: asyncio.Future) -> None:
      if not finished.cancelled() and finished.exception() is None:
        self._grouped.add(model)

    asyncio.get_running_loop().run_in_executor(self._analysis, compiling).add_done_callback(done)

  async def run_in_background(self, function: Callable, *arguments: Any) -> Any:
    """The same as `run`, when no foreground call has been made for a while."""
    while self._waiting or time.monotonic() - self._last < QUIET:
      await asyncio.sleep(QUIET / 5)
    return await self._call(_BACKGROUND, functools.partial(function, *arguments))

  async def line(self, function: Callable, *arguments: Any) -> Any:
    """Makes the message of a whole line."""
    return await asyncio.get_running_loop().run_in_executor(self._lines, functools.partial(function, *arguments))

  async def analyse(self, function: Callable, *arguments: Any) -> Any:
    """Long work without the network: analysis, rendering, writing."""
    self.analyses += 1
    try:
      return await asyncio.get_running_loop().run_in_executor(self._analysis, functools.partial(function, *arguments))
    finally:
      self.analyses -= 1

  async def _foreground(self, work) -> Any:
    self._waiting += 1
    try:
      return await work
    finally:
      self._waiting -= 1
      self._last = time.monotonic()

  async def _call(self, urgency: int, function: Callable) -> Any:
    future = asyncio.get_running_loop().create_future()
    heapq.heappush(self._jobs, (urgency, next(self._numbers), function, future))
    self._next()
    return await future

  def _next(self) -> None:
    """Begins the most urgent work, if none is under way; moves that never end leave room for lines now and then."""
    while not self._busy and (self._moves or self._jobs):
      patient = self._jobs and self._jobs[0][0] == _FOREGROUND and self._in_a_row >= _MOST_IN_A_ROW
      if self._moves and not patient and self._finishing <= TOGETHER:
        self._in_a_row += 1
        self._together(next(iter(self._moves)))
        continue
      if not self._jobs:
        return
      self._in_a_row = 0
      _, _, function, future = heapq.heappop(self._jobs)
      if not future.done():  # else nobody waits for it any longer
        self._begin(function, [future], lambda result: [result])

  def _together(self, key: tuple[Any, Callable]) -> None:
    """Begins the first moves that wait for a model; the others come after those of other models."""
    waiting = [(item, future) for item, future in self._moves.pop(key) if not future.done()]
    most = 1 if key[0] not in self._grouped else TOGETHER if len(waiting) <= 2 * TOGETHER else CROWD
    now, later = waiting[:most], waiting[most:]
    if later:
      self._moves[key] = later
    if not now:
      return
    items = [item() for item, _ in now]

    def spread(results: list) -> list[tuple]:
      self._finishing += sum(not future.done() for _, future in now)
      return list(zip(results, items, strict=True))

    self._begin(functools.partial(key[1], key[0], items), [future for _, future in now], spread)

  def _begin(self, function: Callable, futures: list[asyncio.Future], spread: Callable[[Any], list]) -> None:
    self._busy = True
    job = asyncio.get_running_loop().run_in_executor(self._network, function)

    def done(finished: asyncio.Future) -> None:
      self._busy = False
      fault = asyncio.CancelledError() if finished.cancelled() else finished.exception()
      results = [None] * len(futures) if fault is not None else spread(finished.result())
      for future, result in zip(futures, results, strict=True):
        if future.done():
          continue
        if fault is None:
          future.set_result(result)
        elif isinstance(fault, asyncio.CancelledError):
          future.cancel()
        else:
          future.set_exception(fault)
      self._next()

    job.add_done_callback(done)

  def close(self) -> None:
    for pool in (self._network, self._pieces, self._lines, self._analysis):
      pool.shutdown(wait=True, cancel_futures=True)
