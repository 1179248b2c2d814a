"""The part of RESULTS.md on what models of music play: the ladder of lines from silence to the truth, and the fragments to listen to."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from bassnet_jax.evaluation import music, results, results_maps
from bassnet_jax.evaluation.results import Estimate, Row
from bassnet_jax.evaluation.results_document import Document, seeds_cell

CONSTRAINTS = {'exchange': 'exchange only', **results.WITHOUT_SEARCH}
"""Variants that change the temporal-stability constraint on music, where there is no search, and what it is then."""
_DISCUSSION = 'docs/results.md#three-fragments'
_EXAMPLES = os.path.join('docs', 'examples')
LADDER = {
  'silence': 'no note',
  'other_song': 'the true bass of another piece',
  'tonic_eighths': 'eighths on the tonic',
  'retrieval': 'the bass of the training song most like this one',
  'root_on_kick': "the chord's root with every kick: knows the notes of the mix",
  'follow_lowest': 'the lowest note of the mix at its onsets: knows them too',
  'control_silent_mix': 'the model, which hears silence',
  'control_other_mix': 'the model, which hears another piece',
  'control_shifted': 'the model, which hears the mix shifted in time',
  'z_zero': 'the model, z = 0',
  'z_fixed': 'the model, one z for all pieces, chosen on validation songs',
  'z_posterior': 'the model, z from the true bass: a ceiling, no claim',
  'truth': 'the true bass',
}
"""Line -> what it is, from the least that can be played to the truth."""
_BETWEEN = (music.HEADLINE, 'pitch_class_accuracy', 'onset_f1')
_FIGURES = {
  'note_pc_f1': 'note_pc_f1: onset within 50 ms and pitch class',
  'diatonic_rate': 'Share of the duration inside the diatonic set of the mix',
  'adherence_harmony': "Adherence of the harmony: 0 is as between strangers, and the truth's own score is the ceiling",
  'adherence_rhythm': 'Adherence of the rhythm; on these pieces its intervals are wide',
}


def stability(page: Document, rows: Sequence[Row]) -> None:
  """What the constraint does on music: families of rows trained alike that differ in it. Nothing where there is none."""
  groups: dict[tuple[Any, ...], list[Row]] = {}
  for row in rows:
    if results.values(row, 'music.z_fixed.note_pc_f1') and row.family[2] in {results.DEFAULT_VARIANT, *CONSTRAINTS}:
      groups.setdefault((*row.family[:2], row.conditions), []).append(row)
  lines = [_stability_line(row) for found in groups.values() if len(found) > 1 for row in found]
  if not lines:
    return
  page.heading('On music', 3)
  page.text(
    'Rows trained alike, without a search. Stability ratio: the share of the variance of z that lies within songs (training songs). '
    'z fixed: note_pc_f1 with one position for all held-out pieces, as a user would leave the dot; z of the true bass: with the '
    'trajectory that the encoder reads from it, a ceiling. What lies between the two says how much of the line z tells frame by frame. '
    'Notes a second, register: from the lowest to the highest mean over the positions of the plane.'
  )
  header = ('experiment', 'constraint', 'seeds', 'stability ratio', 'z fixed', 'z = 0', 'z of the true bass', 'true bass minus fixed')
  page.table((*header, 'notes a second over the plane', 'register over the plane'), lines)


def _stability_line(row: Row) -> tuple[Any, ...]:
  f1 = lambda rung: f'music.{rung}.note_pc_f1'  # noqa: E731
  figures = [results.estimate(row, f1(rung)) for rung in ('z_fixed', 'z_zero', 'z_posterior')]
  spans = []
  for name in ('onset_density', 'register'):
    low, high = (results.estimate(row, results_maps.extreme(name, take)).mean for take in (np.nanmin, np.nanmax))
    spans.append('' if low is None or high is None else f'{low:.2f} to {high:.2f}')
  constraint = CONSTRAINTS.get(row.family[2], 'exchange and smoothness (the default on music)')
  return (row.experiment, constraint, seeds_cell(row), results.estimate(row, 'latent.stability_ratio'), *figures, _gap(row), *spans)


def _gap(row: Row) -> Estimate:
  """note_pc_f1 with the z of the true bass, less that with one z for all: over seeds, or of one run paired by piece."""

  def gap(metrics: dict[str, Any]) -> float:
    fixed, seen = (results.lookup(metrics, f'music.{rung}.note_pc_f1') for rung in ('z_fixed', 'z_posterior'))
    return seen - fixed

  tables = row.results[0].metrics.get('pieces', {}).get('per_piece', {})
  fixed, seen = (tables.get(rung, {}).get(music.HEADLINE, ()) for rung in ('z_fixed', 'z_posterior'))
  if len(row.results) > 1 or not any(None not in pair for pair in zip(fixed, seen, strict=False)):
    return results.estimate(row, gap)
  paired = music.paired_difference(seen, fixed)
  return Estimate(paired.mean, paired.ci95, True, 1)


def _piece_ids(row: Row) -> tuple[str, ...]:
  """The pieces that every run of a row was measured on, with one z for all; none where they differ or weren't kept."""
  found = set()
  for result in row.results:
    pieces = result.metrics.get('pieces', {})
    kept = all(name in pieces.get('per_piece', {}).get('z_fixed', {}) for name in _BETWEEN)
    found.add(tuple(pieces['ids']) if kept else ())
  return found.pop() if len(found) == 1 else ()


def _between(page: Document, rows: Sequence[Row]) -> None:
  """Models that were measured on the same pieces, two and two, piece by piece."""
  lines = []
  for a, b in itertools.combinations([row for row in rows if _piece_ids(row)], 2):
    seeds = sorted(set(a.seeds) & set(b.seeds))
    if _piece_ids(a) == _piece_ids(b) and seeds:
      cells = [_paired(a, b, seeds, name) for name in _BETWEEN]
      lines.append((f'{a.experiment}, {a.conditions.steps:,} steps', f'{b.experiment}, {b.conditions.steps:,} steps', len(seeds), *cells))
  if lines:
    page.text(
      'The model at one z, less another measured on the same pieces, paired by piece (means over the seeds that both have; 95 % intervals '
      'over pieces, so of these trained models: other seeds may differ):'
    )
    page.table(('model', 'less', 'seeds', *_BETWEEN), lines)


def _paired(a: Row, b: Row, seeds: Sequence[int], figure: str) -> str:
  tables = []
  for row in (a, b):
    runs = [result.metrics['pieces']['per_piece']['z_fixed'][figure] for result in row.results if result.seed in seeds]
    tables.append([None if None in values else float(np.mean(values)) for values in zip(*runs, strict=True)])
  if all(None in pair for pair in zip(*tables, strict=True)):
    return ''
  found = music.paired_difference(*tables)
  return f'{found.mean:+.3f} [{found.ci95[0]:+.3f}, {found.ci95[1]:+.3f}]'


def ladder(page: Document, rows: Sequence[Row]) -> None:
  """A table a figure, a line a rung, a column a model."""
  page.heading('Music: does it listen?')
  found = [row for row in rows if any('music' in result.metrics for result in row.results)]
  if not found:
    page.text('No figures yet.')
    return
  page.text(
    'Lines over the mixes of held-out pieces, with 95 % intervals over pieces (of one run) or over seeds. Columns: '
    + '; '.join(f'`{row.experiment}` ({row.conditions}; seeds: {seeds_cell(row)})' for row in found)
    + '.'
  )
  for figure, what in _FIGURES.items():
    lines = []
    for rung, line in LADDER.items():
      of = results.estimate if rung.startswith(('control_', 'z_')) else results.estimate_of_data
      cells = [_cell(of(row, f'music.{rung}.{figure}')) for row in found]
      if any(cells):
        lines.append((f'`{rung}`', line, *cells))
    if lines:
      page.text(f'{what}:')
      page.table(('line', 'what it is', *(f'{row.experiment}, {row.conditions.steps:,} steps' for row in found)), lines)
    if figure == music.HEADLINE:
      _between(page, found)


def _cell(value: Estimate) -> str:
  return '' if value.mean is None else str(value)


def examples(page: Document, beside: str) -> None:
  """The fragments of the examples page, with what was measured and what failed."""
  page.heading('(e) Generated bass tracks for three different fragments, presented and discussed')
  folder = os.path.join(beside, _EXAMPLES)
  if not os.path.exists(os.path.join(folder, 'index.html')):
    page.text('No examples page yet.')
    return
  page.text(
    f'[Listen]({_link("index.html")}): every fragment with its mix, the true bass, the dot at several positions and on a path, as audio, '
    'MIDI and piano roll, and what fails by rule.'
  )
  if os.path.exists(os.path.join(beside, *_DISCUSSION.partition('#')[0].split('/'))):
    page.text(f'What is to be heard in them, and what fails, in words: [{_DISCUSSION.partition("#")[0]}]({_DISCUSSION}).')
  described = _read(os.path.join(folder, 'examples.json'))
  if described is None:
    return
  model = described['model']
  page.text(
    f'Made by `{described["command"]}` (`{model["experiment"]}`, {model["steps"]:,} steps, fragments of held-out pieces). The true bass is '
    'one of many that fit, so low figures beside it may be good lines; onsets no better placed than by chance are not. What failed:'
  )
  lines = []
  for fragment in described['fragments']:
    for place, found in fragment['renditions'].items():
      onsets = f'{found["onset_f1"]:.3f} (chance {found["onset_f1_chance"]:.3f})'
      diatonic = f'{found["diatonic"]:.3f}' if found['notes'] else ''
      figures = (found['notes'], f'{found["note_pc_f1"]:.3f}', onsets, diatonic)
      lines.append((fragment['piece'], place.replace('_', ' '), *figures, '; '.join(found['wrong'])))
  page.table(('piece', 'dot', 'notes', 'note_pc_f1', 'onset F1', 'diatonic share', 'what failed'), lines)
  for fragment in described['fragments']:
    picture = os.path.join(folder, fragment['piece'], 'path.png')
    if os.path.exists(picture):
      page.shown(picture, f'{fragment["piece"]}, the dot on a path')


def _link(name: str) -> str:
  return f'{_EXAMPLES}/{name}'.replace(os.sep, '/')


def _read(path: str) -> dict[str, Any] | None:
  if not os.path.exists(path):
    return None
  with open(path, encoding='utf-8') as file:
    return json.load(file)
