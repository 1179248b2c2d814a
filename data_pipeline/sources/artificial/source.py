"""The source of the artificial sets: draws songs, balances patterns over them, renders them."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable

import numpy as np

from data_pipeline import rendering
from data_pipeline.notes import Notes
from data_pipeline.song import Song, SongKey
from data_pipeline.sources.artificial import combined, harmony, rhythm, timbre
from data_pipeline.sources.artificial.score import SECONDS, ArtificialScore

# Composers: (random generator, whether programs are those held out for `test_timbre`) -> score.
COMPOSERS: dict[str, Callable[[np.random.Generator, bool], ArtificialScore]] = {
  'a1': harmony.compose,
  'a2': timbre.compose,
  'a3': rhythm.compose,
  'a4': combined.compose,
}
PATTERN_NAMES: dict[str, tuple[str, ...]] = {
  'a1': harmony.PATTERNS,
  'a2': timbre.PATTERNS,
  'a3': rhythm.PATTERNS,
  'a4': combined.PATTERNS,
}
# Training songs where the default is too few: a network memorises a few hundred mixes of two instruments.
_TRAINING_SONGS = {'a2': 800, 'a4': 1200}


@dataclasses.dataclass(frozen=True)
class Artificial:
  """One artificial set; implements `Source`.

  Attributes:
    name: key of `COMPOSERS`.
    train, validation, test, test_timbre: numbers of songs.
    seed: of everything.
  """

  name: str
  train: int = 384
  validation: int = 48
  test: int = 72
  test_timbre: int = 72
  seed: int = 0

  def songs(self) -> list[SongKey]:
    sizes = {'train': self.train, 'validation': self.validation, 'test': self.test, 'test_timbre': self.test_timbre}
    return [SongKey(f'{self.name}-{split}-{i:05d}', split) for split, size in sizes.items() for i in range(size)]

  def score(self, key: SongKey) -> ArtificialScore:
    """The notes of the mix and of every pattern; the pattern that is played has no part in it."""
    rng = np.random.default_rng([self.seed, zlib.crc32(key.id.encode())])
    return COMPOSERS[self.name](rng, key.split == 'test_timbre')

  def pattern(self, key: SongKey) -> int:
    """The pattern that is played: drawn apart from the mix, equally often in a split."""
    size, count, index = getattr(self, key.split), len(PATTERN_NAMES[self.name]), int(key.id.rsplit('-', 1)[1])
    rng = np.random.default_rng([self.seed, zlib.crc32(f'{self.name} patterns of {key.split}'.encode())])
    return int(rng.permutation(np.arange(size) % count)[index])

  def load(self, key: SongKey) -> Song:
    score, pattern = self.score(key), self.pattern(key)
    bass = score.patterns[pattern]
    return Song(
      key=key,
      mix=_render(score.mix),
      bass=_render(bass),
      licence='CC0-1.0',
      credit='bassnet_jax, procedurally made',
      notes=bass,
      mix_notes=score.mix,
      beats=score.beats,
      patterns=score.patterns,
      pattern=pattern,
    )


def standard(name: str) -> Artificial:
  """The set of that name at its size."""
  return Artificial(name, train=_TRAINING_SONGS.get(name, Artificial.train))


def _render(notes: Notes) -> np.ndarray:
  return rendering.render(rendering.events_from_notes(notes), SECONDS)
