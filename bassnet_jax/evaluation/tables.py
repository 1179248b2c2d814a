"""Reads songs for a report, and writes figures as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bassnet_jax.config import DataConfig
from bassnet_jax.inputs.corpus import Corpus
from data_pipeline import features as ft
from data_pipeline.features import Features


def load_songs(paths: Sequence[str]) -> list[Features]:
  return [ft.load(path) for path in paths]


def training_songs(corpus: Corpus, data: DataConfig, most: int) -> list[Features]:
  """The first songs of each dataset, at most `most`, of those that training reads (`data.max_songs`)."""
  return load_songs(corpus.paths('train', min(most, data.max_songs or most)))


def with_interval(values: dict[str, Any], name: str) -> str:
  """'0.500 [0.400, 0.600]' of a figure and its `_ci95`; nothing where it is missing."""
  if name not in values:
    return ''
  if f'{name}_ci95' not in values:
    return f'{values[name]:.3f}'
  low, high = values[f'{name}_ci95']
  return f'{values[name]:.3f} [{low:.3f}, {high:.3f}]'
