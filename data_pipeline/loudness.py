"""Integrated loudness of a signal of any length, in blocks: ITU-R BS.1770-4 with pyloudnorm's filters, to the last bit as it measures."""

from __future__ import annotations

import numpy as np

BLOCK = 0.4
"""Seconds of a gating block; they overlap by three quarters."""
_SECONDS_AT_ONCE = 60
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0
_OFFSET = -0.691


def integrated_loudness(audio: np.ndarray, rate: int) -> float:
  """LUFS of mono audio; pyloudnorm's own measurement holds several copies of the whole signal in double precision.

  Args:
    audio: [samples] float32, longer than a gating block (0.4 s).
    rate: Hz.

  Returns:
    LUFS; minus infinity where nothing is above the absolute gate.
  """
  power = _block_power(audio, rate)
  with np.errstate(divide='ignore'):
    loudness = _OFFSET + 10 * np.log10(power)
    heard = loudness >= _ABSOLUTE_GATE
    if not heard.any():
      return float('-inf')
    relative = _OFFSET + 10 * np.log10(power[heard].mean()) + _RELATIVE_GATE
    heard = (loudness > relative) & (loudness > _ABSOLUTE_GATE)
    return float(_OFFSET + 10 * np.log10(power[heard].mean())) if heard.any() else float('-inf')


def _block_power(audio: np.ndarray, rate: int) -> np.ndarray:
  """[gating blocks] float64: mean square of the K-weighted signal."""
  import pyloudnorm
  from scipy import signal

  stages = [stage.generate_coefficients() for stage in pyloudnorm.Meter(rate, block_size=BLOCK)._filters.values()]
  states = [np.zeros(max(len(b), len(a)) - 1) for b, a in stages]
  step = 0.25
  blocks = int(np.round((len(audio) / rate - BLOCK) / (BLOCK * step))) + 1
  # As pyloudnorm has them: their ends are the products of floats, cut to whole samples.
  bounds = [(int(BLOCK * (j * step) * rate), int(BLOCK * (j * step + 1) * rate)) for j in range(blocks)]
  power = np.zeros(blocks)
  kept, kept_from, done = np.zeros(0, dtype=np.float32), 0, 0
  for start in range(0, len(audio), _SECONDS_AT_ONCE * rate):
    piece = audio[start : start + _SECONDS_AT_ONCE * rate]
    for i, (b, a) in enumerate(stages):
      filtered, states[i] = signal.lfilter(b, a, piece, zi=states[i])
      piece = filtered.astype(np.float32)
    kept = np.concatenate([kept, piece])
    last = start + len(piece) >= len(audio)
    while done < blocks and (bounds[done][1] <= kept_from + len(kept) or last):
      low, high = (bound - kept_from for bound in bounds[done])
      power[done] = (1.0 / (BLOCK * rate)) * np.sum(np.square(kept[low:high]))
      done += 1
    used = (bounds[done][0] if done < blocks else kept_from + len(kept)) - kept_from
    kept, kept_from = kept[max(used, 0) :], kept_from + max(used, 0)
  return power
