"""What is kept of a run's latent plane: a few hundred window means with their patterns, small enough to be committed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from data_pipeline import npz_file

FILE = 'plane.npz'
MOST_POINTS = 400


class PlaneError(ValueError):
  """A file of a plane is damaged; the message names it."""


@dataclasses.dataclass(frozen=True)
class Plane:
  """Labelled points of a latent plane.

  Attributes:
    points: [n, 2] float32, means of mu over windows of held-out songs.
    labels: [n] int, index into `names`.
    names: of the patterns.
  """

  points: np.ndarray
  labels: np.ndarray
  names: tuple[str, ...]

  def centroids(self) -> np.ndarray:
    """[patterns, 2], NaN for a pattern without a point."""
    result = np.full((len(self.names), 2), np.nan)
    for label in np.unique(self.labels):
      result[label] = self.points[self.labels == label].mean(axis=0, dtype=np.float64)
    return result


def sample(points: np.ndarray, labels: np.ndarray, names: Sequence[str], most: int = MOST_POINTS, seed: int = 0) -> Plane:
  """At most `most` of the points, drawn evenly."""
  chosen = np.sort(np.random.default_rng(seed).permutation(len(points))[:most])
  return Plane(np.asarray(points, np.float32)[chosen], np.asarray(labels, np.int64)[chosen], tuple(names))


def save(plane: Plane, path: str) -> None:
  """Writes `path` whole or not at all."""
  with open(path + '.tmp', 'wb') as file:
    np.savez_compressed(file, points=plane.points, labels=plane.labels.astype(np.uint8), names=np.asarray(plane.names))
  os.replace(path + '.tmp', path)


def load(path: str) -> Plane:
  """The inverse of `save`. Raises PlaneError: the file is damaged."""
  try:
    stored = npz_file.read(path)
    points, labels, names = (stored[name] for name in ('points', 'labels', 'names'))
    good = points.dtype.kind == 'f' and points.ndim == 2 and points.shape[1] == 2 and len(points) and np.isfinite(points).all()
    good = good and labels.shape == points.shape[:1] and labels.dtype.kind in 'iu' and names.ndim == 1 and names.dtype.kind == 'U'
    if not (good and labels.min() >= 0 and labels.max() < len(names) and np.abs(points).max() < 1e6):
      raise ValueError('its points, labels and names do not go together')
  except (KeyError, ValueError) as error:
    raise PlaneError(f'{path} is damaged ({str(error)[:200]}). Remove it; the report of its run holds another.') from error
  return Plane(points, labels.astype(np.int64), tuple(str(name)[:60] for name in names))
