"""The part of RESULTS.md on planes of models of music: how diatonic and what else the bass is from place to place."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bassnet_jax.evaluation import map_plots, results, results_plots
from bassnet_jax.evaluation.results import Row
from bassnet_jax.evaluation.results_document import Document, condition_cells, file_stem, seeds_cell

_SOUNDING = 1.0
"""Notes a second from which on a position is said to sound: the diatonic share is of predicted pitch mass, of which rests have some."""
_FAR = {
  'diatonic': ('less diatonic', 'more diatonic'),
  'onset_density': ('sparser', 'denser'),
  'register': ('lower', 'higher'),
}
"""What a line is far from the origin where a figure is surely lower, or higher, than near it."""


def _mapped(rows: Sequence[Row]) -> list[Row]:
  return [row for row in rows if any('maps' in result.metrics.get('plane', {}) for result in row.results)]


def _map(metrics: dict[str, Any], name: str) -> np.ndarray:
  return np.array(results.lookup(metrics, 'plane.maps')[name], dtype=np.float64)  # null becomes NaN


def extreme(name: str, take) -> results.Figure:
  """The lowest or highest value of a map of the plane (`take`: `np.nanmin`, `np.nanmax`)."""
  return lambda metrics: float(take(_map(metrics, name)))


def _ring(name: str, near: bool) -> results.Figure:
  """Mean of a map where |z| <= 1, or where |z| >= 2.5."""

  def figure(metrics: dict[str, Any]) -> float | None:
    axis = np.asarray(results.lookup(metrics, 'plane.axis'))
    radius = np.hypot(axis[:, None], axis[None, :])
    values = _map(metrics, name)[radius <= 1 if near else radius >= 2.5]
    return float(np.nanmean(values)) if np.isfinite(values).any() else None

  return figure


def diatonic(page: Document, rows: Sequence[Row]) -> None:
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
    lowest, highest = results.estimate(row, extreme('diatonic', np.nanmin)), results.estimate(row, extreme('diatonic', np.nanmax))
    truth = results.estimate_of_data(row, 'plane.truth.diatonic')
    mismatched = results.estimate(row, extreme('diatonic_mismatched', np.nanmax))
    p = f'{max(known):.4f}' if known else ''
    lines.append((row.experiment, *condition_cells(row.conditions), seeds_cell(row), lowest, highest, mismatched, truth, p, call))
  header = ('experiment', 'steps', 'preset', 'seeds', 'least diatonic position', 'most', 'most, other mixes', 'true bass', 'p', '')
  page.table(header, lines)
  drawn = [row for row in mapped if row.family[2] == results.DEFAULT_VARIANT]
  for row in drawn:
    runs = []
    for result in row.results[:3]:
      if 'maps' in result.metrics.get('plane', {}):
        values = {name: _map(result.metrics, name) for name, _ in results_plots.MAPS if name in result.metrics['plane']['maps']}
        runs.append((f'{row.experiment}, seed {result.seed}', np.asarray(result.metrics['plane']['axis']), values))
    caption = f'{row.experiment}, {row.conditions}: what is played all over the plane, held-out mixes'
    results_plots.maps(runs, page.picture(f'maps_{file_stem(row.experiment, row.conditions)}.png', caption))
  for row in drawn:
    _histograms(page, row)


def _histograms(page: Document, row: Row) -> None:
  """Pitch relative to the key and to the mix at some positions of the row's first plane."""
  plane = next((result.metrics['plane'] for result in row.results if 'by_degree' in result.metrics.get('plane', {})), None)
  if plane is None:
    return
  numbers = lambda table: np.array(table, dtype=np.float64)  # noqa: E731
  by = [(numbers(plane[name]), numbers(plane['truth'][name])) for name in ('by_degree', 'by_interval')]
  caption = f'{row.experiment}: pitch of what is played, at the origin and where it is most and least diatonic'
  path = page.picture(f'pitch_{file_stem(row.experiment, row.conditions)}.png', caption)
  map_plots.histograms(np.asarray(plane['axis']), numbers(plane['maps']['diatonic']), *by, path)


def _further_maps(page: Document, rows: Sequence[Row]) -> None:
  """Where the plane is diatonic and where not, song for song."""
  lines, pictures = [], []
  names = ('diatonic', 'diatonic_tied', 'diatonic_mismatched')
  measured = [tested for tested in _tested(rows) if all(tested[2]['plane']['location'].get(name) for name in names)]
  if not measured:
    return
  bound = 0.01 / len(measured)
  for result, folder, found in measured:
    own, tied, control = (found['plane']['location'][name] for name in names)
    counts = [int(np.sum(tied[name])) for name in ('below', 'above')]
    call = 'shown' if tied['p'] < bound else 'by itself, not after the correction' if tied['p'] < 0.01 else 'not shown'
    values = {name: np.array(found['plane']['maps'][name], dtype=np.float64) for name in ('diatonic', 'onset_density')}
    sounding = values['onset_density'] >= _SOUNDING
    counts += [int(np.sum(np.array(tied[name], dtype=bool) & sounding)) for name in ('below', 'above')]
    heard = values['diatonic'][sounding]
    spans = (_span(own), f'{np.nanmin(heard):.3f} to {np.nanmax(heard):.3f}' if np.isfinite(heard).any() else '', _span(control))
    lines.append((*_place(result, found), tied['songs'], *spans, *counts, f'{control["p"]:.4f}', f'{tied["p"]:.4f}', call))
    if folder is not None:
      caption = f'{result.experiment}, seed {result.seed}, on the songs of {_songs_of(found)}'
      pictures.append((os.path.join(folder, 'maps.png'), caption))
  page.text(
    'Is the same place of the plane diatonic, and the same other place not, from song to song? Held-out songs of each dataset, their bass '
    'played at every position (`python -m bassnet_jax.plane_maps`; *own report*: the songs of the report at the end of training). '
    'Tied: the diatonic share less what the other mixes would give the '
    "same bass. p: signs of the songs' maps flipped, over all positions together; *below* and *above*: positions that differ from the mean "
    'of the plane at 0.01. Control: the share judged by the other mixes alone. Sounding: positions with a note a second at least on '
    'average; the share is of what is predicted, which has a pitch where nothing is struck too. Each line is one trained model.'
  )
  header = ('experiment', 'seed', 'songs of', 'positions', 'songs', 'diatonic share over the plane', 'where sounding', 'control')
  page.table((*header, 'below', 'above', 'below, sounding', 'above, sounding', 'p, control', 'p, tied', ''), lines)
  page.text(
    f'Tests in this table: {len(lines)}. *Shown*: p is below {bound:.4f}, which is 0.01 for all of them together (Bonferroni). '
    'With n songs no p can be below 2^(1-n), with 8 of them 0.0078.'
  )
  for path, caption in pictures:
    if os.path.exists(path):
      page.shown(path, f'{caption}; + and -: higher or lower than on the mean of the plane, song for song')


def _further_positions(page: Document, rows: Sequence[Row]) -> None:
  """What else differs from place to place, and far from the origin, song for song."""
  lines = []
  figures = {'diatonic': ('diatonic share', 3), 'onset_density': ('notes a second', 2), 'register': ('register, MIDI pitch', 2)}
  for result, _, found in _tested(rows):
    for name, (called, digits) in figures.items():
      test, ring = (found['plane'].get(table, {}).get(name) for table in ('location', 'rings'))
      if test:
        counts = (int(np.sum(test[side])) for side in ('below', 'above'))
        cells = ['', '', '', '']
        if ring:
          low, high = ring['ci95']
          cells = [f'{ring["near"]:.{digits}f}', f'{ring["far"]:.{digits}f}']
          cells.append(f'{ring["difference"]:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]')
          cells.append(_FAR[name][low > 0] if low > 0 or high < 0 else 'not decided')
        lines.append((*_place(result, found), test['songs'], called, _span(test, digits), *counts, f'{test["p"]:.4f}', *cells))
  if lines:
    page.text(
      'What differs from place to place, song for song (the test of (c), the same songs), and far from the origin, paired by song; 95 % '
      'intervals over songs. Near and far are means over songs here, of those that have the figure at both distances, and the '
      'range is that of positions where every song has it: where a model often rests these differ from the means over positions above.'
    )
    header = ('experiment', 'seed', 'songs of', 'positions', 'songs', 'figure', 'over the plane', 'below', 'above', 'p')
    page.table((*header, 'near', 'far', 'far minus near', 'far from the origin'), lines)
    counted = [line for line in lines if results.family(line[0])[2] == results.DEFAULT_VARIANT]
    short = [_in_short(called, [line for line in counted if line[5] == called]) for called, _ in figures.values()]
    if any(short):
      page.text('Of the models with the default constraint:')
      page.items([text for text in short if text])


def _in_short(called: str, lines: Sequence[Sequence[Any]]) -> str:
  """How many of the measurements of a figure (lines of the table of `_further_positions`) say what; '' where there is none."""
  if not lines:
    return ''
  decided = sum(float(line[9]) < 0.01 for line in lines)
  far = Counter(line[-1] for line in lines if line[-1])
  models = len({tuple(line[:2]) for line in lines})
  text = f'{called}: the place decides (p < 0.01) in {decided} of {len(lines)} measurements, of {models} trained models'
  return text + ('; far from the origin ' + ', '.join(f'{what} in {count}' for what, count in far.most_common()) if far else '')


def _tested(rows: Sequence[Row]) -> Iterator[tuple[results.Result, str | None, dict[str, Any]]]:
  """(run, folder, maps.json) of every measurement of a plane that has tests, song for song: the run's own, which has no folder, and those
  on further songs."""
  for result in (result for row in rows for result in row.results):
    if result.metrics.get('plane', {}).get('location'):
      yield result, None, {'plane': result.metrics['plane']}
    for folder, found in result.further_maps():
      if found.get('plane', {}).get('location'):
        yield result, folder, found


def _place(result: results.Result, found: dict[str, Any]) -> tuple[Any, ...]:
  """Cells: run, songs, grid."""
  side = len(found['plane']['axis'])
  return result.experiment, result.seed, _songs_of(found), f'{side} x {side}'


def _songs_of(found: dict[str, Any]) -> str:
  run = found.get('run')
  if run is None:
    return 'its own report'
  return f'{run.get("dataset", "?")}, {run.get("split", "?")}' + (', whole' if run.get('full') else '')


def _span(test: dict[str, Any], digits: int = 3) -> str:
  return f'{test["lowest"]:.{digits}f} to {test["highest"]:.{digits}f}'


def positions(page: Document, rows: Sequence[Row]) -> None:
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
      low, high = results.estimate(row, extreme(name, np.nanmin)), results.estimate(row, extreme(name, np.nanmax))
      span = '' if low.mean is None or high.mean is None else f'{low.mean:.2f} to {high.mean:.2f}'
      cells += [results.estimate(row, _ring(name, True)), results.estimate(row, _ring(name, False)), span]
    lines.append((row.experiment, *condition_cells(row.conditions), seeds_cell(row), *cells))
  header = ['experiment', 'steps', 'preset', 'seeds']
  for label in ('diatonic share', 'notes a second', 'register'):
    header += [f'{label}: near', 'far', 'range']
  page.table(header, lines)
  _further_positions(page, mapped)
