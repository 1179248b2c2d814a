"""Evaluates a model on music: chooses one z and an onset threshold on validation songs, then plays the ladder's model rungs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassnet_jax import decoding
from bassnet_jax.evaluation import metrics, music
from bassnet_jax.evaluation.music import Piece
from bassnet_jax.trained import MixCode, TrainedModel
from data_pipeline import features as ft
from data_pipeline.features import Features
from data_pipeline.notes import Notes
from data_pipeline.progress import Progress

THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
_EXCERPT_SECONDS = 20.0
_FINALISTS = 12


@dataclasses.dataclass(frozen=True)
class Choice:
  """What validation songs decided.

  Attributes:
    z: [2], one position for all songs.
    threshold: of the onset probability.
    score: mean headline figure, F1 of notes by pitch class, on the validation songs.
  """

  z: np.ndarray
  threshold: float
  score: float


def excerpt(features: Features, start: float, seconds: float) -> Features:
  """A part of a song, with its notes on the part's own clock."""
  first = int(start * ft.FRAME_RATE)
  last = min(first + int(seconds * ft.FRAME_RATE), features.frames)
  begin, end = first / ft.FRAME_RATE, last / ft.FRAME_RATE
  cut = lambda notes: None if notes is None else notes.between(begin, end).shifted(-begin)  # noqa: E731
  beats = features.beats
  return dataclasses.replace(
    features,
    **{name: getattr(features, name)[first:last] for name in ('mix', 'bass', 'pitch', 'onset', 'level')},
    notes=cut(features.notes),
    mix_notes=cut(features.mix_notes),
    beats=None if beats is None else beats[(beats >= begin) & (beats < end)] - begin,
  )


def busiest_start(features: Features, seconds: float) -> float:
  """Where the excerpt of that length with the most bass notes begins, in whole seconds: a part in which the bass plays."""
  last = max(int(features.seconds - seconds), 0)
  counts = [len(features.notes.between(start, start + seconds)) for start in range(last + 1)]
  return float(np.argmax(counts))


def choose(model: TrainedModel, songs: Sequence[Features], seed: int = 0) -> Choice:
  """The one z and the threshold that are best on validation songs: by F1 of notes, the mean of that by pitch class and that by semitone.

  The headline figure alone doesn't hear octaves, and would as well play a line in the register of a guitar.
  Every candidate position is tried on an excerpt of every song, the best twelve on the whole songs: 20 seconds of a song say little
  about it. Both at all thresholds: a position whose lines are sparse needs a low one.
  """
  parts = [excerpt(song, busiest_start(song, _EXCERPT_SECONDS), _EXCERPT_SECONDS) for song in songs]
  codes = [model.encode_mix(part.mix) for part in parts]
  means = np.asarray([model.posterior(part.mix, part.bass, code)[0].mean(axis=0) for part, code in zip(parts, codes, strict=True)])
  candidates = music.z_candidates(means, seed)

  def scores(of: Sequence[Features], encoded: Sequence[MixCode], z: np.ndarray) -> dict[float, tuple[float, float]]:
    """threshold -> (what decides, the headline figure)."""
    found: dict[float, list[tuple[float, float]]] = {threshold: [] for threshold in THRESHOLDS}
    for song, code in zip(of, encoded, strict=True):
      prediction = model.decode(code, z)
      for threshold in THRESHOLDS:
        line = decoding.notes_from_prediction(prediction, threshold)
        by_class, by_semitone = metrics.note_pc_f1(line, song.notes), metrics.note_f1(line, song.notes)
        found[threshold].append(((by_class + by_semitone) / 2, by_class))
    return {threshold: tuple(np.mean(values, axis=0).tolist()) for threshold, values in found.items()}

  with Progress(len(candidates) + _FINALISTS, 'choosing z on validation songs', 'positions') as progress:
    first = []
    for z in candidates:
      first.append(max(deciding for deciding, _ in scores(parts, codes, z).values()))
      progress.update()
    finalists = sorted(range(len(candidates)), key=lambda i: (-first[i], np.linalg.norm(candidates[i])))[:_FINALISTS]
    whole = [model.encode_mix(song.mix) for song in songs]
    best, highest = Choice(np.zeros(2), THRESHOLDS[0], -1.0), -1.0
    for i in finalists:
      for threshold, (deciding, headline) in scores(songs, whole, candidates[i]).items():
        if deciding > highest:
          best, highest = Choice(candidates[i], threshold, headline), deciding
      progress.update()
  return best


def model_lines(model: TrainedModel, pieces: Sequence[Piece], choice: Choice) -> dict[str, list[Notes]]:
  """The rungs that the model plays, and its negative controls: rung -> one line a piece."""
  rungs = ('z_zero', 'z_fixed', 'z_posterior', 'control_other_mix', 'control_shifted', 'control_silent_mix')
  lines: dict[str, list[Notes]] = {rung: [] for rung in rungs}
  several = len({piece.features.id for piece in pieces}) > 1
  with Progress(len(pieces), 'playing the pieces', 'pieces') as progress:
    for i, piece in enumerate(pieces):
      features = piece.features
      code = model.encode_mix(features.mix)
      mu, _ = model.posterior(features.mix, features.bass, code)
      inputs = {
        'z_zero': (code, np.zeros(2)),
        'z_fixed': (code, choice.z),
        'z_posterior': (code, mu),
        'control_shifted': (model.encode_mix(music.shifted_mix(features)), choice.z),
        'control_silent_mix': (model.encode_mix(music.silent_mix(features)), choice.z),
      }
      if several:
        inputs['control_other_mix'] = (model.encode_mix(music.other_mix(pieces, i)), choice.z)
      for rung, (mix_code, z) in inputs.items():
        lines[rung].append(decoding.notes_from_prediction(model.decode(mix_code, z), choice.threshold))
      progress.update()
  return {rung: of_rung for rung, of_rung in lines.items() if of_rung}
