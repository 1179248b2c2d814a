"""Memory that a CPU program keeps between steps, or gives back when its users have gone; on Linux with glibc.

XLA asks for the hundreds of megabytes of a step's intermediate results anew for every step. By default glibc takes such blocks from the
kernel and gives them back each time, so that every step begins by filling tens of thousands of pages with zeros.
"""

from __future__ import annotations

import ctypes
import glob
import mmap
import os
import platform

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of mallopt(3)
_KEPT = 2**31 - 1  # bytes free at the end of the heap below which nothing is given back: the largest that mallopt takes
_PREPARED = 2**30
"""Bytes of the heap that may lie on large pages. They are addresses, and become memory only where something is written."""


def keep_freed() -> bool:
  """Lets the process keep what it frees, on pages of 2 MiB where the kernel gives them on request.

  It is called once, before jax makes its threads. Elsewhere than on Linux with glibc, and beside an accelerator, it changes nothing.

  Returns:
    whether the allocator was told so.
  """
  if not _is_glibc() or _has_accelerator():
    return False
  libc = ctypes.CDLL(None, use_errno=True)
  # One arena: the others, of threads such as those of XLA, hold no large blocks and would take them from the kernel all the same.
  if not all([libc.mallopt(_MMAP_MAX, 0), libc.mallopt(_TRIM_THRESHOLD, _KEPT), libc.mallopt(_ARENA_MAX, 1)]):
    return False
  _advise_large_pages(libc)
  return True


def give_back() -> None:
  """Gives the kernel the pages that hold nothing any more, which lasts some hundredths of a second; elsewhere does nothing.

  By default glibc does so at the end of its heaps alone: of songs that came and went, holes would stay between those that are still there.
  """
  if _is_glibc():
    ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
  return platform.system() == 'Linux' and platform.libc_ver()[0] == 'glibc'


def _has_accelerator() -> bool:
  """Whether steps will run elsewhere; jax itself can't be asked before it has made its threads."""
  if os.environ.get('JAX_PLATFORMS', '') == 'cpu':
    return False
  return any(glob.glob(pattern) for pattern in ('/dev/nvidia[0-9]*', '/dev/accel*', '/dev/vfio/[0-9]*', '/dev/kfd'))


def _advise_large_pages(libc: ctypes.CDLL) -> None:
  """Grows the heap once and marks the addresses; whoever is given them later writes to large pages."""
  libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
  libc.free.argtypes = [ctypes.c_void_p]
  libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
  block = libc.malloc(_PREPARED)
  if block is None:  # a limit on the process's addresses: small pages do too
    return
  first = -(-block // mmap.PAGESIZE) * mmap.PAGESIZE
  libc.madvise(first, (block + _PREPARED - first) // mmap.PAGESIZE * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
  libc.free(block)
