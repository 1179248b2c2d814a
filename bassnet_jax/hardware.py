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
  return f'{_processor()}, {cores()} core{"" if cores() == 1 else "s"}'


def cores() -> int:
  """Processor cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _processor() -> str:
  """The processor's name; `platform.processor` is empty on most Linux systems."""
  if os.path.exists('/proc/cpuinfo'):
    with open('/proc/cpuinfo') as file:
      for line in file:
        if line.startswith('model name'):
          return ' '.join(line.partition(':')[2].split())
  return platform.processor() or platform.machine()


def products() -> str:
  """How float32 matrix products are computed here: 'float32', 'tf32' or 'bfloat16'; see `jax.lax.Precision`."""
  backend, setting = jax.default_backend(), jax.config.jax_default_matmul_precision
  if backend == 'cpu':
    return 'float32'
  if setting in (None, 'default', 'fastest'):
    return {'gpu': 'tf32', 'tpu': 'bfloat16'}.get(backend, 'float32')
  return {'high': 'tf32', 'tensorfloat32': 'tf32', 'bfloat16': 'bfloat16'}.get(setting, 'float32')


def precision(dtype: str) -> str:
  """What a network of `model.dtype` computes in here, in words."""
  words = {
    'float32': 'float32',
    'tf32': 'float32, products in TF32 where the device has it',
    'bfloat16': 'float32, products in bfloat16',
  }[products()]
  return words if dtype == 'float32' else f'layers in {dtype}, parameters and losses in {words}'


def peak_memory_mib() -> float | None:
  """The most memory that one of this process's devices had in use, in MiB; None where they don't tell, as CPUs."""
  peaks = [(device.memory_stats() or {}).get('peak_bytes_in_use') for device in jax.local_devices()]
  known = [peak for peak in peaks if peak]
  return max(known) / 2**20 if known else None
