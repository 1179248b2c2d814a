"""Checkpoints of a run: training state, input position and description, written whole or not at all (Orbax)."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers

from bassnet_jax import config as configs
from bassnet_jax import description as descriptions
from bassnet_jax import digests, packaged
from bassnet_jax import model as networks
from data_pipeline import storage

DAMAGED_FOLDER = 'damaged_checkpoints'
_DIGESTS = 'digests'


class CheckpointError(ValueError):
  """There is no usable checkpoint; the message says where it was looked for and what to do."""


class DamagedError(CheckpointError):
  """A checkpoint is not what was saved; the message says which part of it."""


class _IteratorHandler(ocp.CheckpointHandler):
  """Saves and restores the position of a tf.data iterator beside the state, one folder a process."""

  def save(self, directory, args) -> None:
    folder = directory / _process_name()
    folder.mkdir()
    args.iterator.write(str(folder / 'iterator'))
    if not storage.is_remote(str(folder)):  # an object of a bucket is whole or not there, and carries a checksum of its own
      digests.write_of_folder(str(folder))

  def restore(self, directory, args) -> None:
    folder = directory / _process_name()
    if not folder.exists():
      found = ', '.join(sorted(path.name for path in directory.iterdir() if path.name.startswith('process_')))
      raise CheckpointError(
        f'{directory} holds the input position of {found}; this run is {_process_name()}. '
        'Go on with as many processes as it was saved with, or use --set data.backend=resident from the start.'
      )
    args.iterator.read(str(folder / 'iterator'))


def _process_name() -> str:
  return f'process_{jax.process_index()}_of_{jax.process_count()}'


@ocp.args.register_with_handler(_IteratorHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class _IteratorArgs(ocp.args.CheckpointArgs):
  iterator: Any


class Checkpoints:
  """The checkpoints of one workdir. Use as a context manager: leaving it waits for the last save."""

  def __init__(self, workdir: str, kept: int = 2):
    _ignore_late_callbacks()
    self.directory = os.path.join(storage.absolute(workdir), 'checkpoints')
    options = ocp.CheckpointManagerOptions(
      preservation_policy=checkpoint_managers.LatestN(kept), enable_async_checkpointing=True, cleanup_tmp_directories=True
    )
    self._manager = ocp.CheckpointManager(self.directory, options=options)

  def latest_step(self) -> int | None:
    return self._manager.latest_step()

  def all_steps(self) -> list[int]:
    return sorted(self._manager.all_steps())

  def save(self, step: int, state: Any, description: dict[str, Any], iterator: Any | None) -> None:
    """Begins to save; a checkpoint of this step is left as it is."""
    if step in self._manager.all_steps():
      return
    # As it will be read: JSON knows no tuples and no keys but text.
    saved = {'state': digests.of_tree(state), 'description': digests.of_json(json.loads(json.dumps(description)))}
    items = {
      'state': ocp.args.StandardSave(state),
      'description': ocp.args.JsonSave(description),
      _DIGESTS: ocp.args.JsonSave(saved),
    }
    if iterator is not None:
      items['input'] = _IteratorArgs(iterator)
    with self._in_time():
      begun = self._manager.save(step, args=ocp.args.Composite(**items), force=True)
    if not begun:
      raise CheckpointError(
        f'{self.directory}: the checkpoint of step {step} was not saved. Is the folder still there, and no other run in it? '
        'The same command goes on from the checkpoint before.'
      )

  def restore(self, step: int, abstract_state: Any, iterator: Any | None) -> Any:
    """The state of a step, on the devices that `abstract_state` names; moves the iterator to where it was."""
    items = {'state': ocp.args.StandardRestore(abstract_state)}
    if iterator is not None:
      items['input'] = _IteratorArgs(iterator)
    return self._manager.restore(step, args=ocp.args.Composite(**items))['state']

  def description(self, step: int) -> dict[str, Any]:
    return self._manager.restore(step, args=ocp.args.Composite(description=ocp.args.JsonRestore()))['description']

  def wait(self) -> None:
    with self._in_time():
      self._manager.wait_until_finished()

  @contextlib.contextmanager
  def _in_time(self) -> Iterator[None]:
    """A save that began earlier is waited for; Orbax gives it up after minutes, which pass at once where a computer sleeps."""
    try:
      yield
    except TimeoutError as error:
      raise CheckpointError(
        f'{self.directory}: a checkpoint was not saved in time ({error}). Was this computer asleep, or is the disk slow? '
        'The same command goes on from the checkpoint before.'
      ) from error

  def __enter__(self) -> Checkpoints:
    return self

  def __exit__(self, *_) -> None:
    with self._in_time():
      self._manager.close()


def set_damaged_aside(workdir: str) -> list[str]:
  """Reads the newest checkpoint as a whole; if it isn't what was saved, moves it out of the way, and so on with the one before.

  To be called by one process, which has the workdir for itself. One in a bucket is left alone: its objects are whole or not there.

  Returns:
    a line for each that was moved, into `workdir/damaged_checkpoints`.

  Raises:
    CheckpointError: there are checkpoints and none is whole; nothing is moved then.
  """
  directory = _directory(workdir)
  if storage.is_remote(directory) or not os.path.isdir(directory):
    return []
  damaged: dict[int, str] = {}
  with _reading(directory) as manager:
    steps = _newest_first(manager)
    for step in steps:
      try:
        _check_whole(manager, directory, step)
        break
      except Exception as error:  # whatever a library says of a file that is not what it was
        _raise_if_out_of_reach(error)
        damaged[step] = _reason(error)
  if steps and len(damaged) == len(steps):
    raise CheckpointError(_none_whole(directory, damaged))
  lines = []
  for step, reason in damaged.items():
    place = _free_name(os.path.join(os.path.dirname(directory), DAMAGED_FOLDER, str(step)))
    os.makedirs(os.path.dirname(place), exist_ok=True)
    os.rename(os.path.join(directory, str(step)), place)
    lines.append(f'the checkpoint of step {step} is damaged ({reason}); it was moved to {place}')
  return lines


def _check_whole(manager: ocp.CheckpointManager, directory: str, step: int) -> None:
  """Reads every part of a checkpoint. Raises DamagedError, or what the storage raises."""
  description = manager.restore(step, args=ocp.args.Composite(description=ocp.args.JsonRestore()))['description']
  # From the files and not from the network: what does not fit this version is another error. To the host: the devices may be others.
  tree = ocp.PyTreeCheckpointHandler().metadata(epath.Path(directory) / str(step) / 'state').tree
  host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
  restored = manager.restore(step, args=ocp.args.Composite(state=ocp.args.PyTreeRestore(tree, restore_args=host)))
  _compare(manager, directory, step, description, digests.of_tree(restored['state']), whole=True)
  inputs = os.path.join(directory, str(step), 'input')
  if os.path.isdir(inputs):
    for process in sorted(name for name in os.listdir(inputs) if name.startswith('process_')):
      broken = digests.damaged_files(os.path.join(inputs, process))
      if broken:
        raise DamagedError(f'input position of {process}: {", ".join(broken)} not as saved')


def _compare(
  manager: ocp.CheckpointManager, directory: str, step: int, description: dict[str, Any], state: dict[str, int], whole: bool
) -> None:
  """Raises DamagedError: what was read is not what was saved. Checkpoints of earlier versions hold no checksums."""
  if not storage.is_folder(os.path.join(directory, str(step), _DIGESTS)):
    return
  saved = manager.restore(step, args=ocp.args.Composite(**{_DIGESTS: ocp.args.JsonRestore()}))[_DIGESTS]
  if digests.of_json(description) != saved['description']:
    raise DamagedError('its description is not as saved')
  wrong = [name for name in (saved['state'] if whole else state) if state.get(name) != saved['state'].get(name)]
  if wrong:
    raise DamagedError(f'{len(wrong)} of {len(saved["state"])} arrays are not as saved: {wrong[0]}')


def stored_digests(workdir: str, step: int) -> dict[str, Any]:
  """Checksums of every array of a checkpoint (optimiser too), as they were when it was saved."""
  directory = _directory(workdir)
  with _reading(directory) as manager:
    return manager.restore(step, args=ocp.args.Composite(**{_DIGESTS: ocp.args.JsonRestore()}))[_DIGESTS]['state']


def _newest_first(manager: ocp.CheckpointManager) -> list[int]:
  """By number: clocks may go backwards."""
  return sorted(manager.all_steps(), reverse=True)


@functools.cache  # once a process
def _ignore_late_callbacks() -> None:
  """When a read or a write has failed, tensorstore's others come back to a loop that Orbax has closed; Python would print a traceback."""
  usual = sys.unraisablehook

  def hook(found: Any) -> None:
    if not (isinstance(found.exc_value, RuntimeError) and str(found.exc_value) == 'Event loop is closed'):
      usual(found)

  sys.unraisablehook = hook


def _raise_if_out_of_reach(error: Exception) -> None:
  """Raises a CheckpointError where it isn't the checkpoint that is at fault: a permission, a disk that doesn't answer."""
  gone = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
  if (isinstance(error, OSError) and not gone) or 'PERMISSION_DENIED' in str(error) or isinstance(error, MemoryError):
    raise CheckpointError(
      f'a checkpoint can not be read: {_reason(error)}. See that its disk answers and that this user may read it, then run the same '
      'command again.'
    ) from error


def _reason(error: Exception) -> str:
  lines = str(error).strip().splitlines()
  return f'{type(error).__name__}: {lines[0][:200]}' if lines else type(error).__name__


def _none_whole(directory: str, damaged: dict[int, str]) -> str:
  reasons = '\n'.join(f'  step {step}: {reason}' for step, reason in damaged.items())
  return (
    f'{directory}: no checkpoint can be read, or none fits the network of this version:\n{reasons}\n'
    'Put a copy of them there, or give another --workdir to begin anew.'
  )


def _free_name(path: str) -> str:
  names = [path, *(f'{path}_{i}' for i in range(1, 1000))]
  return next(name for name in names if not os.path.exists(name))


def load_description(path: str) -> tuple[dict[str, Any], int, int]:
  """Description and step of the newest checkpoint of a workdir, and the number of its parameters; reads no arrays.

  Raises:
    CheckpointError: there is none, it is damaged, or its settings are of another version.
  """
  if packaged.is_packaged(path):
    _, description, step = _read_packaged(path)
  else:
    _, description, step = _newest_whole(path, arrays=False)
  shapes = param_shapes(configs.from_dict(description['experiment']))
  return description, step, sum(leaf.size for leaf in jax.tree.leaves(shapes))


def param_shapes(experiment: configs.Experiment) -> Any:
  """The tree of the network's parameters, as shapes."""
  return jax.eval_shape(lambda: networks.init_params(experiment.model, experiment.data.window, 0))


def _read_packaged(path: str) -> tuple[Any, dict[str, Any], int]:
  try:
    return packaged.read(path)
  except ValueError as error:
    raise CheckpointError(str(error)) from error


def workdir_of(path: str) -> str:
  """The workdir, given it or its folder of checkpoints; absolute."""
  path = storage.absolute(path)
  return os.path.dirname(path) if os.path.basename(path) == 'checkpoints' else path


def _directory(path: str) -> str:
  """The folder of checkpoints of a workdir, or of the folder itself."""
  return os.path.join(workdir_of(path), 'checkpoints')


def load_params(path: str) -> tuple[Any, dict[str, Any], int]:
  """Parameters and description of the newest checkpoint of a workdir, without the optimiser's state.

  A damaged checkpoint is passed over, with a warning, for the one before.

  Args:
    path: a workdir, its folder `checkpoints`, or a model that comes with the package (`bassnet_jax.packaged`).

  Returns:
    parameters as a tree of numpy arrays, the description, and the step.

  Raises:
    CheckpointError: there is none, or it doesn't fit this version's network.
  """
  if packaged.is_packaged(path):
    return _read_packaged(path)
  return _newest_whole(path, arrays=True)


def _newest_whole(path: str, arrays: bool) -> tuple[Any, dict[str, Any], int]:
  """Parameters (None without `arrays`), description and step of the newest checkpoint that can be read.

  Raises:
    CheckpointError: there is none.
    ConfigError: its settings are of another version.
  """
  directory = _directory(path)
  if not storage.is_folder(directory):
    raise CheckpointError(f'{path}: no checkpoint there ({directory} is missing). Give the --workdir of a training run.')
  damaged: dict[int, str] = {}
  with _reading(directory) as manager:
    steps = _newest_first(manager)
    if not steps:
      raise CheckpointError(f'{path}: training has not saved a checkpoint yet. Let it run on; the same command goes on where it stopped.')
    for step in steps:
      try:
        found = _read(manager, directory, step, arrays)
        break
      except configs.ConfigError:
        raise
      except Exception as error:  # whatever a library says of a file that is not what it was
        _raise_if_out_of_reach(error)
        damaged[step] = _reason(error)
    else:
      raise CheckpointError(_none_whole(directory, damaged))
  for passed, reason in damaged.items():
    print(f'warning: {directory}: the checkpoint of step {passed} is damaged ({reason}); taking that of step {step}', file=sys.stderr)
  return *found, step


def _read(manager: ocp.CheckpointManager, directory: str, step: int, arrays: bool) -> tuple[Any, dict[str, Any]]:
  description = manager.restore(step, args=ocp.args.Composite(description=ocp.args.JsonRestore()))['description']
  _compare(manager, directory, step, description, {}, whole=False)
  descriptions.check(description)
  if not arrays:
    return None, description
  shapes = {'params': param_shapes(configs.from_dict(description['experiment']))}
  host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
  arguments = ocp.args.PyTreeRestore(shapes, restore_args=host, partial_restore=True)
  restored = manager.restore(step, args=ocp.args.Composite(state=arguments))['state']
  _compare(manager, directory, step, description, digests.of_tree(restored), whole=False)
  return restored['params'], description


def _reading(directory: str) -> ocp.CheckpointManager:
  """A manager that only reads. Raises CheckpointError: what Orbax keeps beside the arrays is damaged."""
  _ignore_late_callbacks()
  try:
    return ocp.CheckpointManager(directory, options=_alone())
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    raise CheckpointError(
      f'{directory}: the metadata of a checkpoint is damaged ({str(error)[:200]}). Delete the folder of the newest step: '
      'the checkpoint before it is then used.'
    ) from error


def _alone() -> ocp.CheckpointManagerOptions:
  """Options for reading in this process only: with others around, Orbax would wait for them."""
  if jax.process_count() == 1:
    return ocp.CheckpointManagerOptions(create=False, read_only=True)
  processes = ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix=f'alone_{jax.process_index()}'
  )
  return ocp.CheckpointManagerOptions(create=False, read_only=True, multiprocessing_options=processes)
