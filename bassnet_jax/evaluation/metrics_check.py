"""Looks a metrics.json over before a page is made of it: what its readers take for numbers, tables and names has to be that."""

from __future__ import annotations

import math
import re
from typing import Any

_TABLES = ('run', 'latent', 'control', 'control_blind', 'music', 'plane', 'pieces', 'test_timbre')
_RUN_NUMBERS = ('seconds', 'windows_per_second', 'data_wait', 'seeds_at_once')
_RUN_TEXTS = ('commit', 'command', 'hardware')
_PRESET = re.compile(r'[A-Za-z0-9_. -]{1,60}')  # it becomes part of a picture's file name
_MOST_SIDE = 200


def fault(metrics: Any) -> str | None:
  """What is wrong with the content of a metrics.json; None if all is well."""
  if not isinstance(metrics, dict):
    return 'it is no table'
  for name in _TABLES:
    if name in metrics and not isinstance(metrics[name], dict):
      return f'{name} is no table'
  return _run(metrics.get('run', {})) or _sections(metrics)


def _run(run: dict[str, Any]) -> str | None:
  steps = run.get('steps')
  if steps is not None and not (_number(steps) and 0 <= steps == int(steps)):
    return 'run.steps is no whole number'
  for name in _RUN_NUMBERS:
    if run.get(name) is not None and not _number(run[name]):
      return f'run.{name} is no number'
  for name in _RUN_TEXTS:
    if run.get(name) is not None and not isinstance(run[name], str):
      return f'run.{name} is no text'
  preset, settings = run.get('preset'), run.get('settings')
  if preset is not None and not (isinstance(preset, str) and _PRESET.fullmatch(preset) and '..' not in preset):
    return 'run.preset is no name of a preset'
  if settings is not None and not (isinstance(settings, list) and all(isinstance(item, str) for item in settings)):
    return 'run.settings is no list of assignments'
  return None


def _sections(metrics: dict[str, Any]) -> str | None:
  if metrics.get('latent', {}).get('svm') is not None and not _number(metrics['latent'].get('chance')):
    return 'latent.chance is missing'
  matrix = metrics.get('control', {}).get('matrix')
  if 'matrix' in metrics.get('control', {}) and not _square(matrix, empty=False):
    return 'control.matrix is no square of numbers'
  plane = metrics.get('plane', {})
  if 'maps' in plane:
    axis, drawn = plane.get('axis'), plane['maps']
    if not (isinstance(axis, list) and 2 <= len(axis) <= _MOST_SIDE and all(map(_number, axis)) and sorted(set(axis)) == axis):
      return 'plane.axis is no list of rising numbers'
    if not isinstance(drawn, dict):
      return 'plane.maps is no table'
    for name, values in drawn.items():
      if not _square(values, len(axis), empty=True):
        return f'plane.maps.{name[:40]} is no square of {len(axis)} x {len(axis)} numbers'
  permutation = plane.get('permutation')
  if permutation is not None and not (isinstance(permutation, dict) and (permutation.get('p') is None or _number(permutation['p']))):
    return 'plane.permutation is no table with p'
  return _pieces(metrics.get('pieces', {})) or _histograms(plane) or _location(plane) or _rings(plane.get('rings', {}))


def _pieces(pieces: dict[str, Any]) -> str | None:
  ids, tables = pieces.get('ids', []), pieces.get('per_piece', {})
  if not (isinstance(ids, list) and all(isinstance(name, str) for name in ids)):
    return 'pieces.ids is no list of names'
  if not (isinstance(tables, dict) and all(isinstance(table, dict) for table in tables.values())):
    return 'pieces.per_piece is no table of tables'
  for rung, table in tables.items():
    for figure, values in table.items():
      if not (isinstance(values, list) and len(values) == len(ids) and all(value is None or _number(value) for value in values)):
        return f'pieces.per_piece.{rung[:40]}.{figure[:40]} is no list of {len(ids)} numbers'
  return None


def _histograms(plane: dict[str, Any]) -> str | None:
  side = len(plane['axis']) if isinstance(plane.get('axis'), list) else None
  names = ('by_degree', 'by_interval')
  if any(name in plane for name in names):
    drawn = plane.get('maps', {}).get('diatonic')
    if drawn is None or not any(value is not None for row in drawn for value in row):
      return 'plane.by_degree or plane.by_interval is there, but plane.maps.diatonic has no number'
    for name in names:
      table, truth = plane.get(name), plane['truth'].get(name) if isinstance(plane.get('truth'), dict) else None
      shaped = isinstance(table, list) and len(table) == side and all(isinstance(row, list) and len(row) == side for row in table)
      if not (shaped and all(_twelve(histogram) for histogram in [truth, *(cell for row in table for cell in row)])):
        return f'plane.{name} or plane.truth.{name} does not hold twelve numbers each'
  return None


def _twelve(values: Any) -> bool:
  return isinstance(values, list) and len(values) == 12 and all(value is None or _number(value) for value in values)


def _location(plane: dict[str, Any]) -> str | None:
  location, axis = plane.get('location', {}), plane.get('axis')
  if not isinstance(location, dict):
    return 'plane.location is no table'
  if location and not {'diatonic', 'onset_density'} <= plane.get('maps', {}).keys():
    return 'plane.location is there, but not plane.maps.diatonic and plane.maps.onset_density'
  for name, test in location.items():
    if test is None:
      continue
    if not (isinstance(test, dict) and all(_number(test.get(key)) for key in ('songs', 'lowest', 'highest', 'p'))):
      return f'plane.location.{name[:40]} is no table with songs, lowest, highest and p'
    if not (isinstance(axis, list) and all(_square(test.get(key), len(axis), empty=False) for key in ('above', 'below'))):
      return f'plane.location.{name[:40]} lacks a square of numbers, above or below'
  return None


def _rings(rings: Any) -> str | None:
  if not isinstance(rings, dict):
    return 'plane.rings is no table'
  for name, ring in rings.items():
    interval = ring.get('ci95') if isinstance(ring, dict) else None
    numbers = isinstance(interval, list | tuple) and len(interval) == 2 and all(map(_number, interval))
    if ring is not None and not (numbers and all(_number(ring.get(key)) for key in ('songs', 'near', 'far', 'difference'))):
      return f'plane.rings.{name[:40]} is no table with songs, near, far, difference and ci95'
  return None


def _square(values: Any, side: int | None = None, *, empty: bool) -> bool:
  """Whether a value is a list of as many lists of numbers (or None, with `empty`)."""
  if not isinstance(values, list) or not 0 < len(values) <= _MOST_SIDE or (side is not None and len(values) != side):
    return False
  rows = all(isinstance(row, list) and len(row) == len(values) for row in values)
  return rows and all(_number(value) or (empty and value is None) for row in values for value in row)


def _number(value: Any) -> bool:
  return not isinstance(value, bool) and isinstance(value, int | float) and abs(value) < 1e300 and not math.isnan(value)
