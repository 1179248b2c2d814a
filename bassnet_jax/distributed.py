"""Several processes that train one model: how they find each other, who writes, and how they end together."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from orbax.checkpoint import multihost

from data_pipeline import storage

AUTO = 'auto'
_ENVIRONMENT = 'BASSNET_JAX_'
_LONGEST_WAIT = 24 * 3600  # seconds at a barrier: one process builds data or writes the report while the others wait
_SHARED_SECONDS = 30  # that a network mount may take to show what another host wrote
_TOKEN_FILE = '.processes'
_barriers = itertools.count()  # names must differ; every process passes the same barriers in the same order


class ClusterError(ValueError):
  """The processes' addresses or numbers don't fit together; the message says what was found and what is expected."""


@dataclasses.dataclass(frozen=True)
class Cluster:
  """One process's place among several.

  Attributes:
    coordinator_address: host:port of process 0; None: found out from the platform (TPU slices, Slurm, ...).
    process_count, process_index: None: found out from the platform.
    initialization_timeout: seconds to wait for the others at the start.
  """

  coordinator_address: str | None
  process_count: int | None
  process_index: int | None
  initialization_timeout: int = 300


def cluster(
  coordinator_address: str | None,
  process_count: int | None,
  process_index: int | None,
  initialization_timeout: int | None,
  environment: Mapping[str, str] = os.environ,
) -> Cluster | None:
  """The cluster that flags, or where they are None the environment (BASSNET_JAX_COORDINATOR_ADDRESS, ...), describe.

  Returns:
    None: one process alone.

  Raises:
    ClusterError: a value is missing or out of range.
  """
  address = coordinator_address or environment.get(f'{_ENVIRONMENT}COORDINATOR_ADDRESS') or None
  count = _integer('process_count', process_count, environment)
  index = _integer('process_index', process_index, environment)
  timeout = _integer('initialization_timeout', initialization_timeout, environment)
  if address is None:
    if count is not None or index is not None:
      raise ClusterError(
        '--process_count and --process_index need --coordinator_address: host:port of process 0, the same for all processes; '
        f'or --coordinator_address={AUTO} on a TPU slice or under Slurm'
      )
    return None
  if (count is None) != (index is None):
    raise ClusterError('--process_count and --process_index come together; without both they are found out from the platform')
  if count is not None and not 0 <= index < count:
    raise ClusterError(f'--process_index={index} of --process_count={count}: expected 0 to {count - 1}')
  if address != AUTO and not _is_address(address):
    raise ClusterError(f'--coordinator_address={address}: expected host:port, for example 10.0.0.2:8476, or {AUTO}')
  if timeout is not None and timeout <= 0:
    raise ClusterError(f'--initialization_timeout={timeout}: expected seconds above 0')
  return Cluster(None if address == AUTO else address, count, index, timeout or 300)


def _integer(name: str, given: int | None, environment: Mapping[str, str]) -> int | None:
  text = environment.get(_ENVIRONMENT + name.upper())
  if given is not None or not text:
    return given
  try:
    return int(text)
  except ValueError as error:
    raise ClusterError(f'{_ENVIRONMENT}{name.upper()}={text}: expected a whole number') from error


def _is_address(text: str) -> bool:
  host, _, port = text.rpartition(':')
  return bool(host) and port.isdigit() and 0 < int(port) < 65536


def initialize(place: Cluster | None) -> None:
  """Joins the others, before anything else asks jax for devices; then says who this process is and what it has.

  Raises:
    ClusterError: the platform doesn't tell what is missing, or the others can't be reached.
  """
  if place is not None:
    try:
      jax.distributed.initialize(
        place.coordinator_address, place.process_count, place.process_index, initialization_timeout=place.initialization_timeout
      )
    except ValueError as error:
      raise ClusterError(
        f'{str(error).rstrip(".")}: this platform does not tell; give --coordinator_address=HOST:PORT, --process_count and --process_index'
      ) from error
    except RuntimeError as error:
      raise ClusterError(
        f'the processes did not find each other in {place.initialization_timeout} s: {str(error).splitlines()[0]}\n'
        'Start all of them, on all hosts, at the same time (a TPU slice: --worker=all); the port must be open between the hosts.'
      ) from error
    # jax's own handler only takes a note of it; until training listens, a signal ends the process.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    kinds = sorted({device.device_kind for device in jax.local_devices()})
    print(
      f'process {jax.process_index()}/{jax.process_count()}: {jax.local_device_count()} of {jax.device_count()} devices, '
      f'{", ".join(kinds)}',
      flush=True,
    )


def is_primary() -> bool:
  """Whether this process is the one that writes logs, reports and progress."""
  return jax.process_index() == 0


def say(text: str) -> None:
  """Prints a line, once for all processes."""
  if is_primary():
    print(text, flush=True)


@contextlib.contextmanager
def progress_stream() -> Iterator[TextIO]:
  """Where progress goes: this process's stderr, or nowhere if another process shows it."""
  if is_primary():
    yield sys.stderr
    return
  with open(os.devnull, 'w') as nowhere:
    yield nowhere


def barrier(name: str) -> None:
  """Waits until every process is here. No device takes part, so that nobody's collectives run out of time meanwhile."""
  if jax.process_count() > 1:
    everybody = set(range(jax.process_count()))
    multihost.sync_global_processes(f'{name}_{next(_barriers)}', timeout=_LONGEST_WAIT, processes=everybody)


@contextlib.contextmanager
def primary_first(name: str) -> Iterator[None]:
  """Process 0 runs the block, then the others do: for files that the first one there makes."""
  if not is_primary():
    barrier(name)
  yield
  if is_primary():
    barrier(name)


def check_shared(folder: str) -> None:
  """Whether all processes see what process 0 writes into a folder: checkpoints need that, and would fail after hours.

  Raises:
    ClusterError: on every process, if one of them doesn't see it.
  """
  if jax.process_count() == 1:
    return
  path = os.path.join(folder, _TOKEN_FILE)
  token = str(int(multihost_utils.broadcast_one_to_all(np.uint32(secrets.randbits(32)))))
  if is_primary():
    storage.write_text(path, token)
  barrier('shared')
  deadline = time.monotonic() + _SHARED_SECONDS
  while not (seen := storage.exists(path) and storage.read_text(path) == token) and time.monotonic() < deadline:
    time.sleep(1)
  blind = np.flatnonzero(~multihost_utils.process_allgather(np.bool_(seen)))
  if blind.size:
    raise ClusterError(
      f'the processes {", ".join(map(str, blind))} of {jax.process_count()} do not see what process 0 writes into {folder}: it is not one '
      'folder for all. Give --workdir and --data_dir where all of them read and write: gs://BUCKET/FOLDER, or a network mount.'
    )


class AgreedStop:
  """Answers, at the same step on every process, whether one of them was asked to stop.

  Every process's wish is summed on the devices; the sum is read one call later, when it has long arrived, so that
  the loop never waits for it. Every process must ask equally often.
  """

  def __init__(self, asked: Callable[[], bool], mesh: jax.sharding.Mesh):
    self._asked = asked
    self._alone = jax.process_count() == 1
    self._sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    self._sum = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))
    self._votes: jax.Array | None = None

  def __call__(self) -> bool:
    if self._alone:
      return self._asked()
    wish = np.full(jax.local_device_count(), self._asked(), np.int32)
    before, self._votes = self._votes, self._sum(jax.make_array_from_process_local_data(self._sharding, wish))
    return before is not None and int(before) > 0


def lost_partner(error: Exception) -> bool:
  """Whether an error of any class tells of a connection to another process: not all that use one raise JAX's own."""
  return jax.process_count() > 1 and any(words in str(error) for words in ('Gloo', 'closed by peer', 'reset by peer'))


def runtime_error(error: Exception) -> str | None:
  """What a runtime error means and what to do, where it is no fault of the program: a lost partner, memory that is used up."""
  first = str(error).strip().splitlines()[0][:300]
  if jax.process_count() > 1 and 'RESOURCE_EXHAUSTED' not in first:
    return (
      f'process {jax.process_index()} of {jax.process_count()} lost another one, which ended or does not answer: {first}\n'
      'Start all of them again with the same command: they go on from the last checkpoint.'
    )
  if 'RESOURCE_EXHAUSTED' in first:
    return f'the memory of the device is used up: {first}\nTry a smaller data.batch_size, or --set data.backend=tfdata.'
  return None


def leave(code: int) -> None:
  """Ends this process after an error; with others, at once, so that they learn of it and don't wait at a barrier."""
  sys.stdout.flush()
  sys.stderr.flush()
  if jax.distributed.is_initialized() and jax.process_count() > 1:
    os._exit(code)
  sys.exit(code)
