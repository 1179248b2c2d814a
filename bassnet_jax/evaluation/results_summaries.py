"""What the artificial sets say in short: the first table of RESULTS.md, all variants side by side, what is alike and what isn't."""

from __future__ import annotations

from collections.abc import Sequence

from bassnet_jax.evaluation import results
from bassnet_jax.evaluation.results import DEFAULT_VARIANT, Conditions, Row
from bassnet_jax.evaluation.results_document import Document, seeds_cell

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
CONSTRAINTS = {DEFAULT_VARIANT: 'search, exchange and smoothness (the default)', **STABILITY}
OVERVIEW = (DEFAULT_VARIANT, 'nosearch', 'smoothness', 'nostability')
"""Variants of the page's first table."""
ABLATIONS = {
  'deterministic': 'the default, not variational',
  'nogate': 'the default, concatenation in place of products',
  'common_transposition': 'the default, the windows of a group transposed alike',
  'transposition': 'the default, the windows of a group transposed independently',
}
_OVERVIEW_WINDOW = 64
_WINDOWS = (64, 128, 256, 512)
_NEAR = 0.05 + 1e-9
"""Means that differ by 0.05 at most are called alike in the page's summaries."""


def artificial(rows: Sequence[Row]) -> list[Row]:
  return [row for row in rows if results.values(row, 'latent.svm')]


def chance(row: Row) -> float:
  return next(iter(results.values(row, 'latent.chance').values()))


def overview(page: Document, rows: Sequence[Row]) -> None:
  """The page's first table: with the constraint, with less of it and without, set for set. Nothing where no such row is there."""
  lines = []
  for name, what in SETS.items():
    for row in _most_complete([row for row in artificial(rows) if row.family[:2] == (name, _OVERVIEW_WINDOW)], OVERVIEW).values():
      figures, by_chance = [results.estimate(row, figure) for _, figure in COMPARED], f'{chance(row):.3f}'
      lines.append((f'{name}: {what}', CONSTRAINTS[row.family[2]], f'{row.conditions.steps:,}', seeds_cell(row), *figures, by_chance))
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


def carried_over(page: Document, rows: Sequence[Row]) -> None:
  """Which rows play for instruments that training never heard as they do for those that it knows, and which don't."""
  kept, lost = [], []
  for row in rows:
    losses = {label: _loss(row, name) for label, name in COMPARED}
    called = f'{row.family[0]}, window {row.family[1]}'
    failed = [f'{label} {loss:+.3f}' for label, loss in losses.items() if loss is not None and loss < -_NEAR]
    (lost if failed else kept).append(called + (f' ({", ".join(failed)})' if failed else ''))
  page.text(
    f'Within {_NEAR:g} of the instruments that training heard: {"; ".join(kept) or "none"}. '
    f'Not carried over (mean with new instruments, less that with known ones): {"; ".join(lost) or "none"}.'
  )


def _loss(row: Row, name: str) -> float | None:
  unheard, heard = results.estimate(row, f'test_timbre.{name}').mean, results.estimate(row, name).mean
  return None if unheard is None or heard is None else unheard - heard


def side_by_side(page: Document, rows: Sequence[Row]) -> None:
  """Every variant's means on every set, in one table without intervals; those stand in the tables of each set."""
  variants = CONSTRAINTS | ABLATIONS
  columns = {}
  for name in SETS:
    found = _most_complete([row for row in artificial(rows) if row.family[:2] == (name, _OVERVIEW_WINDOW)], tuple(variants))
    if found:
      columns[f'{name}, {next(iter(found.values())).conditions.steps:,} steps'] = found
  lines = []
  for variant, what in variants.items():
    cells = [_means(found[variant]) if variant in found else '' for found in columns.values()]
    if any(cells):
      lines.append((variant, what, *cells))
  page.text(
    f'The forms of the constraint and the further ablations, windows of {_OVERVIEW_WINDOW} frames, at a glance: means '
    'of SVM, control of the pattern and note F1, with the number of seeds in brackets; intervals and differences are '
    'below and under the further ablations.'
  )
  page.table(('variant', 'constraint', *columns), lines)
  missing = [name for name, found in columns.items() if len(found) < len(variants)]
  if missing:
    known = {name: [variant for variant in variants if variant not in found] for name, found in columns.items()}
    page.text('Not trained alike yet: ' + '; '.join(f'{name.partition(",")[0]} {", ".join(known[name])}' for name in missing) + '.')
  windows = {row.family[:2] for row in artificial(rows) if row.family[2] == DEFAULT_VARIANT}
  absent = {name: [str(window) for window in _WINDOWS if (name, window) not in windows] for name in SETS}
  if any(absent.values()):
    page.text(
      'Windows without a run of the default: ' + '; '.join(f'{name} {", ".join(found)}' for name, found in absent.items() if found) + '.'
    )
  _alike(page, columns)


def _alike(page: Document, columns: dict[str, dict[str, Row]]) -> None:
  """Which variants reach the default's means, set by set, and which don't."""
  lines = []
  for name, found in columns.items():
    if DEFAULT_VARIANT not in found or len(found) < 2:
      continue
    reach: dict[bool, list[str]] = {True: [], False: []}
    for variant, row in found.items():
      gaps = [results.difference(found[DEFAULT_VARIANT], row, figure).mean for _, figure in COMPARED]
      if variant != DEFAULT_VARIANT and None not in gaps:
        reach[max(gaps) <= _NEAR].append(f'{variant} ({seeds_cell(row)})')
    lines.append(f'{name.partition(",")[0]}: {", ".join(reach[True]) or "none"}; less: {", ".join(reach[False]) or "none"}.')
  if lines:
    page.text(f'Within {_NEAR:g} of the default, or better, in all three figures (means over the seeds that both have; seeds in brackets):')
    page.items(lines)


def _means(row: Row) -> str:
  figures = [results.estimate(row, figure).mean for _, figure in COMPARED]
  return ', '.join('' if mean is None else f'{mean:.3f}' for mean in figures) + f' ({seeds_cell(row)})'
