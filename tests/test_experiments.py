"""Every registered experiment is found, described, and takes a step."""

import dataclasses
import functools
import math

import jax
import pytest
import tiny

import experiments
from bassnet_jax import model as networks
from bassnet_jax import train
from bassnet_jax.config import EvaluationConfig, Experiment
from bassnet_jax.inputs import resident
from data_pipeline import catalogue


def shrunk(experiment: Experiment) -> Experiment:
  """The experiment with everything that costs time made small, and all else as it is."""
  small = {field: getattr(tiny.MODEL, field) for field in ('pitch_channels', 'hidden')}
  small |= {field.name: getattr(tiny.MODEL, field.name) for field in dataclasses.fields(tiny.MODEL) if field.name.endswith('dilations')}
  return dataclasses.replace(
    experiment,
    name='shrunk',
    model=dataclasses.replace(experiment.model, **small),
    data=dataclasses.replace(experiment.data, datasets=(tiny.DATASET,), batch_size=4, window=min(experiment.data.window, 64)),
    train=dataclasses.replace(experiment.train, steps=2),
    evaluation=EvaluationConfig(),
  )


@pytest.fixture(scope='module')
def one_step(corpus):
  """Takes a step; rows of the table that shrink to the same settings share it."""
  data = resident.load(corpus.paths('train'))

  @functools.cache
  def step(experiment: Experiment) -> dict[str, float]:
    optimizer = train.make_optimizer(experiment, 2)
    state = jax.jit(lambda: train.init_state(experiment, 0, optimizer))()
    batch = jax.jit(resident.draw, static_argnums=(2, 3))(
      data, jax.random.key(0), experiment.data, networks.context_frames(experiment.model)
    )
    make = lambda state, batch: train.train_step(state, batch, jax.random.key(1), experiment, corpus.statistics, optimizer)  # noqa: E731
    return {name: float(value) for name, value in dataclasses.asdict(jax.jit(make)(state, batch)[1]).items()}

  return step


@pytest.mark.parametrize('name', experiments.names())
def test_takes_a_step(name, one_step):
  experiment = experiments.get(name)
  terms = one_step(shrunk(experiment))
  assert all(math.isfinite(value) for value in terms.values()), terms
  weighted = sum(getattr(experiment.loss, name) * terms[name] for name in terms if name not in ('total', 'pitch_accuracy'))
  assert terms['total'] == pytest.approx(weighted, rel=1e-4)


@pytest.mark.parametrize('name', experiments.names())
def test_a_row_of_the_table_is_complete(name):
  experiment = experiments.get(name)
  assert experiment.name == name
  first, *rest = experiments.description(name).splitlines()
  assert first.endswith('.'), 'the first line of the docstring is a sentence'
  assert any(f'--experiment={name.removesuffix("_nostability")}' in line for line in rest), 'the docstring has the command'
  for dataset in (*experiment.data.datasets, *experiment.evaluation.datasets):
    catalogue.parse(dataset)
  assert networks.context_frames(experiment.model) <= 256


@pytest.mark.parametrize('name', experiments.names())
def test_presets(name):
  experiment = experiments.get(name)
  assert experiments.preset(experiment, 'full') == experiment
  laptop = experiments.preset(experiment, 'laptop')
  assert laptop.model == experiment.model and laptop.data == experiment.data and laptop.loss == experiment.loss
  assert 0 < laptop.train.steps <= 3000


@pytest.mark.parametrize('name', [name for name in experiments.names() if name.endswith('_nostability')])
def test_the_ablation_changes_one_thing(name):
  from bassnet_jax import config as configs

  changed = configs.differences(experiments.get(name.removesuffix('_nostability')), experiments.get(name))
  assert changed == ['loss.latent_smoothness: 0.1 -> 0.0', 'loss.exchange: exchange -> none']


def test_unknown_names_list_the_known_ones():
  with pytest.raises(experiments.UnknownExperimentError, match=r"'pr_windw64'\. Did you mean pr_window64\? There are: .*a1_window64"):
    experiments.get('pr_windw64')
  with pytest.raises(experiments.UnknownExperimentError, match="preset 'tablet'; there are: full, laptop"):
    experiments.preset(experiments.get('pr_window64'), 'tablet')


def test_a_name_is_registered_once():
  from experiments.registry import register

  def pr_window64():
    return None

  with pytest.raises(ValueError, match='two experiments are called pr_window64'):
    register(pr_window64)
