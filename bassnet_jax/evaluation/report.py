"""The report at the end of a run: metrics.json, pictures and one page, in `workdir/report/`."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bassnet_jax import scalar_log, trained
from bassnet_jax.config import Experiment
from bassnet_jax.evaluation import artificial, music, planes, plots, pop_rock
from bassnet_jax.inputs.corpus import Corpus
from bassnet_jax.trained import TrainedModel
from data_pipeline import features as ft
from data_pipeline.features import Features
from data_pipeline.progress import clock

_CENTROID_SONGS = 120
_ROLL_SECONDS = 16.0
# How a line of the ladder is called on the page.
RUNGS = {
  'silence': 'silence',
  'other_song': "another song's bass",
  'tonic_eighths': 'eighths on the tonic (knows the notes of the mix)',
  'root_on_kick': 'root on every kick (knows the notes of the mix)',
  'follow_lowest': 'follows the lowest note (knows the notes of the mix)',
  'control_silent_mix': 'model, silent mix',
  'control_other_mix': "model, another song's mix",
  'control_shifted': 'model, mix shifted in time',
  'z_zero': 'model, z = 0',
  'z_fixed': 'model, one z for all songs',
  'z_posterior': 'model, z from the true bass (a ceiling)',
  'truth': 'truth',
}


@dataclasses.dataclass(frozen=True)
class Page:
  """What the page shows: headings with text, tables and pictures, in order."""

  title: str
  parts: list[str]

  def heading(self, text: str) -> None:
    self.parts.append(f'<h2>{html.escape(text)}</h2>')

  def text(self, text: str) -> None:
    self.parts.append(f'<p>{html.escape(text)}</p>')

  def picture(self, name: str, caption: str) -> None:
    caption = html.escape(caption)
    self.parts.append(f'<figure><img src="{html.escape(name)}" alt="{caption}"><figcaption>{caption}</figcaption></figure>')

  def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    cells = lambda tag, row: ''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in row)  # noqa: E731
    body = ''.join(f'<tr>{cells("td", row)}</tr>' for row in rows)
    self.parts.append(f'<div class="wide"><table><thead><tr>{cells("th", header)}</tr></thead><tbody>{body}</tbody></table></div>')

  def render(self) -> str:
    style = (
      'body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}'
      'img{max-width:100%;background:#fff}figure{margin:1rem 0}figcaption{opacity:.75;font-size:.9em}'
      '.wide{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.25rem .75rem;text-align:left;border-bottom:1px solid #8884}'
    )
    return (
      '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
      f'<title>{html.escape(self.title)}</title><style>{style}</style><h1>{html.escape(self.title)}</h1>'
      + '\n'.join(self.parts)
      + '</html>\n'
    )


def load_songs(paths: Sequence[str]) -> list[Features]:
  return [ft.load(path) for path in paths]


def write(experiment: Experiment, corpus: Corpus, workdir: str, seed: int, evaluation_corpus: Corpus | None = None) -> dict[str, Any]:
  """Evaluates the newest checkpoint of a workdir and writes its report.

  Args:
    corpus: of training; `evaluation_corpus`: where the songs of the report come from, if elsewhere.

  Returns:
    what metrics.json holds.

  Raises:
    ValueError: the evaluation's split has no song.
  """
  begin = time.monotonic()
  model = trained.load(workdir)
  folder = os.path.join(workdir, 'report')
  os.makedirs(folder, exist_ok=True)
  page = Page(f'{experiment.name}, seed {seed}', [])
  where = evaluation_corpus or corpus
  evaluate = _artificial if experiment.evaluation.kind == 'artificial' else _music
  figures = evaluate(model, experiment, corpus, where, workdir, folder, page)
  rows = scalar_log.read_rows(os.path.join(workdir, 'metrics.jsonl'))
  figures['run'] = _run(experiment, model, seed, rows)
  page.heading('Training')
  run = figures['run']
  page.text(
    f'{run["steps"]} steps, {run["windows_per_second"]:.0f} windows/s, waiting for data {100 * run["data_wait"]:.1f} % of the time; '
    f'commit {run["commit"]}; data: {", ".join(corpus.names)}; evaluated in {clock(time.monotonic() - begin)}.'
  )
  if rows:
    plots.loss_curves(rows, os.path.join(folder, 'training.png'))
    page.picture('training.png', 'Every number that training logged, against the step.')
  page.text('All figures: metrics.json beside this page.')
  _write(os.path.join(folder, 'metrics.json'), json.dumps(figures, indent=1))
  _write(os.path.join(folder, 'index.html'), page.render())
  return figures


def _run(experiment: Experiment, model: TrainedModel, seed: int, rows: list[dict[str, float]]) -> dict[str, Any]:
  settled = rows[1:] or rows  # the first row holds the compilation
  mean = lambda name: float(np.mean([row[name] for row in settled])) if settled else 0.0  # noqa: E731
  speed = mean('windows_per_second')
  return {
    'experiment': experiment.name,
    'seed': seed,
    'steps': model.describe['step'],
    'commit': model.describe['commit'],
    'hardware': model.describe.get('hardware', 'not recorded'),
    'seeds_at_once': model.describe.get('seeds_at_once', 1),
    'seconds': model.describe['step'] * experiment.data.batch_size / speed if speed else 0.0,
    'windows_per_second': speed,
    'data_wait': mean('data_wait'),
  }


def _artificial(model: TrainedModel, experiment: Experiment, corpus: Corpus, where: Corpus, workdir: str, folder: str, page: Page) -> dict:
  window, limit = experiment.data.window, experiment.evaluation.max_songs
  training = artificial.encode(model, load_songs(corpus.paths('train', _CENTROID_SONGS)), 'encoding training songs')
  patterns = len(training[0].features.patterns)
  positions = artificial.centroids(artificial.window_means(training, window), patterns)
  validation = artificial.encode(model, load_songs(corpus.paths('validation')), 'encoding validation songs')
  threshold = artificial.choose_threshold(model, validation, positions)
  _calibrate(workdir, positions.mean(axis=0), threshold)
  names = pattern_names(where.names[0], patterns)
  figures: dict[str, Any] = {}
  page.text(
    f'{patterns} patterns: {", ".join(names)}. Onset threshold {threshold}, chosen on validation songs; '
    'positions: centroids of training songs.'
  )
  for split, prefix in (('test', ''), ('test_timbre', 'test_timbre.')):
    songs = artificial.encode(model, load_songs(where.paths(split, limit)), f'encoding {split} songs')
    means = artificial.window_means(songs, window)
    blind = np.zeros_like(positions)
    found = {
      'latent': artificial.separability(means, patterns) | {'stability_ratio': artificial.stability_ratio(songs)},
      'control': artificial.control(model, songs, positions, threshold, f'control on {split}')
      | {'switch_seconds': artificial.switch_seconds(model, songs, positions, threshold)},
      'control_blind': artificial.control(model, songs, blind, threshold, f'blind control on {split}'),
    }
    figures |= {f'{prefix}{key}': value for key, value in found.items()}
    title = 'Held-out songs' if split == 'test' else 'Held-out songs with instruments that training never heard'
    page.heading(f'{title} ({len(songs)})')
    page.table(('figure', 'model', 'z = 0 for all', 'chance'), _control_rows(found))
    plots.latent_scatter(means.mu, means.pattern, names, os.path.join(folder, f'latent_{split}.png'))
    page.picture(f'latent_{split}.png', 'Means of mu over windows of held-out songs, coloured by pattern; training saw no labels.')
    plots.confusion(np.asarray(found['control']['matrix']), names, os.path.join(folder, f'control_{split}.png'))
    page.picture(f'control_{split}.png', 'Which pattern was asked for by z, and whose notes came out nearest.')
    if split == 'test':
      planes.save(planes.sample(means.mu, means.pattern, names), os.path.join(folder, planes.FILE))
      song = songs[0]
      for i, name in enumerate(names):
        line = artificial.play(model, song.code, positions[i], threshold)
        plots.piano_roll(
          os.path.join(folder, f'roll_{i}.png'), line, song.features.mix_notes, song.features.patterns[i], 0.0, song.features.seconds
        )
        page.picture(f'roll_{i}.png', f'Song {song.features.id} at the position of "{name}": generated notes, true ones as outlines.')
  return figures


def _control_rows(found: dict[str, dict]) -> list[tuple[str, str, str, str]]:
  latent, control, blind = found['latent'], found['control'], found['control_blind']
  chance = f'{latent["chance"]:.3f}'
  rows = [
    ('latent.svm', f'{latent["svm"]:.3f}', '', chance),
    ('latent.knn', f'{latent["knn"]:.3f}', '', chance),
    ('a classifier on the mix alone', f'{latent["mix_only"]:.3f}', '', chance),
    ('latent.stability_ratio', f'{latent["stability_ratio"]:.3f}', '', ''),
  ]
  for name in ('note_f1', 'pattern', 'frame'):
    rows.append((f'control.{name}', _interval(control, name), _interval(blind, name), chance if name == 'pattern' else ''))
  seconds = control['switch_seconds']
  rows.append(('control.switch_seconds', 'never' if seconds is None else f'{seconds:.2f}', '', ''))
  return rows


def _interval(values: dict[str, Any], name: str) -> str:
  if name not in values:
    return ''
  low, high = values[f'{name}_ci95']
  return f'{values[name]:.3f} [{low:.3f}, {high:.3f}]'


def _music(model: TrainedModel, experiment: Experiment, corpus: Corpus, where: Corpus, workdir: str, folder: str, page: Page) -> dict:
  cfg = experiment.evaluation
  choice = pop_rock.choose(model, load_songs(where.paths('validation', cfg.validation_songs)))
  _calibrate(workdir, choice.z, choice.threshold)
  pieces = [music.Piece(song.id, song) for song in load_songs(where.paths('test', cfg.max_songs))]
  lines = music.baseline_lines(pieces) | pop_rock.model_lines(model, pieces, choice)
  found = music.evaluate_pieces(pieces, {rung: lines[rung] for rung in RUNGS if rung in lines})
  others = [rung for rung in found['music'] if rung not in ('z_fixed', 'z_posterior', 'truth')]
  differences = music.compare(found['per_piece'], 'z_fixed', others)
  page.text(
    f'{len(pieces)} test pieces of {", ".join(where.names)}. z = ({choice.z[0]:.2f}, {choice.z[1]:.2f}) for all pieces '
    f'and the onset threshold {choice.threshold} were chosen on validation songs.'
  )
  page.heading('The ladder')
  header = (
    'line',
    'note_pc_f1',
    'onset F1 (50 ms)',
    '25 ms',
    'chance',
    'pitch class acc.',
    'pitch acc.',
    'voicing F1',
    'diatonic',
    'chord tones',
  )
  names = (
    'onset_f1',
    'onset_f1_25ms',
    'onset_f1_chance',
    'pitch_class_accuracy',
    'pitch_accuracy',
    'voicing_f1',
    'diatonic_rate',
    'chord_tone_rate',
  )
  rows = [
    (RUNGS[rung], _interval(values, 'note_pc_f1'), *(f'{values[name]:.3f}' if name in values else '' for name in names))
    for rung, values in found['music'].items()
  ]
  page.table(header, rows)
  plots.ladder_bars(found['music'], os.path.join(folder, 'ladder.png'))
  page.picture('ladder.png', 'The ladder, with 95 % intervals over pieces.')
  page.heading('The model at one z for all songs, against each line, paired by piece (note_pc_f1)')
  page.table(
    ('against', 'difference', '95 % interval', 'pieces on which it is better'),
    [
      (RUNGS[rung], f'{value.mean:+.3f}', f'[{value.ci95[0]:+.3f}, {value.ci95[1]:+.3f}]', f'{100 * value.wins:.0f} %')
      for rung, value in differences.items()
    ],
  )
  page.heading('What it plays')
  for i in np.unique(np.linspace(0, len(pieces) - 1, 3).astype(int)):
    song = pieces[i].features
    start = pop_rock.busiest_start(song, _ROLL_SECONDS)
    plots.piano_roll(
      os.path.join(folder, f'roll_{i}.png'),
      lines['z_fixed'][i],
      song.mix_notes,
      song.notes,
      start,
      min(start + _ROLL_SECONDS, song.seconds),
    )
    page.picture(f'roll_{i}.png', f'{song.id}: generated bass, the true one as outlines, the mix behind.')
  training = load_songs(corpus.paths('train', 40))
  points = np.concatenate([model.posterior(song.mix, song.bass)[0][:: experiment.data.window] for song in training])
  plots.latent_density(points, os.path.join(folder, 'latent.png'))
  page.picture('latent.png', 'Where training songs lie in the plane.')
  return {
    'music': found['music'],
    'pieces': {'ids': found['pieces'], 'per_piece': found['per_piece']},
    'differences': {rung: dataclasses.asdict(value) for rung, value in differences.items()},
    'choice': {'z': choice.z.tolist(), 'threshold': choice.threshold, 'validation_note_pc_f1': choice.score},
  }


def pattern_names(dataset: str, patterns: int) -> list[str]:
  """What the patterns of an artificial set are called."""
  from data_pipeline.sources.artificial.source import PATTERN_NAMES

  names = PATTERN_NAMES.get(dataset.rsplit('/', 1)[-1], ())
  return list(names) if len(names) == patterns else [f'pattern {i}' for i in range(patterns)]


def _calibrate(workdir: str, z: np.ndarray, threshold: float) -> None:
  """What `trained.load` takes as defaults of the model."""
  values = {'default_z': [float(value) for value in z], 'onset_threshold': float(threshold)}
  _write(os.path.join(workdir, trained.CALIBRATION_FILE), json.dumps(values))


def _write(path: str, text: str) -> None:
  with open(path + '.tmp', 'w') as file:
    file.write(text)
  os.replace(path + '.tmp', path)
