"""Folders on this machine's disk or in a bucket (gs://): one set of functions for both; needs no tensorflow.

Data and checkpoints are read and written in the bucket itself. What a run writes besides, logs and reports, is small and made of files that
grow and are renamed, which buckets don't have: it is written into a folder on the local disk (`local`), and copied (`push`, `fetch`).
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from typing import IO, Any

REMOTE = 'gs://'
_NEVER_COPIED = ('checkpoints', 'compilation_cache')
"""Of a workdir: checkpoints lie in the bucket only, compiled programs on the local disk only."""


class StorageError(ValueError):
  """A place can't be reached or isn't one that this package knows; the message says which and what to do."""


def is_remote(path: str) -> bool:
  return os.fspath(path).startswith(REMOTE)


def absolute(path: str) -> str:
  """The full name of a folder or file; `os.path.join` goes on from either kind.

  Raises:
    StorageError: a scheme that isn't gs://.
  """
  path = os.fspath(path)
  if is_remote(path):
    return path.rstrip('/')
  scheme, found, _ = path.partition('://')
  if found and scheme.isalnum():
    raise StorageError(f'{path}: expected a folder of this machine or gs://BUCKET/FOLDER, found {scheme}://')
  return os.path.abspath(path)


def only_local(path: str, what: str) -> str:
  """The absolute path of a folder that must lie on this machine's disk.

  Raises:
    StorageError: it lies in a bucket.
  """
  if is_remote(path):
    raise StorageError(f'{path}: {what} needs a folder on the disk of this machine; a bucket can be mounted as one (gcsfuse)')
  return absolute(path)


def check(path: str) -> None:
  """Asks a bucket for a folder, so that a wrong name or a missing permission shows before anything slow begins.

  Raises:
    StorageError: it doesn't answer, or nothing is installed that could ask.
  """
  if not is_remote(path):
    return
  try:
    _path(path).exists()
  except ImportError as error:
    raise StorageError(f'{path}: reading gs:// needs tensorflow or gcsfs ({error}): pip install gcsfs') from error
  except Exception as error:  # tensorflow and gcsfs have their own errors, without a common base
    reason = str(error).strip().splitlines() or [type(error).__name__]
    raise StorageError(
      f'{path} can not be reached: {reason[0]}. Is the name of the bucket right, and may this machine use it '
      '(gcloud auth application-default login, or the scopes of the machine)?'
    ) from error


def exists(path: str) -> bool:
  return _path(path).exists() if is_remote(path) else os.path.exists(path)


def is_folder(path: str) -> bool:
  return _path(path).is_dir() if is_remote(path) else os.path.isdir(path)


def make_folder(path: str) -> None:
  """Makes a folder and those above it; in a bucket there are none, but in the names of files."""
  if not is_remote(path):
    os.makedirs(path, exist_ok=True)


def names(folder: str) -> list[str]:
  """Names of what is in a folder, sorted; none if there is no such folder."""
  if not is_folder(folder):
    return []
  return sorted(path.name for path in _path(folder).iterdir()) if is_remote(folder) else sorted(os.listdir(folder))


def opened(path: str) -> IO[bytes]:
  """A file to be read as bytes.

  Raises:
    FileNotFoundError: there is none.
  """
  if not is_remote(path):
    return open(path, 'rb')
  try:
    return io.BytesIO(_path(path).read_bytes())  # at once: many small requests are slow
  except FileNotFoundError as error:
    raise FileNotFoundError(f'{path}: there is no such file') from error


def read_text(path: str) -> str:
  with opened(path) as file:
    return file.read().decode()


def write_text(path: str, text: str) -> None:
  """Writes a file whole or not at all: an object of a bucket is, and a local file is written under another name first."""
  if is_remote(path):
    _path(path).write_text(text)
    return
  with open(path + '.tmp', 'w', encoding='utf-8') as file:
    file.write(text)
  os.replace(path + '.tmp', path)


def write_json(path: str, values: Any) -> None:
  """`write_text` of plain values as indented JSON."""
  write_text(path, json.dumps(values, indent=1) + '\n')


def write_bytes(path: str, content: bytes) -> None:
  """`write_text` of bytes, in a bucket."""
  _path(path).write_bytes(content)


def cache() -> str:
  """The user's folder for what can be made again; it need not exist."""
  caches = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return os.path.abspath(os.environ.get('BASSNET_JAX_CACHE') or os.path.join(caches, 'bassnet_jax'))


def local(folder: str) -> str:
  """Where the logs and reports of a workdir are written: the workdir itself, or for one in a bucket a folder of the local cache."""
  folder = absolute(folder)
  if not is_remote(folder):
    return folder
  return os.path.join(cache(), 'gs', *folder.removeprefix(REMOTE).split('/'))


def fetch(folder: str) -> str:
  """Brings what is newer in the bucket into the local folder of a workdir. Returns that folder."""
  here = local(folder)
  if is_remote(folder):
    os.makedirs(here, exist_ok=True)
    for name in _remote_files(absolute(folder), ''):
      source, target = _path(os.path.join(absolute(folder), name)), os.path.join(here, name)
      stored = source.stat()
      if not os.path.exists(target) or stored.mtime > os.path.getmtime(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target + '.tmp', 'wb') as file:
          file.write(source.read_bytes())
        os.utime(target + '.tmp', (stored.mtime, stored.mtime))
        os.replace(target + '.tmp', target)
  return here


def push(folder: str) -> None:
  """Brings what is newer in the local folder of a workdir into the bucket."""
  if not is_remote(folder):
    return
  here = local(folder)
  for name in _local_files(here):
    source, target = os.path.join(here, name), _path(os.path.join(absolute(folder), name))
    if target.exists():
      stored = target.stat()
      if stored.length == os.path.getsize(source) and stored.mtime >= os.path.getmtime(source):
        continue
    with open(source, 'rb') as file:
      target.write_bytes(file.read())


def _path(path: str) -> Any:
  from etils import epath  # of which orbax and TFDS are made too: all speak to buckets in the same way

  return epath.Path(path)


def _remote_files(folder: str, below: str) -> Iterator[str]:
  for name in names(os.path.join(folder, below) if below else folder):
    path = f'{below}/{name}' if below else name
    if not below and name in _NEVER_COPIED:
      continue
    if is_folder(os.path.join(folder, path)):
      yield from _remote_files(folder, path)
    else:
      yield path


def _local_files(folder: str) -> Iterator[str]:
  for where, folders, files in os.walk(folder):
    if where == folder:
      folders[:] = [name for name in folders if name not in _NEVER_COPIED]
    for name in sorted(files):
      if not name.endswith('.tmp') and not name.startswith('.'):  # half-written, or a lock
        yield os.path.relpath(os.path.join(where, name), folder)
