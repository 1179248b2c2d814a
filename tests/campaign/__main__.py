"""Prints the campaign's table and writes its page: `python -m tests.campaign`; with `kills --tries=3` behind it, runs that part first.

A part of the campaign is a module of this folder with a function `main(arguments)`; it leaves RESULTS/PART.json, of which the page takes

    title, command, date, commit: text
    statements: list of sentences
    table: list of rows, of which the first is the header; or left out

The page is made of those that exist.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import sys
from collections.abc import Sequence

from bassnet_jax import source_commit

_HERE = pathlib.Path(__file__).resolve().parent
RESULTS = _HERE.parents[1] / 'docs' / 'campaign'
_INTRODUCTION = """# The campaign: faults, bad input, load

`python -m tests.campaign` prints and writes this page from `docs/campaign/*.json`; each part is made by its own command, below.
"""


def parts() -> list[str]:
  """Modules of this folder that are commands."""
  return sorted(path.stem for path in _HERE.glob('*.py') if '\ndef main(' in path.read_text() and path.stem != '__main__')


def markdown(part: dict) -> str:
  """The section of one part of the page."""
  lines = [
    f'## {part["title"]}',
    '',
    f'`{part["command"]}`, {part["date"]}, commit {source_commit.short(part.get("commit", "unknown"))}.',
    '',
  ]
  lines += [f'- {statement}' for statement in part['statements']]
  if part.get('table'):
    header, *rows = [[str(cell).replace('|', '\\|').replace('\n', ' ') for cell in row] for row in part['table']]
    lines += ['', f'| {" | ".join(header)} |', '|' + '---|' * len(header), *(f'| {" | ".join(row)} |' for row in rows)]
  return '\n'.join(lines) + '\n'


def page(results: pathlib.Path) -> str:
  """The whole page, of the parts that have been run.

  Raises:
    ValueError: a result lacks what the page takes of it.
  """
  sections = []
  for path in sorted(results.glob('*.json')):
    try:
      sections.append(markdown(json.loads(path.read_text())))
    except (KeyError, TypeError, ValueError) as error:
      raise ValueError(f'{path} is no result of a part of the campaign ({type(error).__name__}: {error}); see `--help`') from error
  if not sections:
    raise ValueError(f'{results} holds no results; make some: python -m tests.campaign PART, with one of {", ".join(parts())}')
  return '\n'.join([_INTRODUCTION, *sections])


def main(arguments: Sequence[str]) -> int:
  """Runs the command. Returns its exit code: that of the part, or 0; 2 for a user's mistake."""
  name, given = (arguments[0], list(arguments[1:])) if arguments else ('', [])
  if name in ('-h', '--help', '--helpfull'):
    print(f'{__doc__}\nparts: {", ".join(parts())}')
    return 0
  if name and name not in parts():
    print(f'campaign: there is no part {name!r}; there are {", ".join(parts())}', file=sys.stderr)
    return 2
  if name and any(word in given for word in ('--help', '--helpfull')):
    return importlib.import_module(f'{__package__}.{name}').main([name, *given])
  code = importlib.import_module(f'{__package__}.{name}').main([name, *given]) if name else 0
  elsewhere = [word.partition('=')[2] for word in given if word.startswith('--results=')]
  results = pathlib.Path(elsewhere[-1]) if elsewhere else RESULTS
  try:
    text = page(results)
  except ValueError as error:
    print(f'campaign: {error}', file=sys.stderr)
    return code or 2
  path = results.with_suffix('.md')
  path.with_name(path.name + '.tmp').write_text(text)
  os.replace(path.with_name(path.name + '.tmp'), path)
  print(f'{text}\nwritten: {path}')
  return code


if __name__ == '__main__':
  sys.path.insert(0, str(_HERE.parent))  # the tests' makers of songs
  sys.exit(main(sys.argv[1:]))
