"""The loss on songs that are held out, while training goes on: every time the same windows, in a fixed number of masked batches.

Which windows these are, and how many batches, is a function of the settings and the songs' lengths alone. Every process reads the windows
of its own rows, and all take part in every batch, so that the figures are the same on any number of devices and processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from bassnet_jax import config as configs
from bassnet_jax import losses
from bassnet_jax import model as networks
from bassnet_jax.batch import Batch
from bassnet_jax.config import DataConfig, Experiment, TrainConfig
from bassnet_jax.inputs import resident
from bassnet_jax.inputs.corpus import Corpus
from data_pipeline import features as ft

SPLIT = 'validation'
_NO_AUGMENTATION = {'transposition': 0, 'gain_db': 0.0, 'equaliser_db': 0.0}
_SEED = 0
"""Of the noise and the rolling of z: the same every time, so that two figures differ by the parameters alone."""

_LABELLED = ('pitch', 'pitch_accuracy')
"""Terms that are means over the frames whose pitch is known; the others are over all."""

Measured = list[tuple[losses.Terms, tuple[jax.Array, jax.Array]]]
"""Of every batch: its terms, and how many frames it has, and of known pitch; on the devices, perhaps still being computed."""


def places(frames: Sequence[int], config: DataConfig, most: int) -> tuple[np.ndarray, np.ndarray]:
  """Where the windows of validation begin: groups spread evenly over the songs, and over each song.

  Args:
    frames: of every song.
    most: groups.

  Returns:
    song [groups], and first frame [groups, group_size], even as in training. Where songs have less room than `most` groups fill, there
    are fewer; of more songs than that, every so many-th has one.
  """
  fitting = np.maximum(np.asarray(frames) // (config.window * config.group_size), 1)
  counts, left = np.zeros(len(frames), int), most
  while left and (open_songs := np.flatnonzero(counts < fitting)).size:
    taken = open_songs if open_songs.size <= left else open_songs[np.arange(left) * open_songs.size // left]
    counts[taken] += 1
    left -= taken.size
  song = np.repeat(np.arange(len(frames)), counts)
  rank = np.arange(len(song)) - np.repeat(np.cumsum(counts) - counts, counts)
  last = np.maximum(np.asarray(frames)[song] - config.window, 0)
  first = (last * (rank + 0.5) / counts[song]).astype(int)
  apart = np.minimum(config.pair_distance, last) // config.group_size * np.arange(config.group_size)[:, None]
  later, earlier = first + apart, np.maximum(first - apart, 0)
  start = np.where(later <= last, later, earlier).T
  return song, start - start % 2


class Validation:
  """The batches of a run.

  Attributes:
    groups: that are measured; the rest of the last batch is masked.
  """

  def __init__(self, experiment: Experiment, corpus: Corpus, sharding: jax.sharding.NamedSharding):
    """`sharding`: of the groups of a batch, over all processes."""
    data, self._context = experiment.data, networks.context_frames(experiment.model)
    per_batch = data.batch_size // data.group_size
    song, start = places(corpus.song_frames(SPLIT), data, per_batch * experiment.train.validation_batches)
    self.groups, self._sharding = len(song), sharding
    per_process = per_batch // jax.process_count()
    paths = corpus.paths(SPLIT)
    self._local = []  # on the host: the devices are for training
    for begin in range(0, len(song), per_batch):
      own = slice(begin + jax.process_index() * per_process, begin + (jax.process_index() + 1) * per_process)
      self._local.append(self._read(paths, song[own], start[own], per_process, data))
    clean = configs.replace(experiment, data=_NO_AUGMENTATION)

    def measure(params: Any, batch: Batch) -> tuple[losses.Terms, tuple[jax.Array, jax.Array]]:
      _, terms = losses.loss(params, batch, jax.random.key(_SEED), clean, corpus.statistics)
      return terms, (batch.valid.sum(), (batch.valid & (batch.pitch != ft.UNLABELLED)).sum())

    replicated = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
    self._measure = jax.jit(measure, out_shardings=replicated)

  def _read(self, paths: Sequence[str], song: np.ndarray, start: np.ndarray, rows: int, data: DataConfig) -> dict[str, np.ndarray]:
    """Host arrays of the fields of `Batch`, [rows, group_size, ...]; rows beyond `song` are masked."""
    reach = {name: self._context if name in ('mix', 'bass') else 0 for name in resident.FILL}
    cut: dict[str, list[np.ndarray]] = {name: [] for name in reach}
    valid = np.zeros((rows, data.group_size, data.window), bool)
    for index in dict.fromkeys(song.tolist()):
      features = ft.load(paths[index])
      for row in np.flatnonzero(song == index):
        valid[row] = start[row][:, None] + np.arange(data.window) < features.frames
        for name, context in reach.items():
          cut[name].append(np.stack([_window(getattr(features, name), at, context, data.window, name) for at in start[row]]))
    arrays = {}
    for name, values in resident.silence(data.window).items():
      edge = np.repeat(values[:1], data.window + 2 * reach[name], axis=0)
      masked = [np.broadcast_to(edge, (data.group_size, *edge.shape))] * (rows - len(song))
      arrays[name] = np.stack([*cut[name], *masked])
    return arrays | {'valid': valid}

  def batches(self) -> Iterator[Batch]:
    """The batches of all processes, on their way to the devices."""
    for local in self._local:
      yield Batch(**{name: jax.make_array_from_process_local_data(self._sharding, values) for name, values in local.items()})

  def __call__(self, params: Any) -> Measured:
    """Begins to measure; nothing is waited for."""
    return [self._measure(params, batch) for batch in self.batches()]


def _window(values: np.ndarray, start: int, context: int, window: int, name: str) -> np.ndarray:
  """Frames [window + 2 * context, ...] of a song from `start - context` on, silence beyond its ends."""
  low, high = start - context, start + window + context
  inside = values[max(low, 0) : max(high, 0)]
  ends = ((max(-low, 0), window + 2 * context - max(-low, 0) - len(inside)), *((0, 0) for _ in values.shape[1:]))
  return np.pad(inside, ends, constant_values=resident.FILL[name])


def figures(measured: Measured) -> dict[str, float]:
  """'validation/<term>' -> its mean over the batches, weighted by their frames; waits until the devices have it."""
  terms, counts = zip(*jax.device_get(measured), strict=True)
  every, labelled = np.asarray(counts, np.float64).T
  found = {}
  for name in losses.Terms.__dataclass_fields__:
    weight = labelled if name in _LABELLED else every
    found[f'{SPLIT}/{name}'] = float(weight @ [getattr(term, name) for term in terms] / max(weight.sum(), 1))
  return found


def due(step: int, config: TrainConfig) -> bool:
  """Whether the report of a step also says how held-out songs fare: the first after each multiple of `validate_every`."""
  reported = step - step % config.log_every
  return (reported - config.log_every) // config.validate_every != reported // config.validate_every


def make(experiment: Experiment, corpus: Corpus, sharding: jax.sharding.NamedSharding, steps: int) -> Validation | None:
  """The validation that an experiment asks for; None where it asks for none in so many steps, or has no songs for it."""
  if not 0 < experiment.train.validate_every <= steps or not corpus.paths(SPLIT):
    return None
  return Validation(experiment, corpus, sharding)
