"""Draws the figures of a report as PNG files: the ladder, the latent plane, piano rolls, confusion matrices, loss curves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch
from scipy.ndimage import gaussian_filter

from data_pipeline.notes import KICK_KEYS, SNARE_KEYS, Notes

INK = '#22262e'
MUTED = '#7b8494'
FAINT = '#d9dde4'
OURS = '#1f6fb2'
CONTROL = '#d9822b'
BASELINE = '#9aa5b5'
ACCENT = '#c02942'
CEILING = '#3c9d73'
# Okabe & Ito's colours, told apart by colour-blind readers too.
PATTERNS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8c6bb1', '#5c5c5c')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')
DENSITY = LinearSegmentedColormap.from_list('density', ['#ffffff', '#d6e6f4', '#8dbbe0', '#3b87c4', '#124f8c'])

LADDER_GROUPS = (
  ('Baselines', BASELINE, ('silence', 'other_song', 'tonic_eighths', 'root_on_kick', 'follow_lowest', 'retrieval')),
  ('Model', OURS, ('z_zero', 'z_fixed')),
  ('Model that gets a wrong mix', CONTROL, ('control_other_mix', 'control_shifted', 'control_silent_mix')),
  ('Sees the true bass', CEILING, ('z_posterior', 'truth')),
)
RUNG_NAMES = {
  'silence': 'Silence',
  'other_song': "Another song's bass",
  'tonic_eighths': 'Eighths on the tonic',
  'root_on_kick': 'Root on every kick',
  'follow_lowest': 'Lowest line of the mix',
  'retrieval': 'Retrieval',
  'z_zero': 'z = 0',
  'z_fixed': 'One z for all songs',
  'control_other_mix': "Another song's mix",
  'control_shifted': 'Mix shifted in time',
  'control_silent_mix': 'Silent mix',
  'z_posterior': 'z from the true bass',
  'truth': 'Truth',
}
MASSES = (0.9, 0.75, 0.5, 0.25)
"""Shares of all points that lie inside the iso-contours of `latent_density`."""

_STYLE = {
  'font.family': 'DejaVu Sans',
  'font.size': 10,
  'text.color': INK,
  'axes.labelcolor': INK,
  'axes.edgecolor': MUTED,
  'axes.linewidth': 0.8,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.titlesize': 11,
  'axes.titleweight': 'bold',
  'axes.titlelocation': 'left',
  'axes.axisbelow': True,
  'xtick.color': MUTED,
  'ytick.color': MUTED,
  'xtick.labelcolor': INK,
  'ytick.labelcolor': INK,
  'grid.color': FAINT,
  'grid.linewidth': 0.7,
  'legend.frameon': False,
}


@contextlib.contextmanager
def _figure(path: str, width: float, height: float) -> Iterator[Figure]:
  """A figure in this module's style, in inches, written to `path` at the end. No pyplot: nothing global is touched."""
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    yield figure
    figure.savefig(path, dpi=150, facecolor='white', format='png')


drawing = _figure
"""The same for other modules that draw for reports."""


def _bars(axes: Axes, rows: Sequence[tuple[str, str, float]], metrics: Mapping[str, Mapping], name: str, chance: str = '') -> None:
  """Horizontal bars of one metric with intervals, figures and, under the name `chance`, red marks; `rows` are (rung, colour, height)."""
  for rung, colour, y in rows:
    value, interval = metrics[rung].get(name), metrics[rung].get(f'{name}_ci95')
    if value is None:
      continue
    axes.barh(y, value, height=0.68, color=colour)
    end = value
    if interval is not None:
      axes.plot(interval, [y, y], color=INK, linewidth=1.3, solid_capstyle='butt')
      end = max(end, interval[1])
    by_chance = metrics[rung].get(chance)
    if by_chance is not None:
      axes.plot([by_chance, by_chance], [y - 0.42, y + 0.42], color=ACCENT, linewidth=2)
      end = max(end, by_chance)
    axes.text(end + 0.02, y, f'{value:.2f}', va='center', fontsize=9)


def ladder_bars(metrics: Mapping[str, Mapping], path: str) -> None:
  """The ladder: what every rung scores, with 95 % intervals.

  Args:
    metrics: rung -> {metric: mean, metric_ci95: [low, high]}, as under `music` in metrics.json; rungs that are missing are left out,
      unknown ones are drawn among the model's.
    path: of the PNG.
  """
  known = {rung for _, _, rungs in LADDER_GROUPS for rung in rungs}
  rows, headings, y = [], [], 0.0
  for title, colour, rungs in LADDER_GROUPS:
    present = [rung for rung in rungs if rung in metrics]
    if title == 'Model':
      present += [rung for rung in metrics if rung not in known]
    if present:
      headings.append((title, colour, y))
      y += 0.8
      for rung in present:
        rows.append((rung, colour, y))
        y += 1
      y += 0.25
  with _figure(path, 12, 1.3 + 0.34 * y) as figure:
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(1.25, 1, 1))
    _bars(panels[0], rows, metrics, 'note_pc_f1')
    _bars(panels[1], rows, metrics, 'onset_f1', 'onset_f1_chance')
    _bars(panels[2], rows, metrics, 'chord_tone_rate')
    truth = metrics.get('truth', {}).get('chord_tone_rate')
    if truth is not None:
      panels[2].axvline(truth, color=CEILING, linewidth=1, linestyle='--')
    titles = ('Right note at the right time', 'Right time, any note', 'Notes of the sounding harmony')
    labels = ('F1 of onset (±50 ms) and pitch class', 'F1 of onset (±50 ms); red: chance', 'share of duration; dashed: truth')
    for axes, title, label in zip(panels, titles, labels, strict=True):
      axes.set_title(title)
      axes.set_xlabel(label)
      axes.set_xlim(0, 1.14)
      axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ['0', '', '0.5', '', '1'])
      axes.set_ylim(y - 0.4, -0.6)
      axes.grid(axis='x')
      axes.tick_params(length=0)
      axes.spines['left'].set_visible(False)
    panels[0].set_yticks([height for *_, height in rows], [RUNG_NAMES.get(rung, rung) for rung, *_ in rows])
    for title, colour, height in headings:
      panels[0].text(
        -0.02, height, title, color=colour, fontweight='bold', ha='right', va='center', transform=panels[0].get_yaxis_transform()
      )


def _plane(axes: Axes, reach: float) -> None:
  """The latent plane: square, the origin marked, the same reach on both axes."""
  axes.set_aspect('equal')
  axes.set_xlim(-reach, reach)
  axes.set_ylim(-reach, reach)
  axes.set_xlabel('z₁')
  axes.set_ylabel('z₂')
  axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
  axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)


def _reach(points: np.ndarray) -> float:
  """Half side of the square around the origin that holds all points but stray ones."""
  return max(1.0, 1.12 * float(np.quantile(np.abs(points).max(axis=1), 0.998))) if len(points) else 3.0


def latent_scatter(points: np.ndarray, labels: np.ndarray, names: Sequence[str], path: str) -> None:
  """Points of the latent plane, coloured by pattern, with every pattern's centre.

  Args:
    points: [n, 2].
    labels: [n] int, index into `names`.
    names: of the patterns.
    path: of the PNG.
  """
  points, labels = np.asarray(points, dtype=np.float64).reshape(-1, 2), np.asarray(labels)
  order = np.random.default_rng(0).permutation(len(points))  # so that no pattern covers the others
  with _figure(path, 7.4, 5.8) as figure:
    axes = figure.subplots()
    _plane(axes, _reach(points))
    colours = np.array([PATTERNS[i % len(PATTERNS)] for i in range(len(names))])
    size = float(np.clip(9000 / max(len(points), 1), 5, 28))
    axes.scatter(*points[order].T, s=size, c=colours[labels[order]] if len(points) else None, alpha=0.55, linewidths=0)
    handles = []
    for i, name in enumerate(names):
      marker = MARKERS[i % len(MARKERS)]
      if (labels == i).any():
        axes.scatter(*points[labels == i].mean(axis=0), s=130, c=colours[i], marker=marker, edgecolors='white', linewidths=1.8, zorder=5)
      label = f'{name}  ({(labels == i).sum()})'
      handles.append(Line2D([], [], linestyle='', marker=marker, markersize=9, color=colours[i], markeredgecolor='white', label=label))
    # The figure's, not the axes': the layout leaves room for it, however long the names are.
    figure.legend(handles=handles, title='Pattern (windows)', loc='outside right center', alignment='left')
    axes.set_title('Where each pattern lies in the latent plane')


def latent_density(points: np.ndarray, path: str) -> None:
  """Density of points in the latent plane, filled, with the contours that hold given shares of them.

  Args:
    points: [n, 2], n >= 1.
    path: of the PNG.

  Raises:
    ValueError: no points.
  """
  points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
  if not len(points):
    raise ValueError('a density needs one point at least; there is none')
  reach, cells = _reach(points), 240
  # A smoothed histogram is a kernel density estimate on a grid, at any number of points; Scott's rule sets its width.
  histogram, edges, _ = np.histogram2d(*points.T, bins=cells, range=[[-reach, reach]] * 2)
  width = np.maximum(points.std(axis=0), 0.02 * reach) * len(points) ** (-1 / 6) / (2 * reach / cells)
  density = gaussian_filter(histogram, np.maximum(width, 4.0))
  density /= density.sum()
  falling = np.sort(density.ravel())[::-1]
  inside = np.cumsum(falling)
  levels = np.array([falling[min(np.searchsorted(inside, mass), len(falling) - 1)] for mass in MASSES])
  centres = (edges[:-1] + edges[1:]) / 2
  with _figure(path, 6.4, 5.9) as figure:
    axes = figure.subplots()
    _plane(axes, reach)
    axes.contourf(centres, centres, density.T / density.max(), levels=np.linspace(0.01, 1, 26), cmap=DENSITY)
    distinct, first = np.unique(levels, return_index=True)
    lines = axes.contour(centres, centres, density.T, levels=distinct, colors=INK, linewidths=0.9, alpha=0.75)
    axes.clabel(lines, fmt={level: f'{MASSES[i]:.0%}' for level, i in zip(distinct, first, strict=True)}, fontsize=8)
    for line in np.linspace(-reach, reach, 5)[1:-1]:
      axes.axhline(line, color=FAINT, linewidth=0.5, linestyle=':')
      axes.axvline(line, color=FAINT, linewidth=0.5, linestyle=':')
    axes.plot(0, 0, '+', color=INK, markersize=9)
    axes.set_title('Where the training data lie in the latent plane', pad=20)
    axes.text(0, 1.02, f'{len(points):,} points; a line holds the share written on it', transform=axes.transAxes, color=MUTED, fontsize=9)


_NOTE_NAMES = ('C', 'C♯', 'D', 'E♭', 'E', 'F', 'F♯', 'G', 'A♭', 'A', 'B♭', 'B')


def _note_name(pitch: int) -> str:
  return f'{_NOTE_NAMES[pitch % 12]}{pitch // 12 - 1}'


def _note_boxes(axes: Axes, notes: Notes, start: float, end: float, height: float, **style) -> None:
  """A rounded box a note, cut to the time shown, with a gap to the next one."""
  gap = 0.0015 * (end - start)
  for onset, offset, pitch in zip(notes.onset, notes.offset, notes.pitch, strict=True):
    low, high = max(onset, start), min(offset, end)
    if high > low:
      corner = 'round,pad=0,rounding_size=0.02'
      box = FancyBboxPatch((low, pitch - height / 2), max(high - low - gap, 2 * gap), height, boxstyle=corner, mutation_aspect=14, **style)
      axes.add_patch(box)


def piano_roll(path: str, bass: Notes, mix_notes: Notes | None, reference: Notes | None, start: float, end: float) -> None:
  """A bass line over time, the notes of its mix behind it, the true bass as outlines, the drums below.

  Args:
    path: of the PNG.
    bass: the line.
    mix_notes: notes of the mix, drums included, or None.
    reference: the true bass, or None.
    start, end: seconds shown.

  Raises:
    ValueError: nothing lies between `start` and `end`.
  """
  if end <= start:
    raise ValueError(f'a piano roll from {start:g} s to {end:g} s shows nothing; the end must be later than the start')
  shown = [
    notes.where((notes.onset < end) & (notes.offset > start)) for notes in (bass, reference or Notes.empty(), mix_notes or Notes.empty())
  ]
  line, truth, mix = shown
  drums = mix.drums
  lanes = [
    ('kick', drums.where(np.isin(drums.pitch, KICK_KEYS))),
    ('snare', drums.where(np.isin(drums.pitch, SNARE_KEYS))),
    ('cymbals, toms', drums.where(~np.isin(drums.pitch, KICK_KEYS + SNARE_KEYS))),
  ]
  lanes = [(name, notes) for name, notes in lanes if len(notes)]
  pitches = np.concatenate([line.pitch, truth.pitch, mix.pitched.pitch])
  low = int(min(pitches.min() if len(pitches) else 28, 28)) - 2
  high = int(max(pitches.max() if len(pitches) else 55, 48)) + 2
  height = float(np.clip(0.085 * (high - low), 3.2, 6.5))
  with _figure(path, float(np.clip(0.75 * (end - start), 9, 18)), height + 0.26 * len(lanes) + 1.2) as figure:
    if lanes:
      axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(height, 0.26 * len(lanes) + 0.1))
    else:
      axes = below = figure.subplots()
    for pitch in range(low, high + 1):
      if pitch % 12 in (1, 3, 6, 8, 10):
        axes.axhspan(pitch - 0.5, pitch + 0.5, color='#f3f5f8', linewidth=0, zorder=0)
      if pitch % 12 == 0:
        axes.axhline(pitch - 0.5, color=FAINT, linewidth=0.8, zorder=0)
    _note_boxes(axes, mix.pitched, start, end, 0.62, facecolor='#b9c2cf', edgecolor='none', alpha=0.75, zorder=2)
    _note_boxes(axes, line, start, end, 0.95, facecolor=OURS, edgecolor='none', zorder=3)
    _note_boxes(axes, truth, start, end, 1.3, facecolor='none', edgecolor=ACCENT, linewidth=1.2, zorder=4)
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 in (0, 4, 9)]
    axes.set_yticks(octaves, [_note_name(pitch) for pitch in octaves], fontsize=8.5)
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.set_xlim(start, end)
    axes.grid(axis='x')
    handles = [Patch(facecolor=OURS, label='bass')]
    if len(truth):
      handles.append(Patch(facecolor='none', edgecolor=ACCENT, linewidth=1.2, label='true bass'))
    if len(mix.pitched):
      handles.append(Patch(facecolor='#b9c2cf', label='mix'))
    axes.legend(handles=handles, loc='lower right', bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    axes.set_title(f'{start:g} to {end:g} s')
    if lanes:
      axes.tick_params(axis='x', length=0)
      for i, (_, notes) in enumerate(lanes):
        strength = 0.35 + 0.65 * notes.velocity / 127
        below.vlines(notes.onset, i - 0.36, i + 0.36, color=INK, alpha=np.clip(strength, 0, 1), linewidth=2)
      below.set_yticks(range(len(lanes)), [name for name, _ in lanes], fontsize=8.5)
      below.set_ylim(len(lanes) - 0.45, -0.55)
      below.grid(axis='x')
      below.tick_params(axis='y', length=0)
    below.set_xlabel('seconds')


def confusion(matrix: np.ndarray, names: Sequence[str], path: str) -> None:
  """Which pattern was asked for and which came out, as shares of every row.

  Args:
    matrix: [patterns, patterns], counts or shares; row = intended, column = nearest to what was generated.
    names: of the patterns.
    path: of the PNG.
  """
  matrix = np.asarray(matrix, dtype=np.float64)
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-12)
  count = len(names)
  with _figure(path, 2.9 + 0.72 * count, 2.2 + 0.62 * count) as figure:
    axes = figure.subplots()
    axes.imshow(shares, cmap=DENSITY, vmin=0, vmax=1)
    for i in range(count):
      for j in range(count):
        colour = 'white' if shares[i, j] > 0.55 else INK if shares[i, j] >= 0.005 else BASELINE
        axes.text(
          j, i, f'{shares[i, j]:.2f}', ha='center', va='center', color=colour, fontsize=9.5, fontweight='bold' if i == j else 'normal'
        )
    axes.set_xticks(
      range(count), names, rotation=30 if max(map(len, names)) > 6 else 0, ha='right' if max(map(len, names)) > 6 else 'center'
    )
    axes.set_yticks(range(count), names)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which='minor', color='white', linewidth=2)
    axes.tick_params(which='both', length=0)
    for spine in axes.spines.values():
      spine.set_visible(False)
    axes.set_xlabel('nearest to the generated notes')
    axes.set_ylabel('intended')
    axes.set_title(f'{np.trace(shares) / count:.3g} as intended (chance {1 / count:.3g})')


def _smoothed(values: np.ndarray) -> np.ndarray:
  """Moving average over a fortieth of the curve, without lag or edges that sag."""
  width = max(len(values) // 40, 1)
  window = np.ones(2 * width + 1)
  return np.convolve(values, window, 'same') / np.convolve(np.ones(len(values)), window, 'same')


def loss_curves(jsonl_rows: Sequence[Mapping], path: str) -> None:
  """A small panel for every number that training logged, against the step.

  Args:
    jsonl_rows: one dict a log line, with `step`; every other number is a curve, but clock times and what is 0 in all rows. A name before
      a slash is a split ('validation/loss' is drawn into the panel of 'loss', over 'train/loss' or a bare 'loss').
    path: of the PNG.

  Raises:
    ValueError: no row has a step and a number.
  """
  curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
  for row in jsonl_rows:
    for key, value in row.items():
      if key == 'step' or 'step' not in row or isinstance(value, bool) or not isinstance(value, int | float) or 'time' in key:
        continue
      split, _, name = key.rpartition('/')
      if np.isfinite(value):
        curves.setdefault(name, {}).setdefault(split or 'train', []).append((row['step'], value))
  # A term that is 0 all along isn't part of this experiment.
  curves = {name: by_split for name, by_split in curves.items() if any(value for points in by_split.values() for _, value in points)}
  if not curves:
    raise ValueError(f'{len(jsonl_rows)} log rows hold no curve; each needs a step and a number')
  columns = min(3, len(curves))
  lines = -(-len(curves) // columns)
  splits = sorted({split for curve in curves.values() for split in curve}, key=lambda split: (split != 'train', split))
  colours = dict(zip(splits, (OURS, CONTROL, CEILING, *PATTERNS), strict=False))
  with _figure(path, 4.1 * columns, 2.5 * lines + 0.5) as figure:
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True).ravel()
    for axes, (name, by_split) in zip(panels, curves.items(), strict=False):
      for split, points in by_split.items():
        step, value = np.array(points).T
        if len(value) > 80:
          axes.plot(step, value, color=colours[split], linewidth=0.6, alpha=0.3)
        marker = 'o' if len(value) < 40 else None
        axes.plot(step, _smoothed(value) if len(value) > 80 else value, color=colours[split], linewidth=1.6, marker=marker, markersize=3.5)
      values = np.concatenate([np.array(points)[:, 1] for points in by_split.values()])
      if len(values) > 4 and values.min() > 0 and values.max() > 30 * np.median(values):
        axes.set_yscale('log')
      axes.set_title(name.replace('_', ' '))
      axes.grid(axis='y')
      axes.ticklabel_format(axis='x', style='plain', useOffset=False)
    for axes in panels[len(curves) :]:
      axes.set_visible(False)
    for column in range(columns):
      lowest = [axes for axes in panels[column::columns] if axes.get_visible()][-1]
      lowest.set_xlabel('step')
      lowest.tick_params(labelbottom=True)
    if len(splits) > 1:
      handles = [Line2D([], [], color=colours[split], linewidth=2, label=split) for split in splits]
      figure.legend(handles=handles, loc='outside upper right', ncols=len(splits))
