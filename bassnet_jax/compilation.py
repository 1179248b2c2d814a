"""Where compiled programs are kept between runs, so that a run that goes on begins in seconds."""

from __future__ import annotations

import os
import platform

import jax

NONE = 'none'


def keep_compiled(folder: str) -> str | None:
  """Keeps compiled programs in a subfolder of `folder`; JAX_COMPILATION_CACHE_DIR comes before it.

  A program for CPUs may use instructions that another machine lacks: those of each machine lie apart.

  Args:
    folder: or 'none'.

  Returns:
    the folder that is used, or None.
  """
  if os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    return os.environ['JAX_COMPILATION_CACHE_DIR']
  if folder == NONE:
    return None
  backend = jax.default_backend()
  folder = os.path.join(os.path.abspath(folder), f'cpu-{platform.node()}' if backend == 'cpu' else backend)
  os.makedirs(folder, exist_ok=True)
  jax.config.update('jax_compilation_cache_dir', folder)
  return folder
