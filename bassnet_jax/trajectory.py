"""The latent position z over time: from a point, or from a file of points in time."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os

import numpy as np

from data_pipeline.features import FRAME_RATE

LARGEST = 10.0  # the latent prior is N(0, I): further out there is nothing, and a larger number is a slip of the keyboard
MOST_BYTES = 64 << 20


class TrajectoryError(ValueError):
  """A latent position or a trajectory can't be used; the message says why in plain words."""


@dataclasses.dataclass(frozen=True)
class Trajectory:
  """Positions in the latent plane at points in time; linear in between, held before the first and after the last.

  Attributes:
    time: [points] float64, seconds, strictly rising.
    position: [points, 2] float64, x and y.
  """

  time: np.ndarray
  position: np.ndarray

  def at(self, frames: int) -> np.ndarray:
    """z of every frame (80 a second): [frames, 2] float32."""
    seconds = np.arange(frames) / FRAME_RATE
    return np.stack([np.interp(seconds, self.time, self.position[:, i]) for i in (0, 1)], axis=1).astype(np.float32)

  def rows(self) -> list[dict[str, float]]:
    """The points as a list of {time, x, y}: what `read` takes, as JSON."""
    return [{'time': float(t), 'x': float(x), 'y': float(y)} for t, (x, y) in zip(self.time, self.position, strict=True)]


def constant(z) -> Trajectory:
  """One position for the whole song.

  Args:
    z: two numbers.

  Raises:
    TrajectoryError: these aren't two finite numbers from -10 to 10.
  """
  values = np.asarray(z, dtype=object).ravel()
  if len(values) != 2:
    raise TrajectoryError(f'z has {len(values)} numbers; expected two, x and y, for example 0.5,-1.')
  x, y = (_coordinate(value, name, 'z') for value, name in zip(values, 'xy', strict=True))
  return Trajectory(np.zeros(1), np.array([[x, y]]))


def parse_position(text: str) -> Trajectory:
  """One position, written 'x,y'.

  Raises:
    TrajectoryError: the text isn't two finite numbers from -10 to 10.
  """
  parts = [part.strip() for part in text.split(',')]
  if len(parts) != 2:
    raise TrajectoryError(f"z is '{text[:40]}'; expected two numbers with a comma between them, for example 0.5,-1.")
  return constant(parts)


def from_points(points, source: str = 'the trajectory') -> Trajectory:
  """A trajectory from rows of (time, x, y).

  Args:
    points: rows of three numbers or of text that reads as numbers; in order of time.
    source: what to call it in an error.

  Raises:
    TrajectoryError: no points, a value that is no finite number, a negative time, or times that don't rise.
  """
  rows = []
  for number, point in enumerate(points, start=1):
    where = f'{source}, point {number}'
    if len(point) != 3:
      raise TrajectoryError(f'{where}: {len(point)} values; expected time, x, y.')
    time = _number(point[0], 'time', where)
    if time < 0:
      raise TrajectoryError(f'{where}: the time is {time:g} s; expected 0 or later.')
    if rows and time <= rows[-1][0]:
      raise TrajectoryError(f'{where}: the time {time:g} s is not after the point before it ({rows[-1][0]:g} s); sort the points by time.')
    rows.append((time, _coordinate(point[1], 'x', where), _coordinate(point[2], 'y', where)))
  if not rows:
    raise TrajectoryError(f'{source} has no points; expected at least one of time, x, y.')
  table = np.array(rows)
  return Trajectory(table[:, 0], table[:, 1:])


def read(path: str) -> Trajectory:
  """Reads a trajectory file: CSV with the header time,x,y or JSON, a list of {"time": seconds, "x": ..., "y": ...}.

  Raises:
    TrajectoryError: the file is missing, empty, of another form, or holds unusable values.
  """
  if os.path.isdir(path):
    raise TrajectoryError(f'{path} is a folder; expected a trajectory file. Give the path of one file.')
  try:
    if os.path.getsize(path) > MOST_BYTES:
      raise TrajectoryError(f'{path} is larger than {MOST_BYTES >> 20} MiB; this is no trajectory file. Give CSV (time,x,y) or JSON.')
    with open(path, encoding='utf-8-sig') as file:
      text = file.read()
  except FileNotFoundError:
    raise TrajectoryError(f'{path}: there is no such trajectory file. Check the path.') from None
  except UnicodeDecodeError:
    raise TrajectoryError(f'{path} is not a text file; expected CSV (time,x,y) or JSON. Give another file.') from None
  except OSError as error:
    raise TrajectoryError(f'{path} cannot be read: {error.strerror}. Look at its path and permissions.') from error
  if not text.strip():
    raise TrajectoryError(f'{path} is empty; expected CSV (time,x,y) or JSON. Save it again, or give another file.')
  if text.lstrip()[0] in '[{':
    return from_points(_json_points(text, path), path)
  return from_points(_csv_points(text, path), path)


def _json_points(text: str, path: str) -> list[tuple]:
  try:
    content = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise TrajectoryError(f'{path} is not valid JSON: {error}. Mend it there, or save it again.') from None
  if not isinstance(content, list):
    raise TrajectoryError(f'{path} holds no list; expected [{{"time": 0, "x": 0, "y": 0}}, ...].')
  for number, point in enumerate(content, start=1):
    if not isinstance(point, dict) or not {'time', 'x', 'y'} <= point.keys():
      raise TrajectoryError(f'{path}, point {number}: expected {{"time": ..., "x": ..., "y": ...}}.')
  return [(point['time'], point['x'], point['y']) for point in content]


def _csv_points(text: str, path: str) -> list[list[str]]:
  try:
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
  except csv.Error as error:
    raise TrajectoryError(f'{path} is not valid CSV: {error}. Save it again, as lines of time,x,y.') from None
  header = [cell.strip().lower() for cell in rows[0]]
  if header != ['time', 'x', 'y']:
    raise TrajectoryError(f"{path}: the first line is '{','.join(rows[0])[:60]}'; expected the header time,x,y. Put it there.")
  return rows[1:]


def _number(value, name: str, where: str) -> float:
  try:
    number = math.nan if isinstance(value, bool) else float(value)
  except (TypeError, ValueError, OverflowError):
    number = math.nan
  if not math.isfinite(number):
    raise TrajectoryError(f"{where}: {name} is '{str(value)[:40]}'; expected a number.")
  return number


def _coordinate(value, name: str, where: str) -> float:
  number = _number(value, name, where)
  if abs(number) > LARGEST:
    raise TrajectoryError(f'{where}: {name} is {number:g}; expected -{LARGEST:g} to {LARGEST:g} (most music lies between -3 and 3).')
  return number
