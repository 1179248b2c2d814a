"""The ladder's retrieval rung: to every passage of a mix, the bass of the training passage whose mix sounds most like it.

Both mixes are heard as audio, on their beats: how strongly each pitch class sounds, and where energy begins in three registers. The best
of all training passages in all twelve keys gives its bass notes, moved to the passage's key and stretched to its beats. What a model must
beat if it has learned more than to recall.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassnet_jax import beats as beat_tracking
from bassnet_jax.evaluation.ladder import HIGHEST_FOLLOWED, LOWEST
from data_pipeline.features import FRAME_RATE, LOWEST_BIN_PITCH, Features, into_range
from data_pipeline.notes import Notes, merge, monophonic

PASSAGE = 8
"""Beats."""
STEPS = 4
"""Moments a beat that are compared: sixteenths."""
TRAINING_SONGS = 60
"""Songs of the training split that are searched, at most of each dataset."""

_BANDS = ((0, 48), (48, 120), (120, 192))  # bins; up to 110 Hz (kick), to 880 Hz, above (snare, cymbals)
_HARMONY = np.arange(40, 89)  # MIDI pitches whose bins tell the harmony
_EARLY = 0.025  # seconds
_DEFAULT_BEAT = 0.5  # seconds, where no beat is found
_KEYS = (0, 1, 2, 3, 4, 5, 6, -5, -4, -3, -2, -1)  # semitones up, by pitch class


@dataclasses.dataclass(frozen=True)
class Passages:
  """Passages of `PASSAGE` beats, as they are compared and as they are played.

  Attributes:
    harmony: [passages, PASSAGE * STEPS, 12] float32, unit length a passage.
    rhythm: [passages, PASSAGE * STEPS * 3] float32, unit length a passage.
    song: [passages], index into the songs.
    beats: [passages, PASSAGE + 1] seconds.
  """

  harmony: np.ndarray
  rhythm: np.ndarray
  song: np.ndarray
  beats: np.ndarray


def beat_grid(song: Features) -> np.ndarray:
  """Beats over a whole song and a passage beyond: those known, else those tracked in the sound, continued evenly at both ends."""
  beats = song.beats if song.beats is not None and len(song.beats) >= 2 else beat_tracking.track(song.mix).seconds
  if len(beats) < 2:
    beats = np.array([0.0, _DEFAULT_BEAT])
  first, last = beats[1] - beats[0], beats[-1] - beats[-2]
  before = beats[0] - first * np.arange(int(np.ceil(max(beats[0], 0) / first)), 0, -1)
  after = beats[-1] + last * np.arange(1, max(int(np.ceil((song.seconds - beats[-1]) / last)), 0) + PASSAGE + 1)
  return np.concatenate([before, beats, after])


def _unit(values: np.ndarray) -> np.ndarray:
  """Of unit length a row [rows, ...]; rows of zeros stay."""
  length = np.sqrt(np.square(values).sum(axis=tuple(range(1, values.ndim)), keepdims=True))
  return (values / np.maximum(length, 1e-9)).astype(np.float32)


def _steps(values: np.ndarray, moments: np.ndarray) -> np.ndarray:
  """Means of [frames, columns] between moments [steps + 1] in seconds: [steps, columns]; beyond the song 0."""
  cumulative = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
  edges = np.clip(np.rint(moments * FRAME_RATE).astype(int), 0, len(values))
  return (cumulative[edges[1:]] - cumulative[edges[:-1]]) / np.maximum(np.diff(edges), 1)[:, None]


def passages_of(songs: Sequence[Features], every: int) -> Passages:
  """Cuts songs into passages that begin every few beats; of a training song every beat is a beginning."""
  harmony, rhythm, which, times = [], [], [], []
  for index, song in enumerate(songs):
    grid = beat_grid(song)
    between = np.linspace(0, 1, STEPS, endpoint=False)
    moments = np.append((grid[:-1, None] + np.diff(grid)[:, None] * between).ravel(), grid[-1])
    mix = song.mix.astype(np.float32)
    chroma = mix[:, 2 * (_HARMONY - LOWEST_BIN_PITCH)] @ np.eye(12, dtype=np.float32)[_HARMONY % 12]
    rise = np.maximum(np.diff(mix, axis=0, prepend=mix[:1]), 0)
    flux = np.stack([rise[:, low:high].mean(axis=1) for low, high in _BANDS], axis=1)
    # Energy rises in the frames around an onset: steps of the rhythm begin early, so that a beat's onset is whole in its own.
    chroma, flux = _steps(chroma, moments), _steps(flux, moments - _EARLY)
    chroma -= chroma.mean(axis=1, keepdims=True)
    for start in range(0, len(grid) - PASSAGE, every):
      if grid[start] >= song.seconds:
        break
      cut = slice(start * STEPS, (start + PASSAGE) * STEPS)
      harmony.append(chroma[cut])
      bands = flux[cut] - flux[cut].mean(axis=0)
      rhythm.append((bands / np.maximum(np.sqrt(np.square(bands).sum(axis=0)), 1e-9)).ravel())
      which.append(index)
      times.append(grid[start : start + PASSAGE + 1])
  return Passages(_unit(np.array(harmony)), _unit(np.array(rhythm)), np.array(which), np.array(times))


def _line(notes: Notes, theirs: np.ndarray, ours: np.ndarray, semitones: int) -> Notes:
  """The notes between the first and the last of their beats, on our beats, moved by semitones into the bass range."""
  cut = notes.between(theirs[0], theirs[-1])
  moved = [np.interp(times, theirs, ours) for times in (cut.onset, np.minimum(cut.offset, theirs[-1]))]
  pitch = into_range(cut.pitch + semitones, LOWEST, max(HIGHEST_FOLLOWED, LOWEST + 11))
  return dataclasses.replace(cut, onset=moved[0], offset=moved[1], pitch=pitch)


def retrieve(songs: Sequence[Features], training: Sequence[Features]) -> list[Notes]:
  """A line for every song, put together from the bass lines of training songs; the songs' own bass is not looked at.

  Raises:
    ValueError: there is no training song, or one of the songs is among them.
  """
  if not training:
    raise ValueError('retrieval needs training songs; the training split is empty')
  shared = {song.id for song in songs} & {song.id for song in training}
  if shared:
    raise ValueError(f'songs {", ".join(sorted(shared)[:5])} are among those to search; retrieval must not find the song itself')
  known = passages_of(training, 1)
  lines = []
  for song in songs:
    asked = passages_of([song], PASSAGE)
    likeness = np.full(len(asked.song), -np.inf)
    best, key = np.zeros(len(asked.song), dtype=int), np.zeros(len(asked.song), dtype=int)
    rhythm = asked.rhythm @ known.rhythm.T
    for semitones in _KEYS:
      # The asked passage moved down is as near to what is known as what is known moved up is to it.
      moved = np.roll(asked.harmony, -semitones, axis=2).reshape(len(asked.song), -1)
      total = rhythm + moved @ known.harmony.reshape(len(known.song), -1).T
      found = total.argmax(axis=1)
      value = total[np.arange(len(found)), found]
      better = value > likeness
      best[better], key[better], likeness[better] = found[better], semitones, value[better]
    parts = [
      _line(training[known.song[j]].notes, known.beats[j], ours, int(semitones))
      for j, ours, semitones in zip(best, asked.beats, key, strict=True)
    ]
    lines.append(_within(merge(parts), song.seconds))
  return lines


def _within(line: Notes, seconds: float) -> Notes:
  """One note at a time, inside the piece."""
  line = line.where((line.onset >= 0) & (line.onset < seconds))
  return monophonic(dataclasses.replace(line, offset=np.minimum(line.offset, seconds)))
