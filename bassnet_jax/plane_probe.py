"""Asks the decoder alone where each pattern of an artificial set lies: `python -m bassnet_jax.plane_probe --checkpoint=WORKDIR`.

Control by the encoder's centroids fails if either half of the network has not learned its part. Here the decoder plays training songs
everywhere on a grid over the plane, and for every pattern the place is found under which its counterfactual notes are likeliest. Where
control from there is good and control from the centroids is not, the decoder knows the patterns and the encoder does not find them.
"""

from __future__ import annotations

import sys

import numpy as np
from absl import flags

from data_pipeline import commands

_EXTENT = 3.0


def surprise(prediction, truth, frames: int) -> float:
  """Mean negative log-likelihood, a frame, of the pitches and onsets of a line.

  Args:
    prediction: of the song, a `decoding.Prediction`.
    truth: the line, `Notes`.
    frames: of the song.
  """
  from data_pipeline import features as ft

  target, onset = ft.frame_targets(truth, frames)
  logits = prediction.pitch_logits - prediction.pitch_logits.max(axis=1, keepdims=True)
  pitch_loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(frames), target]
  likely = np.clip(prediction.onset, 1e-6, 1 - 1e-6)
  return float((pitch_loss - np.where(onset, np.log(likely), np.log(1 - likely))).mean())


def surprises(model, songs, axis: np.ndarray) -> np.ndarray:
  """[songs, patterns, y, x]: the surprise of every pattern's notes where the decoder is given each place of the grid."""
  from data_pipeline.progress import Progress

  found = np.zeros((len(songs), len(songs[0].features.patterns), len(axis), len(axis)))
  with Progress(len(songs), 'playing training songs all over the plane', 'songs') as progress:
    for i, song in enumerate(songs):
      for row, y in enumerate(axis):
        for column, x in enumerate(axis):
          prediction = model.decode(song.code, np.array([x, y]))
          found[i, :, row, column] = [surprise(prediction, truth, song.features.frames) for truth in song.features.patterns]
      progress.update()
  return found


def best_places(costs: np.ndarray, axis: np.ndarray) -> np.ndarray:
  """[patterns, 2]: where each pattern is least surprising on the mean of the songs; costs: [songs, patterns, y, x]."""
  mean = costs.mean(axis=0)
  row, column = np.unravel_index(mean.reshape(len(mean), -1).argmin(axis=1), mean.shape[1:])
  return np.stack([axis[column], axis[row]], axis=1)


def probe(checkpoint: str, data_dir: str, songs: int, size: int) -> dict:
  """Control of the decoder from the places it likes best, and from the encoder's centroids.

  Returns:
    names of the patterns, `best` and `centroids` [patterns, 2], `step`, and the results of `artificial.control` on test songs from both.
  """
  from bassnet_jax import checkpoints, trained
  from bassnet_jax import config as configs
  from bassnet_jax.evaluation import artificial, report
  from bassnet_jax.evaluation.tables import load_songs, training_songs
  from bassnet_jax.inputs import corpus as corpora
  from data_pipeline import storage

  checkpoint, data_dir = storage.absolute(checkpoint), storage.absolute(data_dir)
  for place in (checkpoint, data_dir):
    storage.check(place)
  _, description, _ = checkpoints.load_params(checkpoint)
  experiment = configs.from_dict(description['experiment'])
  if experiment.evaluation.kind != 'artificial':
    raise ValueError(
      f'{checkpoint}: {experiment.name} was trained on music; expected a run on an artificial set, whose patterns are known. Give another '
      '--checkpoint.'
    )
  corpus = corpora.open_corpus(experiment.data, data_dir, None, tfds_files=False)
  model = trained.load(checkpoint)
  training = artificial.encode(model, training_songs(corpus, experiment.data, report.CENTROID_SONGS), 'encoding training songs')
  patterns = len(training[0].features.patterns)
  validation = artificial.encode(model, load_songs(corpus.paths('validation')), 'encoding validation songs')
  test = artificial.encode(model, load_songs(corpus.paths('test', songs)), 'encoding test songs')
  axis = np.linspace(-_EXTENT, _EXTENT, size)
  places = {
    'best': best_places(surprises(model, training[:songs], axis), axis),
    'centroids': artificial.centroids(artificial.window_means(training, experiment.data.window), patterns),
  }
  found: dict = {'names': report.pattern_names(corpus.names[0], patterns), 'step': model.describe['step']}
  for name, where in places.items():
    threshold = artificial.choose_threshold(model, validation, where)
    found[name] = {'z': where.tolist(), 'threshold': threshold} | artificial.control(model, test, where, threshold, f'control, {name}')
  return found


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'checkpoint', None, 'workdir of a run on an artificial set')
  define(flags.DEFINE_string, 'data_dir', 'data', 'folder of the datasets; what is missing is built there')
  define(flags.DEFINE_integer, 'songs', 16, 'that are played all over the plane, and test songs for control', lower_bound=1)
  define(flags.DEFINE_integer, 'size', 13, 'places on each axis of the grid, from -3 to 3', lower_bound=3, upper_bound=61)
  define(flags.DEFINE_string, 'json', None, 'file for the figures')


@commands.with_flags(_define_flags, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Prints a table."""
  from data_pipeline import storage

  if not defined.checkpoint:
    raise ValueError('--checkpoint is missing: give --checkpoint=WORKDIR, the --workdir of a training run')
  found = probe(defined.checkpoint, defined.data_dir, defined.songs, defined.size)
  print(f'step {found["step"]}; control on {defined.songs} held-out songs')
  for kind, words in (('best', "the decoder's best places"), ('centroids', "the encoder's centroids")):
    row = found[kind]
    print(f'{words:<28} pattern {row["pattern"]:.3f}  note F1 {row["note_f1"]:.3f}  frames {row["frame"]:.3f}')
  for i, name in enumerate(found['names']):
    best, centre = found['best']['z'][i], found['centroids']['z'][i]
    print(
      f'{name:<28} best ({best[0]:+.2f}, {best[1]:+.2f}) right {found["best"]["matrix"][i][i]:.2f}   '
      f'centroid ({centre[0]:+.2f}, {centre[1]:+.2f}) right {found["centroids"]["matrix"][i][i]:.2f}'
    )
  if defined.json:
    storage.write_json(defined.json, found)
  return 0


if __name__ == '__main__':
  sys.exit(main())
