"""The card of a packaged model: its command makes the same settings, and its figures are those of the report."""

import json
import os
import shlex

import pytest

import experiments
from bassnet_jax import config as configs
from bassnet_jax import model_card, packaged

CHANGES = [
  'train.steps=5000',
  'data.backend=resident',
  'data.datasets=bassnet_pop_rock/open,bassnet_pop_rock/freedoom',
  'model.variational=false',
]


def test_the_command_gives_the_same_settings():
  registered = experiments.get('pr_window64')
  experiment = configs.override(registered, CHANGES)
  words = shlex.split(model_card.training_command(experiment, registered, seed=3))
  assert words[:5] == ['python', '-m', 'bassnet_jax.main', '--experiment=pr_window64', '--seed=3']
  assert words[5::2] == ['--set'] * len(CHANGES)
  assert configs.override(registered, words[6::2]) == experiment


def test_the_command_that_builds_a_dataset_with_options():
  command = model_card.build_command('bassnet_pop_rock/stems', ['bass=*low end*', 'shortest=2.0'])
  assert shlex.split(command) == [
    *('python', '-m', 'data_pipeline.build', '--dataset=bassnet_pop_rock', '--config=stems'),
    *('--source_set', 'bass=*low end*', '--source_set', 'shortest=2.0'),
  ]


@pytest.mark.parametrize('name', packaged.names())
def test_the_card_of_a_packaged_model_is_up_to_date(name):
  with open(os.path.join(packaged.path(name), model_card.FILE), encoding='utf-8') as file:
    text = file.read()
  with open(os.path.join(packaged.path(name), 'metrics.json'), encoding='utf-8') as file:
    metrics = json.load(file)
  assert text == packaged.card(packaged.path(name))
  assert f'{metrics["music"]["z_fixed"]["note_pc_f1"]:.3f} [' in text
  for licence in ('CC0-1.0', 'BSD-3-Clause'):
    assert licence in text
