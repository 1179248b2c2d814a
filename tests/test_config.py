"""Settings: typed overrides, errors that name what exists, JSON and back."""

import dataclasses
import json

import pytest

import experiments
from bassnet_jax import config as configs
from bassnet_jax.config import ConfigError, Experiment

BASE = Experiment(name='base')


@pytest.mark.parametrize(
  ('assignment', 'expected'),
  [
    ('data.window=128', 128),
    ('data.window = 128 ', 128),
    ('train.learning_rate=1e-4', 1e-4),
    ('train.passes=3', 3.0),
    ('model.variational=False', False),
    ('data.independent_transposition=false', False),
    ('loss.exchange=window_mean', 'window_mean'),
    ('model.trunk_dilations=1,2,4', (1, 2, 4)),
    ('model.trunk_dilations=(1, 2, 4)', (1, 2, 4)),
    ('model.trunk_dilations=[3]', (3,)),
    ('model.trunk_dilations=', ()),
    ('data.datasets=bassnet_artificial/a1,bassnet_pop_rock/open', ('bassnet_artificial/a1', 'bassnet_pop_rock/open')),
  ],
)
def test_values_have_their_field_s_type(assignment, expected):
  section, field = assignment.split('=')[0].strip().split('.')
  found = getattr(getattr(configs.override(BASE, [assignment]), section), field)
  assert found == expected and type(found) is type(expected)


def test_only_the_named_fields_change_and_the_last_assignment_wins():
  changed = configs.override(BASE, ['data.window=128', 'loss.kl=0.5', 'data.window=256'])
  assert configs.differences(BASE, changed) == ['loss.kl: 0.01 -> 0.5', 'data.window: 64 -> 256']
  assert Experiment(name='base') == BASE, 'the original stays'


@pytest.mark.parametrize(
  ('assignment', 'message'),
  [
    ('data.windw=64', r'no field data\.windw\. Did you mean data\.window\? Known fields: .*train\.steps'),
    ('nothing.at_all=1', r'no field nothing\.at_all.*Known fields: model\.pitch_channels'),
    ('window=64', r'expected section\.field=value'),
    ('data.window', r'expected section\.field=value'),
    ('data.window=many', r"expected a whole number, found 'many'"),
    ('data.window=1.5', r"expected a whole number, found '1\.5'"),
    ('train.learning_rate=fast', r'expected a number, found'),
    ('model.variational=1', r'expected true or false'),
    ('loss.exchange=exchanged', r'expected one of exchange, rolled, window_mean, none'),
    ('loss.search_candidates=-1', r'expected 0 to 1024'),
    ('loss.search_share=1.5', r'expected 0 to 1'),
    ('loss.search_share=nan', r'expected 0 to 1'),
    ('model.trunk_dilations=1,x', r'expected a whole number, found'),
    ('name=other', r'expected section\.field=value'),
  ],
)
def test_a_wrong_assignment_says_what_is_right(assignment, message):
  with pytest.raises(ConfigError, match=message):
    configs.override(BASE, [assignment])


def test_every_known_field_can_be_set():
  for path in configs.known_fields():
    section, field = path.split('.')
    value = getattr(getattr(BASE, section), field)
    text = ','.join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert configs.override(BASE, [f'{path}={text}']) == BASE, path


@pytest.mark.parametrize('name', experiments.names())
def test_experiments_survive_json(name):
  experiment = experiments.get(name)
  text = json.dumps(configs.to_dict(experiment))
  assert configs.from_dict(json.loads(text)) == experiment


def test_settings_of_another_version_are_named():
  values = configs.to_dict(BASE)
  values['loss']['from_the_future'] = 1
  with pytest.raises(ConfigError, match='loss has no field from_the_future here'):
    configs.from_dict(values)


def test_replace_changes_fields_of_fields():
  changed = configs.replace(BASE, name='x', data={'window': 512})
  assert (changed.name, changed.data.window, changed.data.batch_size) == ('x', 512, BASE.data.batch_size)
  assert configs.differences(BASE, changed) == ['data.window: 64 -> 512']


def test_settings_can_t_be_changed_in_place():
  with pytest.raises(dataclasses.FrozenInstanceError):
    BASE.data.window = 1
