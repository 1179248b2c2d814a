"""A new installation's cache of compiled functions is filled by one process, and crashes nobody who reads it."""

import os
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ANALYSIS = """
import numpy as np
from data_pipeline import audio_targets, front_end, separation
audio = np.random.default_rng(0).normal(0, 0.01, 32000).astype(np.float32)
front_end.analyse(audio, audio)
audio_targets.targets_from_audio(audio, front_end.frame_count(len(audio)))
separation.separate(audio, 'harm')
"""
# The second process loads other modules first, as its compiled functions then have other numbers.
LOADING = """
import numpy as np
from data_pipeline import compiler_cache
librosa = compiler_cache.librosa()
{first}
noise = np.random.default_rng(0).normal(size=32000).astype(np.float32)
librosa.piptrack(y=noise, sr=16000)
librosa.onset.onset_detect(y=noise, sr=16000)
librosa.vqt(noise, sr=16000)
"""


@pytest.mark.slow
def test_two_processes_of_a_new_installation_fill_it_whole(tmp_path):
  """Without waiting for each other both would crash, and everything that comes later. What an analysis needs is there when they end."""
  environment = os.environ | {'NUMBA_CACHE_DIR': str(tmp_path / 'numba'), 'BASSNET_JAX_CACHE': str(tmp_path / 'cache'), 'PYTHONPATH': ROOT}

  def start(program: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, '-c', program], env=environment)

  def written() -> dict:
    found = {path: path.stat().st_mtime_ns for path in (tmp_path / 'numba').rglob('*') if path.is_file()}
    return {path: when for path, when in found.items() if 'librosa' in path.parent.name and 'beat.' not in path.name}

  both = [start(LOADING.format(first=first)) for first in ('', 'librosa.onset.onset_detect; librosa.beat.plp')]
  while not [path for path in (tmp_path / 'cache' / 'compiled').glob('*') if path.name != 'lock'] and both[0].poll() is None:
    time.sleep(0.01)
  filled = written()
  assert [process.wait(300) for process in both] == [0, 0]
  assert start(ANALYSIS).wait(300) == 0
  assert filled and written() == filled
