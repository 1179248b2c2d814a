"""Draws what was measured all over the latent plane: maps, and pitch histograms at telling positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from bassnet_jax.evaluation.map_tests import LocationTest
from bassnet_jax.evaluation.maps import MISMATCHED, PlaneMaps
from bassnet_jax.evaluation.plots import ACCENT, CEILING, CONTROL, DENSITY, FAINT, INK, MUTED, OURS, drawing

_PANELS = (
  ('diatonic', 'Diatonic share of the pitch mass', '{:.2f}'),
  (MISMATCHED, 'The same, judged by other mixes', '{:.2f}'),
  ('chord_tones', 'Share on notes of the sounding harmony', '{:.2f}'),
  ('onset_density', 'Notes a second', '{:.1f}'),
  ('register', 'Register, MIDI pitch', '{:.1f}'),
  ('level', 'Level, dB', '{:.1f}'),
)
_DEGREES = ('1', '♭2', '2', '♭3', '3', '4', '♯4', '5', '♭6', '6', '♭7', '7')
_INTERVALS = ('unison', 'm2', 'M2', 'm3', 'M3', '4th', 'tritone', '5th', 'm6', 'M6', 'm7', 'M7')


def _map(figure: Figure, axes: Axes, axis: np.ndarray, values: np.ndarray, limits: tuple[float, float]) -> None:
  """One map in cells, z1 to the right and z2 upwards, with its colour bar; white where nothing was measured."""
  step = axis[1] - axis[0]
  low, high = axis[0] - step / 2, axis[-1] + step / 2
  image = axes.imshow(values.T, origin='lower', extent=(low, high, low, high), cmap=DENSITY, vmin=limits[0], vmax=limits[1])
  bar = figure.colorbar(image, ax=axes, shrink=0.86, aspect=22, pad=0.02)
  bar.outline.set_visible(False)
  bar.ax.tick_params(length=0, labelsize=8.5)
  axes.set_xlabel('z₁')
  axes.set_ylabel('z₂')
  for spine in axes.spines.values():
    spine.set_visible(False)


def _limits(values: np.ndarray) -> tuple[float, float]:
  """What the colours of a map stretch over; never of no extent."""
  values = values[np.isfinite(values)]
  if not len(values):
    return 0.0, 1.0
  return float(values.min()), max(float(values.max()), float(values.min()) + 1e-3)


def _same_contrast(values: np.ndarray, as_in: np.ndarray) -> tuple[float, float]:
  """Limits around the middle of a map, as far apart as those of another: what varies as much looks as varied."""
  low, high = _limits(as_in)
  middle = sum(_limits(values)) / 2
  return middle - (high - low) / 2, middle + (high - low) / 2


def _contour(axes: Axes, points: np.ndarray, axis: np.ndarray, share: float = 0.9) -> None:
  """The line within which most of the training data lie."""
  reach, cells = float(axis[-1]), 120
  histogram, edges, _ = np.histogram2d(*points.T, bins=cells, range=[[-reach, reach]] * 2)
  density = gaussian_filter(histogram, 4.0)
  falling = np.sort(density.ravel())[::-1]
  if falling[0] <= 0:
    return
  level = falling[min(np.searchsorted(np.cumsum(falling), share * falling.sum()), len(falling) - 1)]
  centres = (edges[:-1] + edges[1:]) / 2
  axes.contour(centres, centres, density.T, levels=[level], colors=ACCENT, linewidths=1.1)


def _signs(axes: Axes, axis: np.ndarray, test: LocationTest) -> None:
  """+ where a figure is surely higher than on the mean of the plane, on dark cells; - where it is lower, on light ones."""
  for places, sign, colour in ((test.above, '+', 'white'), (test.below, '_', INK)):
    rows, columns = np.nonzero(places)
    axes.scatter(axis[rows], axis[columns], marker=sign, color=colour, s=200 / len(axis), linewidths=1.2)


def maps(
  plane: PlaneMaps,
  path: str,
  points: np.ndarray | None = None,
  chosen: np.ndarray | None = None,
  locations: Mapping[str, LocationTest | None] | None = None,
) -> None:
  """All maps of a plane, the figure of the true bass in each title.

  Args:
    plane: what was measured.
    path: of the PNG.
    points: [n, 2], where the training data lie; a red line holds 90 % of them.
    chosen: [2], the position of `z_fixed`, a cross.
    locations: figure -> where it is higher or lower than on the mean of the plane; signs say so.
  """
  values = {name: plane.mean(name) for name, *_ in _PANELS}
  limits = {name: _limits(of) for name, of in values.items()} | {MISMATCHED: _same_contrast(values[MISMATCHED], values['diatonic'])}
  with drawing(path, 13, 8.2) as figure:
    for axes, (name, title, form) in zip(figure.subplots(2, 3).ravel(), _PANELS, strict=True):
      _map(figure, axes, plane.axis, values[name], limits[name])
      if points is not None and len(points):
        _contour(axes, np.asarray(points, dtype=np.float64), plane.axis)
      test = (locations or {}).get(name)
      if test is not None:
        _signs(axes, plane.axis, test)
      if chosen is not None:
        axes.plot(*chosen, 'x', color=CONTROL, markersize=9, markeredgewidth=2.4)
      truth = plane.true_mean(name) if name in plane.truth else np.nan
      axes.set_title(title, pad=20)
      note = f'true bass: {form.format(truth)}' if np.isfinite(truth) else ''
      note = 'as much contrast as in the map to the left' if name == MISMATCHED else note
      axes.text(0, 1.02, note, transform=axes.transAxes, color=MUTED, fontsize=9)


def _bars(axes: Axes, series: Sequence[tuple[str, str, np.ndarray]], truth: np.ndarray, names: Sequence[str]) -> None:
  """Histograms of 12 columns beside each other, the truth as outlines."""
  width = 0.8 / len(series)
  for i, (label, colour, values) in enumerate(series):
    axes.bar(np.arange(12) + (i - (len(series) - 1) / 2) * width, values, width, color=colour, label=label)
  axes.bar(np.arange(12), truth, 0.9, facecolor='none', edgecolor=CEILING, linewidth=1.5, label='true bass')
  axes.set_xticks(range(12), names, fontsize=9)
  axes.tick_params(length=0)
  axes.set_ylabel('share')
  axes.grid(axis='y', color=FAINT)


def extremes(axis: np.ndarray, diatonic: np.ndarray) -> dict[str, tuple[int, int]]:
  """Grid indices of the most and the least diatonic position, and of the one nearest to the origin."""
  centre = int(np.argmin(np.abs(axis)))
  return {
    'centre': (centre, centre),
    'most': tuple(int(i) for i in np.unravel_index(np.nanargmax(diatonic), diatonic.shape)),
    'least': tuple(int(i) for i in np.unravel_index(np.nanargmin(diatonic), diatonic.shape)),
  }


def histograms(
  axis: np.ndarray, diatonic: np.ndarray, degrees: tuple[np.ndarray, np.ndarray], intervals: tuple[np.ndarray, np.ndarray], path: str
) -> None:
  """Pitch relative to the key and to what sounds in the mix, at the centre and at the most and the least diatonic position.

  Args:
    axis: [side].
    diatonic: [side, side], share.
    degrees: histograms [side, side, 12] relative to the key, and that of the true bass [12].
    intervals: the same, of intervals from the mix up to the bass.
    path: of the PNG.
  """
  found = extremes(axis, diatonic)
  where = lambda i, j: f'({axis[i]:.2g}, {axis[j]:.2g})'  # noqa: E731
  labels = {'centre': 'z = {}', 'most': 'most diatonic, {}', 'least': 'least diatonic, {}'}
  colours = {'centre': INK, 'most': OURS, 'least': CONTROL}
  with drawing(path, 12, 6.6) as figure:
    above, below = figure.subplots(2, 1)
    for axes, (table, truth), names in ((above, degrees, _DEGREES), (below, intervals, _INTERVALS)):
      _bars(axes, [(labels[name].format(where(*place)), colours[name], table[place]) for name, place in found.items()], truth, names)
    above.set_title('Pitch relative to the key (1 = tonic of the major scale with its notes)')
    below.set_title('Interval from the notes that sound in the mix up to the bass')
    figure.legend(*above.get_legend_handles_labels(), loc='outside lower center', ncols=4)
