"""Sets the process up before jax is imported, and builds the small corpora that the tests share."""

import atexit
import os
import shutil
import sys
import tempfile

os.environ['JAX_PLATFORMS'] = 'cpu'
# Tests compile much and compute little: without LLVM's optimisations they take a third of the time.
os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
# Runs that are stopped and go on compile one step several times; so do the processes that tests start, and pytest's own (`-n 2`).
if 'PYTEST_XDIST_WORKER' not in os.environ:
  _CACHE = tempfile.mkdtemp(prefix='bassnet_jax_tests_')
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _CACHE
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.3'
  atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
if 'jax' in sys.modules:
  raise RuntimeError('jax was imported before tests/conftest.py: the eight simulated devices would be missing')

import pytest
from absl import flags

from data_pipeline import compiler_cache

flags.FLAGS.mark_as_parsed()
compiler_cache.fill()  # tests in several processes load librosa at once


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory) -> str:
  """A data folder with a small `bassnet_artificial/a1`: rendered, analysed and packed into TFDS files as any other."""
  from data_pipeline import build, extraction
  from data_pipeline.sources.artificial import Artificial

  root = str(tmp_path_factory.mktemp('data'))
  source = Artificial('a1', train=6, validation=3, test=6, test_timbre=3)
  extraction.extract(source, extraction.folder(root, 'bassnet_artificial', 'a1'), workers=2)
  build.build('bassnet_artificial/a1', root)
  return root


@pytest.fixture(scope='session')
def corpus(data_dir):
  """The small a1 as a corpus of training."""
  from bassnet_jax.config import DataConfig
  from bassnet_jax.inputs import corpus as corpora

  return corpora.open_corpus(DataConfig(datasets=('bassnet_artificial/a1',)), data_dir)


@pytest.fixture(scope='session')
def coordinates_dir(tmp_path_factory) -> str:
  """A data folder whose songs say in every frame which song and frame it is; see `tiny.coordinate_song`."""
  import tiny

  from data_pipeline import build

  root = str(tmp_path_factory.mktemp('coordinates'))
  tiny.write_coordinate_songs(root)
  build.build('bassnet_artificial/a1', root)
  return root
