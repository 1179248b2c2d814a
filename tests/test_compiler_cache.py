"""A new installation's cache of compiled functions is filled by one process, so that many may read it."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_workers_find_a_cache_that_is_whole(tmp_path):
  """With an empty cache: every file that workers at work side by side would write is there before they begin."""
  environment = os.environ | {'NUMBA_CACHE_DIR': str(tmp_path), 'PYTHONPATH': ROOT}
  filling = 'from data_pipeline import compiler_cache; compiler_cache.fill()'
  written = lambda: {os.path.join(a, f): os.path.getmtime(os.path.join(a, f)) for a, _, files in os.walk(tmp_path) for f in files}  # noqa: E731
  subprocess.run([sys.executable, '-c', filling], env=environment, check=True, timeout=300)
  first = written()
  assert first
  subprocess.run([sys.executable, '-c', filling], env=environment, check=True, timeout=300)
  assert written() == first
