"""Lays latent planes of different seeds over each other: a plane is defined only up to rotation, reflection and scale."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Similarity:
  """x -> scale * x @ rotation + shift.

  Attributes:
    rotation: [2, 2], orthogonal; its determinant is -1 where the plane is mirrored.
    scale: positive.
    shift: [2].
    disparity: what remains between the moved and the reference centroids, as a share of the reference's variance: 0 is a perfect
      fit, 1 is no better than laying all centroids on the reference's middle.
  """

  rotation: np.ndarray
  scale: float
  shift: np.ndarray
  disparity: float

  def __call__(self, points: np.ndarray) -> np.ndarray:
    """Moves points [n, 2]."""
    return self.scale * np.asarray(points, np.float64) @ self.rotation + self.shift


def procrustes(centroids: np.ndarray, reference: np.ndarray) -> Similarity:
  """The similarity that brings labelled centroids nearest to those of a reference, in the least-squares sense.

  Ordinary Procrustes analysis with reflection (Gower 1975; the rotation after Schönemann 1966). With two patterns any two planes fit
  perfectly, and which side is mirrored is not determined; from three on the disparity means something.

  Args:
    centroids: [patterns, dimensions], row p is the pattern p of the plane to be moved.
    reference: the same of the reference; rows with NaN in either are left out.

  Raises:
    ValueError: shapes differ, or fewer than two patterns are in both, or a plane's centroids all coincide.
  """
  centroids, reference = np.asarray(centroids, np.float64), np.asarray(reference, np.float64)
  if centroids.shape != reference.shape or centroids.ndim != 2:
    raise ValueError(f'centroids of shape {centroids.shape} and {reference.shape}: expected [patterns, dimensions], the same for both')
  both = np.isfinite(centroids).all(axis=1) & np.isfinite(reference).all(axis=1)
  if both.sum() < 2:
    raise ValueError(f'{both.sum()} patterns have a centroid in both planes: an alignment needs two at least')
  moved, fixed = centroids[both], reference[both]
  moved_middle, fixed_middle = moved.mean(axis=0), fixed.mean(axis=0)
  moved, fixed = moved - moved_middle, fixed - fixed_middle
  spread, wanted = np.square(moved).sum(), np.square(fixed).sum()
  if spread == 0 or wanted == 0:
    raise ValueError('all centroids of a plane coincide: there is nothing to align')
  left, singular, right = np.linalg.svd(moved.T @ fixed)
  rotation = left @ right
  scale = singular.sum() / spread
  if scale == 0:  # the centroids of the two planes are uncorrelated in every direction: keep the size at least
    scale = float(np.sqrt(wanted / spread))
  disparity = np.square(scale * moved @ rotation - fixed).sum() / wanted
  return Similarity(rotation, float(scale), fixed_middle - scale * moved_middle @ rotation, float(disparity))
