"""The report at the end of a run: metrics.json, pictures and one page, in `workdir/report/`."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import numpy as np

from bassnet_jax import latent_density, scalar_log, trained
from bassnet_jax.config import Experiment
from bassnet_jax.evaluation import artificial, music_report, planes, plots, trajectories
from bassnet_jax.evaluation.evaluated import Evaluated
from bassnet_jax.evaluation.page import Page, write_json
from bassnet_jax.evaluation.tables import load_songs, training_songs, with_interval
from bassnet_jax.inputs.corpus import Corpus
from bassnet_jax.trained import TrainedModel
from data_pipeline import storage
from data_pipeline.progress import clock

CENTROID_SONGS = 120
"""Training songs, at most, whose centroids are the patterns' positions."""


def write(
  experiment: Experiment,
  corpus: Corpus,
  workdir: str,
  seed: int,
  evaluation_corpus: Corpus | None = None,
  folder: str | None = None,
  full: bool = False,
) -> dict[str, Any]:
  """Evaluates the newest checkpoint of a workdir and writes its report.

  Args:
    corpus: of training; `evaluation_corpus`: where the songs of the report come from, if elsewhere.
    folder: of the report; default: `workdir/report`, and what it chose on validation songs becomes the model's defaults.
    full: all songs of the split, and on music the plane in 21x21 positions on whole songs; else as the experiment says.

  Returns:
    what metrics.json holds.

  Raises:
    ValueError: there is no validation or no test song.
  """
  begin = time.monotonic()
  where = evaluation_corpus or corpus
  if missing(where):
    raise ValueError(f'{workdir}: {missing(where)}')
  model = trained.load(workdir)
  own = folder is None
  workdir, bucket = storage.fetch(workdir), workdir
  folder = folder or os.path.join(workdir, 'report')
  os.makedirs(folder, exist_ok=True)
  page = Page(f'{experiment.name}, seed {seed}', [])
  evaluate = _artificial if experiment.evaluation.kind == 'artificial' else music_report.evaluate
  found = evaluate(model, experiment, corpus, where, folder, page, full)
  figures = found.figures
  if own:
    _calibrate(workdir, found.z, found.threshold)
    if any(len(mu) for mu in found.latent):
      latent_density.write(workdir, sum(map(latent_density.histogram, found.latent)), len(found.latent))
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
  write_json(os.path.join(folder, 'metrics.json'), figures)
  storage.write_text(os.path.join(folder, 'index.html'), page.render())
  storage.push(bucket)
  return figures


def missing(where: Corpus) -> str:
  """Which songs of a report are not there, and how to have them; '' if none is missing."""
  empty = [split for split in ('validation', 'test') if not where.paths(split)]
  if not empty:
    return ''
  return (
    f'no report: there is no {" and no ".join(empty)} song in {", ".join(where.names)}. For one, put songs into folders named train, '
    'validation and test.'
  )


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


def _artificial(
  model: TrainedModel, experiment: Experiment, corpus: Corpus, where: Corpus, folder: str, page: Page, full: bool
) -> Evaluated:
  window, limit = experiment.data.window, 0 if full else experiment.evaluation.max_songs
  training = artificial.encode(model, training_songs(corpus, experiment.data, CENTROID_SONGS), 'encoding training songs')
  patterns = len(training[0].features.patterns)
  positions = artificial.centroids(artificial.window_means(training, window), patterns)
  validation = artificial.encode(model, load_songs(corpus.paths('validation')), 'encoding validation songs')
  threshold = artificial.choose_threshold(model, validation, positions)
  names = pattern_names(where.names[0], patterns)
  figures: dict[str, Any] = {}
  page.text(
    f'{patterns} patterns: {", ".join(names)}. Onset threshold {threshold}, chosen on validation songs; '
    'positions: centroids of training songs.'
  )
  for split, prefix in (('test', ''), ('test_timbre', 'test_timbre.')):
    songs = artificial.encode(model, load_songs(where.paths(split, limit)), f'encoding {split} songs')
    means = artificial.window_means(songs, window)
    blind, mu = np.zeros_like(positions), [song.mu for song in songs]
    found = {
      'latent': artificial.separability(means, patterns)
      | {'stability_ratio': trajectories.stability_ratio(mu), 'stability_ratio_ci95': trajectories.stability_interval(mu)},
      'control': artificial.control(model, songs, positions, threshold, f'control on {split}')
      | artificial.switching(artificial.switch_times(model, songs, positions, threshold)),
      'control_blind': artificial.control(model, songs, blind, threshold, f'blind control on {split}')
      | artificial.switching(artificial.switch_times(model, songs, blind, threshold)),
    }
    figures |= {f'{prefix}{key}': value for key, value in found.items()}
    title = 'Held-out songs' if split == 'test' else 'Held-out songs with instruments that training never heard'
    page.heading(f'{title} ({len(songs)})')
    page.table(('figure', 'model', 'z = 0 for all', 'chance'), _control_rows(found))
    plots.latent_scatter(means.mu, means.pattern, names, os.path.join(folder, f'latent_{split}.png'))
    page.picture(f'latent_{split}.png', 'Means of mu over windows of held-out songs, coloured by pattern; training saw no labels.')
    plots.confusion(np.asarray(found['control']['matrix']), names, os.path.join(folder, f'control_{split}.png'))
    page.picture(f'control_{split}.png', 'Which pattern was asked for by z, and whose notes came out nearest.')
    for part in ('pitch', 'onset'):
      name = f'control_{part}_{split}.png'
      plots.confusion(np.asarray(found['control'][f'matrix_{part}']), names, os.path.join(folder, name))
      page.picture(name, f'The same, nearest by {part} alone; patterns that share it come out alike.')
    if split == 'test':
      planes.save(planes.sample(means.mu, means.pattern, names), os.path.join(folder, planes.FILE))
      song = songs[0]
      for i, name in enumerate(names):
        line = artificial.play(model, song.code, positions[i], threshold)
        plots.piano_roll(
          os.path.join(folder, f'roll_{i}.png'), line, song.features.mix_notes, song.features.patterns[i], 0.0, song.features.seconds
        )
        page.picture(f'roll_{i}.png', f'Song {song.features.id} at the position of "{name}": generated notes, true ones as outlines.')
  return Evaluated(figures, positions.mean(axis=0), threshold)


def _control_rows(found: dict[str, dict]) -> list[tuple[str, str, str, str]]:
  latent, control, blind = found['latent'], found['control'], found['control_blind']
  chance = f'{latent["chance"]:.3f}'
  rows = [
    ('latent.svm', with_interval(latent, 'svm'), '', chance),
    ('latent.knn', with_interval(latent, 'knn'), '', chance),
    ('a classifier on the mix alone', with_interval(latent, 'mix_only'), '', chance),
    ('latent.stability_ratio', with_interval(latent, 'stability_ratio'), '', ''),
  ]
  for name in ('note_f1', 'pattern', 'pattern_pitch', 'pattern_onset', 'frame'):
    by_chance = chance if name.startswith('pattern') else ''
    rows.append((f'control.{name}', with_interval(control, name), with_interval(blind, name), by_chance))
  rows.append(('control.switch_seconds', _switch(control), _switch(blind), ''))
  return rows


def _switch(values: dict[str, Any]) -> str:
  """'0.10 [0.00, 0.30], 95 % of the songs'; a time that never comes is 'never'."""
  text = lambda seconds: 'never' if seconds is None else f'{seconds:.2f}'  # noqa: E731
  low, high = values['switch_seconds_ci95']
  return f'{text(values["switch_seconds"])} [{text(low)}, {text(high)}], {100 * values["switched"]:.0f} % of the songs'


def pattern_names(dataset: str, patterns: int) -> list[str]:
  """What the patterns of an artificial set are called."""
  from data_pipeline.sources.artificial.source import PATTERN_NAMES

  names = PATTERN_NAMES.get(dataset.rsplit('/', 1)[-1], ())
  return list(names) if len(names) == patterns else [f'pattern {i}' for i in range(patterns)]


def _calibrate(workdir: str, z: np.ndarray, threshold: float) -> None:
  """What `trained.load` takes as defaults of the model."""
  values = {'default_z': [float(value) for value in z], 'onset_threshold': float(threshold)}
  storage.write_text(os.path.join(workdir, trained.CALIBRATION_FILE), json.dumps(values))
