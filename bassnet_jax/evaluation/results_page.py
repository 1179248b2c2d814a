"""Writes RESULTS.md from what lies under `results/`: the paper's claims as headings, our figures under each, every run with its command."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bassnet_jax.evaluation import results, results_plots
from bassnet_jax.evaluation.results import DEFAULT_VARIANT, Conditions, Estimate, Failure, Row
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


class Document:
  """Markdown, line by line; pictures are drawn into `folder`."""

  def __init__(self, root: str, folder: str):
    self.lines: list[str] = []
    self.pictures: list[str] = []
    self._root, self._folder = root, folder

  def heading(self, text: str, level: int = 2) -> None:
    self.lines += [f'{"#" * level} {text}', '']

  def text(self, text: str) -> None:
    self.lines += [text, '']

  def items(self, texts: Sequence[str]) -> None:
    self.lines += [*(f'- {text}' for text in texts), '']

  def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    line = lambda cells: '| ' + ' | '.join(str(cell).replace('|', '\\|').replace('\n', ' ') for cell in cells) + ' |'  # noqa: E731
    self.lines += [line(header), '|' + '---|' * len(header), *(line(row) for row in rows), '']

  def shown(self, path: str, caption: str) -> None:
    """Adds a picture that is there."""
    self.lines += [f'![{caption}]({os.path.relpath(path, self._root).replace(os.sep, "/")})', '', f'*{caption}*', '']

  def picture(self, name: str, caption: str) -> str:
    """Adds a picture; returns where it is to be drawn."""
    os.makedirs(self._folder, exist_ok=True)
    path = os.path.join(self._folder, name)
    self.pictures.append(name)
    self.shown(path, caption)
    return path


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
  _diatonic(page, rows)
  _positions(page, rows)
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


def _conditions(conditions: Conditions) -> tuple[str, str]:
  """Cells: steps, preset with settings."""
  changed = conditions.settings not in ('', results.NOT_RECORDED)
  return f'{conditions.steps:,}', conditions.preset + (f', `{conditions.settings}`' if changed else '')


def _seeds(row: Row) -> str:
  return str(len(row.results))


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
  return (f'{name}: {what}' if what else name, str(window), *_conditions(row.conditions), _seeds(row))


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
      lines.append((row.experiment, *_conditions(row.conditions), reference_seed, len(misfits), _spread(misfits), _spread(agreements)))
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
    lines.append((row.family[2], _seeds(row), *figures, *gains))
  header = ['variant', 'seeds', *(label for label, _ in COMPARED), 'stability ratio', 'pattern, new instruments']
  for label, _ in COMPARED:
    header += [f'default minus it: {label}', '']
  page.table(header, lines)


def _file_stem(name: str, conditions: Conditions) -> str:
  """Part of a picture's file name that stays the same whatever other rows there are."""
  stem = f'{name}_{conditions.steps}_steps_{conditions.preset.replace(" ", "_")}'
  if conditions.settings in ('', results.NOT_RECORDED):
    return stem
  return f'{stem}_set_{zlib.crc32(conditions.settings.encode()):08x}'  # settings make long names


def _pictures(page: Document, key: tuple[str, int, Conditions], rows: Sequence[Row]) -> None:
  """Planes side by side, a line a variant, and the mean control matrices."""
  if not rows:
    return
  name, window, conditions = key
  stem = _file_stem(f'{name}_window{window}', conditions)
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


def _mapped(rows: Sequence[Row]) -> list[Row]:
  return [row for row in rows if any('maps' in result.metrics.get('plane', {}) for result in row.results)]


def _map(metrics: dict[str, Any], name: str) -> np.ndarray:
  return np.array(results.lookup(metrics, 'plane.maps')[name], dtype=np.float64)  # null becomes NaN


def _extreme(name: str, take) -> results.Figure:
  return lambda metrics: float(take(_map(metrics, name)))


def _ring(name: str, near: bool) -> results.Figure:
  """Mean of a map where |z| <= 1, or where |z| >= 2.5."""

  def figure(metrics: dict[str, Any]) -> float | None:
    axis = np.asarray(results.lookup(metrics, 'plane.axis'))
    radius = np.hypot(axis[:, None], axis[None, :])
    values = _map(metrics, name)[radius <= 1 if near else radius >= 2.5]
    return float(np.nanmean(values)) if np.isfinite(values).any() else None

  return figure


def _diatonic(page: Document, rows: Sequence[Row]) -> None:
  page.heading('(c) Trained on pop and rock, the plane controls how diatonic the output is')
  mapped = _mapped(rows)
  if not mapped:
    page.text('No figures yet: no run on music has left maps of its plane among the results.')
    return
  _further_maps(page, mapped)
  page.text(
    "Each run's own report: share of the predicted pitch mass inside the diatonic set of the mix, over the plane z in [-3, 3]². p: "
    'permutation of the mixes among the basses, the largest over seeds. It asks whether the mean map varies more than for other mixes, not '
    'whether places differ song for song.'
  )
  lines = []
  for row in mapped:
    tests = [(result.metrics.get('plane', {}).get('permutation') or {}).get('p') for result in row.results]
    known = [p for p in tests if p is not None]
    call = 'no test' if not known else 'one seed' if len(known) < 2 else 'supported (p < 0.01)' if max(known) < 0.01 else 'not decided'
    lowest, highest = results.estimate(row, _extreme('diatonic', np.nanmin)), results.estimate(row, _extreme('diatonic', np.nanmax))
    truth, mismatched = results.estimate(row, 'plane.truth.diatonic'), results.estimate(row, _extreme('diatonic_mismatched', np.nanmax))
    p = f'{max(known):.4f}' if known else ''
    lines.append((row.experiment, *_conditions(row.conditions), _seeds(row), lowest, highest, mismatched, truth, p, call))
  header = ('experiment', 'steps', 'preset', 'seeds', 'least diatonic position', 'most', 'most, other mixes', 'true bass', 'p', '')
  page.table(header, lines)
  for row in mapped:
    runs = []
    for result in row.results[:3]:
      if 'maps' in result.metrics.get('plane', {}):
        values = {name: _map(result.metrics, name) for name, _ in results_plots.MAPS if name in result.metrics['plane']['maps']}
        runs.append((f'{row.experiment}, seed {result.seed}', np.asarray(result.metrics['plane']['axis']), values))
    caption = f'{row.experiment}, {row.conditions}: what is played all over the plane, held-out mixes'
    results_plots.maps(runs, page.picture(f'maps_{_file_stem(row.experiment, row.conditions)}.png', caption))


def _further_maps(page: Document, rows: Sequence[Row]) -> None:
  """Where the plane is diatonic and where not, song for song."""
  lines, pictures = [], []
  for result in (result for row in rows for result in row.results):
    for folder, found in result.further_maps():
      run, tests = found.get('run', {}), found['plane'].get('location', {})
      own, tied, control = (tests.get(name) for name in ('diatonic', 'diatonic_tied', 'diatonic_mismatched'))
      if not (own and tied and control):
        continue
      of = f'{run.get("dataset", "?")}, {run.get("split", "?")}'
      side = len(found['plane']['axis'])
      counts = [int(np.sum(tied[name])) for name in ('below', 'above')]
      call = 'shown (p < 0.01)' if tied['p'] < 0.01 else 'not shown'
      shares = [f'{own["lowest"]:.3f}', f'{own["highest"]:.3f}']
      lines.append(
        (
          result.experiment,
          result.seed,
          of,
          tied['songs'],
          f'{side} x {side}',
          *shares,
          *counts,
          f'{tied["p"]:.4f}',
          f'{control["p"]:.4f}',
          call,
        )
      )
      pictures.append((os.path.join(folder, 'maps.png'), f'{result.experiment}, seed {result.seed}, on the songs of {of}'))
  if not lines:
    return
  page.text(
    'Is the same place of the plane diatonic, and the same other place not, from song to song? Held-out songs of each dataset, their bass '
    'played at every position (`python -m bassnet_jax.plane_maps`). Tied: the diatonic share less what the other mixes would give the '
    "same bass. p: signs of the songs' maps flipped, over all positions together; *below* and *above*: positions that differ from the mean "
    'of the plane at 0.01. Control: the same test of the share judged by the other mixes alone.'
  )
  header = (
    'experiment',
    'seed',
    'songs of',
    'songs',
    'positions',
    'least diatonic position',
    'most',
    'below',
    'above',
    'p, tied',
    'p, control',
    '',
  )
  page.table(header, lines)
  for path, caption in pictures:
    if os.path.exists(path):
      page.shown(path, f'{caption}; + and -: higher or lower than on the mean of the plane, song for song')


def _positions(page: Document, rows: Sequence[Row]) -> None:
  page.heading(
    '(d) Typical positions give conservative lines, remote ones sparse or exotic ones; moving z changes groove, density and register'
  )
  mapped = _mapped(rows)
  if not mapped:
    page.text('No figures yet: no run on music has left maps of its plane among the results.')
    return
  page.text('Near: mean over the positions with |z| <= 1; far: with |z| >= 2.5. Range: lowest to highest mean over all positions.')
  lines = []
  for row in mapped:
    cells: list[Any] = []
    for name in ('diatonic', 'onset_density', 'register'):
      low, high = results.estimate(row, _extreme(name, np.nanmin)), results.estimate(row, _extreme(name, np.nanmax))
      cells += [results.estimate(row, _ring(name, True)), results.estimate(row, _ring(name, False)), f'{low.mean:.2f} to {high.mean:.2f}']
    lines.append((row.experiment, *_conditions(row.conditions), _seeds(row), *cells))
  header = ['experiment', 'steps', 'preset', 'seeds']
  for label in ('diatonic share', 'notes a second', 'register'):
    header += [f'{label}: near', 'far', 'range']
  page.table(header, lines)


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
        [(row.experiment, _seeds(row), *(results.estimate(row, name) for name in names)) for row in further],
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
      (row.experiment, *_conditions(row.conditions), _seeds(row), *(results.estimate(row, f'music.{rung}.note_pc_f1') for rung in rungs))
      for row in found
    ],
  )
  page.text('Share of the duration inside the diatonic set of the mix:')
  page.table(
    ('experiment', 'steps', 'preset', 'seeds', *(f'`{rung}`' for rung in rungs)),
    [
      (row.experiment, *_conditions(row.conditions), _seeds(row), *(results.estimate(row, f'music.{rung}.diatonic_rate') for rung in rungs))
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
          *_conditions(row.conditions),
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
