"""Freed memory stays with a training process on a CPU."""

import os
import platform
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# A thread, because XLA's blocks are asked for by threads of its own; calloc is not used, so that pages count only where they are written.
PROGRAM = """
import ctypes, resource, sys, threading
from bassnet_jax import memory
if sys.argv[1] == 'kept':
  assert memory.keep_freed()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size, faults = 100 * 2**20, []

def work():
  for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(faults[-1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the allocator is not glibc: nothing is changed there')
def test_a_block_that_was_freed_is_given_again_without_new_pages():
  environment = os.environ | {'PYTHONPATH': ROOT, 'JAX_PLATFORMS': 'cpu'}
  found = {}
  for how in ('default', 'kept'):
    done = subprocess.run([sys.executable, '-c', PROGRAM, how], env=environment, capture_output=True, text=True, check=True, timeout=120)
    found[how] = [int(x) for x in done.stdout.split()]
  (default_faults, default_peak), (kept_faults, kept_peak) = found['default'], found['kept']
  assert default_faults > 1000, 'pages are taken from the kernel for each block unless asked otherwise'
  assert kept_faults < 100
  assert kept_peak < default_peak + 20 * 1024, 'addresses that are prepared are no memory yet'


def test_beside_an_accelerator_the_allocator_is_left_alone(monkeypatch):
  from bassnet_jax import memory

  monkeypatch.setenv('JAX_PLATFORMS', '')
  monkeypatch.setattr(memory.glob, 'glob', lambda pattern: ['/dev/nvidia0'] if 'nvidia' in pattern else [])
  assert memory.keep_freed() is False


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the allocator is not glibc: nothing is changed there')
def test_holes_between_what_is_kept_are_given_back():
  program = """
import os
from bassnet_jax import memory

def resident():
  return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGESIZE')

blocks = [bytearray(100_000) for _ in range(2000)]  # below the size that is taken from the kernel by itself
kept = blocks[::50]
del blocks
before = resident()
memory.give_back()
print(before - resident(), sum(map(len, kept)))
"""
  done = subprocess.run([sys.executable, '-c', program], env=os.environ | {'PYTHONPATH': ROOT}, capture_output=True, text=True, check=True)
  given_back, _ = map(int, done.stdout.split())
  assert given_back > 100 * 2**20
