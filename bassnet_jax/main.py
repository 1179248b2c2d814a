"""Runs an experiment to the end: data, training, report, a bass track; `python -m bassnet_jax.main --experiment=pr_window64`."""

from __future__ import annotations

import dataclasses
import json
import logging as standard_logging
import os
import sys
from collections.abc import Sequence

from absl import app, flags, logging

from bassnet_jax import memory
from data_pipeline import commands

_EXPERIMENT = flags.DEFINE_string('experiment', None, 'Name of an experiment; --list names them.')
_LIST = flags.DEFINE_bool('list', False, 'Print every experiment and what it is, and stop.')
_PRESET = flags.DEFINE_string('preset', 'full', 'full, or laptop: minutes on two cores.')
_SET = flags.DEFINE_multi_string('set', [], 'section.field=value, repeatedly; for example --set train.steps=100.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of initialisation, data order and noise.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Folder of the run; default: runs/EXPERIMENT/PRESET/SEED.')
_DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of the datasets; what is missing is built there.')
_MANUAL_DIR = flags.DEFINE_string('manual_dir', None, 'Your own corpus, for configurations that read one.')
_SOURCE_SET = flags.DEFINE_multi_string(
  'source_set', [], 'Option of the source of a dataset that is built: option=value, repeatedly (of several datasets: stems.option=value).'
)
_INIT_FROM = flags.DEFINE_string('init_from', None, 'Workdir of a trained model to begin from (fine-tuning), or a packaged model: short.')
_COORDINATOR = flags.DEFINE_string(
  'coordinator_address', None, "Several processes: host:port of process 0, or 'auto' on a TPU slice. Also BASSNET_JAX_COORDINATOR_ADDRESS."
)
_PROCESS_COUNT = flags.DEFINE_integer('process_count', None, 'How many processes there are. Also BASSNET_JAX_PROCESS_COUNT.')
_PROCESS_INDEX = flags.DEFINE_integer('process_index', None, 'Which one this is, from 0. Also BASSNET_JAX_PROCESS_INDEX.')
_TIMEOUT = flags.DEFINE_integer(
  'initialization_timeout', None, 'Seconds to wait for the other processes; default: 300. Also BASSNET_JAX_INITIALIZATION_TIMEOUT.'
)
_CACHE = flags.DEFINE_string(
  'compilation_cache', None, "Folder of compiled programs; default: WORKDIR/compilation_cache; 'none' keeps none."
)
_ACCEPT_CHANGES = flags.DEFINE_bool(
  'accept_changes',
  False,
  'Go on from the checkpoints in the workdir though settings or data have changed since; the new ones hold from there on.',
)
_DEMO = flags.DEFINE_bool('demo', True, 'After the report, play a bass to the mix of a test song (music experiments).')


def main(arguments: Sequence[str]) -> None:
  """Flags in, exit code out; a user's mistake is one plain line."""
  memory.keep_freed()
  import jax

  import experiments
  from bassnet_jax import compilation, distributed, fine_tuning, run_control, train
  from bassnet_jax import config as configs
  from data_pipeline import storage

  if not commands.traceback_wanted():
    # tfds and orbax tell of every file, and print tracebacks of errors that they also raise.
    logging.set_verbosity(logging.FATAL)
    standard_logging.getLogger('asyncio').setLevel(standard_logging.CRITICAL)
  if _LIST.value:
    _list()
    return
  # Every error of ours that a user can cause is one of these.
  user_errors = (*commands.USER_ERRORS, train.TrainingError, run_control.WorkdirBusyError)
  try:
    commands.only_flags(arguments[1:], 'experiment', 'set')
    if not _EXPERIMENT.value:
      raise experiments.UnknownExperimentError(experiments.give_one())
    experiment = configs.override(experiments.preset(experiments.get(_EXPERIMENT.value), _PRESET.value), _SET.value)
    distributed.initialize(distributed.cluster(_COORDINATOR.value, _PROCESS_COUNT.value, _PROCESS_INDEX.value, _TIMEOUT.value))
    workdir = _WORKDIR.value or os.path.join('runs', experiment.name, _PRESET.value, str(_SEED.value))
    origin = None
    if _INIT_FROM.value:
      origin = fine_tuning.load(_INIT_FROM.value)
      experiment = origin.experiment(experiment, any(item.strip().startswith('train.learning_rate') for item in _SET.value))
    workdir, data_dir = storage.absolute(workdir), storage.absolute(_DATA_DIR.value)
    for place in (workdir, data_dir):
      storage.check(place)
    compilation.keep_compiled(_CACHE.value or os.path.join(storage.local(workdir), 'compilation_cache'))
    with run_control.exclusive(workdir, 'run_'):
      run(experiment, workdir, data_dir, _SEED.value, _MANUAL_DIR.value, _DEMO.value, origin, _SOURCE_SET.value, _ACCEPT_CHANGES.value)
  except train.Interrupted as error:
    if distributed.is_primary():
      print(error, file=sys.stderr)
    sys.exit(143)
  except jax.errors.JaxRuntimeError as error:
    reason = distributed.runtime_error(error)
    if reason is None:
      raise
    distributed.leave(commands.refuse(error, reason))
  except user_errors as error:
    distributed.leave(commands.refuse(error, distributed.runtime_error(error) if distributed.lost_partner(error) else None))


@commands.plain_errors()
def _list() -> None:
  """Prints every experiment."""
  import experiments

  for name in experiments.names():
    print(f'{name:<36}{experiments.description(name).splitlines()[0]}', flush=True)


def run(
  experiment,
  workdir: str,
  data_dir: str,
  seed: int,
  manual_dir: str | None,
  demo: bool,
  origin=None,
  source_options: Sequence[str] = (),
  accept_changes: bool = False,
) -> None:
  """Everything that one experiment is: builds data, trains (from `origin`, if given), reports, and plays."""
  from bassnet_jax import config as configs
  from bassnet_jax import distributed, train
  from bassnet_jax.inputs import corpus as corpora
  from data_pipeline import storage

  train.check_settings(experiment)  # before minutes of building data
  storage.make_folder(workdir)
  distributed.check_shared(workdir)
  with distributed.primary_first('data'):
    corpus = corpora.open_corpus(experiment.data, data_dir, manual_dir, options=source_options)
    elsewhere = None
    if experiment.evaluation.datasets:
      elsewhere = corpora.open_corpus(
        dataclasses.replace(experiment.data, datasets=experiment.evaluation.datasets), data_dir, manual_dir, tfds_files=False
      )
  if origin is not None:
    corpus = origin.corpus(corpus)
  settings = os.path.join(workdir, 'experiment.json')
  if distributed.is_primary() and (accept_changes or not storage.exists(settings)):
    storage.write_text(settings, json.dumps(configs.to_dict(experiment), indent=1))
  distributed.say(f'run: {experiment.name}, seed {seed}, in {workdir}')
  train.train(experiment, corpus, workdir, seed, origin, accept_changes)
  if distributed.is_primary():
    _finish(experiment, corpus, elsewhere, workdir, seed, manual_dir, demo, origin)
  distributed.barrier('report')


def _finish(experiment, corpus, elsewhere, workdir: str, seed: int, manual_dir: str | None, demo: bool, origin) -> None:
  """What follows training: the report and a bass track, where there are songs for them."""
  from bassnet_jax.evaluation import report
  from data_pipeline import storage

  where = elsewhere or corpus
  if report.missing(where):
    if origin is not None:
      origin.hand_down(workdir)
    print(report.missing(where), flush=True)
    return
  report.write(experiment, corpus, workdir, seed, elsewhere)
  copy = f', here in {os.path.join(storage.local(workdir), "report")}' if storage.is_remote(workdir) else ''
  print(f'report: {os.path.join(workdir, "report", "index.html")}{copy}', flush=True)
  if demo and experiment.evaluation.kind == 'music':
    _play(workdir, where, manual_dir)


def _play(workdir: str, where, manual_dir: str | None) -> None:
  """Writes the mix of the first test song of a corpus, and the model's bass for it, into `workdir/demo`."""
  from bassnet_jax.generate import generate
  from data_pipeline import audio, catalogue, storage
  from data_pipeline import features as ft
  from data_pipeline.song import SongKey

  # Of what was built: a source also lists songs that can't be used, and datasets of variants have none to test.
  tested = ((name, summary, summary.splits().get('test')) for name, summary in zip(where.names, where.summaries, strict=True))
  dataset, summary, songs = next(found for found in tested if found[2])
  key = SongKey(songs[0], 'test')
  song = catalogue.source(dataset, manual_dir, summary.options).load(key)
  folder = os.path.join(storage.local(workdir), 'demo')
  os.makedirs(folder, exist_ok=True)
  mix = os.path.join(folder, f'{key.id}_mix_without_bass.wav')
  audio.save_wav(mix, song.mix, ft.SAMPLE_RATE)
  made = generate(workdir, mix, output=os.path.join(folder, key.id), overwrite=True, report=print)
  storage.push(workdir)
  print(f'a bass track for {key.id}: {made.files["bass.wav"]}, with the mix: {made.files["mix_with_bass.wav"]}', flush=True)


if __name__ == '__main__':
  app.run(main, flags_parser=commands.parse_flags)
