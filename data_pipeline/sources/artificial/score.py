"""What the composers of the artificial sets share: the form of a score, and the bass register."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline import features as ft
from data_pipeline.notes import Notes

SECONDS = (ft.EXCERPT_FRAMES - 1) * ft.HOP / ft.SAMPLE_RATE  # so that a song has 1,024 frames, one excerpt
LOWEST_BASS = 28  # E1
BASS_PROGRAM = 33


@dataclasses.dataclass(frozen=True)
class ArtificialScore:
  """A mix and the bass notes of every pattern over it.

  Attributes:
    mix: all notes of the mix.
    patterns: the bass of each pattern, a function of (mix, pattern) and of nothing else.
    beats: [beats] seconds.
  """

  mix: Notes
  patterns: tuple[Notes, ...]
  beats: np.ndarray


def bass_pitch(pitch_class: np.ndarray) -> np.ndarray:
  """The lowest pitch from E1 up that has the pitch class."""
  return LOWEST_BASS + (np.asarray(pitch_class) - LOWEST_BASS) % 12
