"""A batch of groups of windows, and its augmentation inside the compiled step."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bassnet_jax.config import DataConfig
from data_pipeline import features as ft


@struct.dataclass
class Batch:
  """Groups of windows; those of a group come from the same song. A group is a pair unless `data.group_size` is larger.

  Attributes:
    mix: [groups, windows, window + 2 * context, 192] float16, log1p-compressed.
    bass: [groups, windows, window + 2 * context, 144] float16.
    pitch: [groups, windows, window] uint8, classes 0..45 or `UNLABELLED`.
    onset: [groups, windows, window] uint8.
    level: [groups, windows, window] float16.
    valid: [groups, windows, window] bool, False beyond a song's end.
  """

  mix: jax.Array
  bass: jax.Array
  pitch: jax.Array
  onset: jax.Array
  level: jax.Array
  valid: jax.Array


@dataclasses.dataclass(frozen=True)
class Statistics:
  """Mean and standard deviation of every bin over the training split.

  Attributes:
    mix_mean, mix_std: [192] float32.
    bass_mean, bass_std: [144] float32.
  """

  mix_mean: np.ndarray
  mix_std: np.ndarray
  bass_mean: np.ndarray
  bass_std: np.ndarray

  def standardise_mix(self, mix):
    """Log1p-compressed magnitudes [..., 192] to float32 of mean 0 and deviation 1 a bin."""
    return (mix.astype(np.float32) - self.mix_mean) / self.mix_std

  def standardise_bass(self, bass):
    """The same of the bass, [..., 144]."""
    return (bass.astype(np.float32) - self.bass_mean) / self.bass_std

  def restore_bass(self, bass):
    """From standardised bass CQT [..., 144] to log1p-compressed magnitudes."""
    return bass * self.bass_std + self.bass_mean

  def to_lists(self) -> dict[str, list[float]]:
    return {field.name: np.asarray(getattr(self, field.name), dtype=float).tolist() for field in dataclasses.fields(self)}

  @classmethod
  def from_lists(cls, values: dict[str, list[float]]) -> Statistics:
    return cls(**{field.name: np.asarray(values[field.name], dtype=np.float32) for field in dataclasses.fields(cls)})


def augment(batch: Batch, key: jax.Array, config: DataConfig) -> Batch:
  """Transposes every window by a random number of semitones, changes its gain and colours its mix, all before standardisation.

  The bins are moved by two a semitone and filled with silence; pitches move with them and stay inside MIDI 23..67.
  With `independent_transposition` the windows of a group are moved differently, so that z can't carry the key.
  """
  shift_key, gain_key, equaliser_key = jax.random.split(key, 3)
  groups, size = batch.pitch.shape[:2]
  if config.transposition:
    shape = (groups, size) if config.independent_transposition else (groups, 1)
    wanted = jax.random.randint(shift_key, shape, -config.transposition, config.transposition + 1)
    pitched = batch.pitch < ft.NO_PITCH
    pitch = batch.pitch.astype(jnp.int32)
    axes = (2,) if config.independent_transposition else (1, 2)
    keep = {'keepdims': not config.independent_transposition}
    lowest = jnp.where(pitched, pitch, ft.PITCHES - 1).min(axis=axes, **keep).reshape(shape)
    highest = jnp.where(pitched, pitch, 0).max(axis=axes, **keep).reshape(shape)
    shift = jnp.broadcast_to(jnp.clip(wanted, -lowest, ft.PITCHES - 1 - highest), (groups, size))
    batch = batch.replace(
      mix=_move_bins(batch.mix, 2 * shift),
      bass=_move_bins(batch.bass, 2 * shift),
      pitch=jnp.where(pitched, pitch + shift[..., None], pitch).astype(batch.pitch.dtype),
    )
  colour: jax.Array | float = 0.0
  if config.equaliser_db:
    colour = config.equaliser_db * _smooth_curves(equaliser_key, (groups, size, 1), ft.MIX_BINS)
  if config.gain_db:
    decibels = jax.random.uniform(gain_key, (groups, size, 1), minval=-config.gain_db, maxval=config.gain_db)
    level = batch.level.astype(jnp.float32)
    louder = jnp.clip(level - decibels / ft.LEVEL_FLOOR_DB, 0, 1)
    batch = batch.replace(
      bass=_amplify(batch.bass, decibels[..., None]),
      level=jnp.where(level > 0, louder, 0),
    )
    colour = colour + decibels[..., None]
  if config.gain_db or config.equaliser_db:
    batch = batch.replace(mix=_amplify(batch.mix, colour))
  return batch


def _smooth_curves(key: jax.Array, shape: tuple[int, ...], bins: int) -> jax.Array:
  """Random curves over the bins, [*shape, bins], of standard deviation 1: four cosines, the slow ones stronger, as of an equaliser."""
  order = np.arange(1, 5)
  basis = np.cos(np.pi * order[:, None] * (np.arange(bins) + 0.5) / bins) / order[:, None]
  basis *= 1 / np.sqrt(np.square(basis).sum(axis=0).mean())
  return jax.random.normal(key, (*shape, len(order))) @ basis.astype(np.float32)


def _move_bins(cqt: jax.Array, bins: jax.Array) -> jax.Array:
  """Moves [groups, windows, frames, bins] up by `bins` [groups, windows]."""
  reach = cqt.shape[-1]
  padded = jnp.pad(cqt, ((0, 0), (0, 0), (0, 0), (reach, reach)))
  one = lambda x, shift: jax.lax.dynamic_slice_in_dim(x, reach - shift, reach, axis=-1)  # noqa: E731
  return jax.vmap(jax.vmap(one))(padded, bins)


def _amplify(cqt: jax.Array, decibels: jax.Array) -> jax.Array:
  factor = 10.0 ** (decibels / 20)
  # Not log1p and expm1, which take twice the time: values below 1e-3 are silence, and features are stored with eleven bits.
  return jnp.log(1 + factor * (jnp.exp(cqt.astype(jnp.float32)) - 1))
