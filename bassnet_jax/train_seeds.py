"""Trains several seeds of one experiment in one compiled step; `python -m bassnet_jax.train_seeds --experiment=NAME --seeds=0,1,2`.

The step is `train.train_step` under vmap over states and keys; all seeds draw their own windows from one copy of the resident data. Every
seed leaves the workdir that a run of its own would leave, so that either can go on with what the other began. It is
meant for accelerators that one small network doesn't fill; see docs/sweep.md.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags
from jax.sharding import NamedSharding, PartitionSpec

from bassnet_jax import config as configs
from bassnet_jax import latent_search, memory, run_control, scalar_log, train, validation
from bassnet_jax import model as networks
from bassnet_jax.checkpoints import Checkpoints, set_damaged_aside
from bassnet_jax.config import Experiment
from bassnet_jax.evaluation.results import DIVERGED_FILE
from bassnet_jax.inputs import resident
from bassnet_jax.inputs.corpus import Corpus
from bassnet_jax.train import TrainState
from data_pipeline import commands, storage
from data_pipeline.progress import Progress


class Stepper:
  """Steps of several seeds on the resident data.

  Seeds lie on devices of their own where they divide over all devices; else every batch is split over the devices, as in a single run.

  Attributes:
    steps_per_call: as of `train.ResidentFeed`.
  """

  def __init__(
    self,
    experiment: Experiment,
    corpus: Corpus,
    seeds: Sequence[int],
    stored: resident.Resident,
    steps: int,
    steps_per_call: int | None = None,
  ):
    data, context = experiment.data, networks.context_frames(experiment.model)
    resident.check(data, context)
    self._mesh = train.make_mesh()
    self._apart = len(seeds) % jax.device_count() == 0
    if not self._apart:
      train.check_settings(experiment)
    self.replicated = NamedSharding(self._mesh, PartitionSpec())
    self.by_seed = NamedSharding(self._mesh, PartitionSpec('data')) if self._apart else self.replicated
    pairs = NamedSharding(self._mesh, PartitionSpec('data'))
    self._stored = jax.device_put(stored, self.replicated)
    self._optimizer = train.make_optimizer(experiment, steps)
    self._experiment = experiment
    self._seeds = jax.device_put(np.asarray(seeds), self.by_seed)
    self.steps_per_call = resident.steps_per_call(experiment.train, steps_per_call)

    def one(state: TrainState, seed: jax.Array, stored: resident.Resident, searching: jax.Array | None) -> tuple[TrainState, Any]:
      """The keys are those of `train.train` and `train.ResidentFeed`: a seed is the same run, alone or among others."""
      draw_key = jax.random.fold_in(jax.random.key(seed), 1)
      batch = resident.draw(stored, jax.random.fold_in(draw_key, state.step), data, context)
      if not self._apart:
        batch = jax.lax.with_sharding_constraint(batch, pairs)
      return train.train_step(state, batch, jax.random.key(seed + 1), experiment, corpus.statistics, self._optimizer, searching)

    def every(state: TrainState, seeds: jax.Array, stored: resident.Resident):
      # All seeds are at the same step: of one value for all, the choice stays a choice under vmap, and only one branch is computed.
      searching = latent_search.searching(experiment, steps, state.step[0])
      return jax.vmap(one, in_axes=(0, 0, None, None))(state, seeds, stored, searching)

    def take(state: TrainState, seeds: jax.Array, stored: resident.Resident, count: int):
      if count == 1:
        return every(state, seeds, stored)
      state, terms = jax.lax.scan(lambda carry, _: every(carry, seeds, stored), state, length=count)
      return state, jax.tree.map(lambda x: x[-1], terms)

    self._take = jax.jit(take, donate_argnums=0, static_argnums=3, out_shardings=(self.by_seed, self.by_seed))
    self._pick = jax.jit(lambda state, i: jax.tree.map(lambda leaf: leaf[i], state), out_shardings=self.replicated)

  def begin(self) -> TrainState:
    """New states, stacked: every leaf is [seeds, ...]."""
    make = jax.vmap(lambda seed: train.init_state(self._experiment, seed, self._optimizer))
    return jax.jit(make, out_shardings=self.by_seed)(self._seeds)

  def abstract(self) -> TrainState:
    """Shapes of one seed's state, replicated."""
    shapes = jax.eval_shape(lambda: train.init_state(self._experiment, 0, self._optimizer))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.replicated), shapes)

  def stack(self, states: Sequence[TrainState]) -> TrainState:
    return jax.jit(lambda *parts: jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts), out_shardings=self.by_seed)(*states)

  def pick(self, state: Any, index: int) -> Any:
    """The state of one seed, or its parameters, as a single run has them."""
    return self._pick(state, index)

  def __call__(self, state: TrainState, count: int) -> tuple[TrainState, Any]:
    return self._take(state, self._seeds, self._stored, count)


def train_seeds(
  experiment: Experiment,
  corpus: Corpus,
  workdirs: Mapping[int, str],
  steps_per_call: int | None = None,
  stored: resident.Resident | None = None,
) -> dict[int, str]:
  """Trains seeds to the end, or goes on from their newest checkpoints.

  Seeds go together from the newest step of which all have a checkpoint; those that have no step in common go one group after the other,
  so that nothing is trained twice.

  Args:
    workdirs: seed -> folder.
    steps_per_call, stored: as of `train.ResidentFeed`.

  Returns:
    seed -> message, of those whose loss stopped being finite.

  Raises:
    ConfigError: the input is not resident.
    TrainingError: a workdir belongs to other settings, or there are several processes.
    Interrupted: a signal came; the states are saved.
  """
  check_input(experiment)
  if jax.process_count() > 1:
    raise train.TrainingError('several seeds at once are trained by one process: start it on one host, or train the seeds one by one')
  steps = train.total_steps(experiment, corpus)
  failed: dict[int, str] = {}
  with contextlib.ExitStack() as stack:
    for workdir in workdirs.values():
      stack.enter_context(run_control.exclusive(workdir))
      with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(workdir, DIVERGED_FILE))
      for line in set_damaged_aside(workdir):
        print(line, flush=True)
    kept = experiment.train.checkpoints_kept
    checkpoints = {seed: stack.enter_context(Checkpoints(workdir, kept)) for seed, workdir in workdirs.items()}
    stop = stack.enter_context(run_control.end_signals())
    open_seeds = []
    for seed, workdir in workdirs.items():
      latest = checkpoints[seed].latest_step()
      if latest is not None:
        train.check_same_run(checkpoints[seed].description(latest), train.describe(experiment, corpus, seed, steps), workdir)
      if latest is not None and latest >= steps:
        print(f'seed {seed}: training is complete', flush=True)
      else:
        open_seeds.append(seed)
    if not open_seeds:
      return failed
    stored = resident.load(corpus.paths('train', experiment.data.max_songs)) if stored is None else stored
    held_out = None
    for begun, seeds in groups({seed: checkpoints[seed].all_steps() for seed in open_seeds}):
      stepper = Stepper(experiment, corpus, seeds, stored, steps, steps_per_call)
      if begun:
        print(f'seeds {", ".join(map(str, seeds))}: going on from step {begun} of {steps}', flush=True)
        state = stepper.stack([checkpoints[seed].restore(begun, stepper.abstract(), None) for seed in seeds])
      else:
        state = stepper.begin()
      held_out = held_out or validation.make(experiment, corpus, stepper.replicated, steps)
      group = _Group(experiment, corpus, held_out, seeds, steps, {seed: workdirs[seed] for seed in seeds}, checkpoints)
      failed |= group.run(stepper, state, begun, stop)
  return failed


def check_input(experiment: Experiment) -> None:
  """Raises ConfigError: the input can't be shared by several seeds."""
  data, reason = experiment.data, 'several seeds share one copy of the data in device memory'
  if data.resident_placement == 'sharded':
    raise configs.ConfigError(f'data.resident_placement=sharded: {reason}, whole on every device: give --set data.resident_placement=auto')
  if data.backend != 'resident':
    raise configs.ConfigError(f'data.backend={data.backend}: {reason}: give --set data.backend=resident')


def seeds_of(listed: Sequence[str]) -> list[int]:
  """The seeds that --seeds names. Raises ValueError: not all of them are whole numbers, or there is none."""
  try:
    seeds = [int(seed) for seed in listed]
  except ValueError:
    seeds = []
  if not seeds:
    raise ValueError(f'--seeds={",".join(listed)}: expected whole numbers, separated by commas, for example 0,1,2')
  return seeds


def groups(saved: Mapping[int, Sequence[int]]) -> list[tuple[int, list[int]]]:
  """(step to begin at, seeds) of the groups that are trained together; `saved` is seed -> steps of its checkpoints."""
  common = set.intersection(*(set(steps) for steps in saved.values()))
  if common:
    return [(max(common), list(saved))]
  by_step: dict[int, list[int]] = {}
  for seed, steps in saved.items():
    by_step.setdefault(max(steps, default=0), []).append(seed)
  return sorted(by_step.items())


class _Group:
  """The loop over steps: the order of `train`, for several seeds. Holds what has failed so far."""

  def __init__(self, experiment, corpus, held_out, seeds, steps, workdirs, checkpoints):
    self._experiment, self._seeds, self._steps = experiment, seeds, steps
    self._workdirs, self._checkpoints = workdirs, checkpoints
    self._descriptions = {seed: train.describe(experiment, corpus, seed, steps) | {'seeds_at_once': len(seeds)} for seed in seeds}
    self._failed: dict[int, str] = {}
    self._held_out = held_out

  def run(self, stepper: Stepper, state: TrainState, begun: int, stop: Callable[[], bool]) -> dict[int, str]:
    cfg, batch_size = self._experiment.train, self._experiment.data.batch_size
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params)) // len(self._seeds)
    print(
      f'{self._steps} steps of {len(self._seeds)} x {batch_size} windows, {count:,} parameters a seed, '
      f'{jax.device_count()} x {jax.devices()[0].device_kind}',
      flush=True,
    )
    step, terms, pending, note = begun, None, None, ''
    marked_at, marked_step = time.monotonic(), begun
    settled: tuple[int, float, float] | None = None  # step, time and processor time after the first report: compiled
    with contextlib.ExitStack() as stack:
      logs = {seed: stack.enter_context(scalar_log.ScalarLog(self._workdirs[seed], begun)) for seed in self._seeds}
      label = f'training {len(self._seeds)} seeds'
      progress = stack.enter_context(Progress(self._steps, label, 'steps', done=begun))
      while len(self._failed) < len(self._seeds):
        if step >= self._steps or stop() or (step > begun and step % cfg.checkpoint_every == 0):
          self._flush(pending, logs)
          pending = None
          if terms is not None:
            self._check(step, terms, np.asarray(_norms(state.params)))
          self._save(stepper, step, state)
          if step >= self._steps:
            break
          if stop():
            for seed in self._seeds:
              self._checkpoints[seed].wait()
            raise train.Interrupted(f'stopped at step {step} of {self._steps}; the states are saved. The same command goes on.')
        taken = train.steps_of_call(step, stepper.steps_per_call, self._steps)
        state, terms = stepper(state, taken)
        previous, step = step, step + taken
        if previous // cfg.log_every != step // cfg.log_every:
          losses = self._flush(pending, logs)
          elapsed = time.monotonic() - marked_at
          speed = {'windows_per_second': (step - marked_step) * batch_size / max(elapsed, 1e-9), 'data_wait': 0.0}
          marked_at, marked_step = time.monotonic(), step
          measured = {}
          if self._held_out is not None and validation.due(step, cfg):
            sound = [(i, seed) for i, seed in enumerate(self._seeds) if seed not in self._failed]
            measured = {seed: self._held_out(stepper.pick(state.params, i)) for i, seed in sound}
          pending = (step, terms, speed, measured)
          settled = settled or (step, time.monotonic(), time.process_time())
          if losses:
            note = f'loss {" ".join(f"{loss:.3f}" for loss in losses)}, {len(self._seeds)} x {speed["windows_per_second"]:.0f} windows/s'
        progress.update(taken, note)
      for seed in self._seeds:
        self._checkpoints[seed].wait()
    if settled is not None and step > settled[0]:
      windows = (step - settled[0]) * len(self._seeds) * batch_size
      elapsed, used = time.monotonic() - settled[1], time.process_time() - settled[2]
      print(f'{len(self._seeds)} seeds: {windows / elapsed:.0f} windows/s together, {1000 * used / windows:.2f} ms of processor a window')
    return self._failed

  def _values(self, terms: Any) -> dict[int, dict[str, float]]:
    arrays = {name: np.asarray(value) for name, value in vars(jax.device_get(terms)).items()}
    return {seed: {name: float(array[i]) for name, array in arrays.items()} for i, seed in enumerate(self._seeds)}

  def _flush(self, pending, logs: Mapping[int, scalar_log.ScalarLog]) -> list[float]:
    """Writes the terms of an earlier step, of every seed that is still sound."""
    if pending is None:
      return []
    step, terms, speed, measured = pending
    rows = self._values(terms)
    for seed, row in rows.items():
      if seed not in self._failed:
        logs[seed].write(step, row | speed | (validation.figures(measured[seed]) if seed in measured else {}))
    self._check(step, terms, None)
    return [row['total'] for row in rows.values()]

  def _check(self, step: int, terms: Any, norms: np.ndarray | None) -> None:
    """Marks seeds whose loss terms or parameters are not finite as failed: nothing of them is saved any more."""
    for i, (seed, row) in enumerate(self._values(terms).items()):
      row = row if norms is None else row | {'parameters': float(norms[i])}
      try:
        train.check_finite(step, row, self._workdirs[seed])
      except train.TrainingError as error:
        if seed not in self._failed:
          self._failed[seed] = str(error)
          print(f'seed {seed}: {error}', file=sys.stderr, flush=True)
          with open(os.path.join(self._workdirs[seed], DIVERGED_FILE), 'w') as file:
            file.write(str(error))

  def _save(self, stepper: Stepper, step: int, state: TrainState) -> None:
    for i, seed in enumerate(self._seeds):
      if seed not in self._failed:
        self._checkpoints[seed].save(step, stepper.pick(state, i), self._descriptions[seed], None)


@jax.jit
def _norms(params: Any) -> jax.Array:
  """[seeds], of stacked parameters."""
  return jax.vmap(optax.tree.norm)(params)


@commands.plain_errors(train.TrainingError, run_control.WorkdirBusyError)
def main(arguments: Sequence[str]) -> None:
  """Flags in, exit code out: 0, 1 if a seed diverged, 2 for a user's mistake, 143 if interrupted."""
  memory.keep_freed()
  import experiments
  from bassnet_jax.inputs import corpus as corpora

  try:
    commands.only_flags(arguments[1:], 'experiment', 'set')
    if not _EXPERIMENT.value:
      raise experiments.UnknownExperimentError(experiments.give_one())
    experiment = configs.override(experiments.preset(experiments.get(_EXPERIMENT.value), _PRESET.value), _SET.value)
    workdir = storage.only_local(_WORKDIR.value or os.path.join('runs', experiment.name, _PRESET.value), 'training several seeds at once')
    workdirs = {seed: os.path.join(workdir, str(seed)) for seed in seeds_of(_SEEDS.value)}
    check_input(experiment)  # before the data is built
    corpus = corpora.open_corpus(experiment.data, storage.absolute(_DATA_DIR.value), _MANUAL_DIR.value)
    failed = train_seeds(experiment, corpus, workdirs)
  except train.Interrupted as error:
    print(error, file=sys.stderr)
    sys.exit(143)
  if failed:
    print(f'error: seeds {", ".join(map(str, failed))} diverged, as is said above; the others are trained', file=sys.stderr)
    sys.exit(1)


if __name__ == '__main__':
  _EXPERIMENT = flags.DEFINE_string('experiment', None, 'Name of an experiment.')
  _SEEDS = flags.DEFINE_list('seeds', ['0', '1', '2'], 'Numbers, separated by commas.')
  _PRESET = flags.DEFINE_string('preset', 'full', 'full, or laptop: minutes on two cores.')
  _SET = flags.DEFINE_multi_string('set', [], 'section.field=value, repeatedly.')
  _WORKDIR = flags.DEFINE_string('workdir', None, 'WORKDIR/SEED is the workdir of a seed; default: runs/EXPERIMENT/PRESET.')
  _DATA_DIR = flags.DEFINE_string('data_dir', 'data', 'Folder of the datasets; what is missing is built there.')
  _MANUAL_DIR = flags.DEFINE_string('manual_dir', None, 'Your own corpus, for configurations that read one.')
  app.run(main, flags_parser=commands.parse_flags)
