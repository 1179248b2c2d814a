"""Fills the cache of librosa's compiled functions before several processes need it."""

from __future__ import annotations

import fcntl
import functools
import os
import tempfile

import numpy as np

from data_pipeline import audio_targets, front_end
from data_pipeline import features as ft


@functools.cache
def fill() -> None:
  """Analyses two seconds of a tone in noise, once a process, and in one process of this machine at a time.

  In a new installation numba compiles librosa's functions and keeps them on disk. Two processes that do so at once can leave a cache that
  crashes every later process that reads it (numba 0.68); once it is whole, it is only read.
  """
  with open(os.path.join(tempfile.gettempdir(), f'bassnet_jax_compiler_cache_{os.getuid()}.lock'), 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    _analyse()


def _analyse() -> None:
  samples = 2 * ft.SAMPLE_RATE
  tone = np.sin(2 * np.pi * 110 * np.arange(samples) / ft.SAMPLE_RATE)
  audio = (0.1 * tone + np.random.default_rng(0).normal(0, 0.01, samples)).astype(np.float32)
  front_end.analyse(audio, audio)
  audio_targets.targets_from_audio(audio, front_end.frame_count(samples))
