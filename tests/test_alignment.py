"""Planes that are one plane, turned, mirrored, scaled and shifted, fall onto each other again; others don't."""

import numpy as np
import pytest

from bassnet_jax.evaluation import planes
from bassnet_jax.evaluation.alignment import procrustes
from bassnet_jax.evaluation.results_plots import align, reference_seed

CENTRES = np.array([[1.0, 0.2], [-0.8, 0.9], [0.1, -1.3], [2.0, 1.5]])
NAMES = ('root', 'third', 'fifth', 'octave')


def turned(points, degrees=70.0, mirrored=False, scale=3.0, shift=(0.5, -2.0)):
  angle = np.deg2rad(degrees)
  rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
  if mirrored:
    rotation = rotation @ np.diag([1, -1])
  return scale * points @ rotation + np.asarray(shift)


def cloud(centres=CENTRES, seed=0, spread=0.1, each=40):
  rng = np.random.default_rng(seed)
  labels = np.repeat(np.arange(len(centres)), each)
  return planes.Plane((centres[labels] + rng.normal(0, spread, (len(labels), 2))).astype(np.float32), labels, NAMES[: len(centres)])


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('degrees', [0, 70, 180, -135])
@pytest.mark.parametrize('scale', [0.01, 1, 40])
def test_undoes_rotation_reflection_scale_and_shift(mirrored, degrees, scale):
  similarity = procrustes(turned(CENTRES, degrees, mirrored, scale), CENTRES)
  np.testing.assert_allclose(similarity(turned(CENTRES, degrees, mirrored, scale)), CENTRES, atol=1e-9)
  assert similarity.disparity < 1e-12
  assert similarity.scale == pytest.approx(1 / scale)
  assert np.linalg.det(similarity.rotation) == pytest.approx(-1 if mirrored else 1)


def test_is_the_best_of_many_similarities():
  """No other rotation and scale on a fine grid leaves less."""
  rng = np.random.default_rng(3)
  other = rng.normal(size=CENTRES.shape)
  found = procrustes(other, CENTRES)
  left = np.square(found(other) - CENTRES).sum()
  centred, middle = other - other.mean(axis=0), CENTRES.mean(axis=0)
  tried = [
    np.square(turned(centred, degrees, mirrored, scale, middle) - CENTRES).sum()
    for degrees in range(0, 360, 3)
    for mirrored in (False, True)
    for scale in np.linspace(0.01, 3, 100)
  ]
  assert left <= min(tried) and min(tried) < left * 1.05
  assert found.disparity == pytest.approx(left / np.square(CENTRES - middle).sum())


def test_patterns_in_another_arrangement_do_not_fit():
  swapped = CENTRES[[3, 1, 2, 0]]
  assert procrustes(turned(swapped), CENTRES).disparity > 0.2


def test_a_pattern_that_one_plane_lacks_is_left_out():
  moved = turned(CENTRES)
  moved[2] = np.nan
  similarity = procrustes(moved, CENTRES)
  np.testing.assert_allclose(similarity(turned(CENTRES)), CENTRES, atol=1e-9)


def test_what_cannot_be_aligned_is_said():
  with pytest.raises(ValueError, match='1 patterns have a centroid in both planes'):
    procrustes(CENTRES[:1], CENTRES[:1])
  with pytest.raises(ValueError, match='all centroids of a plane coincide'):
    procrustes(np.zeros((3, 2)), CENTRES[:3])
  with pytest.raises(ValueError, match='the same for both'):
    procrustes(CENTRES[:3], CENTRES)


def test_planes_of_two_seeds_fall_onto_each_other():
  reference, other = cloud(), cloud(seed=1)
  moved = planes.Plane(turned(other.points, mirrored=True).astype(np.float32), other.labels, other.names)
  aligned = align(moved, reference)
  np.testing.assert_allclose(aligned.plane.centroids(), reference.centroids(), atol=0.06)
  assert aligned.similarity.disparity < 1e-3


def test_planes_with_nothing_in_common_stay_as_they_are():
  reference = cloud()
  other = planes.Plane(reference.points, reference.labels, ('kick', 'snare', 'off-beat', 'all'))
  assert align(other, reference).similarity is None
  assert (align(other, reference).plane.points == other.points).all()


def test_a_plane_is_small_and_comes_back(tmp_path):
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 8, 5000)
  plane = planes.sample(rng.normal(size=(5000, 2)), labels, [f'fifth of the guitar with the kick {i}' for i in range(8)])
  assert len(plane.points) == planes.MOST_POINTS
  assert np.bincount(plane.labels, minlength=8).min() > 20
  path = tmp_path / planes.FILE
  planes.save(plane, str(path))
  assert path.stat().st_size < 30_000 and [file.name for file in tmp_path.iterdir()] == [planes.FILE]
  again = planes.load(str(path))
  np.testing.assert_array_equal(again.points, plane.points)
  np.testing.assert_array_equal(again.labels, plane.labels)
  assert again.names == plane.names


def test_the_plane_that_is_unlike_the_others_is_no_reference():
  rng = np.random.default_rng(3)
  names, labels = ('a', 'b', 'c', 'd'), np.repeat(np.arange(4), 50)
  square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)
  crossed = square[[0, 2, 1, 3]]

  def plane(centres):
    return planes.Plane(names=names, labels=labels, points=(centres[labels] + rng.normal(0, 0.05, (200, 2))).astype(np.float32))

  assert reference_seed({0: plane(crossed), 1: plane(square), 2: plane(-2 * square)}) in (1, 2)
  assert reference_seed({5: plane(square)}) == 5
