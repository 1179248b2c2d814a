"""A mastering chain that training never hears: what `bassnet_jax.robustness` asks a model to stand.

It isn't drawn, as the variants of training are (`data_pipeline.audio_variants`): every song goes through the same settings.
"""

from __future__ import annotations

import numpy as np

from data_pipeline import audio_variants

CROSSOVERS = (200.0, 2000.0)
"""Hz between the three bands."""
_BANDS = ((3.0, 0.03, 0.25, 2.0), (2.0, 0.015, 0.12, 0.0), (4.0, 0.003, 0.08, 3.0))
"""For each band from the lowest: ratio, attack and release in seconds, dB of gain after it."""
_SHELF_HZ, _SHELF_DB = 110.0, 4.0
_DRIVE_DB = 6.0
_BIAS = 0.15
_OFFSET = 0.0007  # seconds by which the right channel is late
_INTO_LIMITER_DB = 7.0
CEILING_DB = -0.1
_OGG_QUALITY = 0.45


def mastered(audio: np.ndarray, rate: int) -> np.ndarray:
  """Low shelf, compression in three bands, saturation of two unlike channels folded to mono, limiter at -0.1 dBFS, Ogg Vorbis.

  Args:
    audio: [samples] float32.
    rate: samples a second.

  Returns:
    [samples] float32, in time with `audio`, much louder.
  """
  bands = split(shelved(audio, rate), rate)
  glued = np.zeros(len(audio), dtype=np.float32)
  for band, (ratio, attack, release, gain) in zip(bands, _BANDS, strict=True):
    glued += audio_variants.compressed(band, rate, ratio, attack, release) * np.float32(10 ** (gain / 20))
  glued *= np.float32(10 ** (_DRIVE_DB / 20) * 0.5 / max(float(np.abs(glued).max()), 1e-9))
  late = int(_OFFSET * rate)
  left, right = saturated(glued, _BIAS), saturated(np.pad(glued, (late, 0))[: len(glued)], -_BIAS)
  folded = (0.6 * left + 0.4 * right).astype(np.float32)
  ceiling = 10 ** (CEILING_DB / 20)
  hot = folded * np.float32(ceiling * 10 ** (_INTO_LIMITER_DB / 20) / max(float(np.abs(folded).max()), 1e-9))
  return audio_variants.coded(audio_variants.limited(hot, rate, ceiling), rate, 'OGG', _OGG_QUALITY)


def split(audio: np.ndarray, rate: int) -> list[np.ndarray]:
  """Bands, from the lowest, that add up to the audio."""
  from scipy.signal import butter, sosfilt

  bands, rest = [], audio
  for frequency in CROSSOVERS:
    low = sosfilt(butter(2, frequency, fs=rate, output='sos'), rest).astype(np.float32)
    bands.append(low)
    rest = rest - low
  return [*bands, rest]


def shelved(audio: np.ndarray, rate: int) -> np.ndarray:
  """What lies below 110 Hz is raised by 4 dB."""
  from scipy.signal import butter, sosfilt

  low = sosfilt(butter(1, _SHELF_HZ, fs=rate, output='sos'), audio)
  return (audio + low * (10 ** (_SHELF_DB / 20) - 1)).astype(np.float32)


def saturated(audio: np.ndarray, bias: float) -> np.ndarray:
  """tanh about a bias, which makes even harmonics too; silence stays silence."""
  return np.tanh(audio + np.float32(bias)) - np.float32(np.tanh(bias))
