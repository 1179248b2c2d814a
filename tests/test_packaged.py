"""Models that come with the package: written, read back, and what happens when they are damaged."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import config as configs
from bassnet_jax import describe, fine_tuning, generate, packaged, trained
from bassnet_jax import model as networks
from bassnet_jax.config import Experiment
from data_pipeline import features as ft


@pytest.fixture
def folder(tmp_path):
  experiment = Experiment(name='packaged', model=tiny.MODEL)
  params = jax.device_get(networks.init_params(tiny.MODEL, 64, 0))
  statistics = {f'{name}_{what}': [0.5] * bins for name, bins in (('mix', ft.MIX_BINS), ('bass', ft.BASS_BINS)) for what in ('mean', 'std')}
  description = {'experiment': configs.to_dict(experiment), 'statistics': statistics, 'features_version': ft.VERSION, 'step': 7}
  packaged.write(str(tmp_path / 'model'), params, description)
  return str(tmp_path / 'model'), params, description


def test_parameters_come_back_within_half_precision(folder):
  path, params, description = folder
  found, told, step = packaged.read(path)
  assert jax.tree.structure(found) == jax.tree.structure(params)
  for before, after in zip(jax.tree.leaves(params), jax.tree.leaves(found), strict=True):
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-6)
  assert told == description and step == 7


def test_a_packaged_model_is_loaded_as_a_workdir_is(folder):
  path, *_ = folder
  with open(os.path.join(path, trained.CALIBRATION_FILE), 'w') as file:
    json.dump({'default_z': [0.5, -1.0], 'onset_threshold': 0.4}, file)
  model = trained.load(path)
  assert model.default_z == (0.5, -1.0) and model.onset_threshold == 0.4
  mix = np.random.default_rng(0).random((100, ft.MIX_BINS), np.float32)
  assert model.decode(model.encode_mix(mix), np.zeros(2)).frames == 100


def test_packaged_models_go_by_name(folder, tmp_path, monkeypatch):
  """In notebooks and to fine-tune as on the command line of `generate`."""
  monkeypatch.setattr(packaged, 'FOLDER', str(tmp_path))
  monkeypatch.setattr(generate, '_warm_up', lambda *_: None)
  assert generate.load_model('model').describe['step'] == fine_tuning.load('model').step == 7


@pytest.mark.parametrize('frames', [1, 333, 1024, 2500])
def test_prediction_by_pieces_is_that_of_the_whole(folder, frames):
  model = trained.load(folder[0])
  random = np.random.default_rng(frames)
  mix, z = random.random((frames, ft.MIX_BINS), np.float32), random.normal(size=(frames, 2))
  whole, pieces = model.decode(model.encode_mix(mix), z), model.predict(mix, z)
  for name in ('bass', 'pitch_logits', 'onset', 'level'):
    np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))


def test_a_damaged_file_is_named(folder):
  path, *_ = folder
  weights = os.path.join(path, packaged.WEIGHTS_FILE)
  with open(weights, 'r+b') as file:
    file.truncate(os.path.getsize(weights) // 2)
  with pytest.raises(trained.CheckpointError, match='damaged'):
    trained.load(path)


def test_values_beyond_half_precision_are_refused(tmp_path):
  with pytest.raises(ValueError, match='kernel'):
    packaged.write(str(tmp_path), {'kernel': np.full(3, 1e6)}, {'step': 0})


@pytest.mark.parametrize('name', ['../elsewhere', 'a/b', ''])
def test_a_model_is_packaged_among_the_others_only(name, tmp_path):
  environment = os.environ | {'PYTHONPATH': os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}
  command = [sys.executable, '-m', 'bassnet_jax.packaged', f'--checkpoint={tmp_path}', f'--name={name}']
  done = subprocess.run(command, env=environment, capture_output=True, text=True)
  assert done.returncode == 2 and f'error: --name={name}: expected letters' in done.stderr


def test_what_an_older_description_lacks_is_empty(folder):
  """`describe` prints what is there."""
  found = describe.describe(folder[0])
  assert (found['steps'], found['seed'], found['commit'], found['datasets'], found['licences']) == (0, 0, '', [], {})
  assert 'code unknown' in describe.text(found)
