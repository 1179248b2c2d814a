"""Evaluates a model on an artificial set: does the plane separate the patterns, is it stable, does z control the bass?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassnet_jax import decoding
from bassnet_jax.decoding import Prediction
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


def _balanced_interval(hit: np.ndarray, windows: WindowMeans, patterns: int, resamples: int = 2000, seed: int = 0) -> list[float]:
  """95 % interval of the balanced accuracy by the bootstrap over songs, drawn within each pattern so that none goes missing.

  Args:
    hit: [windows] bool, whether the pattern was read right.
  """
  rng, recalls = np.random.default_rng(seed), []
  for pattern in range(patterns):
    songs = np.unique(windows.song[windows.pattern == pattern])
    if not len(songs):  # fewer songs than patterns: as in the balanced accuracy itself, what isn't there doesn't count
      continue
    right = np.array([hit[windows.song == song].sum() for song in songs])
    all_of = np.array([(windows.song == song).sum() for song in songs])
    drawn = rng.integers(0, len(songs), (resamples, len(songs)))
    recalls.append(right[drawn].sum(axis=1) / all_of[drawn].sum(axis=1))
  return [float(value) for value in np.quantile(np.mean(recalls, axis=0), [0.025, 0.975])]


def separability(windows: WindowMeans, patterns: int, seed: int = 0) -> dict[str, float | list[float]]:
  """How well a classifier reads the pattern from the window-mean mu, and from the mix alone.

  RBF-SVM and 5-nearest-neighbours, balanced accuracy over 5 folds (one a song where there are fewer), all windows of a song in one fold.

  Returns:
    svm, knn, mix_only, each with its `_ci95` over songs, and chance.

  Raises:
    ValueError: there is one song only.
  """
  from sklearn.decomposition import PCA
  from sklearn.metrics import balanced_accuracy_score
  from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
  from sklearn.neighbors import KNeighborsClassifier
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler
  from sklearn.svm import SVC

  songs = len(np.unique(windows.song))
  if songs < 2:
    raise ValueError(
      'the classifier of patterns is tested on songs that it has not seen: expected 2 test songs at least, found 1; evaluate with --full, '
      'or train with --set evaluation.max_songs=2 or more'
    )
  count = min(_FOLDS, songs)
  enough = np.bincount(windows.pattern).max() >= count  # for every fold to have a window of some pattern
  splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed) if enough else GroupKFold(count)
  folds = list(splitter.split(windows.mu, windows.pattern, groups=windows.song))
  fewest = min(len(known) for known, _ in folds)

  def score(name: str, values: np.ndarray, classifier) -> dict[str, float | list[float]]:
    predicted = np.empty_like(windows.pattern)
    for known, asked in folds:
      one = len(np.unique(windows.pattern[known])) == 1  # so few songs that a fold leaves one pattern: nothing else can be said
      predicted[asked] = windows.pattern[known[0]] if one else classifier.fit(values[known], windows.pattern[known]).predict(values[asked])
    interval = _balanced_interval(predicted == windows.pattern, windows, patterns)
    return {name: float(balanced_accuracy_score(windows.pattern, predicted)), f'{name}_ci95': interval}

  svm = make_pipeline(StandardScaler(), SVC(class_weight='balanced'))
  knn = make_pipeline(StandardScaler(), KNeighborsClassifier(min(5, fewest)))
  mix = make_pipeline(StandardScaler(), PCA(min(32, fewest), random_state=seed), SVC(class_weight='balanced'))
  return score('svm', windows.mu, svm) | score('knn', windows.mu, knn) | score('mix_only', windows.mix, mix) | {'chance': 1 / patterns}


def play(model: TrainedModel, code: MixCode, z: np.ndarray, threshold: float) -> Notes:
  """The notes at a latent position, or along a path [frames, 2]."""
  return notes_of(model.decode(code, z), threshold)


def notes_of(prediction: Prediction, threshold: float) -> Notes:
  """The notes, each octave for itself: here the truth is a rule of single notes, and a line's taste for small steps has no say."""
  return decoding.notes_from_prediction(prediction, threshold, jump_cost=0.0, restrike_doubt=0.0)


def choose_threshold(model: TrainedModel, songs: Sequence[EncodedSong], where: np.ndarray) -> float:
  """The onset threshold with the best note F1 on validation songs, each at its own pattern's centroid."""
  predictions = [model.decode(song.code, where[song.features.pattern]) for song in songs]

  def score(threshold: float) -> float:
    lines = [notes_of(prediction, threshold) for prediction in predictions]
    return float(np.mean([metrics.note_f1(line, song.features.notes) for line, song in zip(lines, songs, strict=True)]))

  return max(THRESHOLDS, key=lambda threshold: (score(threshold), -abs(threshold - 0.5)))


def control(model: TrainedModel, songs: Sequence[EncodedSong], where: np.ndarray, threshold: float, label: str) -> dict:
  """What comes out where each pattern is asked for, over every song's mix, against the counterfactual notes.

  Args:
    where: [patterns, 2], latent position of every pattern.

  Returns:
    note_f1, pattern, frame with `_ci95` over songs, `notes` (played, per note of the truth: 0 is silence, whose frames are right wherever
    the truth rests), `matrix` [patterns, patterns] (asked, come out; shares of a row); and what comes out
    nearest by pitch alone (accuracy while the truth sounds) and by onset alone (F1): pattern_pitch, pattern_onset, matrix_pitch,
    matrix_onset. Patterns that share their pitches or their onsets share these alike.
  """
  patterns = len(where)
  f1, pitch, onset = np.zeros((3, len(songs), patterns, patterns))  # song, asked for, compared with
  frame = np.zeros((len(songs), patterns))
  played = wanted = 0
  with Progress(len(songs), label, 'songs') as progress:
    for i, song in enumerate(songs):
      for asked in range(patterns):
        line = play(model, song.code, where[asked], threshold)
        f1[i, asked] = [metrics.note_f1(line, truth) for truth in song.features.patterns]
        pitch[i, asked] = [metrics.pitch_accuracy(line, truth, song.features.frames) for truth in song.features.patterns]
        onset[i, asked] = [metrics.onset_f1(line, truth) for truth in song.features.patterns]
        played, wanted = played + len(line.onset), wanted + len(song.features.patterns[asked].onset)
        frame[i, asked] = metrics.frame_accuracy(line, song.features.patterns[asked], song.features.frames)
      progress.update()
  result: dict = {'notes': played / max(wanted, 1)}
  of_song = {'note_f1': np.diagonal(f1, axis1=1, axis2=2), 'frame': frame}
  for suffix, likeness in (('', f1), ('_pitch', pitch), ('_onset', onset)):
    # Shared between equals: silence is as near to every pattern.
    nearest = np.isclose(likeness, likeness.max(axis=2, keepdims=True))
    shares = nearest / nearest.sum(axis=2, keepdims=True)
    result[f'matrix{suffix}'] = shares.mean(axis=0).tolist()
    of_song[f'pattern{suffix}'] = np.diagonal(shares, axis1=1, axis2=2)
  for name, values in of_song.items():
    result[name] = float(values.mean())
    result[f'{name}_ci95'] = list(bootstrap_interval(values.mean(axis=1)))
  return result


def switching(times: np.ndarray, resamples: int = 2000, seed: int = 0) -> dict[str, float | list[float | None] | None]:
  """`switch_seconds` with its 95 % interval (bootstrap over songs; None is never) and the share of songs that got there, `switched`."""
  finite = lambda value: float(value) if np.isfinite(value) else None  # noqa: E731
  drawn = np.random.default_rng(seed).integers(0, len(times), (resamples, len(times)))
  # A median between two values is the mean of both, and of one that is never: never. Quantiles are values that occurred.
  low, high = np.sort(np.median(times[drawn], axis=1))[[int(0.025 * resamples), int(0.975 * resamples)]]
  interval = [finite(low), finite(high)]
  return {'switch_seconds': finite(np.median(times)), 'switch_seconds_ci95': interval, 'switched': float(np.isfinite(times).mean())}


def switch_times(model: TrainedModel, songs: Sequence[EncodedSong], where: np.ndarray, threshold: float) -> np.ndarray:
  """Seconds from a jump of z in mid-song until the following second is the new pattern's: [songs], infinite where it never comes.

  Every song jumps once, from its own pattern to the next. Of a second those frames count in which the line or the pattern sounds: rests
  that agree say nothing, and silence is no pattern's.
  """
  times = []
  second = np.ones(int(_SWITCH_SECONDS * ft.FRAME_RATE))
  for song in songs:
    old, new = song.features.pattern, (song.features.pattern + 1) % len(where)
    z = np.where(np.arange(song.features.frames)[:, None] < _SWITCH_FRAME, where[old], where[new])
    line = metrics.frame_pitch(play(model, song.code, z, threshold), song.features.frames)
    truth = metrics.frame_pitch(song.features.patterns[new], song.features.frames)
    sounding = (line != metrics.SILENT) | (truth != metrics.SILENT)
    agreeing, counted = (np.convolve(frames, second, mode='valid')[_SWITCH_FRAME:] for frames in (sounding & (line == truth), sounding))
    after = np.flatnonzero((counted > 0) & (agreeing >= _SWITCH_AGREEMENT * counted))
    times.append(after[0] / ft.FRAME_RATE if len(after) else np.inf)
  return np.array(times)
