"""Keeps how each stage of launch/nightly.sh ended at its last time; the script calls it: `python -m tests.campaign nightly --stage=...`.

Stages take long, and may be run on different days: what other stages have left stays, with its own date and commit.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import sys
from collections.abc import Sequence

from . import part

_HEADER = ['stage', 'result', 'seconds', 'date', 'commit']


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command. Returns its exit code."""
  from absl import flags

  from bassnet_jax import source_commit

  defined = flags.FlagValues()
  flags.DEFINE_string('stage', None, 'of launch/nightly.sh', required=True, flag_values=defined)
  flags.DEFINE_enum('result', None, ['passed', 'failed', 'not installed'], 'how it ended', required=True, flag_values=defined)
  flags.DEFINE_integer('seconds', None, 'that it took', lower_bound=0, required=True, flag_values=defined)
  flags.DEFINE_string('results', 'docs/campaign', 'folder of nightly.json', flag_values=defined)
  try:
    defined(list(sys.argv if arguments is None else arguments))
  except flags.Error as error:
    print(f'nightly: {error}; launch/nightly.sh calls this after each stage', file=sys.stderr)
    return 2
  path = pathlib.Path(defined.results) / 'nightly.json'
  stages = {row[0]: row for row in json.loads(path.read_text())['table'][1:]} if path.exists() else {}
  today, commit = datetime.date.today().isoformat(), source_commit.short(source_commit.current())
  stages[defined.stage] = [defined.stage, defined.result, str(defined.seconds), today, commit]
  ran = [row for row in stages.values() if row[1] != 'not installed']
  part.write(
    defined.results, 'nightly', title='Nightly: versions, Pythons, campaigns', command='launch/nightly.sh',
    statements=[f'stages run: {len(ran)}, passed: {sum(row[1] == "passed" for row in ran)}; each as at its last time'],
    table=[_HEADER, *stages.values()],
  )  # fmt: skip
  return 0


if __name__ == '__main__':
  sys.exit(main())
