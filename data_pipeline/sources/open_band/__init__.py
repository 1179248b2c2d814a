"""The default training corpus: a procedural pop and rock band, composed and rendered from a seed."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline import rendering
from data_pipeline.song import Song, SongKey, Stem
from data_pipeline.sources.open_band.score import Score, compose

__all__ = ['OpenBand', 'Score', 'compose', 'split_of']

LICENCE = 'CC0-1.0'
CREDIT = 'bassnet_jax open band (procedural; composed and rendered by this package)'

# Of 25 consecutive songs 20 train, 2 validate, 3 test, spread out so that every prefix of the corpus has about these shares.
_VALIDATION, _TEST = (6, 18), (3, 11, 21)


def split_of(index: int) -> str:
  """80 % train, 8 % validation, 12 % test; of the index alone, so that a smaller corpus is a part of a larger one."""
  place = index % 25
  return 'validation' if place in _VALIDATION else 'test' if place in _TEST else 'train'


@dataclasses.dataclass(frozen=True)
class OpenBand:
  """Songs of drums, guitars, keys, leads and a bass; everything is a function of seed and index.

  Attributes:
    song_count: how many songs.
    seed: another seed is another corpus.
    version: of what the band plays; raised when the same seed gives other songs, so that old features are not taken for new ones.
  """

  song_count: int = 320
  seed: int = 0
  version: int = 2

  def songs(self) -> list[SongKey]:
    return [SongKey(f'open-{index:05d}', split_of(index)) for index in range(self.song_count)]

  def load(self, key: SongKey) -> Song:
    """Composes and renders a song; mix and bass add up to the whole band.

    Raises:
      ValueError: the key is not of this source.
    """
    score = self._score(key)
    mix, bass = render_score(score)
    # One factor for both, so that the whole band stays within full scale.
    gain = np.float32(min(1.0, 0.95 / max(float(np.abs(mix + bass).max()), 1e-6)))
    return Song(
      key=key,
      mix=mix * gain,
      bass=bass * gain,
      licence=LICENCE,
      credit=CREDIT,
      notes=score.notes,
      mix_notes=score.mix_notes,
      beats=score.beats,
    )

  def load_rendered(self, key: SongKey, instruments: rendering.Instruments) -> Song:
    """The song of `load`, its mix played by others, with its stems, one an instrument."""
    song, score, volumes = self.load(key), self._score(key), dict(self._score(key).volumes)
    parts = [score.mix_notes.where(score.mix_notes.program == program) for program in np.unique(score.mix_notes.program)]
    stems = tuple(Stem(rendering.render(rendering.events_from_notes(notes, volumes), score.seconds, instruments), notes) for notes in parts)
    return dataclasses.replace(song, mix=sum(stem.audio for stem in stems), stems=stems)

  def _score(self, key: SongKey) -> Score:
    prefix, _, number = key.id.partition('-')
    if prefix != 'open' or not number.isdigit():
      raise ValueError(f'{key.id!r} is not a song of the open band; its songs are called open-00000, open-00001 ...')
    return compose(self.seed, int(number))


def render_score(score: Score) -> tuple[np.ndarray, np.ndarray]:
  """Mix and bass, each [samples] float32 at 16 kHz, at the synthesizer's own gain; their sum is the rendering of all notes at once."""
  volumes = dict(score.volumes)
  mix, bass = (rendering.events_from_notes(notes, volumes) for notes in (score.mix_notes, score.notes))
  return _render_beside(mix, bass, score.seconds), _render_beside(bass, mix, score.seconds)


def _render_beside(events: list[rendering.Event], others: list[rendering.Event], seconds: float) -> np.ndarray:
  """Renders `events` in the time slices that all events together make.

  The synthesizer moves its envelopes once a slice: a part rendered in slices of its own differs by 2 % from what it is in the band.
  So the other part's times are marked by volume settings of a channel on which nothing plays.
  """
  silent = next(channel for channel in range(15, -1, -1) if all(event.channel != channel for event in events))
  marks = [rendering.Event(time, silent, 'control', 7, 100) for time in sorted({event.time for event in others})]
  return rendering.render([*events, *marks], seconds)
