"""Writes RESULTS.md from what lies under `results/`: the paper's claims as headings, our figures under each, every run with its command."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from bassnet_jax import source_commit
from bassnet_jax.evaluation import results, results_artificial, results_maps, results_music, results_summaries
from bassnet_jax.evaluation.results import Failure, Row
from bassnet_jax.evaluation.results_document import Document, condition_cells
from data_pipeline import storage

_FIGURES = 'figures'


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
  _introduction(page, beside, rows)
  results_artificial.separation(page, rows)
  results_artificial.stability(page, rows)
  results_music.stability(page, rows)
  results_maps.diatonic(page, rows)
  results_maps.positions(page, rows)
  results_music.examples(page, beside)
  results_artificial.further(page, rows)
  results_music.ladder(page, rows)
  _runs(page, rows, described)
  _failures(page, failures)
  for name in os.listdir(figures) if os.path.isdir(figures) else []:
    if name.endswith('.png') and name not in page.pictures:
      os.remove(os.path.join(figures, name))  # of an earlier page
  storage.write_text(path, '\n'.join(page.lines).rstrip() + '\n')
  return path


def _introduction(page: Document, beside: str, rows: Sequence[Row]) -> None:
  page.heading('Results over seeds', 1)
  page.text(
    'Made by `python -m bassnet_jax.sweep` from `results/<experiment>/<seed>/metrics.json`; `--report_only` builds this page anew without '
    f'training. {sum(len(row.results) for row in rows)} runs in {len(rows)} rows. The command of every run stands [below](#every-run).'
  )
  if os.path.exists(os.path.join(beside, 'docs', 'results.md')):
    page.text('What was found on the way, in words: [docs/results.md](docs/results.md).')
  results_summaries.overview(page, rows)
  page.text('How to read it:')
  page.items(
    [
      "*Seeds* is the number of runs behind a figure. Square brackets hold the 95 % interval of the mean over seeds (Student's t, not cut "
      'at 0 or 1). Where there is one seed, the brackets hold the interval over songs *within run*: it says nothing of other seeds.',
      'Runs share a row only if steps, preset and `--set` are the same, and rows are compared only if these are; what an older run '
      f'did not record is called *{results.NOT_RECORDED}*.',
      'All figures are of songs that training never saw, but the stability ratio on music, which is of training songs. *Preset*: the '
      'size of a run, `full` or `laptop`, as of `bassnet_jax.main`. *New instruments*: mixes of instruments that training never heard.',
      'A claim is called *supported* where the interval over seeds lies wholly on its side, *contradicted* where it lies wholly on the '
      'other, and *not decided* otherwise; of one seed nothing of the kind is said. What (c) and (d) say of a plane they say of the one '
      'trained model, over songs.',
    ]
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
          f'`{source_commit.short(result.run("commit"))}`' if result.run('commit') else results.NOT_RECORDED,
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
