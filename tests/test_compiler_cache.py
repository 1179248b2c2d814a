"""A new installation's cache of compiled functions is filled by one process, and crashes nobody who reads it."""

import os
import subprocess
import sys

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


@pytest.fixture
def environment(tmp_path):
  """One in which nothing was compiled."""
  return os.environ | {'NUMBA_CACHE_DIR': str(tmp_path / 'numba'), 'TMPDIR': str(tmp_path), 'PYTHONPATH': ROOT}


def test_it_is_whole(environment, tmp_path):
  """What an analysis needs of librosa is there before it begins."""

  def run(program):
    subprocess.run([sys.executable, '-c', program], env=environment, check=True, timeout=300)
    found = {path: path.stat().st_mtime_ns for path in (tmp_path / 'numba').rglob('*') if path.is_file()}
    return {path: time for path, time in found.items() if 'librosa' in path.parent.name}

  first = run('from data_pipeline import compiler_cache; compiler_cache.fill()')
  assert first
  assert run(ANALYSIS) == first


def test_two_processes_of_a_new_installation(environment):
  """Without waiting for each other both crash, and everything that comes later."""

  def start(first=''):
    return subprocess.Popen([sys.executable, '-c', LOADING.format(first=first)], env=environment)

  both = [start(), start('librosa.onset.onset_detect; librosa.beat.plp')]
  assert [process.wait(300) for process in both] == [0, 0]
  assert start().wait(300) == 0
