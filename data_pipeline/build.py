"""Builds a dataset: features of every song (stage 1), then the TFDS files (stage 2); `python -m data_pipeline.build --help`."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import sys
from collections.abc import Iterator, Sequence

from absl import app, flags

from data_pipeline import catalogue, commands, extraction, source_options, storage, survey


def is_built(name: str, data_dir: str, tfds_files: bool = True) -> bool:
  """Whether a dataset is complete, with or without its TFDS files."""
  dataset, config = catalogue.parse(name)
  summary = extraction.load_summary(extraction.folder(data_dir, dataset, config), missing_ok=True)
  return summary is not None and (not tfds_files or storage.exists(os.path.join(tfds_folder(name, data_dir), 'dataset_info.json')))


def tfds_folder(name: str, data_dir: str) -> str:
  """Where the TFDS files of a dataset lie; `tfds.builder_from_directory` reads them."""
  from data_pipeline import features as ft

  return os.path.join(data_dir, name, ft.VERSION)


def build(
  name: str,
  data_dir: str,
  manual_dir: str | None = None,
  workers: int | None = None,
  tfds_files: bool = True,
  beam_options: list[str] | None = None,
  options: Sequence[str] | None = None,
) -> extraction.Summary:
  """Builds what is missing of 'dataset/configuration'; both stages go on where they were stopped.

  Args:
    data_dir: the datasets' common folder.
    manual_dir: the user's own corpus, where the configuration reads one.
    workers: processes of stage 1; default: one a core.
    tfds_files: False: stage 1 only (all that the `resident` input needs; no tensorflow).
    beam_options: of an Apache Beam pipeline ('--runner=DirectRunner'), which then makes stage 1.
    options: of the source, 'option=value' each. A dataset that is there must have been built with the same ones; None takes it as it is.

  Raises:
    ValueError: with what to do, if the source can't be used, or the dataset that is there was built with other options.
  """
  dataset, config = catalogue.parse(name)
  if is_built(name, data_dir, tfds_files) and options is None:
    return extraction.load_summary(extraction.folder(data_dir, dataset, config))
  with _alone(extraction.folder(data_dir, dataset, config), name):
    return _build(name, data_dir, manual_dir, workers, tfds_files, beam_options, options)


@contextlib.contextmanager
def _alone(directory: str, name: str) -> Iterator[None]:
  """One build of a dataset at a time; another waits for it. The lock goes with the process, however it ends; buckets have none."""
  if storage.is_remote(directory):
    yield
    return
  os.makedirs(os.path.dirname(directory), exist_ok=True)
  with open(f'{directory}.lock', 'w') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      print(f'another process is building {name} there: waiting for it', flush=True)
      fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _build(
  name: str,
  data_dir: str,
  manual_dir: str | None,
  workers: int | None,
  tfds_files: bool,
  beam_options: list[str] | None,
  options: Sequence[str] | None,
) -> extraction.Summary:
  """What is missing of a dataset that nobody else is building."""
  dataset, config = catalogue.parse(name)
  directory = extraction.folder(data_dir, dataset, config)
  summary = extraction.load_summary(directory, missing_ok=True)
  if summary is not None and options is not None:
    _check_same(name, summary, options, directory)
  if summary is None:
    plain, source = catalogue.source(name, manual_dir), catalogue.source(name, manual_dir, options or ())
    changed = source_options.chosen(plain, source)
    if not storage.is_folder(directory):  # what was begun has been checked
      survey.check_before(source, data_dir, tfds_files)
    if beam_options is None:
      summary = extraction.extract(source, directory, workers, changed)
    else:
      from data_pipeline import beam_extraction

      summary = beam_extraction.extract(source, directory, beam_options, changed)
  if tfds_files and not is_built(name, data_dir):
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from data_pipeline import tfds_builders

    if not sys.stderr.isatty():
      tfds.disable_progress_bar()  # its control characters don't belong in a log file
    print(f'packing {name} into TFDS files', flush=True)
    remove_half_packed(name, data_dir)
    builder = tfds_builders.BUILDERS[dataset](config=config, data_dir=data_dir)
    try:
      builder.download_and_prepare()
    except tf.errors.OpError as error:  # a full disk, most likely
      raise OSError(f'{tfds_folder(name, data_dir)} can not be written: {error.message}') from error
  return summary


def remove_half_packed(name: str, data_dir: str) -> None:
  """Removes what a build that was killed has left of its TFDS files; nobody else may be building the dataset."""
  if storage.is_remote(data_dir):
    return
  parent, version = os.path.split(tfds_folder(name, data_dir))
  for pattern in (f'incomplete.*_{version}', f'{version}.incomplete*'):  # as TFDS names its folder today, and did before
    for remains in glob.glob(os.path.join(glob.escape(parent), pattern)):
      shutil.rmtree(remains)


def _check_same(name: str, summary: extraction.Summary, options: Sequence[str], directory: str) -> None:
  """Raises ValueError: a finished dataset isn't what a build with these options would make."""
  anywhere = os.curdir  # its folder is no option: a corpus may move, or be gone
  source = catalogue.source(name, anywhere, options)
  wanted = source_options.chosen(catalogue.source(name, anywhere), source)
  if wanted != summary.options:
    raise ValueError(
      f'{name} was built with other options of its source:\n  there: {" ".join(summary.options) or "none"}\n'
      f'  now:   {" ".join(wanted) or "none"}\nGive the same --source_set, another --data_dir, or delete {directory} (and the TFDS files).'
    )
  if outdated(name, summary):
    raise ValueError(f'{outdated(name, summary)} Give another --data_dir, or delete {directory} (and the TFDS files).')


def outdated(name: str, summary: extraction.Summary) -> str:
  """A sentence that says so, if a finished dataset holds other songs than this package would make today; else ''."""
  source = catalogue.source(name, os.curdir)
  version = getattr(getattr(source, 'source', source), 'version', None)
  if version is None or f'version={version!r}' in summary.source:
    return ''
  return f'{name} was made by another version of its source ({summary.source}); this package makes version {version}.'


def dry_run(
  name: str, data_dir: str, manual_dir: str | None = None, workers: int | None = None, options: Sequence[str] = ()
) -> survey.Survey:
  """Reads every song of 'dataset/configuration' as a build does, says what would become of it, and writes nothing.

  Raises:
    ValueError: with what to do, if the source can't be used.
  """
  catalogue.parse(name)
  found = survey.examine(catalogue.source(name, manual_dir, options), workers)
  print(found.table())
  needed = survey.bytes_needed(found.seconds)
  if storage.is_remote(data_dir):
    print(f'a build needs about {needed / 1e9:.2f} GB in {data_dir}')
    return found
  where = os.path.abspath(data_dir)
  while not os.path.isdir(where):
    where = os.path.dirname(where)
  print(f'a build needs about {needed / 1e9:.2f} GB in {data_dir}, {shutil.disk_usage(where).free / 1e9:.2f} GB are free')
  return found


def _beam_options(text: str | None) -> list[str] | None:
  """'runner=DirectRunner,streaming' -> ['--runner=DirectRunner', '--streaming'], as TFDS takes them."""
  return None if text is None else [f'--{option.strip()}' for option in text.split(',') if option.strip()]


@commands.plain_errors()
def main(arguments: list[str]) -> None:
  commands.only_flags(arguments[1:], None, 'source_set')
  for flag in (_DATASET, _CONFIG):
    if not flag.value:
      raise flags.Error(f'--{flag.name} is missing: give --dataset=DATASET --config=CONFIGURATION of one of {", ".join(catalogue.names())}')
  name = f'{_DATASET.value}/{_CONFIG.value}'
  if _DRY_RUN.value:
    dry_run(name, storage.absolute(_DATA_DIR.value), _MANUAL_DIR.value, _WORKERS.value, _SOURCE_SET.value)
    return
  storage.check(_DATA_DIR.value)
  data_dir, beam = storage.absolute(_DATA_DIR.value), _beam_options(_BEAM.value)
  summary = build(name, data_dir, _MANUAL_DIR.value, _WORKERS.value, _TFDS.value, beam, _SOURCE_SET.value)
  print(summary.table())
  print(f'built: {tfds_folder(name, storage.absolute(_DATA_DIR.value))}')


if __name__ == '__main__':
  # Only here: other commands of this package import this module and have flags of the same names.
  _DATASET = flags.DEFINE_string('dataset', None, 'bassnet_artificial or bassnet_pop_rock.')
  _CONFIG = flags.DEFINE_string('config', None, 'Configuration, for example a1 or open.')
  _DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of all datasets.')
  _MANUAL_DIR = flags.DEFINE_string('manual_dir', None, 'Your own corpus, for configurations that read one.')
  _SOURCE_SET = flags.DEFINE_multi_string(
    'source_set', [], 'Option of the source, option=value, repeatedly; an unknown one lists those that there are.'
  )
  _WORKERS = flags.DEFINE_integer('workers', None, 'Processes; default: one a core.')
  _BEAM = flags.DEFINE_string(
    'beam_pipeline_options', None, "Run stage 1 as an Apache Beam pipeline with these options, like 'runner=DirectRunner'."
  )
  _TFDS = flags.DEFINE_bool('tfds', True, 'Also pack the features into TFDS files; --notfds needs no tensorflow.')
  _DRY_RUN = flags.DEFINE_bool('dry_run', False, 'Only say what would be used, and what skipped and why.')
  app.run(main, flags_parser=commands.parse_flags)
