"""Figures of a measurement beside what they should be."""

from __future__ import annotations

from collections.abc import Mapping

from data_pipeline import storage

AT_MOST, AT_LEAST = 'at most', 'at least'
Aims = Mapping[str, tuple[str, float]]
"""Public figure -> AT_MOST or AT_LEAST, and the value."""


def met(value: float, aim: tuple[str, float]) -> bool:
  direction, bound = aim
  return value <= bound if direction == AT_MOST else value >= bound


def table(figures: Mapping[str, float], aims: Aims) -> str:
  """A line a figure: its name, its value and, where there is one, its aim and whether it is missed."""
  lines = []
  for name, value in figures.items():
    line = f'{name:<36}{value:>10.2f}'
    if name in aims:
      direction, bound = aims[name]
      line += f'   aim: {direction} {bound:g}' + ('' if met(value, aims[name]) else ', MISSED')
    lines.append(line)
  return '\n'.join(lines)


def report(figures: Mapping[str, float], aims: Aims, path: str | None) -> int:
  """Prints the table and writes the figures as JSON to `path`, where one is given. Returns the exit code: 1 where an aim is missed."""
  print(table(figures, aims))
  if path:
    storage.write_json(path, figures)
  return 0 if all(met(value, aims[name]) for name, value in figures.items() if name in aims) else 1
