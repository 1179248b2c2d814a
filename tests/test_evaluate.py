"""The music report end to end, on made-up songs and a stand-in for the network: every public key, every picture, every refusal."""

import dataclasses
import json
import os

import numpy as np
import pytest
import test_retrieval
import tiny

from bassnet_jax import checkpoints, evaluate, examples, trained
from bassnet_jax import config as configs
from bassnet_jax.config import EvaluationConfig
from bassnet_jax.decoding import Prediction
from bassnet_jax.evaluation import adherence, maps, music, pop_rock
from bassnet_jax.trained import MixCode
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


class Model:
  """Stands in for a trained network: a note where the lowest bins begin to sound, on the lowest pitch class of the mix, plus z's x."""

  def __init__(self, experiment):
    self.experiment = experiment
    self.describe = {'experiment': configs.to_dict(experiment), 'seed': 3, 'step': 2, 'commit': 'abc'}

  def encode_mix(self, mix):
    mix = mix.astype(np.float32)
    sounding = mix[:, 2 * (60 - ft.LOWEST_BIN_PITCH) :: 2]
    return MixCode(sounding.argmax(axis=1), np.maximum(np.diff(mix[:, 30], prepend=0), 0), len(mix))

  def posterior(self, mix, bass, code=None):
    place = np.random.default_rng(len(mix)).normal(size=2)
    return np.broadcast_to(place, (len(mix), 2)), np.ones((len(mix), 2))

  def decode(self, code, z):
    x = np.broadcast_to(z, (code.frames, 2))[:, 0]
    pitch = 28 - ft.LOWEST_PITCH + (60 - 28 + code.pitch + np.rint(x).astype(int)) % 12
    logits = 10 * np.eye(ft.PITCHES + 1, dtype=np.float32)[pitch]
    onset = np.minimum(code.frame, 0.9).astype(np.float32)
    return Prediction(np.zeros((code.frames, ft.BASS_BINS), np.float32), logits, onset, np.full(code.frames, 0.7, np.float32))


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """A data folder with 15 made-up songs."""
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
  return root


@pytest.fixture
def run(data_dir, tmp_path, monkeypatch):
  """(workdir, data folder) of a run whose checkpoint is `Model`; a plane of 3 x 3 and a short choice of z."""
  experiment = dataclasses.replace(tiny.experiment(data={'datasets': (DATASET,)}), evaluation=EvaluationConfig(max_songs=5))
  model = Model(experiment)
  monkeypatch.setattr(trained, 'load', lambda path: model)
  monkeypatch.setattr(checkpoints, 'load_params', lambda path: ({}, model.describe, 2))
  monkeypatch.setattr(maps, 'SIDE', 3)
  monkeypatch.setattr(maps, 'FULL_SIDE', 5)
  monkeypatch.setattr(maps, 'EXCERPT_SECONDS', 8.0)
  monkeypatch.setattr(pop_rock, '_FINALISTS', 1)
  monkeypatch.setattr(music, 'GRID_SIDE', 3)
  return str(tmp_path), data_dir


def test_report_of_music(run, monkeypatch):
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
  assert figures['music']['truth']['note_pc_f1'] == 1 and figures['run']['seed'] == 3
  # The stand-in hears the kick, with which the bass plays, and nothing in a silent mix.
  assert figures['music']['z_zero']['onset_f1'] > 0.9 > figures['music']['control_other_mix']['onset_f1']
  assert figures['music']['control_silent_mix']['onset_f1'] == 0
  assert figures['music']['truth']['adherence_harmony'] > figures['music']['silence']['adherence_harmony']
  assert figures['adherence']['measured'] and figures['adherence']['used'] == 15
  score = {rung: values['note_pc_f1'] for rung, values in figures['music'].items()}
  covered = (score['z_fixed'] - score['root_on_kick']) / (1 - score['root_on_kick'])
  assert figures['covered_from_root_on_kick']['truth'] == pytest.approx(covered)
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
    'of the way to &quot;truth&quot;',
    'maps.png',
    'pitch_histograms.png',
  ):
    assert text in page
  with open(os.path.join(workdir, 'calibration.json')) as file:
    assert json.load(file)['default_z'] == figures['choice']['z']


def test_full_evaluation_goes_elsewhere_and_says_what_it_lacks(run):
  workdir, root = run
  figures, folder = evaluate.evaluate(workdir, root, full=True)
  assert folder == os.path.join(workdir, 'report_full')
  plane = figures['plane']
  assert len(plane['axis']) == 5 and len(plane['pieces']) == 6 and plane['seconds'] == pytest.approx(6 * 25.6)
  assert not figures['adherence']['measured'] and 'adherence_harmony' not in figures['music']['truth']
  with open(os.path.join(folder, 'index.html')) as file:
    assert 'Not measured: 18 excerpts of 8 s to judge and 24 of reference; 200 each are needed' in file.read()


def test_a_split_without_songs_is_named(run):
  workdir, root = run
  path = os.path.join(extraction.folder(root, *DATASET.split('/')), 'summary.json')
  with open(path) as file:
    whole = file.read()
  summary = json.loads(whole)
  summary['songs'] = {name: song for name, song in summary['songs'].items() if song['split'] != 'validation'}
  try:
    with open(path, 'w') as file:
      json.dump(summary, file)
    with pytest.raises(ValueError, match=rf'there is no validation song in {DATASET}\. For one, put songs into folders'):
      evaluate.evaluate(workdir, root)
  finally:
    with open(path, 'w') as file:
      file.write(whole)


@pytest.mark.parametrize('command', [evaluate, examples])
def test_a_users_mistake_is_one_line(command, tmp_path, capsys):
  for flags, said in (
    ([f'--checkpoint={tmp_path / "none"}'], 'no checkpoint there'),
    ([], 'give --checkpoint=WORKDIR'),
    (['--checkpiont=x'], 'checkpiont'),
    (['--checkpoint=x', 'y'], "'y' is not a flag"),
  ):
    assert command.main(['command', *flags]) == 2
    assert said in capsys.readouterr().err
  assert command.main(['command', '--help']) == 0 and '--checkpoint' in capsys.readouterr().out
