"""Which parts of the network a traced step spends its time in."""

from __future__ import annotations

import collections
import glob
import os
import re

_OPERATION = re.compile(r'^\s+(?:ROOT )?%?([\w.\-]+) = .*? ([a-z][\w\-]*)\(.*?op_name="([^"]*)"', re.MULTILINE)


def operations(program: str) -> dict[str, str]:
  """The group of every operation of a compiled program, by name.

  A group is a module and a form: 'backward mix_encoder/ResidualBlock_0, product'. What lies in no module, such as the loss, is grouped by
  its first scope.

  Args:
    program: its optimised text, as of `jax.stages.Compiled.as_text`.
  """
  return {name: _group(name, kind, scope) for name, kind, scope in _OPERATION.findall(program)}


def _group(name: str, kind: str, scope: str) -> str:
  way = 'backward' if 'transpose(' in scope else 'forward'
  parts = re.sub(r'\b(?:jit|jvp|transpose|vmap)\(|\)', '', scope).split('/')
  modules = [part for part in parts if re.fullmatch(r'\w+_encoder|decoder|[A-Z]\w*_\d+', part)]
  product = kind in ('dot', 'convolution') or name.startswith(('ynn_fusion', 'dot', 'gemm', 'onednn'))
  return f'{way} {"/".join(modules[:2]) or "augmentation, loss, optimiser"}, {"product" if product else "other"}'


def milliseconds(folder: str, program: str, steps: int) -> dict[str, float]:
  """Milliseconds of a step in each group, most first, summed over threads: with several at work, more than the step takes.

  Args:
    folder: that `jax.profiler.trace` wrote; its newest trace counts.
    program: as of `operations`.
    steps: how many were traced.
  """
  from jax.profiler import ProfileData

  traces = glob.glob(os.path.join(folder, '**', '*.xplane.pb'), recursive=True)
  groups, spent = operations(program), collections.Counter()
  for plane in ProfileData.from_file(max(traces, key=os.path.getmtime)).planes:
    for line in plane.lines:
      for event in line.events:
        if event.name in groups:
          spent[groups[event.name]] += event.duration_ns / 1e6 / steps
  return dict(spent.most_common())
