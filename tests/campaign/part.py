"""What the parts of the campaign share: a folder to work in, and the figures left where the page is made from: RESULTS/PART.json."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from bassnet_jax import source_commit

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PROGRAM = ('bassnet_jax', 'data_pipeline', 'experiments', 'tests/campaign')


def write(
  folder: str, part: str, *, title: str, command: str, statements: Sequence[str], table: Sequence[Sequence[Any]], **details: Any
) -> None:
  """Writes the file whole or not at all.

  Args:
    folder: of the results.
    part: name of the module.
    title, command, statements, table: what the page shows; the table's first row is its header.
    **details: what only the file holds; a `commit` there stands for the present one.
  """
  path = pathlib.Path(folder) / f'{part}.json'
  path.parent.mkdir(parents=True, exist_ok=True)
  values = {'title': title, 'command': command, 'date': datetime.date.today().isoformat(), 'commit': source_commit.current()}
  values |= {'statements': list(statements), 'table': [list(map(str, row)) for row in table]} | details
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_text(json.dumps(values, indent=1) + '\n')
  os.replace(temporary, path)


def kept(folder: str, part: str) -> dict[str, Any]:
  """What an earlier call has written, if the program has not changed since; pages and other tests may have. Else nothing."""
  path = pathlib.Path(folder) / f'{part}.json'
  if not path.exists():
    return {}
  values = json.loads(path.read_text())
  commits = (values.get('commit', ''), source_commit.current())
  command = ['git', '-C', str(_ROOT), 'diff', '--quiet', *commits, '--', *_PROGRAM]
  same = (commits[0] == commits[1] and len(commits[0]) == 40) or subprocess.run(command, capture_output=True, check=False).returncode == 0
  return values if same else {}


def begin(part: str, given: str | None) -> pathlib.Path:
  """A folder for the runs of a part; without a given one, a temporary one. From now on SIGTERM ends the command as Ctrl-C does."""
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  folder = pathlib.Path(given or tempfile.mkdtemp(prefix=f'bassnet_{part}_')).absolute()
  folder.mkdir(parents=True, exist_ok=True)
  folder.chmod(0o755)  # for runs of another user
  return folder


def end(folder: pathlib.Path, given: str | None, good: bool) -> int:
  """Deletes a temporary folder if all was well. Returns the exit code."""
  if not good:
    print(f'what did not end well is in {folder}', file=sys.stderr)
  elif not given:
    shutil.rmtree(folder)
  return 0 if good else 1
