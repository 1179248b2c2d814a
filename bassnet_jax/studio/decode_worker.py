"""Reads one uploaded file in a process of its own: `python -m bassnet_jax.studio.decode_worker FILE FOLDER SECONDS VALUES`.

Whatever a file does to a decoder happens here: memory and time are limited, and the server lives on. Writes FOLDER/native.npy
([samples, channels] float32, one or two channels) and FOLDER/mono.npy ([samples] float32, 16 kHz); prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

_MEMORY = 4 << 30
_CPU_SECONDS = 120


def _limit() -> None:
  """Memory and processor time of this process; where the system knows no such limits (Windows), the server's timeout remains."""
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode(path: str, folder: str, longest: float, values: int) -> dict:
  """Decodes a file. Returns {'rate', 'channels', 'samples'} or {'error': why not, without the path}."""
  import numpy as np
  import soxr

  from data_pipeline import audio

  try:
    head = audio.info(path)
    if head.rate * head.channels * min(head.seconds, longest) > values:
      limit = values / (head.rate * head.channels)
      return {
        'error': f'{head.channels} channels at {head.rate} Hz make it too large; up to {limit:.0f} s of that are taken. Cut it into pieces.'
      }
    native, rate = audio.load_native(path, longest)
  except audio.AudioError as error:
    return {'error': str(error).replace(f'{path}: ', '', 1).replace(path, 'the file')}
  if native.size > values:
    return {'error': f'{len(native) / rate:.0f} s in {native.shape[1]} channels are too much audio. Cut it into pieces.'}
  if native.shape[1] > 2:
    native = native.mean(axis=1, keepdims=True)
  mono = native.mean(axis=1)
  mono = soxr.resample(mono, rate, audio.SAMPLE_RATE) if rate != audio.SAMPLE_RATE else mono
  np.save(os.path.join(folder, 'native.npy'), native)
  np.save(os.path.join(folder, 'mono.npy'), mono.astype(np.float32))
  return {'rate': int(rate), 'channels': int(native.shape[1]), 'samples': len(native)}


def main() -> int:
  _limit()
  path, folder, longest, values = sys.argv[1:]
  try:
    result = decode(path, folder, float(longest), int(values))
  except MemoryError:
    result = {'error': 'It needs more memory than a track may take. Cut it into pieces.'}
  print(json.dumps(result))
  return 0


if __name__ == '__main__':
  sys.exit(main())
