"""The resident input over several devices: where one device has no room for all songs, each holds some, and batches are the same.

A song lies on one device as a whole. Every device draws the positions of the whole batch (a function of the key alone) and cuts the
windows that begin in its own songs; it has zeros for the others. A reduce-scatter adds these up and leaves each device its part of the
batch. A sum of one number and zeros is that number: the batch is bit for bit that of `resident.draw`, on any number of devices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TextIO

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from bassnet_jax.batch import Batch
from bassnet_jax.config import ConfigError, DataConfig
from bassnet_jax.inputs import resident
from bassnet_jax.inputs.resident import Resident
from data_pipeline import features as ft
from data_pipeline.progress import Progress

BYTES_PER_FRAME = 2 * (ft.MIX_BINS + ft.BASS_BINS) + 1 + 1 + 2  # mix, bass; pitch, onset, level
LARGEST_SHARE = 0.6
"""Of a device's memory that features may take; the rest is for the network, its optimiser and the step."""


@dataclasses.dataclass(frozen=True)
class Layout:
  """Which shard holds which song.

  Attributes:
    shard: [songs] int, index of the device in the mesh.
    start: [songs] int, first frame of each song in its shard.
    length: frames of every shard, silence included.
  """

  shard: np.ndarray
  start: np.ndarray
  length: int

  @property
  def bytes(self) -> int:
    """Of one shard."""
    return self.length * BYTES_PER_FRAME


def layout(frames: Sequence[int], shards: int) -> Layout:
  """Spreads songs over shards: the longest first, each to the shard that has least."""
  shard, start = np.zeros(len(frames), np.int64), np.zeros(len(frames), np.int64)
  filled = np.full(shards, ft.CONTEXT_FRAMES, np.int64)
  for song in np.argsort(-np.asarray(frames), kind='stable'):
    shard[song] = filled.argmin()
    start[song] = filled[shard[song]]
    filled[shard[song]] += resident.room(frames[song])
  return Layout(shard, start, int(filled.max()) + resident.TAIL)


def is_needed(frames: Sequence[int], config: DataConfig, mesh: jax.sharding.Mesh) -> bool:
  """Whether songs are spread over devices: as the configuration says, or if it leaves it open, where one device has no room for all.

  Raises:
    ConfigError: they fit in neither way.
  """
  whole, part = layout(frames, 1).bytes, layout(frames, mesh.size).bytes
  room = device_room(mesh)
  sharded = config.resident_placement == 'sharded' or (config.resident_placement == 'auto' and mesh.size > 1 and whole > room)
  if (part if sharded else whole) > room:
    raise ConfigError(
      f'the features are {whole / 1e9:.1f} GB, {part / 1e9:.1f} GB on each of {mesh.size} devices if they are spread over them; a device '
      f'has room for {room / 1e9:.1f} GB beside the network. Use --set data.backend=tfdata, more devices, or --set data.max_songs=N'
      + ('' if sharded or mesh.size == 1 else ', or --set data.resident_placement=auto')
    )
  return sharded


def device_room(mesh: jax.sharding.Mesh) -> float:
  """Bytes for features on the smallest device, the same on all processes; infinite where devices don't tell (CPUs)."""
  limits = [(device.memory_stats() or {}).get('bytes_limit') for device in mesh.local_devices]
  here = np.float64(min((LARGEST_SHARE * limit for limit in limits if limit), default=np.inf))
  if jax.process_count() == 1:
    return float(here)
  return float(np.min(multihost_utils.process_allgather(np.float32(here))))


def load(paths: Sequence[str], frames: Sequence[int], mesh: jax.sharding.Mesh, stream: TextIO | None = None) -> Resident:
  """Reads the songs of this process's devices and places them; host memory holds one shard at a time.

  Args:
    frames: of every song.
    mesh: of one axis, 'data'.

  Returns:
    arrays of all shards, one after the other: [devices * length, ...], split over the devices; indices are replicated.
  """
  where, axis = layout(frames, mesh.size), NamedSharding(mesh, PartitionSpec('data'))
  pieces: dict[str, list[jax.Array]] = {name: [] for name in resident.FILL}
  own = [(shard, device) for shard, device in enumerate(mesh.devices.flat) if device.process_index == jax.process_index()]
  songs = {shard: np.flatnonzero(where.shard == shard) for shard, _ in own}
  with Progress(sum(map(len, songs.values())), 'reading features', 'songs', stream=stream) as progress:
    for shard, device in own:
      arrays = resident.silence(where.length)
      for song in songs[shard]:
        resident.place(arrays, where.start[song], paths[song], frames[song])
        progress.update()
      for name, values in arrays.items():
        pieces[name].append(jax.device_put(values, device))
  replicated = NamedSharding(mesh, PartitionSpec())
  index = resident.index((where.shard * where.length + where.start), frames)
  arrays = {
    name: jax.make_array_from_single_device_arrays((mesh.size * where.length, *parts[0].shape[1:]), axis, parts)
    for name, parts in pieces.items()
  }
  return Resident(**arrays, **{name: jax.make_array_from_process_local_data(replicated, values) for name, values in index.items()})


def draw(data: Resident, key: jax.Array, config: DataConfig, context: int, mesh: jax.sharding.Mesh) -> Batch:
  """The batch of `resident.draw`, split over the devices of the mesh; groups must divide over them."""
  places = resident.places(data, key, config)
  length = len(data.mix) // mesh.size
  reach = {name: context if name in ('mix', 'bass') else 0 for name in resident.FILL}

  def own(columns: dict[str, jax.Array], start: jax.Array) -> dict[str, jax.Array]:
    local = start - jax.lax.axis_index('data') * length
    here = (local >= 0) & (local < length)
    result = {}
    for name, values in columns.items():
      windows = resident.cut(values, jnp.where(here, local, ft.CONTEXT_FRAMES), reach[name], config.window)
      windows = jnp.where(here.reshape(*here.shape, *[1] * (windows.ndim - here.ndim)), windows, 0)
      result[name] = jax.lax.psum_scatter(windows, 'data', tiled=True)
    return result

  columns = {name: getattr(data, name) for name in resident.FILL}
  split = PartitionSpec('data')
  gathered = jax.shard_map(own, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split)(columns, places.start)
  return Batch(**gathered, valid=places.valid)
