"""Reads what a page asks for; everything in it is checked before it is used."""

from __future__ import annotations

import dataclasses
import json

from bassnet_jax import decoding
from bassnet_jax.studio.limits import Limits, StudioError
from bassnet_jax.trajectory import Trajectory, TrajectoryError, constant, from_points


@dataclasses.dataclass(frozen=True)
class LineRequest:
  """A bass line that a page wants.

  Attributes:
    id: counts up; what belongs to it comes back with the same number.
    model: which.
    position: of the dot over time.
    threshold: of an onset, 0 plays more, 1 plays less.
    articulation: 0 staccato, 1 legato.
    strings: a range preset.
    playhead: seconds; the piece from there on is decoded first.
  """

  id: int
  model: str
  position: Trajectory
  threshold: float
  articulation: float
  strings: str
  playhead: float

  @property
  def same_sound(self) -> tuple:
    """Equal for requests whose whole lines are equal."""
    points = (self.position.time.tobytes(), self.position.position.tobytes())
    return (self.model, *points, self.threshold, self.articulation, self.strings)


def parse_json(text: str | bytes, limits: Limits) -> dict:
  """An object of JSON.

  Raises:
    StudioError: too large, no JSON, or no object.
  """
  if len(text) > limits.json_bytes:
    raise StudioError(f'The request is larger than {limits.json_bytes >> 20} MB, the most that is taken. Reload the page.', 413)
  try:
    value = json.loads(text)
  except (ValueError, RecursionError):
    raise StudioError('The request is not valid JSON; reload the page.') from None
  if not isinstance(value, dict):
    raise StudioError('The request has an unknown form; reload the page.')
  return value


def number(value, name: str, low: float, high: float) -> float:
  """A finite number in a range; raises StudioError."""
  if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
    raise StudioError(f'The {name} is {_short(value)}; expected {low:g} to {high:g}.')
  return float(value)


def _short(value) -> str:
  try:
    return str(value)[:20]
  except ValueError:  # a whole number of thousands of digits has no text
    return 'a number of thousands of digits'


def parse_position(message: dict, limits: Limits) -> Trajectory:
  """The dot: 'path', rows of [seconds, x, y], or 'z', [x, y].

  Raises:
    StudioError: neither, or unusable values.
  """
  path = message.get('path')
  try:
    if path:
      if not isinstance(path, list) or not all(isinstance(row, list) for row in path):
        raise StudioError("The dot's path has an unknown form; expected rows of time, x, y. Reload the page.")
      if len(path) > limits.path_points:
        raise StudioError(f"The dot's path has {len(path)} points; at most {limits.path_points} are taken. Record a shorter one.")
      return from_points(path, "The dot's path")
    z = message.get('z')
    if not isinstance(z, list):
      raise StudioError('The position of the dot is missing; expected two numbers. Reload the page.')
    return constant(z)
  except TrajectoryError as error:
    raise StudioError(str(error)) from error


def parse_line(message: dict, limits: Limits) -> LineRequest:
  """Raises StudioError where something is missing or out of its range."""
  strings = message.get('strings', 'full')
  if not isinstance(strings, str) or strings not in decoding.RANGES:
    raise StudioError(f"The strings are '{str(strings)[:20]}'; expected one of {', '.join(decoding.RANGES)}.")
  return LineRequest(
    id=int(number(message.get('id', 0), 'number of the request', 0, 2**53)),
    model=str(message.get('model', ''))[:20],
    position=parse_position(message, limits),
    threshold=number(message.get('threshold'), 'onset threshold', 0, 1),
    articulation=number(message.get('articulation', 0.5), 'articulation', 0, 1),
    strings=strings,
    playhead=number(message.get('playhead', 0), 'playhead', 0, 1e6),
  )
