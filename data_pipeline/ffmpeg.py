"""Decodes what libsndfile can't (AAC in MP4) with the program ffmpeg, if there is one."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import subprocess

import numpy as np

from data_pipeline.audio import SAMPLE_RATE, AudioError

HOW_TO_GET = (
  'Install it (`apt-get install ffmpeg`, `brew install ffmpeg`), or, without an administrator, `pip install imageio-ffmpeg`, '
  'whose copy is found too'
)


def program() -> str | None:
  """Path of ffmpeg: that on PATH, or that of the package imageio-ffmpeg; None if there is neither."""
  found = shutil.which('ffmpeg')
  if found is None and importlib.util.find_spec('imageio_ffmpeg') is not None:
    import imageio_ffmpeg

    found = imageio_ffmpeg.get_ffmpeg_exe()
  return found


def load(path: str, stream: int, sample_rate: int = SAMPLE_RATE, longest: float = 3600.0) -> np.ndarray:
  """Reads one audio stream of a file as mono.

  Args:
    path: whatever ffmpeg reads.
    stream: which of its audio streams, from 0.
    sample_rate: of the result.
    longest: seconds; a longer stream is an error.

  Returns:
    [samples] float32.

  Raises:
    AudioError: no ffmpeg, no such stream, damaged, too long, or samples that are no numbers.
  """
  if not os.path.isfile(path):
    raise AudioError(f'{path}: no such file, or a folder; an audio file is expected. Check the path.')
  tool = program()
  if tool is None:
    raise AudioError(f'{path}: ffmpeg is needed to read it, and was not found. {HOW_TO_GET}.')
  limit = ['-t', str(math.ceil(longest) + 1)]
  command = [tool, '-v', 'error', '-nostdin', '-xerror', '-i', path, '-map', f'0:a:{stream}', *limit]
  done = subprocess.run(
    [*command, '-f', 'f32le', '-ac', '1', '-ar', str(sample_rate), 'pipe:1'], capture_output=True, check=False, stdin=subprocess.DEVNULL
  )
  if done.returncode != 0:
    lines = done.stderr.decode(errors='replace').strip().splitlines()
    raise AudioError(f'{path}: audio stream {stream} can not be read ({lines[-1] if lines else "no reason given"}). Copy it again.')
  result = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], dtype='<f4').astype(np.float32)
  if not len(result):
    raise AudioError(f'{path}: audio stream {stream} holds no sample. Copy the file again.')
  if len(result) > longest * sample_rate:
    raise AudioError(f'{path}: more than {longest / 60:.0f} minutes long, which is the most that is taken. Cut it into pieces.')
  if not np.isfinite(result).all():
    raise AudioError(f'{path}: audio stream {stream} has samples that are no numbers (NaN or infinite). Export it anew.')
  return result
