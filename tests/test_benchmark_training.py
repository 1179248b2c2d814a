"""The time of a whole training, measured on minutes of made-up features and a few steps."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import benchmark_training
from bassnet_jax import config as configs
from bassnet_jax import model as networks
from bassnet_jax.inputs import resident, resident_shards
from data_pipeline import features as ft

HOURS = 0.14


def small(**train):
  """Eight steps, of which three search."""
  return tiny.experiment(data={'backend': 'resident', 'window': 32}, loss={'search_candidates': 3, 'search_share': 0.4}, train=train)


def test_the_features_are_songs_with_silence_between_them():
  """Two of 252 s; every one of the arrays has the shape and type of real features."""
  corpus, stored = benchmark_training.made_up(small(), HOURS)
  frames = round(HOURS * 3600 * ft.FRAME_RATE / 2)
  assert corpus.frames('train') == 2 * frames and np.asarray(stored.frames).tolist() == [frames, frames]
  real = resident.silence(1)
  own = np.zeros(len(stored.mix), bool)
  for start in np.asarray(stored.start):
    own[start : start + frames] = True
  for name, fill in resident.FILL.items():
    values = np.asarray(getattr(stored, name))
    assert (values.dtype, values.shape[1:]) == (real[name].dtype, real[name].shape[1:]) and len(values) == len(own)
    assert (values[~own][: -resident.TAIL] == fill).all(), name
    first, second = (values[start : start + frames] for start in np.asarray(stored.start))
    assert (first == second).all() and first.astype(np.float32).std() > 0
  config = dataclasses.replace(small().data, batch_size=64)
  batch = jax.jit(resident.draw, static_argnums=(2, 3))(stored, jax.random.key(0), config, networks.context_frames(tiny.MODEL))
  assert np.asarray(batch.valid).all() and np.asarray(batch.pitch).max() < ft.PITCHES
  assert corpus.statistics.mix_mean == pytest.approx(np.full(ft.MIX_BINS, 0.5), abs=0.1)


def test_a_run_without_a_search_is_measured():
  experiment = configs.replace(small(), loss={'search_candidates': 0})
  figures = benchmark_training.measure(experiment, HOURS, 1, benchmark_training.Length(60.0, steps=2), full=False, steps_per_call=2)
  assert figures['training.projected_seconds'] == pytest.approx(8 * 16 / figures['training.windows_per_second'])
  assert not [name for name in figures if 'search' in name or 'seeds' in name or 'measured' in name]


@pytest.mark.slow
def test_one_seed_and_two_measured_and_trained_whole():
  figures = benchmark_training.measure(small(), HOURS, 2, benchmark_training.Length(60.0, steps=2), full=True, steps_per_call=2)
  assert figures['training.steps'] == 8 and figures['training.steps_per_call'] == 2 and figures['hours'] == HOURS
  for name, seeds in (('training', 1), ('seeds', 2)):
    search, plain = (figures[f'{name}.{kind}windows_per_second'] / seeds / 16 for kind in ('search_', ''))
    assert figures[f'{name}.projected_seconds'] == pytest.approx(3 / search + 5 / plain)
    assert figures[f'{name}.measured_seconds'] > 0 and figures[f'{name}.compile_seconds'] > 0
  assert figures['seeds.runs_per_hour'] == pytest.approx(7200 / figures['seeds.projected_seconds'])
  assert figures['seeds.gain'] == pytest.approx(2 * figures['training.projected_seconds'] / figures['seeds.projected_seconds'])


def test_a_phase_is_not_left_while_it_is_measured():
  """A search of 100 steps, measured for a minute, would run into the steps that do not search, which take another time."""
  calls = []

  def advance(state, count):
    calls.append(count)
    return state + count, state

  benchmark_training.pace(advance, jax.numpy.zeros(()), 10, benchmark_training.Length(60.0), most=100)
  assert calls == [10] * 10
  calls.clear()
  benchmark_training.pace(advance, jax.numpy.zeros(()), 10, benchmark_training.Length(60.0, steps=25), most=1000)
  assert calls == [10] * 4


def test_the_command_prints_and_writes_what_it_found(tmp_path, monkeypatch, capsys):
  """The experiment's own length and batch, and the resident input whatever the experiment says."""
  asked = []

  def measure(*arguments):
    asked.append(arguments)
    return {'training.windows_per_second': 1234.5}

  monkeypatch.setattr(benchmark_training, 'measure', measure)
  path = tmp_path / 'figures.json'
  assert benchmark_training.main(['benchmark_training', '--seeds=8', '--steps=5', '--set=data.batch_size=64', f'--json={path}']) == 0
  experiment, hours, seeds, length, full = asked[0]
  assert (experiment.name, experiment.data.backend, experiment.data.batch_size) == ('pr_window64', 'resident', 64)
  assert (hours, seeds, length.steps, full) == (60.0, 8, 5, False)
  found = json.loads(path.read_text())
  assert found['training.windows_per_second'] == 1234.5 and {'date', 'hardware', 'precision', 'experiment'} <= set(found)
  assert '1234.50' in capsys.readouterr().out
  for wrong in ('--hours=0', '--seeds=0', '--steps=-1', '--seconds=0'):
    assert benchmark_training.main(['benchmark_training', wrong]) == 2
    assert f'error: flag {wrong}' in capsys.readouterr().err


def test_too_many_hours_for_a_device_are_refused_at_once(monkeypatch):
  monkeypatch.setattr(resident_shards, 'device_room', lambda mesh: 10e9)
  with pytest.raises(configs.ConfigError, match=r'--hours=60: the features are 1\d\.\d GB; a device has room for 10\.0 GB\. Give fewer'):
    benchmark_training.made_up(small(), 60.0)


def test_more_hours_than_memory_holds_are_told_in_words(monkeypatch, capsys):
  def measure(*_):
    raise MemoryError('Unable to allocate 196 GiB')

  monkeypatch.setattr(benchmark_training, 'measure', measure)
  assert benchmark_training.main(['benchmark_training', '--hours=90000']) == 2
  assert 'error: --hours=90000: the features have no room in memory (Unable to allocate 196 GiB). Give fewer' in capsys.readouterr().err
