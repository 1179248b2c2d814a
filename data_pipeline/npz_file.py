"""Reads .npz files: plain arrays only, never a pickle; whatever is damaged in one is one error."""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from data_pipeline import storage

_DAMAGED = (
  *(OSError, EOFError, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError, RuntimeError, NotImplementedError),
  *(SyntaxError, tokenize.TokenError, struct.error, zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile trip over in damaged files."""
_MOST_INFLATED = 200
"""Deflate makes zeros a thousand times smaller, features twenty times; beyond this a file is meant to fill the memory."""
_ROOM = 64 << 20


class ArrayFileError(ValueError):
  """A file of arrays can't be read; the message names it and says what is wrong with it."""


def read(path: str, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
  """Arrays of a file, by name: those of `names`, or all.

  Raises:
    FileNotFoundError: there is none.
    ArrayFileError: it is damaged, holds something else than arrays of numbers and text, or is much larger than it looks.
  """
  try:
    with storage.opened(path) as file:
      packed = file.seek(0, os.SEEK_END)
      with zipfile.ZipFile(file) as archive:
        inflated = sum(member.file_size for member in archive.infolist())
      if inflated > _ROOM + _MOST_INFLATED * packed:
        raise ArrayFileError(f'{path}: {inflated >> 20} MB packed into {packed >> 10} KB; no file of arrays is like that')
      file.seek(0)
      with np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in names or stored.files}
  except (FileNotFoundError, ArrayFileError):
    raise
  except _DAMAGED as error:
    raise ArrayFileError(f'{path}: not a readable file of arrays ({" ".join(str(error).split())[:200] or type(error).__name__})') from error
  for name, array in arrays.items():
    if not isinstance(array, np.ndarray):
      raise ArrayFileError(f'{path}: {name[:60]!r} is no array')
  return arrays
