"""A page of Markdown with pictures, and the cells that all tables over seeds have."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from typing import Any

from bassnet_jax.evaluation import results
from bassnet_jax.evaluation.results import Conditions, Row


class Document:
  """Markdown, line by line; pictures are drawn into `folder`."""

  def __init__(self, root: str, folder: str):
    self.lines: list[str] = []
    self.pictures: list[str] = []
    self._root, self._folder = root, folder

  def heading(self, text: str, level: int = 2) -> None:
    self.lines += [f'{"#" * level} {text}', '']

  def text(self, text: str) -> None:
    self.lines += [text, '']

  def items(self, texts: Sequence[str]) -> None:
    self.lines += [*(f'- {text}' for text in texts), '']

  def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    line = lambda cells: '| ' + ' | '.join(str(cell).replace('|', '\\|').replace('\n', ' ') for cell in cells) + ' |'  # noqa: E731
    self.lines += [line(header), '|' + '---|' * len(header), *(line(row) for row in rows), '']

  def shown(self, path: str, caption: str) -> None:
    """Adds a picture that is there."""
    self.lines += [f'![{caption}]({os.path.relpath(path, self._root).replace(os.sep, "/")})', '', f'*{caption}*', '']

  def picture(self, name: str, caption: str) -> str:
    """Adds a picture; returns where it is to be drawn."""
    os.makedirs(self._folder, exist_ok=True)
    path = os.path.join(self._folder, name)
    self.pictures.append(name)
    self.shown(path, caption)
    return path


def condition_cells(conditions: Conditions) -> tuple[str, str]:
  """Cells: steps, preset with settings."""
  changed = conditions.settings not in ('', results.NOT_RECORDED)
  return f'{conditions.steps:,}', conditions.preset + (f', `{conditions.settings}`' if changed else '')


def seeds_cell(row: Row) -> str:
  return str(len(row.results))


def file_stem(name: str, conditions: Conditions) -> str:
  """Part of a picture's file name that stays the same whatever other rows there are."""
  stem = f'{name}_{conditions.steps}_steps_{conditions.preset.replace(" ", "_")}'
  if conditions.settings in ('', results.NOT_RECORDED):
    return stem
  return f'{stem}_set_{zlib.crc32(conditions.settings.encode()):08x}'  # settings make long names
