"""The part of RESULTS.md on the artificial sets: separation, the stability constraint, further ablations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bassnet_jax.evaluation import results, results_plots
from bassnet_jax.evaluation import results_summaries as summaries
from bassnet_jax.evaluation.results import DEFAULT_VARIANT, Conditions, Estimate, Row
from bassnet_jax.evaluation.results_document import Document, condition_cells, file_stem, seeds_cell


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


def separation(page: Document, rows: Sequence[Row]) -> None:
  page.heading('(a) Without labels, the plane separates bass patterns that need sensitivity to harmony, timbre and rhythm')
  default = [row for row in summaries.artificial(rows) if row.family[2] == DEFAULT_VARIANT]
  missing = [f'{name} ({what})' for name, what in summaries.SETS.items() if name not in {row.family[0] for row in default}]
  if default:
    page.text(
      'The default (search, then exchange and latent smoothness). SVM and k-NN read the pattern from window means of mu; the mix alone '
      'must not tell it. Control: z is set to the centroid that a pattern has on training songs, and the notes that come out are '
      'compared with those of every pattern; *blind* is the same with z = 0. Stability ratio: the share of the variance of mu that lies '
      'within songs. Frames: the share of frames whose pitch, or rest, is right. Switch: the median time until a new pattern sounds '
      'after z jumps to its centroid (runs whose metrics.json has no `control.notes` count rests too). What no training changes, the mix '
      'alone, has its interval over songs.'
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
      summaries.carried_over(page, unheard)
    _alignment(page, default)
  if missing:
    page.text(f'No run yet of {", ".join(missing)}.')


def _place(row: Row) -> tuple[str, ...]:
  name, window, _ = row.family
  what = summaries.SETS.get(name)
  return (f'{name}: {what}' if what else name, str(window), *condition_cells(row.conditions), seeds_cell(row))


def _separation_line(row: Row) -> tuple[Any, ...]:
  chance = summaries.chance(row)
  get = lambda name: results.estimate(row, name)  # noqa: E731
  above = results.estimate(row, lambda metrics: results.lookup(metrics, 'latent.svm') - chance)
  latent = (
    get('latent.svm'),
    get('latent.knn'),
    results.estimate_of_data(row, 'latent.mix_only'),
    f'{chance:.3f}',
    verdict(above),
    get('latent.stability_ratio'),
  )
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
  groups = _families(summaries.artificial(rows))
  compared = {key: found for key, found in groups.items() if len(found) > 1 and found[0].family[2] == DEFAULT_VARIANT}
  compared = {key: [row for row in found if row.family[2] in summaries.CONSTRAINTS] for key, found in compared.items()}
  compared = {key: found for key, found in compared.items() if len(found) > 1}
  if not compared:
    page.text('No figures yet: it needs rows with the constraint and without, trained alike (`a?_window64`, `a?_window64_nostability`).')
  else:
    page.text(
      'Each table holds rows trained alike. The claim is that the default minus a row with less of the constraint, or with another form of '
      'it, is positive; differences are paired by seed (of the seeds that both have), and the column behind each says what they show.'
    )
    summaries.side_by_side(page, rows)
    for key, found in compared.items():
      _comparison(page, key, found, 'The constraint')
  alone = [row for key, found in groups.items() if key not in compared for row in found if row.family[2] in summaries.CONSTRAINTS]
  if alone:
    page.text('Rows without a counterpart trained alike: ' + '; '.join(f'`{row.experiment}` ({row.conditions})' for row in alone) + '.')
  for key, found in groups.items():
    _pictures(page, key, [row for row in found if row.family[2] in summaries.CONSTRAINTS])


def _families(rows: Sequence[Row]) -> dict[tuple[str, int, Conditions], list[Row]]:
  """(set, window, conditions) -> rows, the default first."""
  groups: dict[tuple[str, int, Conditions], list[Row]] = {}
  for row in rows:
    groups.setdefault((*row.family[:2], row.conditions), []).append(row)
  return groups


def _comparison(page: Document, key: tuple[str, int, Conditions], rows: Sequence[Row], what: str) -> None:
  name, window, conditions = key
  page.heading(f'{what}: {name}, {summaries.SETS.get(name, name)}; window {window}; {conditions}', 3)
  default, *others = rows
  names = [name for _, name in summaries.COMPARED]
  lines = []
  for row in rows:
    figures = [results.estimate(row, name) for name in (*names, 'latent.stability_ratio', 'test_timbre.control.pattern')]
    gains = [''] * 2 * len(names)
    if row in others:
      differences = [results.difference(default, row, name) for name in names]
      gains = [text for value in differences for text in (_signed(value), verdict(value))]
    lines.append((row.family[2], seeds_cell(row), *figures, *gains))
  header = ['variant', 'seeds', *(label for label, _ in summaries.COMPARED), 'stability ratio', 'pattern, new instruments']
  for label, _ in summaries.COMPARED:
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
  groups = _families(summaries.artificial(rows))
  any_found = False
  for key, found in groups.items():
    others = [row for row in found if row.family[2] not in summaries.CONSTRAINTS]
    if not others:
      continue
    any_found = True
    if found[0].family[2] == DEFAULT_VARIANT:
      _comparison(page, key, [found[0], *others], 'Ablations')
    else:
      page.text('Without a default trained alike: ' + '; '.join(f'`{row.experiment}` ({row.conditions})' for row in others) + '.')
      names = [name for _, name in summaries.COMPARED]
      page.table(
        ('experiment', 'seeds', *(label for label, _ in summaries.COMPARED)),
        [(row.experiment, seeds_cell(row), *(results.estimate(row, name) for name in names)) for row in others],
      )
  if not any_found:
    page.text('No figures yet.')
