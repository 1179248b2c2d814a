"""Pictures of RESULTS.md: planes and control matrices of several runs side by side, maps of the plane."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bassnet_jax.evaluation.alignment import Similarity, procrustes
from bassnet_jax.evaluation.planes import Plane
from bassnet_jax.evaluation.plots import BASELINE, DENSITY, FAINT, INK, MARKERS, MUTED, PATTERNS, drawing

MOST_COLUMNS = 5
_SIDE = 2.6  # inches of a panel


@dataclasses.dataclass(frozen=True)
class Strip:
  """The planes of one row of the table.

  Attributes:
    title: of the row.
    planes: seed -> plane.
  """

  title: str
  planes: dict[int, Plane]


@dataclasses.dataclass(frozen=True)
class Aligned:
  """A plane laid over a reference; `similarity` is None where it can't be (nothing in common, or all centroids coincide)."""

  plane: Plane
  similarity: Similarity | None


def align(plane: Plane, reference: Plane) -> Aligned:
  """Moves a plane onto a reference by the centroids of the patterns that both have."""
  if plane.names != reference.names:
    return Aligned(plane, None)
  try:
    similarity = procrustes(plane.centroids(), reference.centroids())
  except ValueError:  # one pattern only, or a plane in which all patterns lie on one point: it stays as it is, and the title says so
    return Aligned(plane, None)
  return Aligned(dataclasses.replace(plane, points=similarity(plane.points).astype(np.float32)), similarity)


def reference_seed(planes: Mapping[int, Plane]) -> int:
  """The seed whose plane the others fit best (the medoid; of equals the first): one that is unlike all others is no measure for them."""

  def misfit(seed: int) -> float:
    similarities = [align(plane, planes[seed]).similarity for other, plane in planes.items() if other != seed]
    return round(sum(similarity.disparity if similarity else 1.0 for similarity in similarities), 6)

  return min(planes, key=misfit)


def planes(strips: Sequence[Strip], path: str) -> None:
  """A line of panels a row of the table, one panel a seed; every plane is aligned to the first row's `reference_seed`.

  Every panel is drawn to its own extent: where a plane holds no pattern apart, its alignment has no meaningful scale.

  Args:
    strips: at least one, each with at least one plane.
    path: of the PNG.
  """
  columns = min(max(len(strip.planes) for strip in strips), MOST_COLUMNS)
  drawn = dict(list(strips[0].planes.items())[:columns])
  reference = drawn[reference_seed(drawn)]
  with drawing(path, max(_SIDE * columns + 1.9, 6.4), (_SIDE + 0.45) * len(strips) + 0.3) as figure:
    for part, strip in zip(np.atleast_1d(figure.subfigures(len(strips), 1)), strips, strict=True):
      part.suptitle(strip.title, x=0.01, ha='left', fontsize=11, fontweight='bold')
      panels = part.subplots(1, columns, squeeze=False)[0]
      for axes, (seed, plane) in zip(panels, strip.planes.items(), strict=False):
        aligned = align(plane, reference)
        _scatter(axes, aligned.plane)
        note = _note(plane is reference, aligned.similarity, len(reference.names))
        axes.set_title(f'seed {seed}' + (f', {note}' if note else ''), fontsize=9, fontweight='normal', color=MUTED)
      for axes in panels[len(strip.planes) :]:
        axes.set_visible(False)
    names = reference.names
    handles = [
      Line2D([], [], linestyle='', marker=MARKERS[i % len(MARKERS)], markersize=8, color=PATTERNS[i % len(PATTERNS)], label=name)
      for i, name in enumerate(names)
    ]
    figure.legend(handles=handles, loc='outside right upper', title='Pattern', alignment='left')


def _note(is_reference: bool, similarity: Similarity | None, patterns: int) -> str:
  if is_reference:
    return 'reference'
  if similarity is None:
    return 'not aligned'
  return f'misfit {similarity.disparity:.2f}' if patterns > 2 else 'aligned'


def _scatter(axes: Axes, plane: Plane) -> None:
  points = plane.points.astype(np.float64)
  middle = np.median(points, axis=0)
  reach = max(1.1 * float(np.quantile(np.abs(points - middle).max(axis=1), 0.995)), 1e-6)
  axes.set_aspect('equal')
  axes.set_xlim(middle[0] - reach, middle[0] + reach)
  axes.set_ylim(middle[1] - reach, middle[1] + reach)
  axes.tick_params(labelsize=7.5, length=2)
  axes.locator_params(nbins=4)
  axes.grid(color=FAINT)
  colours = np.array([PATTERNS[i % len(PATTERNS)] for i in range(len(plane.names))])
  order = np.random.default_rng(0).permutation(len(points))
  axes.scatter(*points[order].T, s=7, c=colours[plane.labels[order]], alpha=0.55, linewidths=0)
  for label, centre in enumerate(plane.centroids()):
    if np.isfinite(centre).all():
      axes.scatter(*centre, s=60, c=colours[label], marker=MARKERS[label % len(MARKERS)], edgecolors='white', linewidths=1.2, zorder=5)


def matrices(panels: Sequence[tuple[str, np.ndarray]], names: Sequence[str], path: str) -> None:
  """Control matrices side by side: which pattern was asked for (rows) and which came out (columns), as shares of a row.

  Args:
    panels: (title, [patterns, patterns]).
    names: of the patterns.
    path: of the PNG.
  """
  count, columns = len(names), min(len(panels), 4)
  lines = -(-len(panels) // columns)
  side = 0.52 * count + 1.15
  with drawing(path, max(side * columns + 0.6, 6.0), (side + 0.6) * lines + 0.5) as figure:
    grid = figure.subplots(lines, columns, squeeze=False)
    for index, axes in enumerate(grid.ravel()):
      if index >= len(panels):
        axes.set_visible(False)
        continue
      title, matrix = panels[index]
      axes.imshow(matrix, cmap=DENSITY, vmin=0, vmax=1)
      for i in range(count):
        for j in range(count):
          colour = 'white' if matrix[i, j] > 0.55 else INK if matrix[i, j] >= 0.005 else BASELINE
          axes.text(j, i, f'{matrix[i, j]:.2f}', ha='center', va='center', color=colour, fontsize=8)
      axes.set_title(title, fontsize=9)
      axes.set_xticks(range(count), names, rotation=40, ha='right', fontsize=8)
      axes.set_yticks(range(count), names if index % columns == 0 else [''] * count, fontsize=8)
      axes.tick_params(length=0)
      for spine in axes.spines.values():
        spine.set_visible(False)
    figure.supxlabel('nearest to what came out', fontsize=9)
    figure.supylabel('asked for', fontsize=9)


MAPS = (
  ('diatonic', 'Diatonic share'),
  ('onset_density', 'Notes a second'),
  ('register', 'Register, MIDI pitch'),
  ('level', 'Level, dB'),
)


def maps(runs: Sequence[tuple[str, np.ndarray, dict[str, np.ndarray]]], path: str) -> None:
  """What was measured over the plane, a line of maps a run.

  Args:
    runs: (title, axis [side], measure -> [side, side] with z = (axis[i], axis[j]); NaN where nothing was measured).
    path: of the PNG.
  """
  with drawing(path, 13, 3.3 * len(runs) + 0.2) as figure:
    for part, (title, axis, values) in zip(np.atleast_1d(figure.subfigures(len(runs), 1)), runs, strict=True):
      part.suptitle(title, x=0.01, ha='left', fontsize=11, fontweight='bold')
      half = (axis[1] - axis[0]) / 2
      extent = (axis[0] - half, axis[-1] + half) * 2
      for axes, (name, label) in zip(part.subplots(1, len(MAPS)), MAPS, strict=True):
        if name not in values:
          axes.set_visible(False)
          continue
        image = axes.imshow(values[name].T, origin='lower', extent=extent, cmap=DENSITY)
        bar = part.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=8)
        axes.set_title(label, fontsize=9.5)
        axes.set_xlabel('z₁')
        axes.set_ylabel('z₂')
