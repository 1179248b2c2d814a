"""The music report end to end, on made-up songs and a network of two training steps: every public key, every picture, every refusal."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import test_retrieval
import tiny

from bassnet_jax import evaluate, train
from bassnet_jax.config import EvaluationConfig
from bassnet_jax.evaluation import adherence, maps, pop_rock
from bassnet_jax.inputs import corpus as corpora
from data_pipeline import extraction
from data_pipeline import features as ft

DATASET = 'bassnet_pop_rock/open'
RUNGS = {
  'silence',
  'tonic_eighths',
  'other_song',
  'root_on_kick',
  'follow_lowest',
  'retrieval',
  'z_zero',
  'z_fixed',
  'z_posterior',
  'truth',
  'control_other_mix',
  'control_shifted',
  'control_silent_mix',
}
KEYS = {
  'note_pc_f1',
  'onset_f1',
  'onset_f1_25ms',
  'onset_f1_chance',
  'pitch_accuracy',
  'pitch_class_accuracy',
  'voicing_f1',
  'diatonic_rate',
  'chord_tone_rate',
  'adherence_harmony',
  'adherence_rhythm',
}
"""The public keys of the specification."""


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """(workdir, data folder) of a run on 15 made-up songs."""
  root = str(tmp_path_factory.mktemp('music'))
  directory = extraction.folder(root, *DATASET.split('/'))
  os.makedirs(os.path.join(directory, 'songs'))
  songs = {}
  for i in range(15):
    split = 'train' if i < 8 else 'validation' if i == 8 else 'test'
    song = dataclasses.replace(test_retrieval.song(f'{split}{i}', i, beat=0.4), split=split)
    ft.save(song, extraction.song_path(directory, song.id))
    songs[song.id] = {'split': split, 'seconds': song.seconds, 'licence': song.licence, 'credit': ''}
  numbers = {field.name: getattr(tiny.statistics(), field.name).tolist() for field in dataclasses.fields(tiny.statistics())}
  summary = extraction.Summary(ft.VERSION, 'made up', songs, {}, numbers | {'frames': [1.0]})
  with open(os.path.join(directory, 'summary.json'), 'w') as file:
    json.dump(dataclasses.asdict(summary), file)
  experiment = tiny.experiment(data={'datasets': (DATASET,), 'backend': 'resident', 'pair_distance': 128}, train={'steps': 2})
  experiment = dataclasses.replace(experiment, evaluation=EvaluationConfig(max_songs=5))
  workdir = os.path.join(root, 'run')
  train.train(experiment, corpora.open_corpus(experiment.data, root, tfds_files=False), workdir, 0)
  return workdir, root


@pytest.fixture
def small(monkeypatch):
  """A plane of 3 x 3 and a short choice of z."""
  monkeypatch.setattr(maps, 'SIDE', 3)
  monkeypatch.setattr(maps, 'FULL_SIDE', 5)
  monkeypatch.setattr(maps, 'EXCERPT_SECONDS', 8.0)
  monkeypatch.setattr(pop_rock, '_FINALISTS', 1)
  monkeypatch.setattr(pop_rock.music, 'GRID_SIDE', 3)


def test_report_of_music(run, small, monkeypatch):
  workdir, root = run
  monkeypatch.setattr(adherence, 'MINIMUM', 10)
  figures, folder = evaluate.evaluate(workdir, root)
  assert folder == os.path.join(workdir, 'report')
  with open(os.path.join(folder, 'metrics.json')) as file:
    assert json.load(file) == json.loads(json.dumps(figures))
  assert set(figures['music']) == RUNGS
  for rung, values in figures['music'].items():
    assert KEYS | {'onset_f1_25ms_chance', 'adherence_harmony_published', 'adherence_rhythm_published'} <= set(values), rung
    for name in KEYS:
      low, high = values[f'{name}_ci95']
      assert low <= values[name] <= high, (rung, name)
  assert figures['music']['truth']['note_pc_f1'] == 1
  assert figures['music']['truth']['adherence_harmony'] > figures['music']['silence']['adherence_harmony']
  assert figures['adherence']['measured'] and figures['adherence']['used'] == 15
  plane = figures['plane']
  assert len(plane['axis']) == 3 and plane['pieces'] == [f'test{i}' for i in (10, 11, 12, 13, 14)]
  assert plane['seconds'] == 5 * 8 and 0 < plane['permutation']['p'] <= 1
  with open(os.path.join(folder, 'index.html')) as file:
    page = file.read()
  for text in (
    'retrieval of training passages',
    'permutations',
    'published form',
    'adherence, harmony',
    'maps.png',
    'pitch_histograms.png',
  ):
    assert text in page
  with open(os.path.join(workdir, 'calibration.json')) as file:
    assert json.load(file)['default_z'] == figures['choice']['z']


def test_full_evaluation_goes_elsewhere_and_says_what_it_lacks(run, small):
  workdir, root = run
  figures, folder = evaluate.evaluate(workdir, root, full=True)
  assert folder == os.path.join(workdir, 'report_full')
  plane = figures['plane']
  assert len(plane['axis']) == 5 and len(plane['pieces']) == 6 and plane['seconds'] == pytest.approx(6 * 25.6)
  assert not figures['adherence']['measured'] and 'adherence_harmony' not in figures['music']['truth']
  with open(os.path.join(folder, 'index.html')) as file:
    assert 'Not measured: 18 excerpts of 8 s to judge and 24 of reference; 200 each are needed' in file.read()


def test_a_missing_checkpoint_is_one_line(tmp_path):
  command = [sys.executable, '-m', 'bassnet_jax.evaluate', f'--checkpoint={tmp_path / "none"}']
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.returncode == 2 and 'no checkpoint there' in done.stderr and 'Traceback' not in done.stderr
