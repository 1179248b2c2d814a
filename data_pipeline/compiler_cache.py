"""librosa, with its compiled functions whole on disk: the one door by which this project comes to it.

In a new installation numba compiles librosa's functions, some as soon as librosa's modules are loaded, and keeps them on disk. Two
processes that do so at once leave a cache that crashes every later process that reads it (numba 0.68). So the first process of an
installation fills the cache while others wait; from then on it is only read.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import tempfile
import types

import numpy as np

from data_pipeline import storage


def librosa() -> types.ModuleType:
  """The module librosa. In a new installation this lasts half a minute, in one process at a time."""
  fill()
  import librosa

  return librosa


@functools.cache
def fill() -> None:
  """Fills the cache of this installation, unless that is done."""
  folder = _folder()
  done = os.path.join(folder, _installation())
  if os.path.exists(done):
    return
  with open(os.path.join(folder, 'lock'), 'a') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.exists(done):
      _compile()
      open(done, 'x').close()


def _folder() -> str:
  """Where it is noted which installations are done; where the user's cache can't be written, until the system forgets it."""
  for parent in (storage.cache(), os.path.join(tempfile.gettempdir(), f'bassnet_jax_{os.getuid()}')):
    folder = os.path.join(parent, 'compiled')
    with contextlib.suppress(OSError):
      os.makedirs(folder, mode=0o700, exist_ok=True)
      if os.access(folder, os.W_OK):
        return folder
  raise OSError(f'{folder} cannot be written; expected a temporary folder of your own. Set TMPDIR to one.')


def _installation() -> str:
  """A name for what the cache depends on: where it lies and what it was compiled from."""
  origin = importlib.util.find_spec('librosa').origin
  versions = [importlib.metadata.version(name) for name in ('librosa', 'numba', 'llvmlite', 'numpy')]
  parts = [origin, os.stat(origin).st_mtime_ns, os.environ.get('NUMBA_CACHE_DIR'), *versions]
  return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _compile() -> None:
  """Calls what this project calls of librosa, with a second of noise, so that all of it is compiled."""
  import librosa

  audio = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
  librosa.piptrack(y=audio, sr=16000)
  librosa.vqt(audio, sr=16000, n_bins=60, dtype=np.complex64)
  librosa.istft(librosa.decompose.hpss(librosa.stft(audio))[0])
  librosa.onset.onset_detect(onset_envelope=librosa.onset.onset_strength(y=audio, sr=16000), sr=16000)
  librosa.sequence.transition_local(8, 3, window='triangle', wrap=False)
  librosa.autocorrelate(audio)
