"""The part of a page that shows what the bass does all over the plane: pictures, what the tests say, all numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bassnet_jax.evaluation import map_plots, map_tests, maps
from bassnet_jax.evaluation.map_tests import LocationTest, PermutationTest, RingDifference
from bassnet_jax.evaluation.maps import Part, PlaneMaps
from bassnet_jax.evaluation.page import Page
from bassnet_jax.trained import TrainedModel

PICTURE = 'maps.png'


def write(
  model: TrainedModel,
  parts: Sequence[Part],
  threshold: float,
  chosen: np.ndarray,
  points: np.ndarray | None,
  folder: str,
  page: Page,
  full: bool,
) -> dict[str, Any]:
  """Plays every part all over the plane, tests and draws what came out, and adds it to the page.

  Args:
    threshold: of the onset probability.
    chosen: [2], the one z for all songs, marked in the maps.
    points: [n, 2], where training songs lie; None where that isn't known.
    folder: of the pictures.
    full: the plane in 21x21 positions instead of 9x9; the parts are whole pieces.

  Returns:
    `plane` of metrics.json.
  """
  measured = maps.evaluate(model, parts, threshold, maps.FULL_SIDE if full else maps.SIDE)
  permutation, locations = map_tests.permutation_test(measured), map_tests.location_tests(measured)
  rings = map_tests.ring_differences(measured)
  page.heading('What the bass does all over the plane')
  kind = 'whole pieces' if full else f'excerpts of up to {maps.EXCERPT_SECONDS:g} s'
  side = len(measured.axis)
  page.text(
    f'{len(parts)} {kind}, {measured.seconds:.0f} s in all, each at {side} x {side} positions. Diatonic: the seven-note collection that '
    'fits the pitched mix best within 8 s around. The pitch mass is the predicted probability of every pitch; density and register are of '
    'the notes that pass the onset threshold.'
  )
  page.text(_verdict(measured, permutation, locations))
  map_plots.maps(measured, os.path.join(folder, PICTURE), points, chosen, locations)
  within = 'red: holds 90 % of the training data; ' if points is not None and len(points) else ''
  page.picture(
    PICTURE,
    f'Means over the pieces; {within}orange cross: the one z for all songs; + and -: higher or lower than on the mean of the plane, song '
    f'for song, at {map_tests.LEVEL:g} over all positions together.',
  )
  if any(locations.values()):
    page.table(('figure', 'songs', 'lowest place', 'highest', 'places below', 'above', 'p'), [_row(*item) for item in locations.items()])
  if any(rings.values()):
    page.text(f'Near the origin (|z| <= {map_tests.NEAR:g}) and far from it (|z| >= {map_tests.FAR:g}), paired by song:')
    page.table(('figure', 'songs', 'near', 'far', 'far minus near'), [_ring_row(*item) for item in rings.items()])
  map_plots.histograms(
    measured.axis,
    measured.mean('diatonic'),
    (measured.by_degree, measured.truth_by_degree),
    (measured.by_interval, measured.truth_by_interval),
    os.path.join(folder, 'pitch_histograms.png'),
  )
  page.picture(
    'pitch_histograms.png',
    'Pitch relative to the key and to the mix. The extreme positions were picked on these very pieces: they describe, they prove nothing.',
  )
  return maps.figures(measured) | map_tests.figures(permutation, locations, rings)


def _row(name: str, test: LocationTest | None) -> tuple[str, ...]:
  called = map_tests.LOCATED[name]
  if test is None:
    return called, '', '', '', '', '', ''
  counts = (str(int(places.sum())) for places in (test.below, test.above))
  return called, str(test.songs), f'{test.lowest:.3f}', f'{test.highest:.3f}', *counts, f'{test.p:.4f}'


def _ring_row(name: str, ring: RingDifference | None) -> tuple[str, ...]:
  called = map_tests.LOCATED[name]
  if ring is None:
    return called, '', '', '', ''
  low, high = ring.ci95
  return called, str(ring.songs), f'{ring.near:.3f}', f'{ring.far:.3f}', f'{ring.difference:+.3f} [{low:+.3f}, {high:+.3f}]'


def _verdict(measured: PlaneMaps, permutation: PermutationTest | None, locations: Mapping[str, LocationTest | None]) -> str:
  values = measured.mean('diatonic')
  truth = measured.true_mean('diatonic')
  said = f'The diatonic share runs from {values.min():.3f} to {values.max():.3f} over the plane (true bass: {truth:.3f}). '
  tied, others = locations[map_tests.TIED], locations[maps.MISMATCHED]
  count = len(measured.ids)
  if tied is None or others is None:
    said += f'Whether places differ song for song is not tested: that needs {map_tests.FEWEST_SIGNED} songs, and there are {count}. '
  else:
    same = f'is {"" if tied.p < map_tests.LEVEL else "not shown to be "}the same from song to song'
    said += (
      f'Where it is high and where low {same}, less what other mixes would give: p = {tied.p:.4f} (signs of the maps of songs flipped), '
      f'{int(tied.above.sum())} positions above and {int(tied.below.sum())} below the mean of the plane. Judged by the other mixes, a '
      f'control: p = {others.p:.4f}. '
    )
  if permutation is None:
    return said + f'No permutation of mixes: it needs {map_tests.FEWEST_SONGS} songs, and there are {count}.'
  return said + (
    f'Standard deviation over the plane {permutation.deviation:.4f}; after permuting the mixes among the basses '
    f'{permutation.null_mean:.4f} on average (95th percentile {permutation.null_high:.4f}; p = {permutation.p:.4f}, '
    f'{permutation.permutations} permutations).'
  )
