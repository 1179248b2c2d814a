"""The tf.data input: reads excerpts from TFDS files and cuts groups of windows from them."""

from __future__ import annotations

import os
import re

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # tensorflow tells of every CPU feature that it lacks

import tensorflow as tf
import tensorflow_datasets as tfds

from data_pipeline import features as ft

_FRAME_FEATURES = ('mix', 'bass', 'pitch', 'onset', 'level')


def _plain(error: tf.errors.OpError) -> str:
  """What tensorflow says, without the names of its operations."""
  return ' '.join(re.sub(r'\{\{.*?\}\}|\[Op:.*?\]', ' ', error.message).split())[:500]


class DatasetFileError(ValueError):
  """A file of a TFDS dataset can't be read; the message says which and what to do."""


def groups(
  directories: list[str],
  window: int,
  context: int,
  groups_per_batch: int,
  group_size: int,
  pair_distance: int,
  groups_per_excerpt: int,
  excerpts_in_memory: int,
  seed: int,
  max_songs: int = 0,
  process_index: int = 0,
  process_count: int = 1,
) -> tf.data.Dataset:
  """An endless, deterministic dataset of batches of groups of windows; its iterator can be saved and restored.

  Excerpts are read in a random order, `excerpts_in_memory` at a time; of these, batches are drawn such that every
  excerpt gives `groups_per_excerpt` groups. Where a window begins is a function of (seed, count of shuffles) alone.

  Args:
    directories: of TFDS datasets (with version); sampled in proportion to their sizes.
    window, context: frames; both even.
    group_size: windows of a group, all from one excerpt.
    pair_distance: how many frames from the first window of a group the others begin at most.
    max_songs: of the training split, 0: all.
    process_index, process_count: every process reads a part of its own.

  Returns:
    a dataset of dicts with the fields of `bassnet_jax.batch.Batch`, [groups_per_batch, group_size, frames, ...].

  Raises:
    ValueError: the sizes don't fit together.
  """
  if window % 2 or context % 2 or window > ft.EXCERPT_FRAMES or context > ft.CONTEXT_FRAMES:
    raise ValueError(
      f'data.window={window}, with {context} frames of context on both sides, as the dilations of the model ask for: both must be even, at '
      f'most {ft.EXCERPT_FRAMES} and {ft.CONTEXT_FRAMES} frames. Set another data.window, or smaller dilations.'
    )
  draws = excerpts_in_memory * groups_per_excerpt
  if draws % groups_per_batch:
    raise ValueError(
      f'data.excerpts_in_memory={excerpts_in_memory} excerpts of {groups_per_excerpt} groups of {group_size} windows each do not divide '
      f'into batches of {groups_per_batch} groups. Set one of which '
      'data.excerpts_in_memory * data.windows_per_excerpt is a multiple of data.batch_size.'
    )
  sources, sizes = [], []
  for directory in directories:
    builder = tfds.builder_from_directory(directory)
    sources.append(_excerpts(builder, seed, max_songs, process_index, process_count))
    sizes.append(float(builder.info.splits['train'].num_examples))
  excerpts = sources[0]
  if len(sources) > 1:
    excerpts = tf.data.Dataset.sample_from_datasets(sources, weights=[size / sum(sizes) for size in sizes], seed=seed)

  def batches(count: tf.Tensor, shuffled: dict[str, tf.Tensor]) -> tf.data.Dataset:
    key = tf.stack([tf.cast(seed, tf.int64), count * process_count + process_index])
    order = tf.random.experimental.stateless_shuffle(tf.repeat(tf.range(excerpts_in_memory), groups_per_excerpt), key)
    uniform = tf.random.stateless_uniform([draws, group_size], key + tf.constant([1, 0], tf.int64))
    last = tf.maximum(tf.gather(shuffled['frames'], order) - window, 0)
    first = _draw(tf.zeros_like(last), last, uniform[:, 0])
    nearest, farthest = tf.maximum(first - pair_distance, 0), tf.minimum(first + pair_distance, last)
    others = _draw(nearest[:, None], farthest[:, None], uniform[:, 1:])
    starts = tf.concat([first[:, None], others], axis=1)

    def cut(i: tf.Tensor) -> dict[str, tf.Tensor]:
      rows = tf.range(i * groups_per_batch, (i + 1) * groups_per_batch)
      which, start = tf.gather(order, rows), tf.gather(starts, rows)
      inner = start[..., None] + tf.range(window, dtype=tf.int64)
      outer = start[..., None] + tf.range(-context, window + context, dtype=tf.int64)
      result = {
        name: tf.gather_nd(shuffled[name], _index(which, (outer if name in ('mix', 'bass') else inner) + ft.CONTEXT_FRAMES))
        for name in _FRAME_FEATURES
      }
      return result | {'valid': inner < tf.gather(shuffled['frames'], which)[:, None, None]}

    return tf.data.Dataset.range(draws // groups_per_batch, output_type=tf.int32).map(cut, num_parallel_calls=1)

  options = tf.data.Options()
  options.deterministic = True
  options.threading.private_threadpool_size = min(os.cpu_count() or 1, 8)
  grouped = excerpts.batch(excerpts_in_memory, drop_remainder=True).enumerate()
  return grouped.flat_map(batches).prefetch(2).with_options(options)


def _excerpts(builder: tfds.core.DatasetBuilder, seed: int, max_songs: int, process_index: int, process_count: int) -> tf.data.Dataset:
  wanted = {name: True for name in (*_FRAME_FEATURES, 'frames', 'song_id')}
  split = tfds.even_splits('train', process_count)[process_index] if process_count > 1 else 'train'
  dataset = builder.as_dataset(
    split=split,
    shuffle_files=True,
    decoders=tfds.decode.PartialDecoding(wanted),
    read_config=tfds.ReadConfig(shuffle_seed=seed, interleave_cycle_length=4, interleave_block_length=4),
  )
  if max_songs:
    ids = [song for song, entry in builder.info.metadata['songs'].items() if entry['split'] == 'train']
    kept = tf.constant(sorted(ids)[:max_songs])
    dataset = dataset.filter(lambda example: tf.reduce_any(example['song_id'] == kept))
  dataset = dataset.map(lambda example: {name: example[name] for name in (*_FRAME_FEATURES, 'frames')})
  return dataset.repeat()


def _draw(low: tf.Tensor, high: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
  """Even integers in [low, high], from uniform numbers in [0, 1)."""
  low = low + low % 2
  choices = tf.cast((high - low) // 2 + 1, tf.float32)
  return low + 2 * tf.cast(tf.minimum(tf.floor(uniform * choices), choices - 1), tf.int64)


def _index(which: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
  """Indices [groups, windows, frames, 2] for gather_nd of [excerpts, frames, ...]."""
  which = tf.broadcast_to(tf.cast(which, tf.int64)[:, None, None], tf.shape(frames))
  return tf.stack([which, frames], axis=-1)


def hide_accelerators() -> None:
  """Keeps tensorflow from taking the accelerator's memory."""
  for kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], kind)


class CheckpointableIterator:
  """An iterator of numpy dicts whose position can be written to a file and read back."""

  def __init__(self, dataset: tf.data.Dataset):
    self._iterator = iter(dataset)
    self._checkpoint = tf.train.Checkpoint(iterator=self._iterator)

  def __iter__(self) -> CheckpointableIterator:
    return self

  def __next__(self) -> dict:
    try:
      return {name: value.numpy() for name, value in next(self._iterator).items()}
    except tf.errors.OpError as error:  # a file that was damaged or taken away since it was opened
      raise DatasetFileError(
        f'the training data can not be read on: {_plain(error)}\nDelete the damaged dataset (its folder is named above) and run the same '
        "command again: it is packed anew from the songs' features, and training goes on."
      ) from error

  def write(self, path: str) -> None:
    try:
      self._checkpoint.write(path)
    except tf.errors.OpError as error:
      raise OSError(f'{path}: the position of the input can not be written: {_plain(error)}') from error

  def read(self, path: str) -> None:
    self._checkpoint.read(path).assert_consumed()
