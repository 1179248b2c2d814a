"""Writes RESULTS.md from what lies under `results/`: the paper's claims as headings, our figures under each, every run with its command."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bassnet_jax.evaluation import results, results_maps, results_plots
from bassnet_jax.evaluation.results import DEFAULT_VARIANT, Conditions, Estimate, Failure, Row
from bassnet_jax.evaluation.results_document import Document, condition_cells, file_stem, seeds_cell
from data_pipeline import storage

SETS = {
  'a1': 'harmony',
  'a2': 'timbre',
  'a3': 'rhythm',
  'a4': 'harmony, timbre and rhythm together',
}
STABILITY = ('nostability', 'nosearch', 'exchange', 'smoothness', 'rolled', 'window_mean', 'kl_lag', 'l2')
"""Variants that change the temporal-stability constraint; every other variant is a further ablation."""
COMPARED = (('SVM', 'latent.svm'), ('pattern', 'control.pattern'), ('note F1', 'control.note_f1'))
_FIGURES = 'figures'
_EXAMPLES = ('docs/examples.md', 'docs/examples/README.md', 'docs/examples/index.html', 'examples/README.md')
_RUNGS = ('follow_lowest', 'root_on_kick', 'retrieval', 'control_other_mix', 'z_zero', 'z_fixed', 'z_posterior', 'truth')


def page_path(root: str) -> str:
  """`results` -> RESULTS.md beside it; another folder gets a page of its own name."""
  return os.path.join(os.path.dirname(root), f'{os.path.basename(root).upper()}.md')


def write(root: str, described: Mapping[str, str]) -> str:
  """Builds the page of a folder of results.

  Args:
    root: the folder, absolute.
    described: experiment -> one sentence.

  Returns:
    the page's path.

  Raises:
    ValueError: a result can't be read.
  """
  path = page_path(root)
  beside = os.path.dirname(path)
  found, failures = results.read(root)
  rows = results.rows(found)
  figures = os.path.join(root, _FIGURES)
  page = Document(beside, figures)
  _introduction(page, beside, len(found), len(rows))
  _separation(page, rows)
  _stability(page, rows)
  results_maps.diatonic(page, rows)
  results_maps.positions(page, rows)
  _examples(page, beside)
  _further(page, rows)
  _music(page, rows)
  _runs(page, rows, described)
  _failures(page, failures)
  for name in os.listdir(figures) if os.path.isdir(figures) else []:
    if name.endswith('.png') and name not in page.pictures:
      os.remove(os.path.join(figures, name))  # of an earlier page
  storage.write_text(path, '\n'.join(page.lines).rstrip() + '\n')
  return path


def _introduction(page: Document, beside: str, runs: int, rows: int) -> None:
  page.heading('Results over seeds', 1)
  page.text(
    'Made by `python -m bassnet_jax.sweep` from `results/<experiment>/<seed>/metrics.json`; `--report_only` builds this page anew without '
    f'training. {runs} runs in {rows} rows. The command of every run stands [below](#every-run).'
  )
  if os.path.exists(os.path.join(beside, 'docs', 'results.md')):
    page.text('What was found on the way, in words: [docs/results.md](docs/results.md).')
  page.text('How to read it:')
  page.items(
    [
      "*Seeds* is the number of runs behind a figure. Square brackets hold the 95 % interval of the mean over seeds (Student's t, not cut "
      'at 0 or 1). Where there is one seed, the brackets hold the interval over songs *within run*: it says nothing of other seeds.',
      'Runs share a row only if steps, preset and `--set` are the same, and rows are compared only if these are; what an older run '
      f'did not record is called *{results.NOT_RECORDED}*.',
      'All figures are of songs that training never saw. *New instruments*: mixes of instruments that training never heard.',
      'A claim is called *supported* where the interval over seeds lies wholly on its side, *contradicted* where it lies wholly on the '
      'other, and *not decided* otherwise; with one seed nothing is called anything.',
    ]
  )


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


def _separation(page: Document, rows: Sequence[Row]) -> None:
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
    reference_seed, reference = next(iter(planes.items()))
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
      'A plane is defined up to rotation, reflection and scale, so planes of other seeds are laid over that of the first by their '
      "patterns' centroids (orthogonal Procrustes). Misfit: the part of the centroids' variance that remains (with two patterns it is 0 by "
      "construction); agreement: share of the windows of the other seeds that then lie nearest to the first seed's centroid of their own "
      'pattern. Means over the other seeds, with the extremes.'
    )
    page.table(('experiment', 'steps', 'preset', 'reference seed', 'other seeds', 'misfit', 'agreement'), lines)


def _nearest_agreement(points: np.ndarray, labels: np.ndarray, centroids: np.ndarray) -> float:
  distance = np.square(points[:, None].astype(np.float64) - centroids[None]).sum(axis=-1)
  return float((np.nanargmin(distance, axis=1) == labels).mean())


def _spread(values: Sequence[float]) -> str:
  return f'{np.mean(values):.3f}' + (f' ({min(values):.3f} to {max(values):.3f})' if len(values) > 1 else '')


def _stability(page: Document, rows: Sequence[Row]) -> None:
  page.heading('(b) The separation is due to the temporal-stability constraint')
  groups = _families(_artificial(rows))
  compared = {key: found for key, found in groups.items() if len(found) > 1 and found[0].family[2] == DEFAULT_VARIANT}
  compared = {key: [row for row in found if row.family[2] in (DEFAULT_VARIANT, *STABILITY)] for key, found in compared.items()}
  compared = {key: found for key, found in compared.items() if len(found) > 1}
  if not compared:
    page.text('No figures yet: it needs rows with the constraint and without, trained alike (`a?_window64`, `a?_window64_nostability`).')
  else:
    page.text(
      'Each table holds rows trained alike. The claim is that the default minus a row with less of the constraint is positive; '
      'differences are paired by seed.'
    )
    for key, found in compared.items():
      _comparison(page, key, found)
  alone = [row for key, found in groups.items() if key not in compared for row in found if row.family[2] in (DEFAULT_VARIANT, *STABILITY)]
  if alone:
    page.text('Rows without a counterpart trained alike: ' + '; '.join(f'`{row.experiment}` ({row.conditions})' for row in alone) + '.')
  for key, found in groups.items():
    _pictures(page, key, [row for row in found if row.family[2] in (DEFAULT_VARIANT, *STABILITY)])


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
    caption = f'{name}, window {window}, {conditions.steps:,} steps: window means of held-out songs, aligned to the first plane'
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


def _examples(page: Document, beside: str) -> None:
  page.heading('(e) Generated bass tracks for three different fragments, presented and discussed')
  found = next((name for name in _EXAMPLES if os.path.exists(os.path.join(beside, name))), None)
  page.text(f'[{found}]({found})' if found else 'No examples page yet.')


def _further(page: Document, rows: Sequence[Row]) -> None:
  page.heading('Further ablations: gating, variational, transposition')
  groups = _families(_artificial(rows))
  any_found = False
  for key, found in groups.items():
    further = [row for row in found if row.family[2] not in (DEFAULT_VARIANT, *STABILITY)]
    if not further:
      continue
    any_found = True
    if found[0].family[2] == DEFAULT_VARIANT:
      _comparison(page, key, [found[0], *further])
    else:
      page.text('Without a default trained alike: ' + '; '.join(f'`{row.experiment}` ({row.conditions})' for row in further) + '.')
      names = [name for _, name in COMPARED]
      page.table(
        ('experiment', 'seeds', *(label for label, _ in COMPARED)),
        [(row.experiment, seeds_cell(row), *(results.estimate(row, name) for name in names)) for row in further],
      )
  if not any_found:
    page.text('No figures yet.')


def _music(page: Document, rows: Sequence[Row]) -> None:
  page.heading('Music: does it listen?')
  found = [row for row in rows if any('music' in result.metrics for result in row.results)]
  if not found:
    page.text('No figures yet.')
    return
  rungs = [rung for rung in _RUNGS if any(results.values(row, f'music.{rung}.note_pc_f1') for row in found)]
  page.text(
    'note_pc_f1 (onset within 50 ms and pitch class) on held-out pieces. `follow_lowest` and `root_on_kick` know the notes of the mix; '
    '`control_other_mix` hears another song; `z_fixed` is one position for all songs, chosen on validation songs; `z_posterior` sees the '
    'true bass: a ceiling.'
  )
  page.table(
    ('experiment', 'steps', 'preset', 'seeds', *(f'`{rung}`' for rung in rungs)),
    [
      (
        row.experiment,
        *condition_cells(row.conditions),
        seeds_cell(row),
        *(results.estimate(row, f'music.{rung}.note_pc_f1') for rung in rungs),
      )
      for row in found
    ],
  )
  page.text('Share of the duration inside the diatonic set of the mix:')
  page.table(
    ('experiment', 'steps', 'preset', 'seeds', *(f'`{rung}`' for rung in rungs)),
    [
      (
        row.experiment,
        *condition_cells(row.conditions),
        seeds_cell(row),
        *(results.estimate(row, f'music.{rung}.diatonic_rate') for rung in rungs),
      )
      for row in found
    ],
  )


def _runs(page: Document, rows: Sequence[Row], described: Mapping[str, str]) -> None:
  page.heading('Every run')
  lines = []
  for row in rows:
    for result in row.results:
      seconds, speed, wait = result.run('seconds'), result.run('windows_per_second'), result.run('data_wait')
      command, together = result.run('command'), result.run('seeds_at_once')
      lines.append(
        (
          row.experiment,
          result.seed,
          *condition_cells(row.conditions),
          f'`{str(result.run("commit") or "")[:10]}`' if result.run('commit') else results.NOT_RECORDED,
          result.run('hardware') or results.NOT_RECORDED,
          f'{seconds / 60:.1f}' if seconds else results.NOT_RECORDED,
          f'{speed:.0f}' if speed else results.NOT_RECORDED,
          f'{100 * wait:.1f} %' if wait is not None else results.NOT_RECORDED,
          together if together else results.NOT_RECORDED,
          f'`{command}`' if command else results.NOT_RECORDED,
        )
      )
  header = ('experiment', 'seed', 'steps', 'preset', 'commit', 'hardware', 'minutes', 'windows/s', 'waiting for data', 'seeds at once')
  page.table((*header, 'command'), lines)
  page.text(
    'Minutes are of training, from the settled speed; where several seeds were trained at once, minutes are of the group and windows/s of '
    'each seed.'
  )
  known = [name for name in dict.fromkeys(row.experiment for row in rows) if name in described]
  if known:
    page.text('What they are:')
    page.items([f'`{name}`: {described[name]}' for name in known])


def _failures(page: Document, failures: Sequence[Failure]) -> None:
  if failures:
    page.heading('Runs that failed')
    page.table(('experiment', 'seed', 'why'), [(failure.experiment, failure.seed, failure.message) for failure in failures])
