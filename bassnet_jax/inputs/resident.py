"""The resident input: all features in device memory, windows drawn inside the compiled step; needs no tensorflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bassnet_jax.batch import Batch
from bassnet_jax.config import DataConfig
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


def load(paths: Sequence[str], stream: TextIO | None = None) -> Resident:
  """Reads feature files into host arrays; `jax.device_put` places them. Progress goes to `stream`, default: stderr."""
  gap = ft.CONTEXT_FRAMES
  columns: dict[str, list[np.ndarray]] = {name: [] for name in ('mix', 'bass', 'pitch', 'onset', 'level')}
  starts, lengths, position = [], [], gap
  with Progress(len(paths), 'reading features', 'songs', stream=stream) as progress:
    for path in paths:
      features = ft.load(path)
      for name, parts in columns.items():
        values = getattr(features, name)
        fill = ft.NO_PITCH if name == 'pitch' else 0
        # A song shorter than a window is filled up, so that no window runs into the next song; the filling isn't valid.
        filling = max(ft.EXCERPT_FRAMES - features.frames, 0)
        parts += [np.full((gap, *values.shape[1:]), fill, values.dtype), values, np.full((filling, *values.shape[1:]), fill, values.dtype)]
      starts.append(position)
      lengths.append(features.frames)
      position += max(features.frames, ft.EXCERPT_FRAMES) + gap
      progress.update()
  for name, parts in columns.items():
    fill = ft.NO_PITCH if name == 'pitch' else 0
    parts.append(np.full((gap + ft.EXCERPT_FRAMES, *parts[0].shape[1:]), fill, parts[0].dtype))
  arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
  cumulative = np.cumsum(lengths) / np.sum(lengths)
  return Resident(
    **arrays,
    start=np.asarray(starts, np.int32),
    frames=np.asarray(lengths, np.int32),
    cumulative=cumulative.astype(np.float32),
  )


def draw(data: Resident, key: jax.Array, config: DataConfig, context: int) -> Batch:
  """A batch of pairs of windows, a function of the key alone.

  Songs are drawn in proportion to their length, starts uniformly, the partner within `pair_distance` frames.
  """
  pairs = config.batch_size // 2
  song_key, first_key, second_key = jax.random.split(key, 3)
  song = jnp.searchsorted(data.cumulative, jax.random.uniform(song_key, (pairs,)))
  song = jnp.minimum(song, len(data.cumulative) - 1)
  last = jnp.maximum(data.frames[song] - config.window, 0)
  first = _even_between(first_key, jnp.zeros_like(last), last)
  second = _even_between(second_key, jnp.maximum(first - config.pair_distance, 0), jnp.minimum(first + config.pair_distance, last))
  within = jnp.stack([first, second], axis=1)
  start = data.start[song][:, None] + within

  def windows(values: jax.Array, reach: int) -> jax.Array:
    cut = lambda s: jax.lax.dynamic_slice_in_dim(values, s - reach, config.window + 2 * reach)  # noqa: E731
    return jax.vmap(jax.vmap(cut))(start)

  return Batch(
    mix=windows(data.mix, context),
    bass=windows(data.bass, context),
    pitch=windows(data.pitch, 0),
    onset=windows(data.onset, 0),
    level=windows(data.level, 0),
    valid=(within[..., None] + jnp.arange(config.window)) < data.frames[song][:, None, None],
  )


def _even_between(key: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """Even integers in [low, high]."""
  low = low + low % 2
  return low + 2 * jax.random.randint(key, low.shape, 0, (high - low) // 2 + 1)
