"""What to say of an error of the file system: which file, what was found, and what to do."""

from __future__ import annotations

import errno
import re

_FULL = ('No space left on device', 'Disk quota exceeded', 'ENOSPC')
_ADVICE = {
  errno.ENOSPC: 'the disk is full: make room, then run the same command again; it goes on from what is whole',
  errno.EDQUOT: 'the quota of the disk is used up: make room, then run the same command again; it goes on from what is whole',
  errno.EROFS: 'the place is read-only: give a folder that can be written to',
  errno.EACCES: 'this user may not read or write there: give another folder, or change its permissions',
  errno.EPERM: 'this user may not do that there: give another folder, or change its permissions',
  errno.EMFILE: 'too many files are open at once: raise the limit (ulimit -n), then run the same command again',
  errno.ENOENT: 'it is not there, and can not be made there: look at the path',
  errno.ENOTDIR: 'a file lies where a folder is needed: give another folder',
  errno.EISDIR: 'a folder lies where a file is needed: give the path of a file',
  errno.EIO: 'the disk reports a defect: look at its state before anything is written to it again',
}


def explain(error: BaseException) -> str:
  """The text of an error; where the file system is the reason, with what to do."""
  text = re.sub(r'^\[Errno \d+\] ', '', str(error))
  code = error.errno if isinstance(error, OSError) else None
  if code not in _ADVICE and any(words in text for words in _FULL):  # a library's own error, of tensorflow or Orbax
    code = errno.ENOSPC
    text = next(line for line in text.splitlines() if any(words in line for words in _FULL))[:400]
  return f'{text}\n{_ADVICE[code]}' if code in _ADVICE else text
