"""Scalars of a run: JSON lines for programs, TensorBoard events for people."""

from __future__ import annotations

import contextlib
import json
import os
import sys

import jax

from data_pipeline import storage


class ScalarLog:
  """Scalars as JSON lines in `metrics.jsonl`, and as TensorBoard events; with a workdir in a bucket, in its local folder until `push`."""

  def __init__(self, workdir: str, begun: int):
    self._workdir = workdir
    self._events = None
    if jax.process_index() != 0:
      return
    workdir = storage.fetch(workdir)
    self._path = os.path.join(workdir, 'metrics.jsonl')
    kept = [row for row in read_rows(self._path) if row['step'] <= begun]
    with open(self._path + '.tmp', 'w') as file:
      file.writelines(json.dumps(row) + '\n' for row in kept)
    os.replace(self._path + '.tmp', self._path)
    from tensorboardX import SummaryWriter

    self._events = SummaryWriter(os.path.join(workdir, 'tensorboard'), purge_step=begun, flush_secs=20)

  def write(self, step: int, row: dict[str, float]) -> None:
    if self._events is None:
      return
    with open(self._path, 'a') as file:
      file.write(json.dumps({'step': step} | row) + '\n')
    for name, value in row.items():
      self._events.add_scalar(name, value, step)

  def push(self) -> None:
    """Into the bucket, if the workdir is in one. Training goes on if that fails: the next time brings everything."""
    if self._events is None:
      return
    self._events.flush()
    try:
      storage.push(self._workdir)
    except Exception as error:  # tensorflow and gcsfs have their own errors, without a common base
      print(f'the logs were not copied to {self._workdir}: {error}. The next checkpoint tries again.', file=sys.stderr)

  def __enter__(self) -> ScalarLog:
    return self

  def __exit__(self, *_) -> None:
    if self._events is not None:
      self._events.close()


def read_rows(path: str) -> list[dict[str, float]]:
  """Rows of a `metrics.jsonl`; a last line that a kill cut short is left out."""
  rows = []
  if os.path.exists(path):
    with open(path) as file:
      for line in file:
        with contextlib.suppress(json.JSONDecodeError):
          rows.append(json.loads(line))
  return rows
