"""What each half of the network could learn of an artificial set if it were told the patterns: `python -m bassnet_jax.labelled_probe`.

An upper bound, and no way to train a model: every value of every aspect of a pattern (root, fifth; piano, guitar; ...) is a dimension of
z, so that nothing is crowded as in the plane; the decoder is given a pattern's corner, and the encoder learns it by regression. Nothing is
searched for or exchanged. What isn't learned here in a number of steps can't be learned without labels in as many.

With `--checkpoint` the features of the mix are those of a trained run, and stay as they are: do they tell an aspect at all?

With `--splits=validation,test_timbre` it is also asked of instruments that training never heard: where a network that was told the patterns
is wrong too, learning without labels isn't to blame.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from bassnet_jax import checkpoints, losses, train
from bassnet_jax import config as configs
from bassnet_jax import model as networks
from bassnet_jax.batch import Batch, Statistics
from bassnet_jax.config import Experiment
from bassnet_jax.inputs import resident
from bassnet_jax.inputs.resident import Resident
from data_pipeline import commands, storage
from data_pipeline import features as ft

_EVALUATED_GROUPS = 64


def aspects(names: Sequence[str]) -> np.ndarray:
  """[patterns, aspects]: which value each part of a name such as 'root, piano, kick' has, numbered in the order of appearance."""
  parts = [[part.strip() for part in name.split(',')] for name in names]
  columns = [list(dict.fromkeys(column)) for column in zip(*parts, strict=True)]
  return np.array([[columns[i].index(part) for i, part in enumerate(row)] for row in parts])


def corners(kinds: np.ndarray) -> np.ndarray:
  """[patterns, values of all aspects]: 1 where a pattern has a value, -1 elsewhere; kinds: [patterns, aspects], as of `aspects`."""
  columns = [np.eye(column.max() + 1, dtype=np.float32)[column] for column in kinds.T]
  return 2 * np.concatenate(columns, axis=1) - 1


def draw(data: Resident, patterns: jax.Array, key: jax.Array, experiment: Experiment) -> tuple[Batch, jax.Array]:
  """A batch, and the pattern of each of its groups, [groups]; patterns: [songs]."""
  batch = resident.draw(data, key, experiment.data, networks.context_frames(experiment.model))
  first = resident.places(data, key, experiment.data).start[:, 0]
  return batch, patterns[jnp.searchsorted(data.start, first, side='right') - 1]


class Probe:
  """A network that is taught with labels.

  The encoder regresses by squares. With `likelihood` it does by -log q, as in the search: then an aspect that is soon certain has the
  steepest gradient, and the others wait. A `mix_encoder` that is given isn't trained.
  """

  def __init__(
    self,
    experiment: Experiment,
    statistics: Statistics,
    kinds: np.ndarray,
    steps: int,
    seed: int,
    likelihood: bool = False,
    mix_encoder: Any = None,
  ):
    self._places = jnp.asarray(corners(kinds))
    experiment = configs.replace(experiment, model={'latent_size': self._places.shape[1]})
    self._experiment, self._statistics, self._seed, self._likelihood = experiment, statistics, seed, likelihood
    self._net = networks.BassNet(experiment.model)
    self._optimizer = train.make_optimizer(experiment, steps)
    self._fixed = {} if mix_encoder is None else {'mix_encoder': mix_encoder}
    self.params = {'params': networks.init_params(experiment.model, experiment.data.window, seed)['params'] | self._fixed}
    self._state = self._optimizer.init(self.params)
    self._step = jax.jit(self._train)
    self.read = jax.jit(self._read)

  def step(self, number: int, data: Resident, patterns: np.ndarray) -> None:
    """One step on windows of `data`, whose songs have these patterns."""
    key = jax.random.fold_in(jax.random.key(self._seed), number)
    self.params, self._state = self._step(self.params, self._state, data, patterns, key)

  def _prepared(self, params, batch: Batch, key: jax.Array):
    """Windows, the code that the decoder takes, and the posterior."""
    windows = losses.prepare(batch, key, self._experiment, self._statistics)
    code = self._net.apply(params, windows.mix, method='encode_mix')
    posterior = losses.posterior(self._net, params, code, windows)
    return windows, networks.crop_code(code, windows.frames + 2 * networks.decoder_reach(self._experiment.model)), posterior

  def _decode(self, params, code: networks.MixCode, z: jax.Array) -> networks.Outputs:
    """z: [windows, size], for every frame."""
    frames = code.frame.shape[1]
    return self._net.apply(params, code, jnp.broadcast_to(z[:, None], (len(z), frames, z.shape[-1])), method='decode')

  def _train(self, params, state, data: Resident, song_patterns: jax.Array, key: jax.Array):
    cfg = self._experiment.loss
    draw_key, augment_key = jax.random.split(key)
    batch, patterns = draw(data, song_patterns, draw_key, self._experiment)

    def loss(params):
      windows, code, posterior = self._prepared({'params': params['params'] | self._fixed}, batch, augment_key)
      z = jnp.repeat(self._places[patterns], self._experiment.data.group_size, axis=0)
      terms = losses.reconstruction(self._decode(params, code, z), windows, cfg)
      miss = 0.5 * jnp.square(z[:, None] - posterior.mu)
      if self._likelihood:
        miss = miss * jnp.exp(-posterior.logvar) + 0.5 * posterior.logvar
      return losses.mean(miss.sum(axis=-1), windows.valid) + sum(getattr(cfg, name) * terms[name] for name in losses.RECONSTRUCTION)

    updates, state = self._optimizer.update(jax.grad(loss)(params), state, params)
    # Even without a gradient, weight decay would move what is to stay.
    return {'params': optax.apply_updates(params, updates)['params'] | self._fixed}, state

  def _read(self, params, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Which pattern each half takes a group for, [groups] each: the encoder by the corner nearest to the mean of mu of its windows, the
    decoder by the corner from which the group is least surprising."""
    windows, code, posterior = self._prepared(params, batch, jax.random.key(0))
    size = self._experiment.data.group_size
    mean = posterior.mu.mean(axis=1).reshape(-1, size, posterior.mu.shape[-1]).mean(axis=1)
    encoder = jnp.square(mean[:, None] - self._places).sum(axis=-1).argmin(axis=1)
    every = [
      losses.group_cost(
        self._decode(params, code, jnp.broadcast_to(place, (len(windows.mix), len(place)))), windows, self._experiment.loss, size
      )
      for place in self._places
    ]
    return encoder, jnp.stack(every).argmin(axis=0)


def _mix_encoder(checkpoint: str, experiment: Experiment) -> Any:
  """Parameters of a run's mix encoder.

  Raises:
    ValueError: its network is another one.
  """
  storage.check(storage.absolute(checkpoint))
  params, description, _ = checkpoints.load_params(storage.absolute(checkpoint))
  theirs = configs.from_dict(description['experiment'])
  different = [line for line in configs.differences(experiment, theirs) if line.startswith('model.')]
  if different:
    raise ValueError(
      f'--checkpoint={checkpoint}: expected the network of --experiment={experiment.name}, found other settings ({"; ".join(different)}). '
      'Give the --experiment and the --set of that run.'
    )
  return params['params']['mix_encoder']


def _shares(guess: np.ndarray, truth: np.ndarray, kinds: np.ndarray) -> str:
  """How many patterns are guessed right, [groups] each, as a whole and in each aspect."""
  return ' '.join(f'{share:.2f}' for share in ((guess == truth).mean(), *(kinds[guess] == kinds[truth]).mean(axis=0)))


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'experiment', 'a4_window64', 'whose data and network are taken')
  define(flags.DEFINE_string, 'preset', 'laptop', 'full or laptop')
  define(flags.DEFINE_multi_string, 'set', [], 'section.field=value, as of bassnet_jax.main')
  define(flags.DEFINE_integer, 'steps', 600, 'of training', lower_bound=1)
  define(flags.DEFINE_integer, 'every', 100, 'steps from one row of the table to the next', lower_bound=1)
  define(flags.DEFINE_integer, 'seed', 0, 'of parameters and windows')
  define(flags.DEFINE_list, 'splits', ['validation'], 'whose songs are asked about, separated by commas: validation,test_timbre')
  define(flags.DEFINE_bool, 'likelihood', False, 'let the encoder regress by -log q instead of squares')
  define(flags.DEFINE_string, 'checkpoint', None, 'workdir of a run of this experiment, whose features of the mix are taken as they are')
  define(flags.DEFINE_string, 'data_dir', 'data', 'folder of the datasets; what is missing is built there')


@commands.with_flags(_define_flags, bare='experiment')
def main(defined: flags.FlagValues) -> int:
  """Prints how often each half is right on songs of other splits, as a whole and in each aspect of a pattern."""
  import experiments
  from bassnet_jax.evaluation import report
  from bassnet_jax.inputs import corpus as corpora

  experiment = configs.override(experiments.preset(experiments.get(defined.experiment), defined.preset), defined.set)
  if experiment.evaluation.kind != 'artificial':
    raise ValueError(f'--experiment={defined.experiment} trains on music; expected one on an artificial set, such as a4_window64')
  corpus = corpora.open_corpus(experiment.data, defined.data_dir, None, tfds_files=False)
  names = report.pattern_names(corpus.names[0], len(ft.load(corpus.paths('train')[0]).patterns))
  kinds = aspects(names)
  paths = {'train': corpus.paths('train', experiment.data.max_songs)} | {split: corpus.paths(split) for split in defined.splits}
  for split, found in paths.items():
    if not found:
      there = ', '.join(sorted({split for summary in corpus.summaries for split in summary.splits()}))
      raise ValueError(f'--splits: {corpus.names[0]} has no songs in {split!r}; it has {there}')
  patterns = jax.device_put({split: np.array([ft.load(path).pattern for path in found]) for split, found in paths.items()})
  data = {split: jax.device_put(resident.load(found)) for split, found in paths.items()}
  many = configs.replace(experiment, data={'batch_size': experiment.data.group_size * _EVALUATED_GROUPS})
  key = jax.random.key(defined.seed + 1)
  asked = {split: jax.device_get(draw(data[split], patterns[split], key, many)) for split in defined.splits}
  mix_encoder = _mix_encoder(defined.checkpoint, experiment) if defined.checkpoint else None
  probe = Probe(experiment, corpus.statistics, kinds, defined.steps, defined.seed, defined.likelihood, mix_encoder)
  head = ['all', *(' or '.join(dict.fromkeys(column)) for column in zip(*(name.split(', ') for name in names), strict=True))]
  size = experiment.data.group_size
  print(f'share of {_EVALUATED_GROUPS} groups of {size} windows of a split that are read right: {"; ".join(head)}')
  began = time.monotonic()
  for step in range(1, defined.steps + 1):
    probe.step(step, data['train'], patterns['train'])
    if step % defined.every == 0 or step == defined.steps:
      for split, (batch, truth) in asked.items():
        encoder, decoder = (_shares(np.asarray(guess), truth, kinds) for guess in probe.read(probe.params, batch))
        left = (time.monotonic() - began) / step * (defined.steps - step)
        print(f'step {step:5d}  {split}: encoder {encoder}   decoder {decoder}   {left / 60:.0f} min left', flush=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
