"""Every registered experiment is found, described, and takes a step."""

import dataclasses
import functools
import math

import jax
import numpy as np
import pytest
import tiny

import experiments
from bassnet_jax import config as configs
from bassnet_jax import losses, train
from bassnet_jax import model as networks
from bassnet_jax.config import DataConfig, EvaluationConfig, Experiment, ModelConfig, TrainConfig
from bassnet_jax.inputs import resident
from data_pipeline import catalogue


def shrunk(experiment: Experiment) -> Experiment:
  """The experiment with everything that costs time made small, and alike in all; what its model, its loss and its pairs are stays.

  So the many rows of the table come to few different steps, each of which is compiled once.
  """
  small = {
    'pitch_channels': 4,
    'hidden': 16,
    'pitch_dilations': (1,),
    'trunk_dilations': (),
    'decoder_dilations': (),
    'latent_dilations': (),
  }
  return dataclasses.replace(
    experiment,
    name='shrunk',
    loss=dataclasses.replace(experiment.loss, free_bits=0.0, search_candidates=0, search_share=0.0),
    model=dataclasses.replace(experiment.model, **small),
    data=DataConfig(
      datasets=(tiny.DATASET,), batch_size=4, transposition=6, independent_transposition=experiment.data.independent_transposition
    ),
    train=TrainConfig(steps=2),
    evaluation=EvaluationConfig(),
  )


class Steps:
  """Losses and steps of shrunk experiments on one batch, each compiled once."""

  def __init__(self, corpus):
    self._statistics = corpus.statistics
    self._stored = resident.load(corpus.paths('train'))
    self._draw = jax.jit(resident.draw, static_argnums=(2, 3))
    self.loss = functools.cache(self._loss)
    self.step = functools.cache(self._step)
    self._start = functools.cache(self._make_start)

  def _make_start(self, model: ModelConfig):
    experiment = Experiment(name='shrunk', model=model, train=TrainConfig(steps=2))
    optimizer = train.make_optimizer(experiment, 2)
    return optimizer, jax.jit(lambda: train.init_state(experiment, 0, optimizer))()

  def _inputs(self, experiment: Experiment):
    optimizer, state = self._start(dataclasses.replace(experiment.model, variational=True))  # no parameter depends on it
    return optimizer, state, self._draw(self._stored, jax.random.key(0), experiment.data, networks.context_frames(experiment.model))

  def _loss(self, experiment: Experiment) -> dict[str, float]:
    _, state, batch = self._inputs(experiment)
    make = lambda params, batch: losses.loss(params, batch, jax.random.key(1), experiment, self._statistics)[1]  # noqa: E731
    return {name: float(value) for name, value in dataclasses.asdict(jax.jit(make)(state.params, batch)).items()}

  def _step(self, experiment: Experiment):
    optimizer, state, batch = self._inputs(experiment)
    make = lambda state, batch: train.train_step(state, batch, jax.random.key(1), experiment, self._statistics, optimizer)[0]  # noqa: E731
    step = jax.jit(make)
    return state.params, step(step(state, batch), batch).params  # twice: the learning rate begins at 0


@pytest.fixture(scope='module')
def steps(corpus) -> Steps:
  return Steps(corpus)


def test_the_table_comes_to_few_shapes():
  """Else this module takes too long: make `shrunk` level what is only another size."""
  assert len({shrunk(experiments.get(name)) for name in experiments.names()}) <= 12


@pytest.mark.parametrize('name', experiments.names())
def test_its_loss_is_the_weighted_sum_of_its_terms(name, steps):
  experiment = experiments.get(name)
  terms = steps.loss(shrunk(experiment))
  assert all(math.isfinite(value) for value in terms.values()), terms
  weighted = sum(getattr(experiment.loss, name) * terms[name] for name in terms if name not in ('total', 'pitch_accuracy', 'search'))
  assert terms['total'] == pytest.approx(weighted, rel=1e-4)


@pytest.mark.parametrize('name', ['a1_window64', 'a4_window512_nogate', 'a2_window64_deterministic', 'a3_window512_kl_lag'])
def test_training_moves_the_parameters_to_a_finite_place(name, steps):
  """One of each network, and one without exchange."""
  before, after = (jax.tree.leaves(params) for params in steps.step(shrunk(experiments.get(name))))
  assert all(np.isfinite(leaf).all() for leaf in after)
  moved = [bool((np.asarray(a) != np.asarray(b)).any()) for a, b in zip(before, after, strict=True)]
  assert np.mean(moved) > 0.9


@pytest.mark.parametrize('name', experiments.names())
def test_a_row_of_the_table_is_complete(name):
  experiment = experiments.get(name)
  assert experiment.name == name
  first, *rest = experiments.description(name).splitlines()
  assert first.endswith('.'), 'the first line of the docstring is a sentence'
  assert any(f'--experiment={name}' in line.split() for line in rest), 'the docstring has the command'
  for dataset in (*experiment.data.datasets, *experiment.evaluation.datasets):
    catalogue.parse(dataset)
  assert networks.context_frames(experiment.model) <= 256


@pytest.mark.parametrize('name', experiments.names())
def test_presets(name):
  experiment = experiments.get(name)
  assert experiments.preset(experiment, 'full') == experiment
  laptop = experiments.preset(experiment, 'laptop')
  assert laptop.model == experiment.model and laptop.loss == experiment.loss
  assert all(line.startswith('data.batch_size') for line in configs.differences(experiment, laptop) if line.startswith('data.'))
  assert 0 < laptop.train.steps <= 3000


NO_SEARCH = 'loss.search_candidates: 12 -> 0'
LONE = 'loss.latent_smoothness: 0.1 -> 0.0'
OWN = 'loss.exchange: exchange -> none'
CHANGES = {
  'nostability': [LONE, OWN],
  'exchange': [LONE],
  'smoothness': [OWN],
  'rolled': [LONE, 'loss.exchange: exchange -> rolled'],
  'window_mean': [LONE, 'loss.exchange: exchange -> window_mean'],
  'kl_lag': [LONE, 'loss.kl_lag: 0.0 -> 0.1', OWN],
  'l2': [LONE, 'loss.latent_l2: 0.0 -> 1.0', OWN],
  'nogate': ['model.gating: product -> concatenation'],
  'deterministic': ['model.variational: True -> False'],
}
BASES = [f'{name}_window{window}' for name in ('a1', 'a2', 'a3', 'a4', 'pr') for window in (64, 512)]


# What stands alone goes without the search too; music is trained without it as it is.
WITHOUT_SEARCH = ('nostability', 'smoothness', 'rolled', 'window_mean', 'kl_lag', 'l2')


@pytest.mark.parametrize('base', BASES)
@pytest.mark.parametrize('suffix', CHANGES)
def test_an_ablation_changes_one_thing(base, suffix):
  search = [NO_SEARCH] if suffix in WITHOUT_SEARCH and not base.startswith('pr') else []
  found = configs.differences(experiments.get(base), experiments.get(f'{base}_{suffix}'))
  assert sorted(found) == sorted(CHANGES[suffix] + search)


@pytest.mark.parametrize('base', [base for base in BASES if not base.startswith('pr')])
def test_the_search_is_a_row_of_its_own(base):
  changed = lambda suffix: configs.differences(experiments.get(base), experiments.get(f'{base}_{suffix}'))  # noqa: E731
  assert changed('nosearch') == [NO_SEARCH]
  assert sorted(changed('exchange_only')) == sorted([NO_SEARCH, *CHANGES['exchange']])
  assert sorted(changed('search_only')) == sorted(CHANGES['nostability'])


@pytest.mark.parametrize('base', ['a1_window64', 'pr_window64'])
def test_the_row_in_bfloat16_is_the_base_in_another_precision(base):
  found = configs.differences(experiments.get(base), experiments.get(f'{base}_bfloat16'))
  assert found == ['model.dtype: float32 -> bfloat16']


@pytest.mark.parametrize('base', BASES)
def test_common_transposition_differs_from_independent_in_one_thing(base):
  # The artificial sets are not transposed by default: there the two rows differ from each other, and the first from the base.
  independent = base if base.startswith('pr') else f'{base}_transposition'
  found = configs.differences(experiments.get(independent), experiments.get(f'{base}_common_transposition'))
  assert found == ['data.independent_transposition: True -> False']
  assert experiments.get(independent).data.transposition == 6


@pytest.mark.parametrize('name', ['a1', 'a2', 'a3', 'a4', 'pr'])
def test_sets_and_windows_differ_in_what_they_must(name):
  for window in (64, 128, 256, 512):
    experiment = experiments.get(f'{name}_window{window}')
    assert experiment.data.window == window
    decoder_sees = networks.mix_reach(experiment.model) + networks.decoder_reach(experiment.model)
    assert decoder_sees == window // 2, 'half of the receptive field is half a window'
    encoder_sees = {64: 56, 128: 88}.get(window, window // 2) if name == 'a4' else window // 2  # see experiments/artificial.py
    assert networks.context_frames(experiment.model) == encoder_sees
    allowed = {'data.window', 'data.batch_size', *(f'model.{part}_dilations' for part in ('pitch', 'trunk', 'decoder', 'latent'))}
    allowed |= {'data.group_size'} if name == 'a4' else set()
    changed = configs.differences(experiments.get(f'{name}_window64'), experiment)
    assert {line.split(':')[0] for line in changed} <= allowed
    if name != 'pr':
      assert experiment.data.datasets == (f'bassnet_artificial/{name}',)
      differing = {line.split(':')[0] for line in configs.differences(experiments.get(f'a1_window{window}'), experiment)}
      needed = (
        {'loss.search_share', *(['model.latent_dilations'] if window < 256 else []), *(['data.group_size'] if window == 64 else [])}
        if name == 'a4'
        else set()
      )
      assert differing == ({'data.datasets'} if name != 'a1' else set()) | needed, 'sets differ in data alone, and a4 in what it needs'


@pytest.mark.parametrize(
  ('name', 'nearest'), [('pr_windw64', 'pr_window64'), ('PR_WINDOW64', 'pr_window64'), ('a1', 'a1_'), ('nothing like it', '')]
)
def test_unknown_names_say_the_nearest_and_how_to_list_all(name, nearest):
  """Not a hundred names, among which none is found."""
  with pytest.raises(experiments.UnknownExperimentError) as caught:
    experiments.get(name)
  hint = f' Did you mean {nearest}' if nearest else ''
  message = str(caught.value)
  assert message.startswith(f'there is no experiment {name!r}.{hint}') and ('Did you mean' in message) == bool(nearest)
  assert f'python -m bassnet_jax.main --list names all {len(experiments.names())}' in message and len(message) < 300
  assert '--list' in experiments.give_one() and len(experiments.give_one()) < 200


def test_an_unknown_preset_lists_the_known_ones():
  with pytest.raises(experiments.UnknownExperimentError, match="preset 'tablet'; there are: full, laptop"):
    experiments.preset(experiments.get('pr_window64'), 'tablet')


def test_a_name_is_registered_once():
  from experiments.registry import register

  def pr_window64():
    return None

  with pytest.raises(ValueError, match='two experiments are called pr_window64'):
    register(pr_window64)
