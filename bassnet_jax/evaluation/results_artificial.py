"""The part of RESULTS.md on the artificial sets: separation, the stability constraint, further ablations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bassnet_jax.evaluation import results, results_plots
from bassnet_jax.evaluation.results import DEFAULT_VARIANT, Conditions, Estimate, Row
from bassnet_jax.evaluation.results_document import Document, condition_cells, file_stem, seeds_cell

SETS = {
  'a1': 'harmony',
  'a2': 'timbre',
  'a3': 'rhythm',
  'a4': 'harmony, timbre and rhythm together',
}
STABILITY = {
  'exchange': 'search, then exchange',
  'nosearch': 'exchange and smoothness',
  'exchange_only': 'exchange only',
  'search_only': "search, then each frame's own z",
  **results.WITHOUT_SEARCH,
}
"""Variants that change the temporal-stability constraint, and what it is then; every other variant is a further ablation."""
COMPARED = (('SVM', 'latent.svm'), ('pattern', 'control.pattern'), ('note F1', 'control.note_f1'))
_CONSTRAINTS = {DEFAULT_VARIANT: 'search, exchange and smoothness (the default)', **STABILITY}
OVERVIEW = (DEFAULT_VARIANT, 'nosearch', 'smoothness', 'nostability')
"""Variants of the page's first table."""
_ABLATIONS = {
  'deterministic': 'the default, not variational',
  'nogate': 'the default, concatenation in place of products',
  'common_transposition': 'the default, the windows of a group transposed alike',
  'transposition': 'the default, the windows of a group transposed independently',
}
_OVERVIEW_WINDOW = 64


def _artificial(rows: Sequence[Row]) -> list[Row]:
  return [row for row in rows if results.values(row, 'latent.svm')]


def _chance(row: Row) -> float:
  return next(iter(results.values(row, 'latent.chance').values()))


def verdict(difference: Estimate) -> str:
  """Of an estimate that a claim says is positive."""
  if difference.mean is None:
    return 'no seed in common'
  if difference.interval is None or difference.within_run:
    return 'one seed'
  low, high = difference.interval
  return 'supported' if low > 0 else 'contradicted' if high < 0 else 'not decided'


def _signed(value: Estimate) -> str:
  if value.mean is None:
    return ''
  text = f'{value.mean:+.3f}'
  return text + (f' [{value.interval[0]:+.3f}, {value.interval[1]:+.3f}]' if value.interval else '')


def overview(page: Document, rows: Sequence[Row]) -> None:
  """The page's first table: with the constraint, with less of it and without, set for set. Nothing where no such row is there."""
  lines = []
  for name, what in SETS.items():
    for row in _most_complete([row for row in _artificial(rows) if row.family[:2] == (name, _OVERVIEW_WINDOW)], OVERVIEW).values():
      figures = [results.estimate(row, figure) for _, figure in COMPARED]
      chance = f'{_chance(row):.3f}'
      lines.append((f'{name}: {what}', _CONSTRAINTS[row.family[2]], f'{row.conditions.steps:,}', seeds_cell(row), *figures, chance))
  if lines:
    page.text(
      f'In short, of held-out songs, windows of {_OVERVIEW_WINDOW} frames: with the temporal-stability constraint and without, all else '
      'equal within a set. SVM: is the pattern read from the plane? Pattern and note F1: does z make the bass follow it? Chance is '
      'that of SVM and pattern.'
    )
    page.table(('set', 'constraint', 'steps', 'seeds', *(label for label, _ in COMPARED), 'chance'), lines)


def _most_complete(rows: Sequence[Row], variants: Sequence[str]) -> dict[str, Row]:
  """Variant -> row, in the order of `variants`, under those conditions under which most of them, and most runs, are there."""
  groups: dict[Conditions, dict[str, Row]] = {}
  for row in rows:
    if row.family[2] in variants:
      groups.setdefault(row.conditions, {})[row.family[2]] = row
  found = max(groups.values(), key=lambda group: (len(group), sum(len(row.results) for row in group.values())), default={})
  return {variant: found[variant] for variant in variants if variant in found}


def separation(page: Document, rows: Sequence[Row]) -> None:
  page.heading('(a) Without labels, the plane separates bass patterns that need sensitivity to harmony, timbre and rhythm')
  default = [row for row in _artificial(rows) if row.family[2] == DEFAULT_VARIANT]
  missing = [f'{name} ({what})' for name, what in SETS.items() if name not in {row.family[0] for row in default}]
  if default:
    page.text(
      'The default (search, then exchange and latent smoothness). SVM and k-NN read the pattern from window means of mu; the mix alone '
      'must not tell it. Control: z is set to the centroid that a pattern has on training songs, and the notes that come out are '
      'compared with those of every pattern; *blind* is the same with z = 0.'
    )
    page.table(
      (
        *('set', 'window', 'steps', 'preset', 'seeds', 'SVM', 'k-NN', 'mix alone', 'chance', 'SVM above chance', 'stability ratio'),
        *('control: pattern', 'blind', 'control: note F1', 'blind', 'frames', 'switch, s'),
      ),
      [_separation_line(row) for row in default],
    )
    unheard = [row for row in default if results.values(row, 'test_timbre.control.pattern')]
    if unheard:
      page.text('The same with new instruments:')
      names = ('latent.svm', 'control.pattern', 'control.note_f1', 'control.frame')
      page.table(
        ('set', 'window', 'steps', 'preset', 'seeds', 'SVM', 'control: pattern', 'control: note F1', 'frames'),
        [(*_place(row), *(results.estimate(row, f'test_timbre.{name}') for name in names)) for row in unheard],
      )
    _alignment(page, default)
  if missing:
    page.text(f'No run yet of {", ".join(missing)}.')


def _place(row: Row) -> tuple[str, ...]:
  name, window, _ = row.family
  what = SETS.get(name)
  return (f'{name}: {what}' if what else name, str(window), *condition_cells(row.conditions), seeds_cell(row))


def _separation_line(row: Row) -> tuple[Any, ...]:
  chance = _chance(row)
  get = lambda name: results.estimate(row, name)  # noqa: E731
  above = results.estimate(row, lambda metrics: results.lookup(metrics, 'latent.svm') - chance)
  latent = (get('latent.svm'), get('latent.knn'), get('latent.mix_only'), f'{chance:.3f}', verdict(above), get('latent.stability_ratio'))
  control = (get('control.pattern'), get('control_blind.pattern'), get('control.note_f1'), get('control_blind.note_f1'))
  return (*_place(row), *latent, *control, get('control.frame'), get('control.switch_seconds'))


def _alignment(page: Document, rows: Sequence[Row]) -> None:
  """How far planes of different seeds are the same plane, turned."""
  lines = []
  for row in rows:
    planes = {result.seed: plane for result in row.results if (plane := result.plane()) is not None}
    if len(planes) < 2:
      continue
    reference_seed = results_plots.reference_seed(planes)
    reference = planes[reference_seed]
    misfits, agreements = [], []
    for seed, plane in planes.items():
      aligned = results_plots.align(plane, reference)
      if seed != reference_seed and aligned.similarity is not None:
        misfits.append(aligned.similarity.disparity)
        agreements.append(_nearest_agreement(aligned.plane.points, plane.labels, reference.centroids()))
    if misfits:
      lines.append((row.experiment, *condition_cells(row.conditions), reference_seed, len(misfits), _spread(misfits), _spread(agreements)))
  if lines:
    page.text(
      'A plane is defined up to rotation, reflection and scale, so planes of other seeds are laid over that of the reference, which they '
      "fit best, by their patterns' centroids (orthogonal Procrustes). Misfit: the part of the centroids' variance that remains (with two "
      'patterns it is 0 by construction); agreement: share of the windows of the other seeds that then lie nearest to the centroid that '
      'their own pattern has in the reference. Means over the other seeds, with the extremes.'
    )
    page.table(('experiment', 'steps', 'preset', 'reference seed', 'other seeds', 'misfit', 'agreement'), lines)


def _nearest_agreement(points: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> float:
  distance = np.square(points[:, None].astype(np.float64) - centroids[None]).sum(axis=-1)
  return float((np.nanargmin(distance, axis=1) == labels).mean())


def _spread(values: Sequence[float]) -> str:
  return f'{np.mean(values):.3f}' + (f' ({min(values):.3f} to {max(values):.3f})' if len(values) > 1 else '')


def stability(page: Document, rows: Sequence[Row]) -> None:
  page.heading('(b) The separation is due to the temporal-stability constraint')
  groups = _families(_artificial(rows))
  compared = {key: found for key, found in groups.items() if len(found) > 1 and found[0].family[2] == DEFAULT_VARIANT}
  compared = {key: [row for row in found if row.family[2] in _CONSTRAINTS] for key, found in compared.items()}
  compared = {key: found for key, found in compared.items() if len(found) > 1}
  if not compared:
    page.text('No figures yet: it needs rows with the constraint and without, trained alike (`a?_window64`, `a?_window64_nostability`).')
  else:
    page.text(
      'Each table holds rows trained alike. The claim is that the default minus a row with less of the constraint is positive; '
      'differences are paired by seed.'
    )
    _side_by_side(page, rows)
    for key, found in compared.items():
      _comparison(page, key, found)
  alone = [row for key, found in groups.items() if key not in compared for row in found if row.family[2] in _CONSTRAINTS]
  if alone:
    page.text('Rows without a counterpart trained alike: ' + '; '.join(f'`{row.experiment}` ({row.conditions})' for row in alone) + '.')
  for key, found in groups.items():
    _pictures(page, key, [row for row in found if row.family[2] in _CONSTRAINTS])


def _side_by_side(page: Document, rows: Sequence[Row]) -> None:
  """Every variant's means on every set, in one table without intervals; those stand in the tables of each set."""
  variants = _CONSTRAINTS | _ABLATIONS
  columns = {}
  for name in SETS:
    found = _most_complete([row for row in _artificial(rows) if row.family[:2] == (name, _OVERVIEW_WINDOW)], tuple(variants))
    if found:
      columns[f'{name}, {next(iter(found.values())).conditions.steps:,} steps'] = found
  lines = []
  for variant, what in variants.items():
    cells = [_means(found[variant]) if variant in found else '' for found in columns.values()]
    if any(cells):
      lines.append((variant, what, *cells))
  page.text(
    f'All rows of windows of {_OVERVIEW_WINDOW} frames at a glance: means of SVM, control of the pattern and note F1, with the number of '
    'seeds in brackets; intervals and differences are below and under the further ablations.'
  )
  page.table(('variant', 'constraint', *columns), lines)
  missing = [name for name, found in columns.items() if len(found) < len(variants)]
  if missing:
    known = {name: [variant for variant in variants if variant not in found] for name, found in columns.items()}
    page.text('Not trained alike yet: ' + '; '.join(f'{name.partition(",")[0]} {", ".join(known[name])}' for name in missing) + '.')


def _means(row: Row) -> str:
  figures = [results.estimate(row, figure).mean for _, figure in COMPARED]
  return ', '.join('' if mean is None else f'{mean:.3f}' for mean in figures) + f' ({seeds_cell(row)})'


def _families(rows: Sequence[Row]) -> dict[tuple[str, int, Conditions], list[Row]]:
  """(set, window, conditions) -> rows, the default first."""
  groups: dict[tuple[str, int, Conditions], list[Row]] = {}
  for row in rows:
    groups.setdefault((*row.family[:2], row.conditions), []).append(row)
  return groups


def _comparison(page: Document, key: tuple[str, int, Conditions], rows: Sequence[Row]) -> None:
  name, window, conditions = key
  page.heading(f'{name}: {SETS.get(name, name)}, window {window}; {conditions}', 3)
  default, *others = rows
  names = [name for _, name in COMPARED]
  lines = []
  for row in rows:
    figures = [results.estimate(row, name) for name in (*names, 'latent.stability_ratio', 'test_timbre.control.pattern')]
    gains = [''] * 2 * len(names)
    if row in others:
      differences = [results.difference(default, row, name) for name in names]
      gains = [text for value in differences for text in (_signed(value), verdict(value))]
    lines.append((row.family[2], seeds_cell(row), *figures, *gains))
  header = ['variant', 'seeds', *(label for label, _ in COMPARED), 'stability ratio', 'pattern, new instruments']
  for label, _ in COMPARED:
    header += [f'default minus it: {label}', '']
  page.table(header, lines)


def _pictures(page: Document, key: tuple[str, int, Conditions], rows: Sequence[Row]) -> None:
  """Planes side by side, a line a variant, and the mean control matrices."""
  if not rows:
    return
  name, window, conditions = key
  stem = file_stem(f'{name}_window{window}', conditions)
  strips = []
  for row in rows:
    planes = {result.seed: plane for result in row.results if (plane := result.plane()) is not None}
    if planes:
      strips.append(results_plots.Strip(row.experiment, planes))
  if strips:
    caption = f'{name}, window {window}, {conditions.steps:,} steps: window means of held-out songs, aligned to a plane of the first row'
    results_plots.planes(strips, page.picture(f'planes_{stem}.png', caption))
  panels, patterns = [], 0
  for row in rows:
    found = [np.asarray(result.metrics['control']['matrix']) for result in row.results if 'matrix' in result.metrics.get('control', {})]
    if found:
      panels.append((f'{row.family[2]} ({len(found)} seed{"s" if len(found) > 1 else ""})', np.mean(found, axis=0)))
      patterns = len(found[0])
  if panels:
    names = next((list(next(iter(strip.planes.values())).names) for strip in strips), None) or _pattern_names(name, patterns)
    caption = f'{name}, window {window}, {conditions.steps:,} steps: control, mean over seeds; rows: asked for, columns: what came out'
    results_plots.matrices(panels, names, page.picture(f'control_{stem}.png', caption))


def _pattern_names(name: str, patterns: int) -> list[str]:
  from data_pipeline.sources.artificial.source import PATTERN_NAMES

  known = PATTERN_NAMES.get(name, ())
  return list(known) if len(known) == patterns else [f'pattern {i}' for i in range(patterns)]


def further(page: Document, rows: Sequence[Row]) -> None:
  page.heading('Further ablations: gating, variational, transposition, precision')
  groups = _families(_artificial(rows))
  any_found = False
  for key, found in groups.items():
    others = [row for row in found if row.family[2] not in _CONSTRAINTS]
    if not others:
      continue
    any_found = True
    if found[0].family[2] == DEFAULT_VARIANT:
      _comparison(page, key, [found[0], *others])
    else:
      page.text('Without a default trained alike: ' + '; '.join(f'`{row.experiment}` ({row.conditions})' for row in others) + '.')
      names = [name for _, name in COMPARED]
      page.table(
        ('experiment', 'seeds', *(label for label, _ in COMPARED)),
        [(row.experiment, seeds_cell(row), *(results.estimate(row, name) for name in names)) for row in others],
      )
  if not any_found:
    page.text('No figures yet.')
