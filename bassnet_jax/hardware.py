"""What a run was made on, in words."""

from __future__ import annotations

import os
import platform

import jax


def describe() -> str:
  """For example '1 x NVIDIA H100 80GB HBM3' or 'AMD EPYC, 2 cores'."""
  devices = jax.devices()
  if devices[0].platform != 'cpu':
    return f'{len(devices)} x {devices[0].device_kind}'
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  return f'{_processor()}, {cores} core{"" if cores == 1 else "s"}'


def _processor() -> str:
  """The processor's name; `platform.processor` is empty on most Linux systems."""
  if os.path.exists('/proc/cpuinfo'):
    with open('/proc/cpuinfo') as file:
      for line in file:
        if line.startswith('model name'):
          return ' '.join(line.partition(':')[2].split())
  return platform.processor() or platform.machine()
