"""Loudness in blocks is loudness at once, as pyloudnorm measures it."""

import numpy as np
import pyloudnorm
import pytest

from data_pipeline import features, loudness


@pytest.mark.parametrize('seconds', [0.41, 1.0, 59.99, 60.0, 61.2, 140.7])
def test_as_pyloudnorm(seconds):
  random = np.random.default_rng(0)
  clock = np.arange(int(seconds * features.SAMPLE_RATE)) / features.SAMPLE_RATE
  audio = (random.normal(0, 0.1, len(clock)) * (0.002 + np.abs(np.sin(clock / 7)))).astype(np.float32)
  wanted = pyloudnorm.Meter(features.SAMPLE_RATE).integrated_loudness(audio)
  assert loudness.integrated_loudness(audio, features.SAMPLE_RATE) == pytest.approx(wanted, abs=1e-9)


def test_silence():
  assert loudness.integrated_loudness(np.zeros(16_000, np.float32), 16_000) == float('-inf')
