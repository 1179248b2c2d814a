"""Feeds damaged and hostile input to everything that reads a file or a flag: `python -m tests.campaign.fuzz --inputs=10000 --seed=0`.

Prints a line a reader, and every finding shrunk to its smallest form; ends with 1 if there is one. What counts as a finding:
see `fuzzing`.
"""

from __future__ import annotations

import collections
import faulthandler
import multiprocessing
import os
import pathlib
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence

from . import part
from .fuzzing import Report, explore

MEMORY = 6 << 30
"""Bytes of address space by which a reader's process may grow; JAX alone takes some."""


def _child(name: str, inputs: int, seed: int, folder: str, pipe) -> None:
  """A target in a process of its own, limited in memory; a crash of a decoder ends this process alone."""
  import resource

  from absl import logging

  from . import fuzz_targets

  logging.set_verbosity(logging.FATAL)  # orbax tells of every file
  faulthandler.enable(os.fdopen(os.dup(2), 'w'))
  os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders complain there of every damaged frame
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  target = fuzz_targets.TARGETS[name]
  with open('/proc/self/statm') as file:
    resource.setrlimit(resource.RLIMIT_AS, (int(file.read().split()[0]) * resource.getpagesize() + MEMORY,) * 2)
  try:
    report = explore(target, inputs, seed, pathlib.Path(folder), pipe.send)
  except BaseException as error:
    report = Report(name, findings=[{'what': f'{type(error).__name__}: {error}', 'where': traceback.format_exc()[-1500:], 'input': ''}])
  pipe.send(report)


def campaign(names: Sequence[str], inputs: int, seed: int, seconds: float) -> list[Report]:
  """All targets, each in a process of its own, one after another."""
  from data_pipeline.progress import Progress

  from . import fuzz_targets

  shares = {name: fuzz_targets.TARGETS[name].share for name in names}
  counts = {name: max(round(inputs * share / sum(shares.values())), 1) for name, share in shares.items()}
  context = multiprocessing.get_context('spawn')
  reports = []
  with Progress(sum(counts.values()), 'fuzzing', 'inputs') as progress:
    for name in names:
      folder = tempfile.mkdtemp(prefix='bassnet_fuzz_')
      ours, theirs = context.Pipe(duplex=False)
      process = context.Process(target=_child, args=(name, counts[name], seed, folder, theirs))
      process.start()
      theirs.close()
      report = Report(name)
      try:
        while not isinstance(received := ours.recv() if ours.poll(seconds) else None, Report):
          if received is None:
            process.kill()
            report.findings.append({'what': f'no input done in {seconds:g} s', 'where': '', 'input': folder})
            break
          report.inputs += received
          progress.update(received, name)
        else:
          report = received
      except EOFError:
        process.join()
        report.findings.append({'what': f'its process ended with {process.exitcode}', 'where': '', 'input': f'the last file in {folder}'})
      process.join()
      reports.append(report)
      if not report.findings:
        shutil.rmtree(folder)
  return reports


_SORTS = {
  'outside its folder': 'files lost or written elsewhere', 'more than': 'hangs', 'no input done': 'hangs',
  'a message': 'messages that do not help', 'a bare': 'messages that do not help',
}  # fmt: skip
"""Of findings, by how their text begins; the others are tracebacks."""


def _sort(what: str) -> str:
  return next((sort for words, sort in _SORTS.items() if what.startswith(words)), 'tracebacks and crashes')


def table(reports: Sequence[Report]) -> str:
  """A line a target, as text."""
  lines = [f'{"reader":<24}{"inputs":>8}{"taken":>8}{"refused":>9}{"slowest":>10}{"findings":>10}']
  for report in reports:
    counts = f'{report.inputs:>8}{report.taken:>8}{report.refused:>9}'
    lines.append(f'{report.target:<24}{counts}{report.slowest:>8.2f} s{len(report.findings):>10}')
  total = collections.Counter()
  for report in reports:
    total.update(inputs=report.inputs, taken=report.taken, refused=report.refused, findings=len(report.findings))
  slowest = max((report.slowest for report in reports), default=0.0)
  lines.append(f'{"all":<24}{total["inputs"]:>8}{total["taken"]:>8}{total["refused"]:>9}{slowest:>8.2f} s{total["findings"]:>10}')
  for report in reports:
    for finding in report.findings:
      lines += ['', f'{report.target}: {finding["what"]}', f'  at {finding["where"]}', f'  input: {finding["input"][:600]}']
  return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command. Returns its exit code: 0, 1 with findings, 2 for a user's mistake."""
  from absl import flags

  from . import fuzz_targets

  defined = flags.FlagValues()
  flags.DEFINE_integer('inputs', 10_000, 'in all', lower_bound=1, flag_values=defined)
  flags.DEFINE_integer('seed', 0, 'of the choices', lower_bound=0, flag_values=defined)
  flags.DEFINE_list('targets', sorted(fuzz_targets.TARGETS), 'readers to feed', flag_values=defined)
  flags.DEFINE_string('results', 'docs/campaign', 'folder of fuzz.json', flag_values=defined)
  flags.DEFINE_bool('messages', False, 'print one refusal of every place', flag_values=defined)
  flags.DEFINE_float('silence', 180.0, 'seconds without an input done after which a reader is given up', flag_values=defined)
  flags.DEFINE_bool('help', False, 'show this text', flag_values=defined)
  try:
    defined(list(sys.argv if arguments is None else arguments))
    if defined.help:
      print(f'{__doc__}\n{defined.get_help()}')
      return 0
    unknown = [name for name in defined.targets if name not in fuzz_targets.TARGETS]
    if unknown:
      raise flags.Error(f'--targets={unknown[0]} is no reader; there are: {", ".join(sorted(fuzz_targets.TARGETS))}')
  except flags.Error as error:
    print(f'fuzz: {error}', file=sys.stderr)
    return 2
  reports = campaign(defined.targets, defined.inputs, defined.seed, defined.silence)
  print(table(reports))
  if defined.messages:
    for report in reports:
      for place, message in sorted(report.messages.items()):
        print(f'{report.target}, {place}: {message}')
  counted = {name: sum(getattr(report, name) for report in reports) for name in ('inputs', 'taken', 'refused')}
  findings = sum(len(report.findings) for report in reports)
  sorts = dict.fromkeys((*_SORTS.values(), 'tracebacks and crashes'), 0)
  for report in reports:
    for finding in report.findings:
      sorts[_sort(finding['what'])] += 1
  part.write(
    defined.results,
    'fuzz',
    title='Bad input',
    command=f'python -m tests.campaign fuzz --inputs={defined.inputs} --seed={defined.seed}',
    statements=[
      f'{counted["inputs"]} inputs to {len(reports)} readers: {counted["taken"]} taken, {counted["refused"]} refused in words',
      f'{findings} findings: ' + ', '.join(f'{name} {count}' for name, count in sorts.items()),
    ],
    table=[
      ('reader', 'inputs', 'taken', 'refused', 'slowest', 'findings'),
      *((r.target, r.inputs, r.taken, r.refused, f'{r.slowest:.2f} s', len(r.findings)) for r in reports),
    ],
    findings={report.target: report.findings for report in reports if report.findings},
  )
  return 1 if any(report.findings for report in reports) else 0


if __name__ == '__main__':
  sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the tests' makers of corpora and models
  sys.exit(main())
