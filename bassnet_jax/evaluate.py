"""Evaluates a trained model anew: `python -m bassnet_jax.evaluate --checkpoint=WORKDIR --full`.

Without --full it is the report that a run ends with. With --full all test songs are played, and the maps of the plane have 21x21
positions on whole songs (minutes to an hour on two cores, depending on the songs).
"""

from __future__ import annotations

import dataclasses
import os
import sys

from absl import app, flags, logging

_CHECKPOINT = flags.DEFINE_string('checkpoint', None, 'Workdir of a training run.')
_FULL = flags.DEFINE_bool('full', False, 'All test songs, and the plane in 21x21 positions on whole songs.')
_DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of the datasets; what is missing is built there.')
_MANUAL_DIR = flags.DEFINE_string('manual_dir', None, 'Your own corpus, for configurations that read one.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder of the report; default: WORKDIR/report, or WORKDIR/report_full with --full.')


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

  checkpoint = os.path.abspath(checkpoint)
  _, description, _ = checkpoints.load_params(checkpoint)
  experiment = configs.from_dict(description['experiment'])
  data_dir = os.path.abspath(data_dir)
  corpus = corpora.open_corpus(experiment.data, data_dir, manual_dir, tfds_files=False)
  elsewhere = None
  if experiment.evaluation.datasets:
    data = dataclasses.replace(experiment.data, datasets=experiment.evaluation.datasets)
    elsewhere = corpora.open_corpus(data, data_dir, manual_dir, tfds_files=False)
  if output is None and full:
    output = os.path.join(checkpoint, 'report_full')
  figures = report.write(experiment, corpus, checkpoint, description['seed'], elsewhere, output, full)
  return figures, output or os.path.join(checkpoint, 'report')


def main(_) -> None:
  """Flags in, exit code out; a user's mistake is one plain line."""
  logging.set_verbosity(logging.ERROR)  # orbax tells of every file
  try:
    if not _CHECKPOINT.value:
      raise ValueError('give --checkpoint=WORKDIR, the --workdir of a training run')
    _, folder = evaluate(_CHECKPOINT.value, _DATA_DIR.value, _FULL.value, _OUTPUT.value, _MANUAL_DIR.value)
    print(f'report: {os.path.join(folder, "index.html")}', flush=True)
  except (ValueError, OSError, ModuleNotFoundError) as error:
    if os.environ.get('BASSNET_JAX_TRACEBACK'):
      raise
    print(f'error: {error}\n(BASSNET_JAX_TRACEBACK=1 shows where it was raised)', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  app.run(main)
