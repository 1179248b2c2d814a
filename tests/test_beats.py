"""Beat tracking: steady and drifting tempi, and music without beats."""

import numpy as np
import pytest

from bassnet_jax import beats
from data_pipeline import features


def pulse(times: np.ndarray, seconds: float) -> np.ndarray:
  """Features of decaying hits at `times`, between which weaker ones lie on the off-beats, over a noise floor."""
  random = np.random.default_rng(0)
  mix = random.uniform(0.0, 0.05, (int(seconds * features.FRAME_RATE), features.MIX_BINS)).astype(np.float32)
  between = (times[:-1] + times[1:]) / 2
  for hits, height in ((times, 1.0), (between, 0.4)):
    for hit in hits:
      frame = round(hit * features.FRAME_RATE)
      tail = np.exp(-np.arange(20) / 5)[: max(len(mix) - frame, 0), None]
      mix[frame : frame + len(tail)] += (height * tail * random.uniform(0.5, 1.0, features.MIX_BINS)).astype(np.float32)
  return mix


def beats_of(bpm: float, drift: float, seconds: float = 60.0) -> np.ndarray:
  """Beats from 0.37 s on whose tempo rises by `drift` until the middle and falls back."""
  times = [0.37]
  while times[-1] < seconds - 1:
    times.append(times[-1] + 60 / (bpm * (1 + drift * np.sin(np.pi * times[-1] / seconds))))
  return np.array(times)


@pytest.mark.parametrize(('bpm', 'drift'), [(120, 0.0), (92, 0.0), (150, 0.0), (110, 0.2), (140, -0.2), (80, 0.2)])
def test_beats_are_found(bpm, drift):
  truth = beats_of(bpm, drift)
  found = beats.track(pulse(truth, 60))
  near = np.abs(found.seconds[:, None] - truth[None, :]).min(axis=1)
  missed = np.abs(truth[:, None] - found.seconds[None, :]).min(axis=1)
  assert np.mean(near < 0.03) > 0.95 and np.mean(missed < 0.03) > 0.95
  assert np.median(near) < 0.01
  assert abs(found.bpm / np.median(60 / np.diff(truth)) - 1) < 0.02


@pytest.mark.parametrize('frames', [0, 1, 100, 161, 4_000])
def test_silence_and_snippets_have_no_beats(frames):
  found = beats.track(np.zeros((frames, features.MIX_BINS), dtype=np.float32))
  assert len(found.seconds) == 0 and found.bpm == 120


@pytest.mark.parametrize('frames', [160, 200, 333, 1_000])
def test_noise_gives_rising_beats_or_none(frames):
  random = np.random.default_rng(frames)
  found = beats.track(random.random((frames, features.MIX_BINS), dtype=np.float32))
  assert (np.diff(found.seconds) > 0).all() and np.isfinite(found.bpm)
