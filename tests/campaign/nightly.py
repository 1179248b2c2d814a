"""Keeps the table of a nightly run: launch/nightly.sh gives it 'stage,result,seconds' lines on stdin."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence

from . import part


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command. Returns its exit code."""
  from absl import flags

  defined = flags.FlagValues()
  flags.DEFINE_string('stages', '', 'that were asked for', flag_values=defined)
  flags.DEFINE_string('results', 'docs/campaign', 'folder of nightly.json', flag_values=defined)
  try:
    defined(list(sys.argv if arguments is None else arguments))
    rows = [line.split(',') for line in sys.stdin.read().split()] if sys.stdin and not sys.stdin.isatty() else []
    if not rows or any(len(row) != 3 for row in rows):
      raise flags.Error('stdin holds no table; this is what launch/nightly.sh calls at its end')
  except flags.Error as error:
    print(f'nightly: {error}', file=sys.stderr)
    return 2
  ran = [row for row in rows if row[1] in ('passed', 'failed')]
  passed = sum(row[1] == 'passed' for row in ran)
  part.write(
    defined.results, 'nightly', title='Nightly: versions, Pythons, campaigns', command=f'launch/nightly.sh {defined.stages}'.strip(),
    statements=[f'stages run: {len(ran)}, passed: {passed}; Python {platform.python_version()}'],
    table=[['stage', 'result', 'seconds'], *rows],
  )  # fmt: skip
  return 0


if __name__ == '__main__':
  sys.exit(main())
