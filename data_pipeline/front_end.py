"""The one front end: loudness, tuning and constant-Q features of a mix and its bass, for datasets, generation and the studio.

The transform is librosa's variable-Q transform. A pure constant-Q transform at 24 bins an octave smears a click over 0.56 s at
B0; the bandwidth offset `GAMMA` shortens the low filters. What that costs in pitch and gains in time is printed by
`python -m data_pipeline.front_end`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np

from data_pipeline import compiler_cache
from data_pipeline import features as ft
from data_pipeline.loudness import BLOCK, integrated_loudness

GAMMA = 2.0
"""Bandwidth offset of the variable-Q transform, Hz."""
COMPRESSION = 30.0
"""k of log1p(k |C|)."""
LOUDNESS = -20.0
"""Integrated loudness that every mix is brought to, LUFS (ITU-R BS.1770-4)."""
SILENCE = -70.0
"""LUFS under which a mix counts as silent: the absolute gate of BS.1770."""

_BLOCK_SECONDS = 60
_MARGIN_SECONDS = 1.0  # the longest filter lasts 0.36 s
_TUNING_SECONDS = 120
_TUNING_AGREEMENT = (0.05, 0.15)
"""How far partials must agree (resultant length) for their tuning to count not at all, and wholly."""
_LOUDEST = 1000.0  # times full scale


class SilentMixError(ValueError):
  """The mix holds nothing above the absolute gate of the loudness measurement."""


@dataclasses.dataclass(frozen=True)
class Analysis:
  """Features of one song.

  Attributes:
    mix: [frames, 192] float32, log1p-compressed magnitudes.
    bass: [frames, 144] float32, or None.
    gain: the factor that both signals were multiplied by.
    tuning: cents from A440 that were compensated.
  """

  mix: np.ndarray
  bass: np.ndarray | None
  gain: float
  tuning: float


def analyse(mix: np.ndarray, bass: np.ndarray | None = None) -> Analysis:
  """Features of a mix, and of its bass on the mix's own scale: gain and tuning come from the mix alone.

  Args:
    mix: [samples] float32, mono, 16 kHz.
    bass: [samples] of the same length, or None.

  Raises:
    SilentMixError: the mix is silent.
  """
  gain = loudness_gain(mix)
  tuning = estimate_tuning(mix)
  return Analysis(
    mix=constant_q(mix, ft.MIX_BINS, tuning, gain=gain),
    bass=None if bass is None else constant_q(bass, ft.BASS_BINS, tuning, gain=gain),
    gain=gain,
    tuning=tuning,
  )


def frame_count(samples: int) -> int:
  """Frames of a signal: frame t is centred on sample 200 t."""
  return samples // ft.HOP + 1


def loudness_gain(audio: np.ndarray) -> float:
  """Factor that brings audio [samples] at 16 kHz to `LOUDNESS`.

  Raises:
    SilentMixError: nothing is above the gate.
  """
  shortest = int(BLOCK * ft.SAMPLE_RATE) + 1
  scaled_audio, scale = scaled(np.pad(audio, (0, max(shortest - len(audio), 0))))
  loudness = integrated_loudness(scaled_audio, ft.SAMPLE_RATE)
  if not loudness > SILENCE:
    raise SilentMixError(f'the mix is silent: its integrated loudness is {loudness:.0f} LUFS; music is above {SILENCE:.0f}')
  return float(10 ** ((LOUDNESS - loudness) / 20) / scale)


def scaled(audio: np.ndarray) -> tuple[np.ndarray, float]:
  """Audio, and what it was divided by: floats that were never scaled, whose squares would be infinite, are brought to a peak of 1."""
  peak = float(np.abs(audio).max(initial=0.0))
  return (audio / np.float32(peak), peak) if _LOUDEST < peak < np.inf else (audio, 1.0)


def estimate_tuning(audio: np.ndarray) -> float:
  """Cents (-50..50) from A440 of the pitched part of audio [samples] at 16 kHz.

  0 where nothing pitched is found, and towards 0 where the partials do not agree: the mean of drums and distorted guitars
  may be anywhere, and moves by half a semitone with a master's equaliser.
  """
  librosa = compiler_cache.librosa()
  audio, _ = scaled(audio)
  longest = _TUNING_SECONDS * ft.SAMPLE_RATE
  if len(audio) > longest:  # twelve stretches, spread over the song
    starts = np.linspace(0, len(audio) - longest // 12, 12).astype(int)
    audio = np.concatenate([audio[start : start + longest // 12] for start in starts])
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', message='.*estimating tuning.*|.*n_fft.*')
    pitches, magnitudes = librosa.piptrack(y=audio, sr=ft.SAMPLE_RATE, n_fft=8192, hop_length=2048, fmin=80.0, fmax=2000.0)
  found = pitches > 0
  if not found.any():
    return 0.0
  # Circular mean of the deviations, weighted by magnitude: unlike a histogram's peak it has no bin width and no edge at 50 cents.
  angle = 2 * np.pi * 12 * np.log2(pitches[found] / 440.0)
  mean = np.sum(magnitudes[found] * np.exp(1j * angle)) / np.sum(magnitudes[found])
  return float(np.angle(mean) / (2 * np.pi) * 100 * np.interp(np.abs(mean), _TUNING_AGREEMENT, (0, 1)))


def constant_q(
  audio: np.ndarray, bins: int, tuning: float = 0.0, report: Callable[[float], None] | None = None, gain: float = 1.0
) -> np.ndarray:
  """Log-compressed variable-Q magnitudes, computed in blocks, so that memory doesn't grow with the song.

  Args:
    audio: [samples] at 16 kHz.
    bins: number of bins from A0 up, 24 an octave.
    tuning: cents; the bins are moved by as much.
    report: is given the share that is done, 0..1, after each minute.
    gain: factor of the audio.

  Returns:
    [frames, bins] float32, log1p(`COMPRESSION` |C|).
  """
  frames = frame_count(len(audio))
  block, margin = _BLOCK_SECONDS * ft.FRAME_RATE, int(_MARGIN_SECONDS * ft.FRAME_RATE)
  result = np.empty((frames, bins), dtype=np.float32)
  for start in range(0, frames, block):
    first, last = max(start - margin, 0), min(start + block + margin, frames)
    magnitude = _magnitude(audio[first * ft.HOP : last * ft.HOP] * np.float32(gain), bins, tuning)
    end = min(start + block, frames)
    result[start:end] = np.log1p(COMPRESSION * magnitude[start - first : end - first])
    if report is not None:
      report(end / frames)
  return result


def _magnitude(audio: np.ndarray, bins: int, tuning: float) -> np.ndarray:
  librosa = compiler_cache.librosa()
  shortest = ft.SAMPLE_RATE  # librosa refuses signals shorter than a filter
  padded = np.pad(audio, (0, max(shortest - len(audio), 0) + ft.HOP))
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', message='n_fft=')  # the padded end of a short block
    transform = librosa.vqt(
      padded.astype(np.float32, copy=False),
      sr=ft.SAMPLE_RATE,
      hop_length=ft.HOP,
      fmin=ft.LOWEST_FREQUENCY * 2 ** (tuning / 1200),
      n_bins=bins,
      bins_per_octave=ft.BINS_PER_OCTAVE,
      gamma=GAMMA,
      dtype=np.complex64,
    )
  return np.abs(transform).T


def bin_frequencies(bins: int) -> np.ndarray:
  """Centre frequencies [bins] in Hz at A440."""
  return ft.LOWEST_FREQUENCY * 2 ** (np.arange(bins) / ft.BINS_PER_OCTAVE)


def sinusoid_gain(bins: int) -> np.ndarray:
  """|C| [bins] of a sinusoid of amplitude 1 at the centre of each bin: half the square root of the filter's length.

  The length is that of `librosa.filters.wavelet_lengths`; to import librosa for it would last seconds.
  """
  ratio = 2 ** (2 / ft.BINS_PER_OCTAVE)
  bandwidth = (ratio - 1) / (ratio + 1)
  lengths = ft.SAMPLE_RATE / (bandwidth * bin_frequencies(bins) + GAMMA)
  return np.sqrt(lengths) / 2


def prepare() -> None:
  """Loads what `analyse` needs, which lasts seconds."""
  import scipy.signal

  librosa = compiler_cache.librosa()
  _ = librosa.piptrack, librosa.vqt, scipy.signal.sosfilt  # librosa and scipy load their parts when they are first named


def click_spread(bins: int = ft.MIX_BINS) -> np.ndarray:
  """Milliseconds [bins] over which a single click stays above half of its greatest magnitude."""
  click = np.zeros(4 * ft.SAMPLE_RATE, dtype=np.float32)
  click[len(click) // 2] = 1.0
  magnitude = np.expm1(constant_q(click, bins))
  return (magnitude > magnitude.max(axis=0) / 2).sum(axis=0) * 1000 / ft.FRAME_RATE


def tone_spread(frequency: float, bins: int = ft.BASS_BINS) -> tuple[int, float]:
  """The strongest bin for a sinusoid, and the semitones over which it stays above half of its greatest magnitude."""
  time = np.arange(3 * ft.SAMPLE_RATE) / ft.SAMPLE_RATE
  magnitude = np.expm1(constant_q(0.1 * np.sin(2 * np.pi * frequency * time).astype(np.float32), bins))[ft.FRAME_RATE * 3 // 2]
  return int(magnitude.argmax()), float((magnitude > magnitude.max() / 2).sum() * 12 / ft.BINS_PER_OCTAVE)


def main() -> None:
  """Prints the measured spread of a click in time and of a tone in frequency, and the front end's speed."""
  import time

  spread = click_spread()
  print(f'{"note":<5} {"Hz":>7}  {"click spread, ms":>16}  {"tone spread, semitones":>22}')
  for name, pitch in (('B0', 23), ('E1', 28), ('A1', 33), ('E2', 40), ('E3', 52), ('E4', 64)):
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    print(f'{name:<5} {frequency:7.2f}  {spread[2 * (pitch - ft.LOWEST_BIN_PITCH)]:16.1f}  {tone_spread(frequency)[1]:22.1f}')
  noise = np.random.default_rng(0).normal(0, 0.1, 60 * ft.SAMPLE_RATE).astype(np.float32)
  begin = time.perf_counter()
  analyse(noise)
  print(f'mix analysis: {60 / (time.perf_counter() - begin):.0f} times real time')


if __name__ == '__main__':
  main()
