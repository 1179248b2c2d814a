"""Further versions of a source's training songs: other players, a part of them, another balance, another sound, another tuning.

`python -m data_pipeline.varied --songs=4` prints what a variant costs.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence

import numpy as np

from data_pipeline import audio_variants, extraction, front_end, rendering
from data_pipeline import features as ft
from data_pipeline.catalogue import VARIANT_MARK
from data_pipeline.notes import Notes, merge
from data_pipeline.rendering import Instruments
from data_pipeline.song import RenderedSource, SkipSong, Song, SongKey, Source, Stem, StemSource

FAMILIES = (
  (0, 1, 2, 3),  # pianos
  (4, 5, 6, 7),  # electric pianos, harpsichord, clavinet
  (16, 17, 18, 19),  # organs
  (24, 25, 26, 27, 28),  # clean guitars
  (29, 30),  # distorted guitars
  (40, 41, 42, 44, 48, 49, 50, 51),  # strings
  (56, 57, 60, 61, 62, 63),  # brass
  (64, 65, 66, 67, 68, 71),  # reeds
  (73, 74, 75, 79),  # flutes
  (80, 81, 84, 87),  # synthetic leads
  (88, 89, 90, 91, 94, 95),  # pads
)
"""General MIDI programs that can stand in for each other in a song."""
KITS = (0, 8, 16, 24, 25, 32, 40)
_FARTHEST_DOWN_DB = 25.0
"""A choice of stems that is so much quieter than all of them together is no mix to play to."""


@dataclasses.dataclass(frozen=True)
class Varied:
  """Variants of the training songs of a source, under the ids `<song>.v1` and so on; the plain song is the source's own.

  What is played and how is a function of the song's id and the variant's number. The bass stays what it is, at its level in the plain song;
  where the whole song is detuned (by a tape that runs fast or slow), so is the bass, and notes and beats keep time with it.

  Attributes:
    source: of the songs.
    variants: of each song.
    soundfonts: paths of General MIDI .sf2 files that play a part of the variants, where the source renders notes.
  """

  source: Source
  variants: int = 3
  soundfonts: tuple[str, ...] = ()

  def __post_init__(self):
    if self.variants < 1:
      raise ValueError(f'variants={self.variants}: a song without variants would be no data; give 1 or more')
    for path in self.soundfonts:
      rendering.check_soundfont(path)
    object.__setattr__(self, 'soundfonts', tuple(os.path.abspath(path) for path in self.soundfonts))

  def songs(self) -> Sequence[SongKey]:
    """Every variant. Validation and test songs have none: they are judged as they are."""
    plain = [key for key in self.source.songs() if key.split == 'train']
    return [SongKey(f'{key.id}{VARIANT_MARK}{number}', key.split) for key in plain for number in range(1, self.variants + 1)]

  def load(self, key: SongKey) -> Song:
    """Makes one variant. Raises SkipSong as the source."""
    plain, _, number = key.id.rpartition(VARIANT_MARK)
    rng = np.random.default_rng([zlib.crc32(plain.encode()), int(number)])
    song, stems = self._stems(SongKey(plain, key.split), rng)
    extraction.check_song(song)
    try:
      gain = front_end.loudness_gain(song.mix)
    except front_end.SilentMixError as error:
      raise SkipSong(str(error)) from error
    sound = audio_variants.draw(rng, front_end.estimate_tuning(song.mix))
    mix, mix_notes = song.mix, song.mix_notes
    if stems:
      chosen, mix = _balanced(stems, rng)
      known = all(stem.notes is not None for stem in stems)
      mix_notes = merge(stem.notes for stem in chosen) if known else mix_notes if len(chosen) == len(stems) else None
    mix = audio_variants.apply(audio_variants.detuned(mix, ft.SAMPLE_RATE, sound.cents), ft.SAMPLE_RATE, sound, rng)
    mix *= np.float32(front_end.loudness_gain(mix) / gain)  # as loud as the plain mix, so that the bass is at the level it has there
    factor = audio_variants.stretch(sound.cents)
    return dataclasses.replace(
      song,
      key=key,
      mix=mix,
      bass=audio_variants.detuned(song.bass, ft.SAMPLE_RATE, sound.cents),
      notes=_stretched(song.notes, factor),
      mix_notes=_stretched(mix_notes, factor),
      beats=None if song.beats is None else song.beats * factor,
      patterns=tuple(_stretched(pattern, factor) for pattern in song.patterns),
      stems=(),
    )

  def _stems(self, key: SongKey, rng: np.random.Generator) -> tuple[Song, tuple[Stem, ...]]:
    """The plain song, and the parts of its mix, played by others where they can be."""
    if isinstance(self.source, RenderedSource):
      return self.source.load(key), self.source.load_rendered(key, draw_instruments(rng, self.soundfonts)).stems
    song = self.source.load_stems(key) if isinstance(self.source, StemSource) else self.source.load(key)
    return song, song.stems


def draw_instruments(rng: np.random.Generator, soundfonts: Sequence[str] = ()) -> Instruments:
  """Random players: a SoundFont, another program of its family for every other program, a drum kit."""
  fonts = (None, *soundfonts)
  programs = []
  for family in FAMILIES:
    programs += [(written, int(played)) for written, played in zip(family, rng.choice(family, len(family)), strict=True)]
  kept = rng.random(len(programs)) < 0.5
  return Instruments(
    fonts[rng.integers(len(fonts))],
    tuple(pair for pair, keep in zip(programs, kept, strict=True) if not keep),
    int(rng.choice(KITS)),
  )


def _balanced(stems: Sequence[Stem], rng: np.random.Generator) -> tuple[list[Stem], np.ndarray]:
  """A random choice of the stems, and their sum with random gains.

  Half of the time all play; else up to half of them are left out, and two at least stay, so that it isn't the drums alone.
  """
  most = min(len(stems) // 2, len(stems) - 2)
  left_out = int(rng.integers(1, most + 1)) if most > 0 and rng.random() < 0.5 else 0
  order = rng.permutation(len(stems))
  gains = 10 ** (rng.normal(0, 3, len(stems)).clip(-9, 9) / 20)
  for places in (sorted(order[left_out:].tolist()), range(len(stems))):
    mix = sum(stems[i].audio * np.float32(gains[i]) for i in places)
    if np.square(mix).mean() > 10 ** (-_FARTHEST_DOWN_DB / 10) * np.square(sum(stem.audio for stem in stems)).mean():
      break
  return [stems[i] for i in places], mix


def _stretched(notes: Notes | None, factor: float) -> Notes | None:
  return None if notes is None else dataclasses.replace(notes, onset=notes.onset * factor, offset=notes.offset * factor)


def main(arguments: Sequence[str] | None = None) -> int:
  """Prints what variants of songs of the open band cost, beside the plain songs and beside stems that are stored apart."""
  from data_pipeline.sources.open_band import OpenBand

  parser = argparse.ArgumentParser(prog='python -m data_pipeline.varied', description='Size and speed of variants, on one core.')
  parser.add_argument('--songs', type=int, default=4, help='songs of the open band, one variant of each')
  count = parser.parse_args(arguments).songs
  plain, source = OpenBand(), Varied(OpenBand(), variants=1)
  keys = source.songs()[:count]
  _cost(plain, [plain.songs()[0]])  # librosa compiles on first use
  seconds = {}
  for name, of, chosen in (('plain', plain, [key for key in plain.songs() if key.split == 'train'][:count]), ('variant', source, keys)):
    minutes, loading, analysing, size = _cost(of, chosen)
    seconds[name] = loading + analysing
    print(
      f'{name:<8} song: {size / minutes / 1e6:.2f} MB a minute of music; {60 * minutes / seconds[name]:.0f} times real time '
      f'({loading / minutes:.2f} s a minute to make it, {analysing / minutes:.2f} s for its features)'
    )
  stems = float(np.mean([len(plain.load_rendered(key, Instruments()).stems) for key in plain.songs()[:count]]))
  # Magnitudes of stems don't add up to those of their mix: what is stored apart must be complex.
  apart = stems * ft.FRAME_RATE * 60 * ft.MIX_BINS * 2 * np.dtype(np.float16).itemsize
  print(f'stems apart: {apart / 1e6:.2f} MB a minute of music ({stems:.1f} stems, complex), without any effect that is not linear')
  return 0


def _cost(source: Source, keys: Sequence[SongKey]) -> tuple[float, float, float, int]:
  """Minutes of music, seconds of computing to load it and for its features, and bytes of the feature files."""
  minutes = loading = analysing = 0.0
  size = 0
  with tempfile.TemporaryDirectory() as folder:
    for key in keys:
      begin = time.process_time()
      song = source.load(key)
      loaded = time.process_time()
      features = extraction.features_of(song)
      analysing += time.process_time() - loaded
      loading += loaded - begin
      path = os.path.join(folder, 'song.npz')
      ft.save(features, path)
      size += os.path.getsize(path)
      minutes += features.seconds / 60
  return minutes, loading, analysing, size


if __name__ == '__main__':
  sys.exit(main())
