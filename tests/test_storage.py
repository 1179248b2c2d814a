"""Folders in a bucket (a server on localhost stands for it): the same functions, and runs whose data, checkpoints and reports lie there."""

import json
import os
import subprocess
import sys

import fake_bucket
import jax
import numpy as np
import pytest
import test_distributed
import tiny
from etils.epath import gpath

from bassnet_jax import checkpoints, latent_density, scalar_log, train, trained
from bassnet_jax.inputs import corpus as corpora
from data_pipeline import extraction, storage
from data_pipeline import features as ft
from data_pipeline.sources.artificial import Artificial

# Read when gcsfs is imported: else it asks the real service what kind of bucket this is.
os.environ['GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT'] = 'false'
pytest.importorskip('gcsfs', reason='gcsfs is not installed (pip install gcsfs)')
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(scope='module')
def environment():
  """A bucket gs://runs, and the variables that lead gcsfs and tensorstore to it."""
  with fake_bucket.served() as (address, bucket):
    yield (
      bucket,
      {
        'EPATH_USE_TF': '0',  # tensorflow can't be led to another server; elsewhere it is what reads buckets, if it is installed
        'STORAGE_EMULATOR_HOST': address,
        'TENSORSTORE_GCS_HTTP_URL': address,
        'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'none',
      },
    )


@pytest.fixture
def bucket(environment, monkeypatch, tmp_path):
  found, variables = environment
  for name, value in (variables | {'BASSNET_JAX_CACHE': str(tmp_path / 'cache')}).items():
    monkeypatch.setenv(name, value)
  # What reads buckets is settled once a process: by an earlier test that tensorflow does.
  gpath._is_tf_installed.cache_clear()
  yield found
  gpath._is_tf_installed.cache_clear()


SOURCE = Artificial('a1', train=2, validation=1, test=0, test_timbre=0)


@pytest.fixture(scope='module')
def few_songs(tmp_path_factory) -> str:
  """A data folder with stage 1 of an a1 of three songs."""
  root = str(tmp_path_factory.mktemp('few'))
  extraction.extract(SOURCE, extraction.folder(root, 'bassnet_artificial', 'a1'), workers=1)
  return root


def copied(bucket, data_dir: str, name: str) -> str:
  """The same folder in the bucket, without TFDS files."""
  for where, _, files in os.walk(extraction.folder(data_dir, 'bassnet_artificial', 'a1')):
    for file in files:
      with open(os.path.join(where, file), 'rb') as content:
        bucket.put(f'{name}/{os.path.relpath(os.path.join(where, file), data_dir)}', content.read())
  return f'gs://runs/{name}'


def forget(monkeypatch, folder) -> None:
  """Goes to another machine."""
  monkeypatch.setenv('BASSNET_JAX_CACHE', str(folder))


@pytest.mark.parametrize('kind', ['bucket', 'disk'])
def test_one_set_of_functions_for_both(bucket, tmp_path, kind):
  folder = 'gs://runs/functions' if kind == 'bucket' else str(tmp_path / 'functions')
  assert not storage.exists(folder + '/a.txt') and not storage.is_folder(folder) and storage.names(folder) == []
  storage.make_folder(folder + '/below')
  storage.write_text(folder + '/below/a.txt', 'first')
  storage.write_text(folder + '/below/a.txt', 'second')
  assert storage.read_text(folder + '/below/a.txt') == 'second'
  assert storage.exists(folder + '/below/a.txt') and storage.is_folder(folder) and not storage.is_folder(folder + '/below/a.txt')
  assert storage.names(folder) == ['below'] and storage.names(folder + '/below') == ['a.txt']
  with pytest.raises(FileNotFoundError):
    storage.opened(folder + '/none.txt')


def test_places_that_are_none(bucket, tmp_path):
  assert storage.absolute('gs://runs/a/') == 'gs://runs/a' and storage.absolute('a') == os.path.join(os.getcwd(), 'a')
  with pytest.raises(storage.StorageError, match=r'expected a folder of this machine or gs://BUCKET/FOLDER, found s3://'):
    storage.absolute('s3://runs/a')
  with pytest.raises(storage.StorageError, match=r'gs://runs/a: a sweep needs a folder on the disk of this machine'):
    storage.only_local('gs://runs/a', 'a sweep')


def test_a_bucket_that_refuses_is_named(bucket):
  with pytest.raises(storage.StorageError, match=r'gs://other/a can not be reached: Forbidden: .*gcloud auth'):
    storage.check('gs://other/a')
  storage.check('folder')


def test_logs_are_copied_both_ways_and_the_newer_one_stays(bucket, monkeypatch, tmp_path):
  workdir = 'gs://runs/copied'
  here = storage.fetch(workdir)
  os.makedirs(os.path.join(here, 'report'))
  os.makedirs(os.path.join(here, 'compilation_cache'))
  for name, text in (('log', 'one'), ('report/page', 'two'), ('.lock_0', ''), ('report/half.tmp', ''), ('compilation_cache/program', '')):
    with open(os.path.join(here, name), 'w') as file:
      file.write(text)
  storage.push(workdir)
  assert sorted(name for name in bucket.objects if name.startswith('copied/')) == ['copied/log', 'copied/report/page']
  forget(monkeypatch, tmp_path / 'another')
  there = storage.fetch(workdir)
  assert there != here and storage.read_text(os.path.join(there, 'report/page')) == 'two'
  with open(os.path.join(there, 'log'), 'a') as file:
    file.write(', and more')
  storage.fetch(workdir)
  assert storage.read_text(os.path.join(there, 'log')) == 'one, and more', 'what is newer here is not overwritten'
  before = bucket.objects['copied/report/page']
  storage.push(workdir)
  assert bucket.objects['copied/log'][0] == b'one, and more' and bucket.objects['copied/report/page'] == before
  assert storage.local('folder') == os.path.abspath('folder')


def test_the_plane_of_a_model_in_a_bucket_has_its_density(bucket, tmp_path):
  counts = latent_density.histogram(np.random.default_rng(0).normal(size=(500, 2)))
  storage.write_text('gs://runs/dense/latent_density.json', storage.read_text(latent_density.write(str(tmp_path), counts, 3)))
  assert latent_density.read('gs://runs/dense').source == 'training'
  assert latent_density.read('gs://runs/empty').source == 'prior'


def test_features_are_built_into_a_bucket_and_go_on(bucket, few_songs):
  """What is missing is made, byte for byte as on the disk; what is there stays."""
  local = extraction.folder(few_songs, 'bassnet_artificial', 'a1')
  directory = extraction.folder(copied(bucket, few_songs, 'built'), 'bassnet_artificial', 'a1')
  path = extraction.song_path(directory, 'a1-train-00000')
  name = path.removeprefix('gs://runs/')
  before, other = bucket.objects.pop(name), bucket.objects[name.replace('train', 'validation')]
  del bucket.objects[directory.removeprefix('gs://runs/') + '/summary.json']
  assert extraction.load_summary(directory, missing_ok=True) is None
  summary = extraction.extract(SOURCE, directory, workers=1)
  assert summary == extraction.load_summary(directory) == extraction.load_summary(local)
  assert bucket.objects[name][0] == before[0] and bucket.objects[name.replace('train', 'validation')] == other
  bucket.objects[name] = (before[0][:1000], *before[1:])
  with pytest.raises(ft.FeatureFileError, match=r'gs://runs/built.*not a readable feature file'):
    ft.load(path)


@pytest.mark.slow
def test_a_run_in_a_bucket_goes_on_on_another_machine(bucket, few_songs, tmp_path, monkeypatch):
  """Its losses are those of a run on the local disk that was never stopped."""
  experiment = tiny.experiment(data={'backend': 'resident', 'window': 32}, train={'log_every': 1})
  corpus = corpora.open_corpus(experiment.data, few_songs)
  train.train(experiment, corpus, str(tmp_path / 'run'), 0)
  remote = corpora.open_corpus(experiment.data, copied(bucket, few_songs, 'data'))
  assert remote.paths('train')[0].startswith('gs://runs/data/features/') and remote.statistics.to_lists() == corpus.statistics.to_lists()

  class Stopping(train.Progress):
    def update(self, count: int = 1, note: str = '') -> None:
      super().update(count, note)
      if self.done == 5:
        os.kill(os.getpid(), train.run_control.signal.SIGTERM)

  with monkeypatch.context() as patch:
    patch.setattr(train, 'Progress', Stopping)
    with pytest.raises(train.Interrupted):
      train.train(experiment, remote, 'gs://runs/run', 0)
  assert storage.names('gs://runs/run/checkpoints') == ['4', '5']
  forget(monkeypatch, tmp_path / 'another')
  train.train(experiment, remote, 'gs://runs/run', 0)
  rows = [json.loads(line) for line in storage.read_text('gs://runs/run/metrics.jsonl').splitlines()]
  expected = scalar_log.read_rows(str(tmp_path / 'run' / 'metrics.jsonl'))
  assert [(row['step'], row['total']) for row in rows] == [(row['step'], row['total']) for row in expected]
  found, wanted = checkpoints.load_params('gs://runs/run'), checkpoints.load_params(str(tmp_path / 'run'))
  jax.tree.map(np.testing.assert_array_equal, found[0], wanted[0])
  storage.write_text('gs://runs/run/calibration.json', '{"onset_threshold": 0.25}')
  assert trained.load('gs://runs/run').onset_threshold == 0.25
  with pytest.raises(checkpoints.CheckpointError, match='gs://runs/none: no checkpoint there'):
    checkpoints.load_params('gs://runs/none')


@pytest.mark.slow
def test_two_processes_share_a_run_in_a_bucket(bucket, few_songs, tmp_path):
  """Stopped by a signal to one, and gone on with by one alone, with the losses of a run that was never stopped."""
  for workdir, steps in (('gs://runs/two', (2, 3, 143)), ('gs://runs/two', (1, -1, 0)), (str(tmp_path / 'one'), (1, -1, 0))):
    processes, stop_at, code = steps
    command = ['-c', test_distributed.PROGRAM, copied(bucket, few_songs, 'data'), workdir, '8', str(stop_at)]
    test_distributed.wait(test_distributed.start_all(command, tmp_path, processes, 1), code)
  found = [json.loads(line) for line in storage.read_text('gs://runs/two/metrics.jsonl').splitlines()]
  expected = scalar_log.read_rows(str(tmp_path / 'one' / 'metrics.jsonl'))
  assert [row['step'] for row in found] == list(range(1, 9))
  np.testing.assert_allclose([row['total'] for row in found], [row['total'] for row in expected], rtol=1e-5)


@pytest.mark.slow
def test_the_command_trains_reports_and_evaluates_in_a_bucket(environment, bucket, data_dir, tmp_path):
  """In processes of their own, as a user would; no tensorflow takes part."""
  variables = os.environ | environment[1] | {'PYTHONPATH': ROOT, 'BASSNET_JAX_CACHE': str(tmp_path / 'cache')}
  settings = (
    'data.backend=resident',
    'data.batch_size=16',
    'data.window=32',
    'train.steps=4',
    'train.log_every=1',
    'model.pitch_channels=4',
  )
  places = [f'--data_dir={copied(bucket, data_dir, "all")}']
  training = ['bassnet_jax.main', '--experiment=a1_window64', '--workdir=gs://runs/whole', *places, *(f'--set={item}' for item in settings)]
  for command in (training, ['bassnet_jax.evaluate', '--checkpoint=gs://runs/whole', *places], training):
    done = subprocess.run([sys.executable, '-m', *command], env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    variables['BASSNET_JAX_CACHE'] += '_another'
  assert 'training is complete: 4 steps' in done.stdout
  written = {name.removeprefix('whole/') for name in bucket.objects if name.startswith('whole/')}
  for name in ('experiment.json', 'calibration.json', 'metrics.jsonl', 'report/metrics.json', 'report/index.html'):
    assert name in written, name
  assert not any('compilation_cache' in name or name.endswith('.tmp') for name in written)
  figures = json.loads(storage.read_text('gs://runs/whole/report/metrics.json'))
  assert figures['run']['steps'] == 4 and figures['run']['windows_per_second'] > 0
