"""The resident input: all features in device memory, windows drawn inside the compiled step; needs no tensorflow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TextIO

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bassnet_jax.batch import Batch
from bassnet_jax.config import ConfigError, DataConfig, TrainConfig
from data_pipeline import features as ft
from data_pipeline.progress import Progress


@struct.dataclass
class Resident:
  """All training songs, one after the other, with silence of the longest context between them.

  Attributes:
    mix, bass, pitch, onset, level: [frames, ...], as in `Features`.
    start: [songs] int32, first frame of each song.
    frames: [songs] int32, its length.
    cumulative: [songs] float32, share of all frames up to and with each song.
  """

  mix: jax.Array
  bass: jax.Array
  pitch: jax.Array
  onset: jax.Array
  level: jax.Array
  start: jax.Array
  frames: jax.Array
  cumulative: jax.Array


@struct.dataclass
class Places:
  """Where the windows of a batch begin.

  Attributes:
    start: [groups, windows] int32, first frame in the stored arrays.
    valid: [groups, windows, window] bool, False beyond a song's end.
  """

  start: jax.Array
  valid: jax.Array


FILL = {'mix': 0, 'bass': 0, 'pitch': ft.NO_PITCH, 'onset': 0, 'level': 0}
"""The arrays of frames, and what silence is in each."""
TAIL = ft.CONTEXT_FRAMES + ft.EXCERPT_FRAMES
"""Frames of silence after the last song."""


def check(config: DataConfig, context: int) -> None:
  """Raises ConfigError: windows that can't be cut. With more context than the silence between songs they would hear the next song."""
  if config.window % 2 or context > ft.CONTEXT_FRAMES:
    raise ConfigError(
      f'data.window={config.window}, with {context} frames of context on both sides, as the dilations of the model ask for: expected an '
      f'even window and at most {ft.CONTEXT_FRAMES} frames of context. Set another data.window, or smaller dilations.'
    )


def steps_per_call(config: TrainConfig, given: int | None = None) -> int:
  """Steps that one call of the compiled program makes, so that reports and checkpoints fall between calls.

  Args:
    given: so many; default: as many as there may be on an accelerator, one on a CPU, where a call costs nothing, and XLA runs the body of a
      loop on fewer threads than a step of its own.

  Raises:
    ConfigError: with so many, reports or checkpoints would fall within a call.
  """
  most = math.gcd(config.log_every, config.checkpoint_every)
  if given is None:
    return 1 if jax.default_backend() == 'cpu' else most
  if given < 1 or most % given:
    raise ConfigError(
      f'{given} steps a call: expected a divisor of train.log_every={config.log_every} and train.checkpoint_every={config.checkpoint_every}'
    )
  return given


def room(frames: int) -> int:
  """Frames that a song takes with the silence after it: a short one is filled up, so that no window runs into the next song."""
  return max(frames, ft.EXCERPT_FRAMES) + ft.CONTEXT_FRAMES


def silence(frames: int) -> dict[str, np.ndarray]:
  """Host arrays in which nothing sounds."""
  kinds = {'mix': ((ft.MIX_BINS,), np.float16), 'bass': ((ft.BASS_BINS,), np.float16), 'level': ((), np.float16)}
  result = {}
  for name, fill in FILL.items():
    rest, kind = kinds.get(name, ((), np.uint8))
    result[name] = np.full((frames, *rest), fill, kind)
  return result


def index(starts: np.ndarray, frames: Sequence[int]) -> dict[str, np.ndarray]:
  """The fields of `Resident` that say where songs are."""
  cumulative = np.cumsum(frames) / np.sum(frames)
  return {
    'start': np.asarray(starts, np.int32),
    'frames': np.asarray(frames, np.int32),
    'cumulative': cumulative.astype(np.float32),
  }


def place(arrays: dict[str, np.ndarray], start: int, path: str, frames: int) -> None:
  """Reads a song into host arrays from `start` on.

  Raises:
    FeatureFileError: the file is damaged, or hasn't so many frames.
  """
  features = ft.load(path)
  if features.frames != frames:
    raise ft.FeatureFileError(
      f'{path} holds {features.frames} frames, where the summary of its dataset says {frames}. Delete the dataset and build it anew.'
    )
  for name, values in arrays.items():
    values[start : start + frames] = getattr(features, name)


def load(paths: Sequence[str], stream: TextIO | None = None, frames: Sequence[int] | None = None) -> Resident:
  """Reads feature files into host arrays; `jax.device_put` places them.

  Args:
    stream: where progress goes; default: stderr.
    frames: of every song; default: what the files say.

  Raises:
    FeatureFileError: a file is damaged.
  """
  frames = [ft.frames_of(path) for path in paths] if frames is None else frames
  starts = ft.CONTEXT_FRAMES + np.concatenate([[0], np.cumsum([room(count) for count in frames])]).astype(np.int64)
  arrays = silence(int(starts[-1]) + TAIL)
  with Progress(len(paths), 'reading features', 'songs', stream=stream) as progress:
    for path, start, count in zip(paths, starts[:-1], frames, strict=True):
      place(arrays, start, path, count)
      progress.update()
  return Resident(**arrays, **index(starts[:-1], frames))


def places(data: Resident, key: jax.Array, config: DataConfig) -> Places:
  """Where a batch's windows begin, a function of the key and the songs' lengths alone.

  Songs are drawn in proportion to their length, starts uniformly, the other windows of a group within `pair_distance` frames.
  """
  groups = config.batch_size // config.group_size
  song_key, first_key, other_key = jax.random.split(key, 3)
  song = jnp.searchsorted(data.cumulative, jax.random.uniform(song_key, (groups,)))
  song = jnp.minimum(song, len(data.cumulative) - 1)
  last = jnp.maximum(data.frames[song] - config.window, 0)
  first = _even_between(first_key, jnp.zeros_like(last), last)
  nearest, farthest = jnp.maximum(first - config.pair_distance, 0), jnp.minimum(first + config.pair_distance, last)
  others = (groups, config.group_size - 1)
  others = _even_between(other_key, jnp.broadcast_to(nearest[:, None], others), jnp.broadcast_to(farthest[:, None], others))
  within = jnp.concatenate([first[:, None], others], axis=1)
  return Places(
    start=data.start[song][:, None] + within,
    valid=(within[..., None] + jnp.arange(config.window)) < data.frames[song][:, None, None],
  )


def cut(values: jax.Array, start: jax.Array, reach: int, window: int) -> jax.Array:
  """Windows [groups, windows, window + 2 * reach, ...] of [frames, ...]."""
  one = lambda s: jax.lax.dynamic_slice_in_dim(values, s - reach, window + 2 * reach)  # noqa: E731
  return jax.vmap(jax.vmap(one))(start)


def draw(data: Resident, key: jax.Array, config: DataConfig, context: int) -> Batch:
  """A batch of groups of windows, a function of the key alone; see `places`."""
  drawn = places(data, key, config)
  reach = {name: context if name in ('mix', 'bass') else 0 for name in FILL}
  return Batch(**{name: cut(getattr(data, name), drawn.start, reach[name], config.window) for name in FILL}, valid=drawn.valid)


def _even_between(key: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """Even integers in [low, high]."""
  low = low + low % 2
  return low + 2 * jax.random.randint(key, low.shape, 0, (high - low) // 2 + 1)
