"""Cuts the features of a song into excerpts, the examples of the TFDS datasets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_pipeline import features as ft
from data_pipeline.notes import Notes

STORED_FRAMES = ft.EXCERPT_FRAMES + 2 * ft.CONTEXT_FRAMES


def excerpts(features: ft.Features) -> Iterator[tuple[str, dict]]:
  """Yields (key, example) for every 1,024 frames of a song; the last may be shorter.

  Frame arrays hold `CONTEXT_FRAMES` frames more on each side: real ones, or silence beyond the song's ends.
  Note times are in seconds from the excerpt's first own frame.
  """
  for position in range(0, features.frames, ft.EXCERPT_FRAMES):
    begin = position - ft.CONTEXT_FRAMES
    start = position / ft.FRAME_RATE
    end = start + ft.EXCERPT_FRAMES / ft.FRAME_RATE
    patterns = [np.insert(_cut(notes, start, end), 0, i, axis=1) for i, notes in enumerate(features.patterns)]
    yield (
      f'{features.id}-{position:07d}',
      {
        'mix': _stored(features.mix, begin, 0),
        'bass': _stored(features.bass, begin, 0),
        'pitch': _stored(features.pitch, begin, ft.NO_PITCH),
        'onset': _stored(features.onset, begin, 0),
        'level': _stored(features.level, begin, 0),
        'frames': min(features.frames - position, ft.EXCERPT_FRAMES),
        'position': position,
        'song_id': features.id,
        'licence': features.licence,
        'credit': features.credit,
        'gain': features.gain,
        'tuning': features.tuning,
        'pattern': features.pattern,
        'notes': _cut(features.notes, start, end),
        'mix_notes': _cut(features.mix_notes or Notes.empty(), start, end),
        'pattern_notes': np.concatenate(patterns) if patterns else np.zeros((0, 6), np.float32),
      },
    )


def _stored(values: np.ndarray, begin: int, fill: int) -> np.ndarray:
  """Frames begin .. begin + `STORED_FRAMES` of [frames, ...], filled where the song has none."""
  result = np.full((STORED_FRAMES, *values.shape[1:]), fill, dtype=values.dtype)
  low, high = max(begin, 0), min(begin + STORED_FRAMES, len(values))
  result[low - begin : high - begin] = values[low:high]
  return result


def _cut(notes: Notes, start: float, end: float) -> np.ndarray:
  return notes.between(start, end).shifted(-start).rows().astype(np.float32)
