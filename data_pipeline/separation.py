"""Harmonic-percussive separation of a mix: what the variants `harm` and `perc` train on and listen to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from data_pipeline import compiler_cache
from data_pipeline.notes import Notes
from data_pipeline.song import Song, SongKey, Source

Part = Literal['harm', 'perc']
PARTS: tuple[Part, ...] = ('harm', 'perc')
_FFT = 1024
"""64 ms at 16 kHz: short enough for drums, long enough to tell the partials of a chord."""
_HOP = 256
_BLOCK = 1 << 20
"""Samples at a time, 66 s: the spectrogram of a whole song of an hour would take gigabytes."""
_OVERLAP = 1 << 15
"""Samples more on both sides of a block: the filters look half a second around them."""


def separate(audio: np.ndarray, part: Part) -> np.ndarray:
  """The harmonic or the percussive part of a mix; the two add up to it.

  Median filters along time and frequency (Fitzgerald, DAFx 2010) with soft masks, by librosa, in blocks.

  Args:
    audio: [samples] float32 at 16 kHz.
    part: 'harm': what lasts; 'perc': what is struck.

  Returns:
    [samples] float32.
  """
  result = np.zeros(len(audio), dtype=np.float32)
  for begin in range(0, len(audio), _BLOCK):
    low, high = max(begin - _OVERLAP, 0), min(begin + _BLOCK + _OVERLAP, len(audio))
    end = min(begin + _BLOCK, len(audio))
    result[begin:end] = _separate_block(audio[low:high], part)[begin - low : end - low]
  return result


def _separate_block(audio: np.ndarray, part: Part) -> np.ndarray:
  librosa = compiler_cache.librosa()
  spectrum = librosa.stft(np.asarray(audio, np.float32), n_fft=_FFT, hop_length=_HOP)
  harmonic, percussive = librosa.decompose.hpss(spectrum)
  return librosa.istft(harmonic if part == 'harm' else percussive, hop_length=_HOP, n_fft=_FFT, length=len(audio))


@dataclasses.dataclass(frozen=True)
class Separated:
  """Another source's songs with one part of their mixes; the bass and its notes stay as they are.

  Attributes:
    source: of the songs.
    part: 'harm' or 'perc'.
  """

  source: Source
  part: Part

  def songs(self) -> Sequence[SongKey]:
    """Those of the source."""
    return self.source.songs()

  def load(self, key: SongKey) -> Song:
    """Raises SkipSong as the source; a mix without such a part is found silent later."""
    song = self.source.load(key)
    return dataclasses.replace(song, mix=separate(song.mix, self.part), mix_notes=self._notes(song.mix_notes))

  def _notes(self, notes: Notes | None) -> Notes | None:
    """The notes that are heard in the part."""
    return None if notes is None else notes.pitched if self.part == 'harm' else notes.drums


def part_of(datasets: Sequence[str]) -> Part | None:
  """Which part of a mix a model trained on these datasets listens to; None: all of it. Names that end in _harm or _perc tell."""
  parts = {next((part for part in PARTS if name.endswith(f'_{part}')), None) for name in datasets}
  return parts.pop() if len(parts) == 1 else None


def check_same_part(trained_on: Sequence[str], dataset: str) -> None:
  """Raises ValueError: a model trained on some datasets listens to another part of a mix than the songs of a dataset hold."""
  part, found = part_of(trained_on), part_of((dataset,))
  if part != found:
    words = {None: 'whole mixes', 'harm': 'the harmonic part of mixes', 'perc': 'the percussive part of mixes'}
    raise ValueError(f'the model was trained on {words[part]}, and the mixes of {dataset} are {words[found]}; give another --dataset')
