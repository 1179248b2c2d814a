"""Whose music is in a checkpoint: `describe`, and fine-tuning, which adds to it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import checkpoints, describe, fine_tuning, main
from bassnet_jax import train as training
from bassnet_jax.config import Experiment
from bassnet_jax.inputs import corpus as corpora
from data_pipeline import extraction
from data_pipeline import features as ft

OWN = 'bassnet_pop_rock/stems'
CREDITS = {'one': ('CC-BY-4.0', 'Ann'), 'two': ('CC-BY-4.0', 'Ann'), 'three': ('mine', 'Bob')}

OLD = {f'licence of {name}': 1 for name in tiny.LENGTHS}


def small(**train) -> Experiment:
  return tiny.experiment(data={'backend': 'resident', 'window': 32}, train={'steps': 2, 'checkpoint_every': 2} | train)


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> str:
  """A workdir of two steps on the coordinate songs."""
  data, workdir = (str(tmp_path_factory.mktemp(name)) for name in ('coordinates', 'trained'))
  tiny.write_coordinate_songs(data)
  training.train(small(), corpora.open_corpus(small().data, data), workdir, 0)
  with open(os.path.join(workdir, 'calibration.json'), 'w') as file:
    json.dump({'onset_threshold': 0.3, 'default_z': [0.1, 0.2]}, file)
  return workdir


@pytest.fixture(scope='module')
def own_songs(tmp_path_factory) -> str:
  """A data folder with three songs of one's own, all of them for training."""
  root = str(tmp_path_factory.mktemp('own'))
  directory = extraction.folder(root, *OWN.split('/'))
  os.makedirs(os.path.join(directory, 'songs'))
  songs = {}
  for name, (licence, credit) in CREDITS.items():
    song = dataclasses.replace(tiny.coordinate_song('long'), id=name, licence=licence, credit=credit)
    ft.save(song, extraction.song_path(directory, name))
    songs[name] = {'split': 'train', 'seconds': song.seconds, 'licence': licence, 'credit': credit}
  numbers = {field.name: (2 + getattr(tiny.statistics(), field.name)).tolist() for field in dataclasses.fields(tiny.statistics())}
  summary = extraction.Summary(ft.VERSION, 'own', songs, {}, numbers | {'frames': [7500.0]})
  with open(os.path.join(directory, 'summary.json'), 'w') as file:
    json.dump(dataclasses.asdict(summary), file)
  return root


@pytest.fixture(scope='module')
def fine_tuned(trained, own_songs, tmp_path_factory) -> str:
  """What `main --init_from` does, to the end, with three songs."""
  workdir = str(tmp_path_factory.mktemp('fine_tuned'))
  origin = fine_tuning.load(trained)
  own = dataclasses.replace(small(), data=dataclasses.replace(small().data, datasets=(OWN,)))
  main.run(origin.experiment(own, learning_rate_given=False), workdir, own_songs, 1, None, demo=False, origin=origin)
  return workdir


def test_says_whose_music_it_was_trained_on(trained):
  found = describe.describe(trained)
  assert found['licences'] == OLD
  assert found['credits'] == {f'licence of {name}': {f'credit of {name}': 1} for name in tiny.LENGTHS}
  assert (found['step'], found['steps'], found['datasets']) == (2, 2, ['bassnet_artificial/a1'])
  params, _, _ = checkpoints.load_params(trained)
  assert found['parameters'] == sum(leaf.size for leaf in jax.tree.leaves(params))
  text = describe.text(found)
  for words in (
    'step 2 of 2',
    'bassnet_artificial/a1; 5 training songs',
    f'{found["parameters"]:,} parameters',
    '     1  licence of short\n',
    '     1  credit of short  [licence of short]',
  ):
    assert words in text, text
  assert 'data.window: 64 -> 32' in text and 'train.learning_rate' not in text


def test_the_statistics_have_a_version_of_their_own(trained, fine_tuned):
  found = describe.describe(trained)
  assert found['statistics_version'] == describe.describe(fine_tuned)['statistics_version']
  _, description, _ = checkpoints.load_params(trained)
  description['statistics']['mix_mean'][0] += 1
  assert found['statistics_version'] != describe.statistics_version(description['statistics'])


def test_long_lists_of_credits_are_cut_and_said_to_be(trained):
  found = describe.describe(trained) | {'credits': {'CC-BY-4.0': {f'Artist {i:02d}': 1 for i in range(30)}}}
  text = describe.text(found, most_credits=5)
  assert 'Artist 04' in text and 'Artist 05' not in text and 'and 25 more' in text
  assert 'Artist 29' in describe.text(found, most_credits=0)


def test_fine_tuning_begins_from_the_model_with_its_statistics(trained, fine_tuned, own_songs):
  before, old, _ = checkpoints.load_params(trained)
  after, new, step = checkpoints.load_params(fine_tuned)
  assert step == 2
  assert (
    new['statistics']
    == old['statistics']
    != corpora.open_corpus(dataclasses.replace(small().data, datasets=(OWN,)), own_songs).statistics.to_lists()
  )
  moved = [float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)]
  assert 0 < max(moved) < 2.5 * 2 * fine_tuning.LEARNING_RATE_SHARE * small().train.learning_rate  # Adam: at most a rate a step or so
  assert new['experiment']['train']['learning_rate'] == pytest.approx(0.1 * small().train.learning_rate)
  with open(os.path.join(fine_tuned, 'calibration.json')) as file:
    assert json.load(file)['onset_threshold'] == 0.3


def test_fine_tuning_adds_licences_and_credits(fine_tuned):
  found = describe.describe(fine_tuned)
  assert found['licences'] == OLD | {'CC-BY-4.0': 2, 'mine': 1}
  assert found['credits']['CC-BY-4.0'] == {'Ann': 2} and found['credits']['mine'] == {'Bob': 1}
  assert found['initialised_from']['datasets'] == ['bassnet_artificial/a1']
  text = describe.text(found)
  assert 'begun from   tiny, step 2, trained on bassnet_artificial/a1' in text and '     2  Ann  [CC-BY-4.0]' in text


def test_a_learning_rate_that_is_given_stays(trained):
  origin = fine_tuning.load(trained)
  assert origin.experiment(small(learning_rate=0.5), learning_rate_given=True).train.learning_rate == 0.5
  wide = dataclasses.replace(small(), model=dataclasses.replace(tiny.MODEL, hidden=99))
  assert origin.experiment(wide, learning_rate_given=True).model == tiny.MODEL  # the network is the checkpoint's


def test_as_a_command(trained, tmp_path):
  environment = os.environ | {'PYTHONPATH': os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}
  command = [sys.executable, '-m', 'bassnet_jax.describe']
  done = subprocess.run([*command, trained, '--json'], capture_output=True, text=True, env=environment, timeout=300)
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout) == json.loads(json.dumps(describe.describe(trained)))
  nothing = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, env=environment, timeout=300)
  assert nothing.returncode == 2 and 'no checkpoint there' in nothing.stderr and 'Traceback' not in nothing.stderr
