"""What the bass does all over the latent plane: how diatonic, how dense, how loud and how low it is at every position, as maps.

All of it is a description of what the model plays to mixes that training never saw; the true bass is needed only for the figures beside.
The pitch *mass* of a moment is the predicted probability of every pitch, summed by pitch class, so that positions at which hardly a note
passes the onset threshold have a pitch distribution too. Density and register are those of the notes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassnet_jax import decoding
from bassnet_jax.decoding import Prediction
from bassnet_jax.evaluation import metrics, music, pop_rock
from bassnet_jax.trained import TrainedModel
from data_pipeline import features as ft
from data_pipeline.features import Features
from data_pipeline.notes import Notes
from data_pipeline.progress import Progress

REACH = 3.0
SIDE = 9
FULL_SIDE = 21
MOST_EXCERPTS = 20
EXCERPT_SECONDS = 20.0

MEASURES = ('diatonic', 'chord_tones', 'onset_density', 'register', 'level')
"""diatonic, chord_tones: shares of the pitch mass; onset_density: notes a second; register: MIDI pitch; level: dB full scale."""

MISMATCHED = 'diatonic_mismatched'
"""The diatonic share of a bass judged by the mixes of the other songs: nothing of it can be due to the song."""

# Of the mix's constant-Q bins, those at which pitches of chords and melodies lie: MIDI 40 to 88.
_CHROMA_PITCHES = np.arange(40, 89)


@dataclasses.dataclass(frozen=True)
class Part:
  """An excerpt or a whole song, and what is known of its harmony.

  Attributes:
    features: of the excerpt.
    chroma: [frames, 12], how strongly every pitch class sounds in the mix; from its notes where they are known, else from its sound.
    collections: [seconds + 1, 12] bool, the diatonic set around every second, which also hears what lies beside the excerpt.
    known: whether the notes of the mix are.
  """

  features: Features
  chroma: np.ndarray
  collections: np.ndarray
  known: bool

  def collections_at(self, steps: int) -> np.ndarray:
    """[steps, 12] float64: a row for each of the first seconds, repeated from the start where there are too few."""
    return np.resize(self.collections, (steps, 12)).astype(np.float64)


@dataclasses.dataclass(frozen=True)
class PlaneMaps:
  """Everything measured over a square grid of positions; [i, j] is z = (axis[i], axis[j]).

  Attributes:
    axis: [side], the grid's coordinates along both dimensions.
    ids: of the parts' songs, each another.
    seconds: how long all parts are together.
    maps: measure -> [side, side, parts], and `MISMATCHED`; NaN where there is nothing to measure (no note, or unknown notes of the mix).
    pairs: [side, side, parts, parts], share of the pitch mass of the bass for mix i that is in the diatonic sets of mix j.
    by_degree: [side, side, 12], pitch histogram relative to the key: 0 is the tonic of the major scale with the set's notes.
    by_interval: [side, side, 12], intervals from what sounds in the mix up to the bass.
    truth: measure -> [parts], of the true bass.
    truth_by_degree, truth_by_interval: [12].
  """

  axis: np.ndarray
  ids: tuple[str, ...]
  seconds: float
  maps: dict[str, np.ndarray]
  pairs: np.ndarray
  by_degree: np.ndarray
  by_interval: np.ndarray
  truth: dict[str, np.ndarray]
  truth_by_degree: np.ndarray
  truth_by_interval: np.ndarray

  def mean(self, measure: str) -> np.ndarray:
    """[side, side]: a map's mean over the parts; NaN where no part has the figure."""
    return mean_of_known(self.maps[measure])

  def true_mean(self, measure: str) -> float:
    return float(mean_of_known(self.truth[measure]))


def mean_of_known(values: np.ndarray) -> np.ndarray:
  """Mean over the last axis without NaN; NaN where there is nothing else."""
  counted = np.isfinite(values)
  return np.where(counted, values, 0).sum(axis=-1) / np.where(counted.any(axis=-1), counted.sum(axis=-1), np.nan)


def _mismatched(pairs: np.ndarray) -> np.ndarray:
  """[side, side, parts, parts] -> [side, side, parts]: a part's mean over the mixes of the others; NaN if there is no other."""
  others = ~np.eye(pairs.shape[-1], dtype=bool)
  return np.stack([mean_of_known(pairs[:, :, i, others[i]]) for i in range(len(others))], axis=2)


def sound_chroma(mix: np.ndarray) -> np.ndarray:
  """How strongly every pitch class sounds, from the sound alone: [frames, 192] log1p-compressed -> [frames, 12] float64.

  Power of the bins at the centres of semitones.
  """
  power = np.square(np.expm1(mix[:, 2 * (_CHROMA_PITCHES - ft.LOWEST_BIN_PITCH)].astype(np.float64)))
  chroma = np.zeros((len(mix), 12))
  for pitch_class in range(12):
    chroma[:, pitch_class] = power[:, pitch_class == _CHROMA_PITCHES % 12].sum(axis=1)
  return chroma


def part_of(song: Features, seconds: float | None = None) -> Part:
  """A whole song, or its excerpt of some seconds in which the bass plays most."""
  known = song.mix_notes is not None
  chroma = metrics.chroma_roll(song.mix_notes, song.frames).astype(np.float64) if known else sound_chroma(song.mix)
  collections = metrics.collections_of_chroma(chroma)
  if seconds is None or song.seconds <= seconds:
    return Part(song, chroma, collections, known)
  start = int(pop_rock.busiest_start(song, seconds))
  cut = pop_rock.excerpt(song, start, seconds)
  first = start * ft.FRAME_RATE
  return Part(cut, chroma[first : first + cut.frames], collections[start : start + int(np.ceil(cut.seconds)) + 1], known)


def parts_of(songs: Sequence[Features], full: bool) -> list[Part]:
  """Whole songs, or an excerpt each of at most `MOST_EXCERPTS` of them, spread over the list."""
  if full:
    return [part_of(song) for song in songs]
  chosen = np.unique(np.linspace(0, len(songs) - 1, min(MOST_EXCERPTS, len(songs))).astype(int))
  return [part_of(songs[i], EXCERPT_SECONDS) for i in chosen]


def predicted_mass(prediction: Prediction) -> np.ndarray:
  """Probability of every pitch class, [frames, 12] float64; a row sums to the probability that there is a pitch."""
  logits = prediction.pitch_logits.astype(np.float64)
  odds = np.exp(logits - logits.max(axis=1, keepdims=True))
  odds /= odds.sum(axis=1, keepdims=True)
  mass = np.zeros((len(odds), 12))
  for pitch in range(ft.PITCHES):
    mass[:, (ft.LOWEST_PITCH + pitch) % 12] += odds[:, pitch]
  return mass


def played_mass(line: Notes, frames: int) -> np.ndarray:
  """The same of notes: 1 for the pitch class that sounds, [frames, 12]."""
  pitch = metrics.frame_pitch(line, frames)
  mass = np.zeros((frames, 12))
  sounding = np.flatnonzero(pitch != metrics.SILENT)
  mass[sounding, pitch[sounding] % 12] = 1
  return mass


def _by_second(mass: np.ndarray, steps: int) -> np.ndarray:
  """[frames, 12] summed around every second: [steps, 12]."""
  rows = np.minimum(np.rint(np.arange(len(mass)) / ft.FRAME_RATE / metrics.DIATONIC_STEP).astype(int), steps - 1)
  summed = np.zeros((steps, 12))
  np.add.at(summed, rows, mass)
  return summed


def _share(part: float, whole: float) -> float:
  return part / whole if whole > 0 else np.nan


def _describe(mass: np.ndarray, line: Notes, level: np.ndarray, part: Part) -> dict[str, float]:
  """All `MEASURES` of one bass over its own mix."""
  steps = len(part.collections)
  total, around = mass.sum(), _by_second(mass, steps)
  lengths = line.offset - line.onset
  return {
    'diatonic': _share((around * part.collections_at(steps)).sum(), total),
    'chord_tones': _share((mass * (part.chroma > 0)).sum(), total) if part.known else np.nan,
    'onset_density': len(line) / part.features.seconds,
    'register': _share(float(line.pitch @ lengths), lengths.sum()),
    'level': _share(float(mass.sum(axis=1) @ ((1 - level.astype(np.float64)) * ft.LEVEL_FLOOR_DB)), total),
  }


def degrees(mass: np.ndarray, part: Part) -> np.ndarray:
  """[12] pitch mass by degree: 0 is the tonic of the major scale whose notes the diatonic set around that moment has."""
  steps = len(part.collections)
  roots = (part.collections[:, None] == metrics.DIATONIC[None]).all(axis=2).argmax(axis=1)
  columns = (np.arange(12)[None] + roots[:, None]) % 12
  return np.take_along_axis(_by_second(mass, steps), columns, axis=1).sum(axis=0)


def intervals(mass: np.ndarray, part: Part) -> np.ndarray:
  """[12] pitch mass by interval above what sounds in the mix; a moment's mass is spread over the mix's pitch classes by strength."""
  strength = part.chroma / np.maximum(part.chroma.sum(axis=1, keepdims=True), 1e-12)
  together = strength.T @ mass  # [mix, bass]
  above = (np.arange(12)[None] - np.arange(12)[:, None]) % 12
  return np.bincount(above.ravel(), together.ravel(), 12)


def _normalised(histograms: np.ndarray) -> np.ndarray:
  """Histograms [..., 12] that sum to 1, or are 0 where there is nothing."""
  total = histograms.sum(axis=-1, keepdims=True)
  return histograms / np.where(total > 0, total, 1)


def evaluate(model: TrainedModel, parts: Sequence[Part], threshold: float, side: int = SIDE, reach: float = REACH) -> PlaneMaps:
  """Plays every part at every position of a grid, showing progress.

  Args:
    model: has `encode_mix` and `decode`.
    threshold: of the onset probability.
    side: positions along a dimension.
    reach: the grid is [-reach, reach]^2.

  Raises:
    ValueError: no part.
  """
  if not parts:
    raise ValueError('the plane needs one excerpt at least; is the split empty?')
  axis, count = np.linspace(-reach, reach, side), len(parts)
  maps = {name: np.zeros((side, side, count)) for name in MEASURES}
  pairs = np.zeros((side, side, count, count))
  by_degree, by_interval = np.zeros((side, side, 12)), np.zeros((side, side, 12))
  with Progress(count * side * side, f'playing {count} pieces all over the plane', 'positions') as progress:
    for i, part in enumerate(parts):
      code, steps = model.encode_mix(part.features.mix), len(part.collections)
      judges = np.stack([judge.collections_at(steps) for judge in parts])
      for x in range(side):
        for y in range(side):
          prediction = model.decode(code, np.array([axis[x], axis[y]]))
          mass, line = predicted_mass(prediction), decoding.notes_from_prediction(prediction, threshold)
          for name, value in _describe(mass, line, prediction.level, part).items():
            maps[name][x, y, i] = value
          pairs[x, y, i] = np.tensordot(judges, _by_second(mass, steps), axes=2) / mass.sum()
          # A piece counts as much as another, however long and however sure its bass is.
          by_degree[x, y] += _normalised(degrees(mass, part)) / count
          by_interval[x, y] += _normalised(intervals(mass, part)) / count
          progress.update()
  true_mass = [played_mass(part.features.notes, part.features.frames) for part in parts]
  described = [_describe(mass, part.features.notes, part.features.level, part) for mass, part in zip(true_mass, parts, strict=True)]
  return PlaneMaps(
    axis=axis,
    ids=tuple(part.features.id for part in parts),
    seconds=float(sum(part.features.seconds for part in parts)),
    maps=maps | {MISMATCHED: _mismatched(pairs)},
    pairs=pairs,
    by_degree=_normalised(by_degree),
    by_interval=_normalised(by_interval),
    truth={name: np.array([values[name] for values in described]) for name in MEASURES},
    truth_by_degree=_normalised(sum(_normalised(degrees(m, p)) for m, p in zip(true_mass, parts, strict=True))),
    truth_by_interval=_normalised(sum(_normalised(intervals(m, p)) for m, p in zip(true_mass, parts, strict=True))),
  )


def figures(maps: PlaneMaps) -> dict:
  """What `plane` of metrics.json says of the maps: nested lists (null where nothing was measured), and figures of the truth."""
  result: dict = {
    'axis': maps.axis.tolist(),
    'pieces': list(maps.ids),
    'seconds': maps.seconds,
    'maps': {name: _listed(maps.mean(name)) for name in maps.maps},
    'by_degree': _listed(maps.by_degree),
    'by_interval': _listed(maps.by_interval),
    'truth': {'by_degree': _listed(maps.truth_by_degree), 'by_interval': _listed(maps.truth_by_interval)},
  }
  for name in MEASURES:
    values = maps.truth[name][np.isfinite(maps.truth[name])]
    if len(values):
      result['truth'] |= {name: float(values.mean()), f'{name}_ci95': list(music.bootstrap_interval(values))}
  return result


def _listed(values: np.ndarray) -> list:
  """Nested lists of numbers with four decimals; NaN becomes None, which JSON knows."""
  if values.ndim > 1:
    return [_listed(row) for row in values]
  return [round(float(value), 4) if np.isfinite(value) else None for value in values]
