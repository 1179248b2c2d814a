"""Leaves the figures of a part of the campaign where its page is made from: RESULTS/PART.json."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any


def write(
  folder: str, part: str, *, title: str, command: str, statements: Sequence[str], table: Sequence[Sequence[Any]], **details: Any
) -> None:
  """Writes the file whole or not at all.

  Args:
    folder: of the results.
    part: name of the module.
    title, command, statements, table: what the page shows; the table's first row is its header.
    **details: what only the file holds.
  """
  from bassnet_jax import train

  path = pathlib.Path(folder) / f'{part}.json'
  path.parent.mkdir(parents=True, exist_ok=True)
  values = {'title': title, 'command': command, 'date': datetime.date.today().isoformat(), 'commit': train.commit()}
  values |= {'statements': list(statements), 'table': [list(map(str, row)) for row in table]} | details
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_text(json.dumps(values, indent=1) + '\n')
  os.replace(temporary, path)
