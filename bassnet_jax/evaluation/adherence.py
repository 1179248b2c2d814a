"""Scores how well bass lines adhere to their mixes as real ones do, harmony and rhythm apart, without weights or downloads.

An excerpt of 8 s becomes two small embeddings: how the bass's pitch classes lie to those of the mix, and how its onsets lie to those of
the mix. A set of excerpts is the Gaussian of its embeddings. With R true pairs of bass and mix, R' pairs of a mix and the bass of another
song, C the candidates, and D the square root of the Frechet distance, the score is clip(1 - D(C, R) / D(R, R'), 0, 1): 1 is as true
pairs are, 0 is no nearer to them than a bass that never heard the mix. The idea of measuring accompaniments by the distance of joint
embeddings to those of true and of mismatched pairs is that of Accompaniment Prompt Adherence (M. Grachten, J. Nistal, arXiv 2503.06346,
2025), whose form clip(1/2 + (D(C, R') - D(C, R)) / (2 D(R, R')), 0, 1) stands beside; the embeddings, from notes, and the root are ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d

from bassnet_jax.evaluation import metrics
from bassnet_jax.evaluation.music import Piece
from data_pipeline.features import FRAME_RATE
from data_pipeline.notes import KICK_KEYS, SNARE_KEYS, Notes

SECONDS = 8.0
MINIMUM = 200
"""Excerpts a set: with fewer the noise of the Gaussians' estimates passes for distance."""
FOLDS = 20

LAG_BIN = 1 / FRAME_RATE
LAG_BINS_PER_SIDE = 20  # 250 ms
LAG_SMOOTHING = 2.0
"""Bins; 25 ms, so that a line on the frame clock and one played by hand look alike."""
LAG_TAPER = 4
_LAGS = np.arange(-LAG_BINS_PER_SIDE, LAG_BINS_PER_SIDE + 1) * LAG_BIN
_TAPER = np.cos(np.pi / 2 * _LAGS / (_LAGS[-1] + LAG_BIN)) ** LAG_TAPER
_REGULARISATION = 1e-6


class TooFewExcerptsError(ValueError):
  """There are too few excerpts for stable figures; the message says how many there are and how many are needed."""


@dataclasses.dataclass(frozen=True)
class Excerpt:
  """A few seconds of bass and mix on a clock that starts with the excerpt.

  Attributes:
    song: id of the song.
    bass: the bass notes that sound in it; one that began before it has a negative onset.
    mix: the same of the mix.
    seconds: length.
  """

  song: str
  bass: Notes
  mix: Notes
  seconds: float = SECONDS


@dataclasses.dataclass(frozen=True)
class Adherence:
  """One set of candidates on one aspect.

  Attributes:
    raw: 1 - D(C, R) / D(R, R'); below 0 for what is farther from true pairs than mismatched pairs are.
    published: clip(1/2 + (D(C, R') - D(C, R)) / (2 D(R, R')), 0, 1).
  """

  raw: float
  published: float

  @property
  def score(self) -> float:
    """`raw` clipped to [0, 1]."""
    return float(np.clip(self.raw, 0, 1))


def _cut(notes: Notes, start: float, end: float) -> Notes:
  return notes.where((notes.onset < end) & (notes.offset > start)).shifted(-start)


def excerpts_of(pieces: Sequence[Piece], lines: Sequence[Notes] | None = None, seconds: float = SECONDS) -> list[Excerpt]:
  """Cuts pieces into excerpts that follow each other; those without a true bass note or without a pitched note of the mix are left out.

  Which are left out depends on the truth alone, so every line over the same pieces gives the same excerpts in the same order.

  Args:
    pieces: those without notes of the mix are passed over.
    lines: one a piece; default: the true bass.
    seconds: length of an excerpt.
  """
  lines = [piece.features.notes for piece in pieces] if lines is None else lines
  excerpts = []
  for piece, line in zip(pieces, lines, strict=True):
    features = piece.features
    if features.mix_notes is None:
      continue
    for start in np.arange(int(features.seconds // seconds)) * seconds:
      mix = _cut(features.mix_notes, start, start + seconds)
      if len(mix.pitched) and len(features.notes.between(start, start + seconds)):
        excerpts.append(Excerpt(features.id, _cut(line, start, start + seconds), mix, seconds))
  return excerpts


def mismatched(excerpts: Sequence[Excerpt], seed: int = 0) -> list[Excerpt]:
  """The same mixes, each with the bass of an excerpt of another song, drawn at random.

  Raises:
    ValueError: all are of one song.
  """
  songs = np.array([excerpt.song for excerpt in excerpts])
  if len(np.unique(songs)) < 2:
    raise ValueError('mismatched pairs need excerpts of two songs at least')
  rng = np.random.default_rng(seed)
  basses = [excerpts[rng.choice(np.flatnonzero(songs != song))].bass for song in songs]
  return [dataclasses.replace(excerpt, bass=bass) for excerpt, bass in zip(excerpts, basses, strict=True)]


def harmony_embedding(excerpt: Excerpt) -> np.ndarray:
  """Histogram of the intervals from the notes of the mix up to the bass, in pitch classes: the same in every key and octave.

  Every frame in which both sound counts 1, spread over the mix's notes then. Each interval then gives a quarter to its neighbours on the
  circle of fifths, which are its closest kin in harmony: true pairs of different songs then lie nearer to each other, while mismatched
  pairs stay as far.

  Returns:
    [12], sums to 1; uniform where bass and mix never sound together.
  """
  frames = round(excerpt.seconds * FRAME_RATE)
  pitch = metrics.frame_pitch(excerpt.bass, frames)
  roll = metrics.chroma_roll(excerpt.mix, frames)
  counts = roll.sum(axis=1)
  both = np.flatnonzero((pitch != metrics.SILENT) & (counts > 0))
  if not len(both):
    return np.full(12, 1 / 12)
  intervals = (pitch[both, None] - np.arange(12)) % 12
  histogram = np.bincount(intervals.ravel(), (roll[both] / counts[both, None]).ravel(), 12) / len(both)
  return 0.5 * histogram + 0.25 * (np.roll(histogram, 7) + np.roll(histogram, -7))


def rhythm_embedding(excerpt: Excerpt) -> np.ndarray:
  """Histogram of the lags from onsets of the mix to onsets of the bass, within +-250 ms, in 12.5 ms bins.

  A histogram each for kick, snare and pitched notes, normalised before they're averaged, so that a dense class doesn't drown the
  others. Smoothed, and tapered towards long lags: what lies there is tempo more than ensemble playing, and varies from song to song.

  Returns:
    [41]; that of a uniform histogram where no onsets of bass and mix lie within 250 ms.
  """
  bass = excerpt.bass.onset[(excerpt.bass.onset >= 0) & (excerpt.bass.onset < excerpt.seconds)]
  drums = excerpt.mix.drums
  classes = (drums.onset[np.isin(drums.pitch, KICK_KEYS)], drums.onset[np.isin(drums.pitch, SNARE_KEYS)], excerpt.mix.pitched.onset)
  edges = np.append(_LAGS - LAG_BIN / 2, _LAGS[-1] + LAG_BIN / 2)
  histograms = []
  for onsets in classes:
    # A chord is one onset, not as many as it has notes.
    onsets = onsets[np.unique(np.rint(onsets * 100), return_index=True)[1]]
    counts = np.histogram((bass[:, None] - onsets[None, :]).ravel(), edges)[0]
    if counts.any():
      histograms.append(counts / counts.sum())
  histogram = np.mean(histograms, axis=0) if histograms else np.full(len(_LAGS), 1 / len(_LAGS))
  return gaussian_filter1d(histogram, LAG_SMOOTHING, mode='nearest') * _TAPER


EMBEDDINGS: dict[str, Callable[[Excerpt], np.ndarray]] = {'harmony': harmony_embedding, 'rhythm': rhythm_embedding}


def embed(excerpts: Sequence[Excerpt], aspect: str) -> np.ndarray:
  """Embeddings of excerpts, [excerpts, bins]; `aspect` is 'harmony' or 'rhythm'."""
  return np.stack([EMBEDDINGS[aspect](excerpt) for excerpt in excerpts])


def frechet_root(a: np.ndarray, b: np.ndarray) -> float:
  """Square root of the Frechet distance between the Gaussians of two sets of vectors (Dowson & Landau 1982).

  |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^1/2), its root. The trace of the root of A B is the sum of the roots of the eigenvalues of
  the symmetric A^1/2 B A^1/2, which is what scipy.linalg.sqrtm gives (a test compares) without its complex rounding errors.

  Args:
    a: [n, dimensions], n >= 2.
    b: [m, dimensions], m >= 2.
  """
  ridge = _REGULARISATION * np.eye(a.shape[1])
  covariance_a, covariance_b = np.cov(a, rowvar=False) + ridge, np.cov(b, rowvar=False) + ridge
  values, vectors = np.linalg.eigh(covariance_a)
  root_a = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
  root = np.sqrt(np.maximum(np.linalg.eigvalsh(root_a @ covariance_b @ root_a), 0)).sum()
  difference = a.mean(axis=0) - b.mean(axis=0)
  return float(np.sqrt(max(difference @ difference + np.trace(covariance_a) + np.trace(covariance_b) - 2 * root, 0)))


def adherence(candidates: np.ndarray, true_pairs: np.ndarray, mismatched_pairs: np.ndarray) -> Adherence:
  """The score of a set of candidates from embeddings, each [excerpts, bins].

  Raises:
    ValueError: true and mismatched pairs can't be told apart, so that there is no scale.
  """
  scale = frechet_root(true_pairs, mismatched_pairs)
  if scale < 1e-9:
    raise ValueError('true and mismatched pairs have the same embeddings: the reference songs tell nothing about adherence')
  to_true, to_mismatched = frechet_root(candidates, true_pairs), frechet_root(candidates, mismatched_pairs)
  return Adherence(1 - to_true / scale, float(np.clip(0.5 + (to_mismatched - to_true) / (2 * scale), 0, 1)))


def _interval(candidates: np.ndarray, songs: np.ndarray, true_pairs: np.ndarray, scale: float) -> list[float]:
  """95 % interval of the score by the jackknife that leaves out a group of songs at a time (not a bootstrap: excerpts drawn twice make
  a Gaussian narrower and would pass for distance). It says how much the score depends on the candidates' songs; R and R' stay."""
  names = np.unique(songs)
  groups = np.array_split(np.random.default_rng(0).permutation(names), min(FOLDS, len(names)))
  scores = np.array([1 - frechet_root(candidates[~np.isin(songs, group)], true_pairs) / scale for group in groups])
  error = np.sqrt((len(groups) - 1) * scores.var())
  centre = 1 - frechet_root(candidates, true_pairs) / scale
  return [float(np.clip(centre + side * 1.96 * error, 0, 1)) for side in (-1, 1)]


def evaluate_adherence(
  pieces: Sequence[Piece], lines: Mapping[str, Sequence[Notes]], reference: Sequence[Piece], minimum: int = MINIMUM, seed: int = 0
) -> dict[str, dict[str, float | list[float]]]:
  """Adherence of every rung, for `music.<rung>` of metrics.json.

  Args:
    pieces: of which the candidates are lines.
    lines: rung -> one line a piece; the rung `truth` gives the ceiling.
    reference: pieces of other songs, whose true bass makes R and R' (training songs will do).
    minimum: excerpts that each of the three sets must have; they're drawn down to equally many.
    seed: of the draws.

  Returns:
    rung -> {adherence_harmony, adherence_harmony_ci95, adherence_harmony_published, and the same of rhythm}; without interval for
    candidates of one song.

  Raises:
    ValueError: a song is in both.
    TooFewExcerptsError: there are fewer than `minimum`.
  """
  shared = {piece.features.id for piece in pieces} & {piece.features.id for piece in reference}
  if shared:
    raise ValueError(f'songs {", ".join(sorted(shared)[:5])} are among the candidates and the reference; the reference must be other songs')
  known, candidates = excerpts_of(reference), excerpts_of(pieces)
  count = min(len(known), len(candidates))
  if count < minimum:
    raise TooFewExcerptsError(
      f'{len(candidates)} excerpts of {SECONDS:g} s to judge and {len(known)} of reference; {minimum} each are needed for stable figures'
    )
  rng = np.random.default_rng(seed)
  kept = np.sort(rng.permutation(len(candidates))[:count])
  order = rng.permutation(len(known))
  # Of a large reference the true and the mismatched pairs are of different excerpts.
  true_set, false_set = [known[i] for i in order[:count]], mismatched([known[i] for i in order[-count:]], seed)
  songs = np.array([candidates[i].song for i in kept])
  result: dict[str, dict[str, float | list[float]]] = {rung: {} for rung in lines}
  for aspect in EMBEDDINGS:
    true_pairs, false_pairs = embed(true_set, aspect), embed(false_set, aspect)
    scale = frechet_root(true_pairs, false_pairs)
    for rung, of_rung in lines.items():
      cut = excerpts_of(pieces, of_rung)
      embedded = embed([cut[i] for i in kept], aspect)
      found = adherence(embedded, true_pairs, false_pairs)
      name = f'adherence_{aspect}'
      result[rung] |= {name: found.score, f'{name}_published': found.published}
      if len(np.unique(songs)) > 1:
        result[rung][f'{name}_ci95'] = _interval(embedded, songs, true_pairs, scale)
  return result
