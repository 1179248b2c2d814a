"""Runs the network in one thread: what a person waits for goes first, background work fills the gaps."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import time
from collections.abc import Callable
from typing import Any

QUIET = 0.15
"""Seconds without a foreground call after which the background goes on."""


class Network:
  """One thread for the network, one for analyses, so that a long analysis never delays the dot."""

  def __init__(self):
    self._network = concurrent.futures.ThreadPoolExecutor(1, 'network')
    self._analysis = concurrent.futures.ThreadPoolExecutor(1, 'analysis')
    self._waiting = 0
    self._last = 0.0

  async def run(self, function: Callable, *arguments: Any) -> Any:
    """A foreground call; keep each below a tenth of a second."""
    self._waiting += 1
    try:
      return await asyncio.get_running_loop().run_in_executor(self._network, functools.partial(function, *arguments))
    finally:
      self._waiting -= 1
      self._last = time.monotonic()

  async def run_in_background(self, function: Callable, *arguments: Any) -> Any:
    """The same, when no foreground call has been made for a while."""
    while self._waiting or time.monotonic() - self._last < QUIET:
      await asyncio.sleep(QUIET / 5)
    return await asyncio.get_running_loop().run_in_executor(self._network, functools.partial(function, *arguments))

  async def analyse(self, function: Callable, *arguments: Any) -> Any:
    """Long work without the network: analysis, rendering, writing."""
    return await asyncio.get_running_loop().run_in_executor(self._analysis, functools.partial(function, *arguments))

  def close(self) -> None:
    for pool in (self._network, self._analysis):
      pool.shutdown(wait=True, cancel_futures=True)
