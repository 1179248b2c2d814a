"""Evaluates a trained model anew: `python -m bassnet_jax.evaluate --checkpoint=WORKDIR --full`.

Without --full it is the report that a run ends with. With --full all test songs are played, and the maps of the plane have 21x21
positions on whole songs (minutes to an hour on two cores, depending on the songs).
"""

from __future__ import annotations

import dataclasses
import os
import sys

from absl import flags

from data_pipeline import commands


def evaluate(
  checkpoint: str, data_dir: str = 'data', full: bool = False, output: str | None = None, manual_dir: str | None = None
) -> tuple[dict, str]:
  """Writes a report of a workdir's newest checkpoint.

  Returns:
    what its metrics.json holds, and the report's folder.

  Raises:
    CheckpointError: there is no checkpoint.
    ValueError: a dataset can't be used.
  """
  from bassnet_jax import checkpoints
  from bassnet_jax import config as configs
  from bassnet_jax.evaluation import report
  from bassnet_jax.inputs import corpus as corpora
  from data_pipeline import storage

  checkpoint, data_dir = storage.absolute(checkpoint), storage.absolute(data_dir)
  for place in (checkpoint, data_dir):
    storage.check(place)
  _, description, _ = checkpoints.load_params(checkpoint)
  experiment = configs.from_dict(description['experiment'])
  corpus = corpora.open_corpus(experiment.data, data_dir, manual_dir, tfds_files=False)
  elsewhere = None
  if experiment.evaluation.datasets:
    data = dataclasses.replace(experiment.data, datasets=experiment.evaluation.datasets)
    elsewhere = corpora.open_corpus(data, data_dir, manual_dir, tfds_files=False)
  if output is None and full:
    output = os.path.join(storage.local(checkpoint), 'report_full')
  figures = report.write(experiment, corpus, checkpoint, description['seed'], elsewhere, output, full)
  return figures, output or os.path.join(storage.local(checkpoint), 'report')


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'checkpoint', None, 'workdir of a training run')
  define(flags.DEFINE_bool, 'full', False, 'all test songs, and the plane in 21x21 positions on whole songs')
  define(flags.DEFINE_string, 'data_dir', 'data', 'folder of the datasets; what is missing is built there')
  define(flags.DEFINE_string, 'manual_dir', None, 'your own corpus, for configurations that read one')
  define(flags.DEFINE_string, 'output', None, 'folder of the report (default: WORKDIR/report, or WORKDIR/report_full with --full)')


@commands.with_flags(_define_flags, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Writes the report."""
  if not defined.checkpoint:
    raise ValueError('--checkpoint is missing: give --checkpoint=WORKDIR, the --workdir of a training run')
  _, folder = evaluate(defined.checkpoint, defined.data_dir, defined.full, defined.output, defined.manual_dir)
  print(f'report: {os.path.join(folder, "index.html")}', flush=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
