"""Checksums of what a checkpoint holds: storage tells of a missing file, but not of every changed byte."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import jax
import numpy as np

FILE = 'digests.json'


def of_tree(tree: Any) -> dict[str, int]:
  """'params/decoder/...' -> CRC-32 of the type, shape and bytes of every array of a tree, on whatever devices it lies.

  The path is the same for a dataclass, a named tuple and the dictionary that either becomes in storage.
  """
  return {path_name(path): _of_array(np.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def path_name(path: tuple) -> str:
  """Keys of a path in a tree, joined by '/'."""
  names = (next(getattr(key, field) for field in ('key', 'name', 'idx') if hasattr(key, field)) for key in path)
  return '/'.join(str(name) for name in names)


def _of_array(values: np.ndarray) -> int:
  head = zlib.crc32(f'{values.dtype.name}{values.shape}'.encode())
  return zlib.crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8), head)


def of_json(values: Any) -> int:
  """CRC-32 of plain values, whatever their order was."""
  return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def write_of_folder(folder: str) -> None:
  """Leaves the CRC-32 of every file of a folder beside them."""
  found = {name: _of_file(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}
  with open(os.path.join(folder, FILE), 'w') as file:
    json.dump(found, file)


def damaged_files(folder: str) -> list[str]:
  """Files of a folder that are missing or not as `write_of_folder` found them; a folder without checksums has none."""
  if not os.path.exists(os.path.join(folder, FILE)):
    return []
  with open(os.path.join(folder, FILE)) as file:
    saved = json.load(file)
  paths = {name: os.path.join(folder, name) for name in saved}
  return [name for name, path in paths.items() if not os.path.exists(path) or _of_file(path) != saved[name]]


def _of_file(path: str) -> int:
  with open(path, 'rb') as file:
    return zlib.crc32(file.read())
