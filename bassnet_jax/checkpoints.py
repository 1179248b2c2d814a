"""Checkpoints of a run: training state, input position and description, written whole or not at all (Orbax)."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from bassnet_jax import config as configs
from bassnet_jax import description as descriptions
from bassnet_jax import model as networks
from bassnet_jax import packaged
from data_pipeline import storage


class CheckpointError(ValueError):
  """There is no usable checkpoint; the message says where it was looked for and what to do."""


class _IteratorHandler(ocp.CheckpointHandler):
  """Saves and restores the position of a tf.data iterator beside the state, one folder a process."""

  def save(self, directory, args) -> None:
    folder = directory / _process_name()
    folder.mkdir()
    args.iterator.write(str(folder / 'iterator'))

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
    items = {'state': ocp.args.StandardSave(state), 'description': ocp.args.JsonSave(description)}
    if iterator is not None:
      items['input'] = _IteratorArgs(iterator)
    if not self._manager.save(step, args=ocp.args.Composite(**items), force=True):
      raise CheckpointError(f'{self.directory}: the checkpoint of step {step} was not saved')

  def restore(self, step: int, abstract_state: Any, iterator: Any | None) -> Any:
    """The state of a step, on the devices that `abstract_state` names; moves the iterator to where it was."""
    items = {'state': ocp.args.StandardRestore(abstract_state)}
    if iterator is not None:
      items['input'] = _IteratorArgs(iterator)
    return self._manager.restore(step, args=ocp.args.Composite(**items))['state']

  def description(self, step: int) -> dict[str, Any]:
    return self._manager.restore(step, args=ocp.args.Composite(description=ocp.args.JsonRestore()))['description']

  def wait(self) -> None:
    self._manager.wait_until_finished()

  def __enter__(self) -> Checkpoints:
    return self

  def __exit__(self, *_) -> None:
    self._manager.close()


def load_description(path: str) -> tuple[dict[str, Any], int, int]:
  """Description and step of the newest checkpoint of a workdir, and the number of its parameters; reads no arrays.

  Raises:
    CheckpointError: there is none, it is damaged, or its settings are of another version.
  """
  if packaged.is_packaged(path):
    _, description, step = _read_packaged(path)
  else:
    _, step, description = _newest(path)
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


def _newest(path: str) -> tuple[str, int, dict[str, Any]]:
  """Folder, step and description of the newest checkpoint. Raises CheckpointError: there is none."""
  path = storage.absolute(path)
  directory = os.path.join(workdir_of(path), 'checkpoints')
  if not storage.is_folder(directory):
    raise CheckpointError(f'{path}: no checkpoint there ({directory} is missing). Give the --workdir of a training run.')
  with _reading(directory) as manager:
    step = manager.latest_step()
    if step is None:
      raise CheckpointError(f'{path}: training has not saved a checkpoint yet. Let it run on; the same command goes on where it stopped.')
    try:
      found = manager.restore(step, args=ocp.args.Composite(description=ocp.args.JsonRestore()))['description']
      description = descriptions.check(found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
      raise CheckpointError(
        f'{os.path.join(directory, str(step))}: the description of the checkpoint is damaged ({str(error)[:200]}). '
        'Delete that folder: the checkpoint before it is then used.'
      ) from error
  return directory, step, description


def load_params(path: str) -> tuple[Any, dict[str, Any], int]:
  """Parameters and description of the newest checkpoint of a workdir, without the optimiser's state.

  Args:
    path: a workdir, its folder `checkpoints`, or a model that comes with the package (`bassnet_jax.packaged`).

  Returns:
    parameters as a tree of numpy arrays, the description, and the step.

  Raises:
    CheckpointError: there is none, or it doesn't fit this version's network.
  """
  if packaged.is_packaged(path):
    return _read_packaged(path)
  directory, step, description = _newest(path)
  experiment = configs.from_dict(description['experiment'])
  shapes = {'params': param_shapes(experiment)}
  host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
  with ocp.CheckpointManager(directory, options=_alone()) as manager:
    try:
      arguments = ocp.args.PyTreeRestore(shapes, restore_args=host, partial_restore=True)
      restored = manager.restore(step, args=ocp.args.Composite(state=arguments))
    except (ValueError, KeyError) as error:
      raise CheckpointError(
        f'{directory}: the checkpoint does not fit the network of this version: {str(error).splitlines()[0]}'
      ) from error
  return restored['state']['params'], description, step


def _reading(directory: str) -> ocp.CheckpointManager:
  """A manager that only reads. Raises CheckpointError: what Orbax keeps beside the arrays is damaged."""
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
