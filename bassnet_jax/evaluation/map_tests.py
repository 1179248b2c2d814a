"""What the maps of the plane prove: is a place of the plane another than the rest, song for song, and is it so because of the mix?"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bassnet_jax.evaluation.maps import MISMATCHED, PlaneMaps, mean_of_known
from bassnet_jax.evaluation.music import bootstrap_interval

PERMUTATIONS = 9999
LEVEL = 0.01
"""What is called significant."""
FEWEST_SONGS = 5
"""With fewer than 5 songs there are fewer than 100 ways to pair them, and no p below 0.01."""
FEWEST_SIGNED = 8
"""Eight maps can be turned over in 128 ways that |t| tells apart: with fewer no p is below 0.01."""
_ALL_SIGNS = 14
"""Up to so many songs, every combination of signs is tried."""

NEAR, FAR = 1.0, 2.5
"""Distance from the origin up to which a position is near, and from which it is far."""

TIED = 'diatonic_tied'
LOCATED = {
  'diatonic': 'diatonic share',
  MISMATCHED: 'the same, judged by the other mixes',
  TIED: 'own mix minus other mixes',
  'chord_tones': 'share on notes of the sounding harmony',
  'onset_density': 'notes a second',
  'register': 'register, MIDI pitch',
  'level': 'level, dB',
}
"""Figures whose places are tested, and how they are called."""


@dataclasses.dataclass(frozen=True)
class PermutationTest:
  """Is the map of the diatonic share tied to the mixes for which the bass was generated?

  Attributes:
    deviation: standard deviation over the plane of the mean diatonic share.
    null_mean: the same after the mixes were permuted among the basses, mean over permutations.
    null_high: its 95th percentile.
    p: share of the permutations, the true pairing counted among them, with at least as much deviation.
    permutations: how many were drawn.
  """

  deviation: float
  null_mean: float
  null_high: float
  p: float
  permutations: int


@dataclasses.dataclass(frozen=True)
class LocationTest:
  """Are there positions at which a figure is higher or lower than on the mean of the plane, song for song?

  Attributes:
    songs: whose maps were compared.
    lowest, highest: of the mean map.
    above, below: [side, side] bool, where it is so at `LEVEL` over all positions together.
    p: of the most telling position, over all positions together.
  """

  songs: int
  lowest: float
  highest: float
  above: np.ndarray
  below: np.ndarray
  p: float


def permutation_test(maps: PlaneMaps, permutations: int = PERMUTATIONS, seed: int = 0) -> PermutationTest | None:
  """Compares the map of the diatonic share with those against permuted mixes.

  Were the pitches tied to z alone and not to the mix, the basses could be judged by the mixes in any pairing, and the true one would be
  one among equals. So the share of pairings whose mean map varies at least as much over the plane is an exact p (Phipson & Smyth 2010,
  with the true pairing counted in).

  Returns:
    None with fewer than `FEWEST_SONGS` songs, of which no pairing could be significant.
  """
  count = maps.pairs.shape[-1]
  if count < FEWEST_SONGS:
    return None
  flat = maps.pairs.reshape(-1, count, count)
  rng, rows = np.random.default_rng(seed), np.arange(count)
  deviation = lambda order: float(flat[:, rows, order].mean(axis=1).std())  # noqa: E731
  true = deviation(rows)
  null = np.array([deviation(rng.permutation(count)) for _ in range(permutations)])
  # A permutation that is the true pairing must count as equal whatever the order of its sums.
  at_least = int((null >= true * (1 - 1e-9)).sum())
  return PermutationTest(true, float(null.mean()), float(np.quantile(null, 0.95)), (1 + at_least) / (1 + permutations), permutations)


def location_test(values: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0) -> LocationTest | None:
  """Looks for positions that stand out from a song's own mean over the plane in the same direction in most songs.

  Were no place another than the rest, a song's map, less its mean, might as well be upside down. So the signs of the songs' maps are
  flipped at random, all positions of a song together, and the largest |t| over all positions is compared with the true one: a p for
  every position that holds for all positions together, however they hang together (Nichols & Holmes 2002).

  Args:
    values: [side, side, songs]; a position where a song has no figure (NaN) is left out.

  Returns:
    None with fewer than `FEWEST_SIGNED` songs, of which no flip could be significant, or where fewer than two positions have figures.
  """
  side, songs = values.shape[0], values.shape[-1]
  flat = values.reshape(-1, songs)
  known = np.isfinite(flat).all(axis=1)
  if songs < FEWEST_SIGNED or known.sum() < 2:
    return None
  mean = flat[known].mean(axis=1)
  moved = flat[known] - flat[known].mean(axis=0)
  square = np.square(moved).mean(axis=1)

  def t_values(signs: np.ndarray) -> np.ndarray:
    """[flips, songs] -> [flips, positions]. A flip changes no square; a figure that no song varies in has t = 0."""
    average = signs @ moved.T / songs
    spread = np.maximum(square - np.square(average), 1e-12 * square)
    return average / np.sqrt(np.where(spread > 0, spread, 1) / (songs - 1))

  true = t_values(np.ones((1, songs)))[0]
  null = np.concatenate([np.abs(t_values(signs)).max(axis=1) for signs in _flips(songs, permutations, seed)])
  # For each position the share of flips with as large a value somewhere; a flip that is the true one must count as equal.
  p = (len(null) - np.searchsorted(np.sort(null), np.abs(true) * (1 - 1e-9))) / len(null)
  above, below = np.zeros(side * side, bool), np.zeros(side * side, bool)
  above[known], below[known] = (p < LEVEL) & (true > 0), (p < LEVEL) & (true < 0)
  square_map = lambda flags: flags.reshape(side, side)  # noqa: E731
  return LocationTest(songs, float(mean.min()), float(mean.max()), square_map(above), square_map(below), float(p.min()))


def _flips(songs: int, permutations: int, seed: int, most: int = 1000) -> Iterator[np.ndarray]:
  """Signs [<= most, songs] until all are there; the true ones are among them. |t| is the same where all signs are the other way round."""
  if songs <= _ALL_SIGNS:
    listed = np.array(list(itertools.product((1.0, -1.0), repeat=songs - 1)))
    signs = np.concatenate([np.ones((len(listed), 1)), listed], axis=1)
  else:
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (permutations + 1, songs))
    signs[0] = 1
  for start in range(0, len(signs), most):
    yield signs[start : start + most]


@dataclasses.dataclass(frozen=True)
class RingDifference:
  """What is otherwise far from the origin, paired by song.

  Attributes:
    songs: that have a figure near and far.
    near, far: means over the positions with |z| <= NEAR, and with |z| >= FAR.
    difference: far - near, with its 95 % interval `ci95` over songs (bootstrap).
  """

  songs: int
  near: float
  far: float
  difference: float
  ci95: tuple[float, float]


def ring_difference(values: np.ndarray, axis: np.ndarray) -> RingDifference | None:
  """Compares a figure [side, side, songs] far from the origin and near it; None with fewer than two songs that have both."""
  radius = np.hypot(axis[:, None], axis[None, :])
  near, far = (mean_of_known(values[where].T) for where in (radius <= NEAR, radius >= FAR))
  both = np.isfinite(near) & np.isfinite(far)
  if both.sum() < 2:
    return None
  moved = far[both] - near[both]
  return RingDifference(int(both.sum()), float(near[both].mean()), float(far[both].mean()), float(moved.mean()), bootstrap_interval(moved))


def located(maps: PlaneMaps) -> dict[str, np.ndarray]:
  """[side, side, songs] of every figure of `LOCATED`.

  `MISMATCHED` is the negative control: judged by other songs' mixes no place should be more diatonic. `TIED` is what
  remains of the diatonic share when that is taken off.
  """
  values = maps.maps | {TIED: maps.maps['diatonic'] - maps.maps[MISMATCHED]}
  return {name: values[name] for name in LOCATED}


def location_tests(maps: PlaneMaps) -> dict[str, LocationTest | None]:
  return {name: location_test(values) for name, values in located(maps).items()}


def ring_differences(maps: PlaneMaps) -> dict[str, RingDifference | None]:
  return {name: ring_difference(values, maps.axis) for name, values in located(maps).items()}


def figures(
  permutation: PermutationTest | None, locations: Mapping[str, LocationTest | None], rings: Mapping[str, RingDifference | None]
) -> dict[str, Any]:
  """JSON; null where there is no test.

  `permutation`; `location`, figure -> the test with its positions as lists of 0 and 1; `rings`, figure -> near, far and their difference.
  """
  listed = {}
  for name, test in locations.items():
    listed[name] = (
      None
      if test is None
      else {
        'songs': test.songs,
        'lowest': test.lowest,
        'highest': test.highest,
        'p': test.p,
        'above': test.above.astype(int).tolist(),
        'below': test.below.astype(int).tolist(),
      }
    )
  return {
    'permutation': None if permutation is None else dataclasses.asdict(permutation),
    'location': listed,
    'rings': {name: None if ring is None else dataclasses.asdict(ring) | {'ci95': list(ring.ci95)} for name, ring in rings.items()},
  }
