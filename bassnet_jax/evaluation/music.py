"""Evaluates bass lines over real music: figures with intervals for every rung of the ladder, comparisons, and controls of the input."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bassnet_jax.evaluation import ladder, metrics
from data_pipeline.features import FRAME_RATE, Features
from data_pipeline.notes import Notes

METRICS = (
  'note_pc_f1',
  'onset_f1',
  'onset_f1_25ms',
  'onset_f1_chance',
  'onset_f1_25ms_chance',
  'pitch_accuracy',
  'pitch_class_accuracy',
  'voicing_f1',
  'diatonic_rate',
  'chord_tone_rate',
)
HEADLINE = 'note_pc_f1'
RESAMPLES = 2000
GRID_SIDE = 9
GRID_REACH = 3.0
CLUSTERS = 8

PerPiece = Mapping[str, Mapping[str, Sequence[float | None]]]
"""rung -> metric -> one figure a piece, in the pieces' order; None where a piece has no notes of the mix to measure with."""


@dataclasses.dataclass(frozen=True)
class Piece:
  """A song, or an excerpt of one, to be evaluated as a whole.

  Attributes:
    id: unique among the pieces of an evaluation.
    features: its features and true notes; `features.id` names the song, so that excerpts of one song are known as such.
  """

  id: str
  features: Features


@dataclasses.dataclass(frozen=True)
class Difference:
  """How much better one rung is than another on the same pieces.

  Attributes:
    mean: mean over pieces of the difference.
    ci95: bootstrap 95 % interval of that mean.
    wins: share of the pieces on which it's better; equal counts as half.
    pieces: how many.
  """

  mean: float
  ci95: tuple[float, float]
  wins: float
  pieces: int


def bootstrap_interval(values: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
  """95 % interval of a mean by the percentile bootstrap (Efron 1979): the pieces are drawn again, with replacement.

  Args:
    values: [pieces].
    resamples: how often.
    seed: of the draws.

  Raises:
    ValueError: no value.
  """
  values = np.asarray(values, dtype=np.float64)
  if not len(values):
    raise ValueError('an interval needs one piece at least; there is none')
  drawn = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
  low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
  return float(low), float(high)


def _measure(line: Notes, features: Features, collections: np.ndarray | None) -> dict[str, float | None]:
  """All `METRICS` of one line over one piece."""
  truth, frames, mix_notes = features.notes, features.frames, features.mix_notes
  return {
    'note_pc_f1': metrics.note_pc_f1(line, truth),
    'onset_f1': metrics.onset_f1(line, truth),
    'onset_f1_25ms': metrics.onset_f1(line, truth, window=0.025),
    'onset_f1_chance': metrics.onset_f1_chance(line, truth, features.seconds),
    'onset_f1_25ms_chance': metrics.onset_f1_chance(line, truth, features.seconds, window=0.025),
    'pitch_accuracy': metrics.pitch_accuracy(line, truth, frames),
    'pitch_class_accuracy': metrics.pitch_class_accuracy(line, truth, frames),
    'voicing_f1': metrics.voicing_f1(line, truth, frames),
    'diatonic_rate': None if collections is None else metrics.diatonic_rate(line, collections),
    'chord_tone_rate': None if mix_notes is None else metrics.chord_tone_rate(line, mix_notes, frames),
  }


def summarise(per_piece: PerPiece) -> dict[str, dict[str, float | list[float]]]:
  """Means over pieces and their intervals: rung -> {metric: mean, metric_ci95: [low, high]}, ready for metrics.json.

  A metric that no piece can be measured with is left out.
  """
  summary: dict[str, dict[str, float | list[float]]] = {}
  for rung, table in per_piece.items():
    summary[rung] = {}
    for name, column in table.items():
      values = np.array([value for value in column if value is not None])
      if len(values):
        summary[rung][name] = float(values.mean())
        summary[rung][f'{name}_ci95'] = list(bootstrap_interval(values))
  return summary


def evaluate_pieces(pieces: Sequence[Piece], lines: Mapping[str, Sequence[Notes]]) -> dict:
  """Measures the lines of every rung on every piece.

  Args:
    pieces: at least one.
    lines: rung -> one line a piece, in the pieces' order.

  Returns:
    {'music': rung -> {metric: mean over pieces, metric_ci95: [low, high]} (the public keys `music.<rung>.<metric>` of metrics.json),
    'per_piece': rung -> metric -> [figure or None of each piece], 'pieces': [ids]}. `diatonic_rate` and `chord_tone_rate` need the
    notes of the mix: a piece without them has None there and isn't in the mean.

  Raises:
    ValueError: no piece, or a rung has another number of lines.
  """
  if not pieces:
    raise ValueError('there is no piece to evaluate; is the split empty?')
  for rung, of_rung in lines.items():
    if len(of_rung) != len(pieces):
      raise ValueError(f'rung {rung!r} has {len(of_rung)} lines for {len(pieces)} pieces; each piece needs one')
  per_piece: dict[str, dict[str, list[float | None]]] = {rung: {name: [] for name in METRICS} for rung in lines}
  for i, piece in enumerate(pieces):
    features = piece.features
    collections = None if features.mix_notes is None else metrics.diatonic_collections(features.mix_notes, features.frames)
    for rung, of_rung in lines.items():
      for name, value in _measure(of_rung[i], features, collections).items():
        per_piece[rung][name].append(value)
  return {'music': summarise(per_piece), 'per_piece': per_piece, 'pieces': [piece.id for piece in pieces]}


def paired_difference(per_piece_a: Sequence[float | None], per_piece_b: Sequence[float | None]) -> Difference:
  """a - b, piece by piece, with a bootstrap 95 % interval of its mean; pieces where either is None are left out.

  Raises:
    ValueError: the lengths differ, or no piece has both figures.
  """
  if len(per_piece_a) != len(per_piece_b):
    raise ValueError(f'a has {len(per_piece_a)} pieces, b {len(per_piece_b)}; a paired comparison needs the same pieces in the same order')
  difference = np.array([a - b for a, b in zip(per_piece_a, per_piece_b, strict=True) if a is not None and b is not None])
  interval = bootstrap_interval(difference)
  wins = float(((difference > 0) + 0.5 * (difference == 0)).mean())
  return Difference(float(difference.mean()), interval, wins, len(difference))


def compare(per_piece: PerPiece, rung: str, against: Iterable[str], metric: str = HEADLINE) -> dict[str, Difference]:
  """How much better `rung` is than each of the others, paired by piece: other rung -> Difference.

  Raises:
    KeyError: a rung isn't in the tables; the message lists those that are.
  """
  against = list(against)
  for name in (rung, *against):
    if name not in per_piece:
      raise KeyError(f'no rung {name!r} was evaluated; there are {", ".join(per_piece)}')
  return {other: paired_difference(per_piece[rung][metric], per_piece[other][metric]) for other in against}


def partner(pieces: Sequence[Piece], i: int) -> int:
  """Index of the piece that stands in where piece `i` gets another song's mix or bass: the next one that is of another song.

  Raises:
    ValueError: all pieces are of one song.
  """
  for step in range(1, len(pieces)):
    j = (i + step) % len(pieces)
    if pieces[j].features.id != pieces[i].features.id:
      return j
  raise ValueError(
    f'all {len(pieces)} pieces are of song {pieces[i].features.id!r}; another song is needed, so evaluate two songs at least'
  )


def baseline_lines(pieces: Sequence[Piece]) -> dict[str, list[Notes]]:
  """The rungs of the ladder that need no model, for `evaluate_pieces`: rung -> one line a piece.

  The rungs made from the notes of the mix are left out unless every piece has them; `other_song` is left out if there is one song only.
  """
  features = [piece.features for piece in pieces]
  lines = {'silence': [ladder.silence() for _ in pieces]}
  if len({f.id for f in features}) > 1:
    others = [features[partner(pieces, i)] for i in range(len(pieces))]
    lines['other_song'] = [ladder.other_song(o.notes, o.seconds, f.seconds) for o, f in zip(others, features, strict=True)]
  if all(f.mix_notes is not None for f in features):
    lines['tonic_eighths'] = [ladder.tonic_eighths(f.mix_notes, f.beats, f.seconds) for f in features]
    lines['root_on_kick'] = [ladder.root_on_kick(f.mix_notes, f.beats) for f in features]
    lines['follow_lowest'] = [ladder.follow_lowest(f.mix_notes) for f in features]
  lines['truth'] = [f.notes for f in features]
  return lines


def shift_of(features: Features) -> int:
  """Frames by which `shifted_mix` moves the mix: a place in the bar where the true bass does not play.

  A quarter beat where the true bass moves in eighths or slower, else an eighth of a beat, so that the shift falls between its onsets;
  its median time between onsets tells (the border lies at three eighths of a beat, between eighths and sixteenths). Where no beats are
  known, half that time, which is the same for even eighths and sixteenths, but a quarter of a second at most. One frame at least.
  """
  between = np.diff(features.notes.onset)
  interval = float(np.median(between)) if len(between) else np.inf
  if features.beats is not None and len(features.beats) >= 2:
    beat = float(np.median(np.diff(features.beats)))
    seconds = beat / 4 if interval > 0.375 * beat else beat / 8
  else:
    seconds = min(interval / 2, 0.25)
  return max(round(seconds * FRAME_RATE), 1)


def shifted_mix(features: Features) -> np.ndarray:
  """Control: the mix, circularly shifted later in time by `shift_of` frames; one that listens plays late by as much.

  Returns:
    [frames, 192], dtype of the features.
  """
  return np.roll(features.mix, shift_of(features), axis=0)


def other_mix(pieces: Sequence[Piece], i: int) -> np.ndarray:
  """Control: the mix of another song (`partner`), repeated or cut to the length of piece `i`.

  Returns:
    [frames of piece i, 192].
  """
  other, frames = pieces[partner(pieces, i)].features.mix, pieces[i].features.frames
  return np.tile(other, (-(-frames // len(other)), 1))[:frames]


def silent_mix(features: Features) -> np.ndarray:
  """Control: digital silence, which is 0 in log1p-compressed magnitudes (before standardisation): [frames, 192]."""
  return np.zeros_like(features.mix)


def z_candidates(posterior_means: np.ndarray, seed: int = 0) -> np.ndarray:
  """Positions among which the one z for all songs is chosen.

  Args:
    posterior_means: [songs, 2], mean of mu over each song (of the training or validation split).
    seed: of k-means.

  Returns:
    [candidates, 2]: a 9x9 grid over [-3, 3]^2 (which contains 0), the mean over the songs, and up to 8 k-means centres.
  """
  from sklearn.cluster import KMeans

  posterior_means = np.asarray(posterior_means, dtype=np.float64).reshape(-1, 2)
  axis = np.linspace(-GRID_REACH, GRID_REACH, GRID_SIDE)
  parts = [np.stack(np.meshgrid(axis, axis, indexing='ij'), axis=-1).reshape(-1, 2)]
  if len(posterior_means):
    clusters = min(CLUSTERS, len(np.unique(posterior_means, axis=0)))
    centres = KMeans(clusters, n_init=10, random_state=seed).fit(posterior_means).cluster_centers_
    parts += [posterior_means.mean(axis=0, keepdims=True), centres]
  return np.concatenate(parts)
