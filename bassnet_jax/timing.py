"""Median times of repeated work."""

from __future__ import annotations

import time
from collections.abc import Callable


def median_seconds(work: Callable[[], object], repeats: int) -> float:
  """Median time of `work`, after one call that isn't counted (compilation)."""
  work()
  times = []
  for _ in range(repeats):
    begin = time.perf_counter()
    work()
    times.append(time.perf_counter() - begin)
  return sorted(times)[len(times) // 2]


def alternating_seconds(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
  """Median time of each, one after the other in every round, so that a machine's slow minutes fall on all of them."""
  times: dict[str, list[float]] = {name: [] for name in works}
  for work in works.values():
    work()
  for _ in range(repeats):
    for name, work in works.items():
      begin = time.perf_counter()
      work()
      times[name].append(time.perf_counter() - begin)
  return {name: sorted(values)[len(values) // 2] for name, values in times.items()}


def steps_per_second(works: dict[str, Callable[[], int]], repeats: int) -> dict[str, float]:
  """Steps a second of each work, by the median time of `repeats` rounds in which they take turns.

  Args:
    works: name -> does some steps, waits for them and says how many they were: calls of many steps may be more than were asked for.
  """
  counts: dict[str, int] = {}

  def counting(name: str) -> Callable[[], None]:
    def work() -> None:
      counts[name] = works[name]()

    return work

  seconds = alternating_seconds({name: counting(name) for name in works}, repeats)
  return {name: counts[name] / seconds[name] for name in works}
