"""YIN and pYIN against librosa's, which are the same and slower."""

import numpy as np
import pytest

from data_pipeline.pitch_tracking import Tracker

RATE = 8_000
TRACKER = Tracker(lowest=29.0, highest=415.0, rate=RATE, frame=1024, hop=100)
SETTINGS = {'fmin': 29.0, 'fmax': 415.0, 'sr': RATE, 'frame_length': 1024, 'hop_length': 100}


def signals() -> dict[str, np.ndarray]:
  """What a path has trouble with: leaps, decay, silence, noise, an impossible glide, pitches beyond the range."""
  rng = np.random.default_rng(0)
  seconds = np.arange(4 * RATE) / RATE
  hertz = 440 * 2 ** ((rng.integers(28, 60, 16)[(seconds * 4).astype(int)] - 69) / 12)
  phase = 2 * np.pi * np.cumsum(hertz) / RATE
  notes = sum(np.sin(k * phase) / k for k in range(1, 6)) * np.exp(-6 * (seconds % 0.25))
  return {
    'leaps': notes,
    'leaps in noise': notes + rng.normal(0, 0.3, len(notes)),
    'noise': rng.normal(0, 0.1, 2 * RATE),
    'silence': np.zeros(RATE),
    'silence, then sound': np.concatenate([np.zeros(RATE), notes[:RATE], np.zeros(700)]),
    'glide': np.sin(2 * np.pi * np.cumsum(np.geomspace(30, 400, RATE // 8)) / RATE),
    'too high': np.sin(2 * np.pi * 900 * seconds[: RATE // 2]),
    'too low': np.sin(2 * np.pi * 12 * seconds[:RATE]),
    'square wave': np.sign(np.sin(2 * np.pi * 55 * seconds[:RATE])),
  }


@pytest.mark.parametrize('name', signals())
def test_both_estimates_are_those_of_librosa(name):
  import librosa

  audio = signals()[name].astype(np.float32)
  probable, plain = TRACKER.estimates(audio)
  wanted = librosa.pyin(audio, **SETTINGS, resolution=0.2, fill_na=None)[0]
  # Where it crosses a gap at the steepest that is allowed, a path a step higher is as likely: rounding decides, not alike on all Pythons.
  steep = np.abs(np.diff(12 * np.log2(wanted))) > 1
  crossing = np.append(steep, False) | np.append(False, steep)
  np.testing.assert_array_equal(probable[~crossing], wanted[~crossing])
  np.testing.assert_allclose(probable, wanted, rtol=2 ** (0.2 / 12) - 1 + 1e-6)
  np.testing.assert_array_equal(plain, librosa.yin(audio, **SETTINGS))


def test_a_long_signal_is_followed_through_its_blocks(monkeypatch):
  from data_pipeline import pitch_tracking

  audio = signals()['leaps in noise'].astype(np.float32)
  whole = TRACKER.estimates(audio)
  monkeypatch.setattr(pitch_tracking, '_BLOCK', 37)
  for one, other in zip(whole, TRACKER.estimates(audio), strict=True):
    np.testing.assert_array_equal(one, other)
