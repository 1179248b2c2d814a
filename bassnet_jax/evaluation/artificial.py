"""Evaluates a model on an artificial set: does the plane separate the patterns, is it stable, does z control the bass?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassnet_jax import decoding
from bassnet_jax.evaluation import metrics
from bassnet_jax.evaluation.music import bootstrap_interval
from bassnet_jax.trained import MixCode, TrainedModel
from data_pipeline import features as ft
from data_pipeline.features import Features
from data_pipeline.notes import Notes
from data_pipeline.progress import Progress

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_FOLDS = 5
_SWITCH_FRAME = 512
_SWITCH_SECONDS = 1.0  # a switch is over when the next second is the new pattern's
_SWITCH_AGREEMENT = 0.8


@dataclasses.dataclass(frozen=True)
class EncodedSong:
  """A song, its mix code, and its posterior mean mu [frames, 2]."""

  features: Features
  code: MixCode
  mu: np.ndarray


@dataclasses.dataclass(frozen=True)
class WindowMeans:
  """Means of mu over windows that don't overlap.

  Attributes:
    mu: [windows, 2].
    mix: [windows, 384], mean and standard deviation over time of every bin of the mix.
    pattern: [windows].
    song: [windows], index of the song.
  """

  mu: np.ndarray
  mix: np.ndarray
  pattern: np.ndarray
  song: np.ndarray


def encode(model: TrainedModel, songs: Sequence[Features], label: str) -> list[EncodedSong]:
  """Encodes songs, showing progress."""
  result = []
  with Progress(len(songs), label, 'songs') as progress:
    for song in songs:
      code = model.encode_mix(song.mix)
      result.append(EncodedSong(song, code, model.posterior(song.mix, song.bass, code)[0]))
      progress.update()
  return result


def window_means(songs: Sequence[EncodedSong], window: int) -> WindowMeans:
  """Cuts songs into windows and takes means."""
  mu, mix, pattern, which = [], [], [], []
  for index, song in enumerate(songs):
    for start in range(0, len(song.mu) - window + 1, window):
      cut = song.features.mix[start : start + window].astype(np.float32)
      mu.append(song.mu[start : start + window].mean(axis=0))
      mix.append(np.concatenate([cut.mean(axis=0), cut.std(axis=0)]))
      pattern.append(song.features.pattern)
      which.append(index)
  return WindowMeans(np.asarray(mu), np.asarray(mix), np.asarray(pattern), np.asarray(which))


def centroids(windows: WindowMeans, patterns: int) -> np.ndarray:
  """[patterns, 2]: the mean of mu over the windows of each pattern."""
  return np.stack([windows.mu[windows.pattern == p].mean(axis=0) for p in range(patterns)])


def separability(windows: WindowMeans, patterns: int, seed: int = 0) -> dict[str, float]:
  """How well a classifier reads the pattern from the window-mean mu, and from the mix alone.

  RBF-SVM and 5-nearest-neighbours, balanced accuracy over 5 folds, all windows of a song in one fold.

  Returns:
    svm, knn, mix_only, chance.
  """
  from sklearn.decomposition import PCA
  from sklearn.metrics import balanced_accuracy_score
  from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
  from sklearn.neighbors import KNeighborsClassifier
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler
  from sklearn.svm import SVC

  folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)

  def score(values: np.ndarray, classifier) -> float:
    predicted = cross_val_predict(classifier, values, windows.pattern, groups=windows.song, cv=folds)
    return float(balanced_accuracy_score(windows.pattern, predicted))

  svm = make_pipeline(StandardScaler(), SVC(class_weight='balanced'))
  knn = make_pipeline(StandardScaler(), KNeighborsClassifier(5))
  mix = make_pipeline(StandardScaler(), PCA(32, random_state=seed), SVC(class_weight='balanced'))
  return {'svm': score(windows.mu, svm), 'knn': score(windows.mu, knn), 'mix_only': score(windows.mix, mix), 'chance': 1 / patterns}


def stability_ratio(songs: Sequence[EncodedSong]) -> float:
  """Variance of mu within songs over its total variance: 0 is constant in a song, 1 is as varied in a song as anywhere."""
  everything = np.concatenate([song.mu for song in songs])
  within = np.mean([np.square(song.mu - song.mu.mean(axis=0)).sum(axis=1).mean() for song in songs])
  return float(within / np.square(everything - everything.mean(axis=0)).sum(axis=1).mean())


def play(model: TrainedModel, code: MixCode, z: np.ndarray, threshold: float) -> Notes:
  """The notes at a latent position, or along a path [frames, 2]."""
  return decoding.notes_from_prediction(model.decode(code, z), threshold)


def choose_threshold(model: TrainedModel, songs: Sequence[EncodedSong], where: np.ndarray) -> float:
  """The onset threshold with the best note F1 on validation songs, each at its own pattern's centroid."""
  predictions = [model.decode(song.code, where[song.features.pattern]) for song in songs]

  def score(threshold: float) -> float:
    lines = [decoding.notes_from_prediction(prediction, threshold) for prediction in predictions]
    return float(np.mean([metrics.note_f1(line, song.features.notes) for line, song in zip(lines, songs, strict=True)]))

  return max(THRESHOLDS, key=lambda threshold: (score(threshold), -abs(threshold - 0.5)))


def control(model: TrainedModel, songs: Sequence[EncodedSong], where: np.ndarray, threshold: float, label: str) -> dict:
  """What comes out where each pattern is asked for, over every song's mix, against the counterfactual notes.

  Args:
    where: [patterns, 2], latent position of every pattern.

  Returns:
    note_f1, pattern, frame with `_ci95` over songs, `matrix` [patterns, patterns] (asked, come out; shares of a row).
  """
  patterns = len(where)
  f1 = np.zeros((len(songs), patterns, patterns))  # song, asked for, compared with
  frame = np.zeros((len(songs), patterns))
  with Progress(len(songs), label, 'songs') as progress:
    for i, song in enumerate(songs):
      for asked in range(patterns):
        line = play(model, song.code, where[asked], threshold)
        f1[i, asked] = [metrics.note_f1(line, truth) for truth in song.features.patterns]
        frame[i, asked] = metrics.frame_accuracy(line, song.features.patterns[asked], song.features.frames)
      progress.update()
  # Shared between equals: silence is as near to every pattern.
  nearest = np.isclose(f1, f1.max(axis=2, keepdims=True))
  shares = nearest / nearest.sum(axis=2, keepdims=True)
  hit, own = np.diagonal(shares, axis1=1, axis2=2), np.diagonal(f1, axis1=1, axis2=2)
  result = {'matrix': shares.mean(axis=0).tolist()}
  for name, values in (('note_f1', own), ('pattern', hit), ('frame', frame)):
    result[name] = float(values.mean())
    result[f'{name}_ci95'] = list(bootstrap_interval(values.mean(axis=1)))
  return result


def switch_seconds(model: TrainedModel, songs: Sequence[EncodedSong], where: np.ndarray, threshold: float) -> float | None:
  """Median time from a jump of z in mid-song until the following second is the new pattern's.

  Every song jumps once, from its own pattern to the next. None where half of the songs never get there.
  """
  times = []
  for song in songs:
    old, new = song.features.pattern, (song.features.pattern + 1) % len(where)
    z = np.where(np.arange(song.features.frames)[:, None] < _SWITCH_FRAME, where[old], where[new])
    line = metrics.frame_pitch(play(model, song.code, z, threshold), song.features.frames)
    truth = metrics.frame_pitch(song.features.patterns[new], song.features.frames)
    agrees = np.convolve(line == truth, np.ones(int(_SWITCH_SECONDS * ft.FRAME_RATE)), mode='valid') / (_SWITCH_SECONDS * ft.FRAME_RATE)
    after = np.flatnonzero(agrees[_SWITCH_FRAME:] >= _SWITCH_AGREEMENT)
    times.append(after[0] / ft.FRAME_RATE if len(after) else np.inf)
  median = float(np.median(times))
  return median if np.isfinite(median) else None
