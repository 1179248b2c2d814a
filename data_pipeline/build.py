"""Builds a dataset: features of every song (stage 1), then the TFDS files (stage 2); `python -m data_pipeline.build --help`."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import sys
from collections.abc import Iterator

from absl import app, flags

from data_pipeline import catalogue, extraction, file_errors, survey


def is_built(name: str, data_dir: str, tfds_files: bool = True) -> bool:
  """Whether a dataset is complete, with or without its TFDS files."""
  dataset, config = catalogue.parse(name)
  summary = extraction.load_summary(extraction.folder(data_dir, dataset, config), missing_ok=True)
  return summary is not None and (not tfds_files or os.path.exists(os.path.join(tfds_folder(name, data_dir), 'dataset_info.json')))


def tfds_folder(name: str, data_dir: str) -> str:
  """Where the TFDS files of a dataset lie; `tfds.builder_from_directory` reads them."""
  from data_pipeline import features as ft

  return os.path.join(data_dir, name, ft.VERSION)


def build(
  name: str, data_dir: str, manual_dir: str | None = None, workers: int | None = None, tfds_files: bool = True
) -> extraction.Summary:
  """Builds what is missing of 'dataset/configuration'; both stages go on where they were stopped.

  Args:
    data_dir: the datasets' common folder.
    manual_dir: the user's own corpus, where the configuration reads one.
    workers: processes of stage 1; default: one a core.
    tfds_files: False: stage 1 only (all that the `resident` input needs; no tensorflow).

  Raises:
    ValueError: with what to do, if the source can't be used.
  """
  dataset, config = catalogue.parse(name)
  if is_built(name, data_dir, tfds_files):
    return extraction.load_summary(extraction.folder(data_dir, dataset, config))
  with _alone(extraction.folder(data_dir, dataset, config), name):
    return _build(name, data_dir, manual_dir, workers, tfds_files)


@contextlib.contextmanager
def _alone(directory: str, name: str) -> Iterator[None]:
  """One build of a dataset at a time; another waits for it. The lock goes with the process, however it ends."""
  os.makedirs(os.path.dirname(directory), exist_ok=True)
  with open(f'{directory}.lock', 'w') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      print(f'another process is building {name} there: waiting for it', flush=True)
      fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _build(name: str, data_dir: str, manual_dir: str | None, workers: int | None, tfds_files: bool) -> extraction.Summary:
  """What is missing of a dataset that nobody else is building."""
  dataset, config = catalogue.parse(name)
  directory = extraction.folder(data_dir, dataset, config)
  summary = extraction.load_summary(directory, missing_ok=True)
  if summary is None:
    source = catalogue.source(name, manual_dir)
    if not os.path.isdir(directory):  # what was begun has been checked
      survey.check_before(source, data_dir, tfds_files)
    summary = extraction.extract(source, directory, workers)
  if tfds_files and not is_built(name, data_dir):
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from data_pipeline import tfds_builders

    if not sys.stderr.isatty():
      tfds.disable_progress_bar()  # its control characters don't belong in a log file
    print(f'packing {name} into TFDS files', flush=True)
    for remains in glob.glob(f'{glob.escape(tfds_folder(name, data_dir))}.incomplete*'):
      shutil.rmtree(remains)  # of a build that was killed
    builder = tfds_builders.BUILDERS[dataset](config=config, data_dir=data_dir)
    try:
      builder.download_and_prepare()
    except tf.errors.OpError as error:  # a full disk, most likely
      raise OSError(f'{tfds_folder(name, data_dir)} can not be written: {error.message}') from error
  return summary


def dry_run(name: str, data_dir: str, manual_dir: str | None = None, workers: int | None = None) -> survey.Survey:
  """Reads every song of 'dataset/configuration' as a build does, says what would become of it, and writes nothing.

  Raises:
    ValueError: with what to do, if the source can't be used.
  """
  catalogue.parse(name)
  found = survey.examine(catalogue.source(name, manual_dir), workers)
  print(found.table())
  needed = survey.bytes_needed(found.seconds)
  where = os.path.abspath(data_dir)
  while not os.path.isdir(where):
    where = os.path.dirname(where)
  print(f'a build needs about {needed / 1e9:.2f} GB in {data_dir}, {shutil.disk_usage(where).free / 1e9:.2f} GB are free')
  return found


def main(_) -> None:
  try:
    name = f'{_DATASET.value}/{_CONFIG.value}'
    if _DRY_RUN.value:
      dry_run(name, os.path.abspath(_DATA_DIR.value), _MANUAL_DIR.value, _WORKERS.value)
      return
    summary = build(name, os.path.abspath(_DATA_DIR.value), _MANUAL_DIR.value, _WORKERS.value, _TFDS.value)
  except (ValueError, FileNotFoundError, ModuleNotFoundError, OSError) as error:
    print(f'error: {file_errors.explain(error)}', file=sys.stderr)
    sys.exit(2)
  print(summary.table())
  print(f'built: {tfds_folder(name, os.path.abspath(_DATA_DIR.value))}')


if __name__ == '__main__':
  # Only here: other commands of this package import this module and have flags of the same names.
  _DATASET = flags.DEFINE_string('dataset', None, 'bassnet_artificial or bassnet_pop_rock.')
  _CONFIG = flags.DEFINE_string('config', None, 'Configuration, for example a1 or open.')
  _DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of all datasets.')
  _MANUAL_DIR = flags.DEFINE_string('manual_dir', None, 'Your own corpus, for configurations that read one.')
  _WORKERS = flags.DEFINE_integer('workers', None, 'Processes; default: one a core.')
  _TFDS = flags.DEFINE_bool('tfds', True, 'Also pack the features into TFDS files; --notfds needs no tensorflow.')
  _DRY_RUN = flags.DEFINE_bool('dry_run', False, 'Only say what would be used, and what skipped and why.')
  app.run(main)
