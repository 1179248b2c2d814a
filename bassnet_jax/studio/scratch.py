"""The studio's temporary folder: a lock on it says that its studio lives, so that those of dead studios can be told apart and removed."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import stat
import tempfile

try:
  import fcntl
except ImportError:  # Windows: folders of dead studios stay there
  fcntl = None

_PREFIX = 'bassnet_studio_'
_LOCK = 'lock'


def _locked(path: str, flags: int) -> int | None:
  """An open file that is locked by this process alone and still lies at `path`, or None where there is none."""
  try:
    handle = os.open(path, flags | os.O_RDWR | getattr(os, 'O_NOFOLLOW', 0), 0o600)
  except OSError:
    return None
  try:
    if fcntl is not None:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.path.samestat(os.fstat(handle), os.lstat(path)):
      return handle
  except OSError:  # another process holds it, or has removed it meanwhile
    pass
  os.close(handle)
  return None


class Scratch:
  """A folder that only this user can read, until `close`.

  Attributes:
    folder: empty at first.
  """

  def __init__(self):
    handle = None
    while handle is None:  # a studio that starts at the same moment may take a folder without a lock for a dead one's
      self._root = tempfile.mkdtemp(prefix=_PREFIX)
      handle = _locked(os.path.join(self._root, _LOCK), os.O_CREAT)
    self._handle: int | None = handle
    self.folder = os.path.join(self._root, 'sessions')
    os.mkdir(self.folder, 0o700)

  def close(self) -> None:
    """Removes it; a second call does nothing."""
    if self._handle is not None:
      shutil.rmtree(self._root, ignore_errors=True)
      os.close(self._handle)
      self._handle = None


def remove_dead() -> list[str]:
  """Removes the folders of this user's studios that ended without doing so, killed or with the computer. Returns their paths."""
  removed = []
  if fcntl is None:
    return removed
  for root in glob.glob(os.path.join(glob.escape(tempfile.gettempdir()), f'{_PREFIX}*')):
    with contextlib.suppress(FileNotFoundError):  # its own studio removes it just now
      found = os.lstat(root)
      if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        continue
      handle = _locked(os.path.join(root, _LOCK), 0)
      if handle is not None:
        shutil.rmtree(root, ignore_errors=True)
        os.close(handle)
        removed.append(root)
  return removed
