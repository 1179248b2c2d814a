"""The training loop: data-parallel steps over a mesh of devices, exact resume, logs and progress."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import NamedSharding, PartitionSpec

from bassnet_jax import config as configs
from bassnet_jax import distributed, fine_tuning, hardware, latent_search, losses, run_control, scalar_log, source_commit, validation
from bassnet_jax import model as networks
from bassnet_jax.batch import Batch, Statistics
from bassnet_jax.checkpoints import Checkpoints, set_damaged_aside
from bassnet_jax.config import Experiment
from bassnet_jax.inputs import resident, resident_shards
from bassnet_jax.inputs.corpus import Corpus
from data_pipeline import features as ft
from data_pipeline.progress import Progress, clock


class TrainingError(RuntimeError):
  """Training can't go on; the message says why and what to do."""


class Interrupted(Exception):
  """A signal asked for an end; the state is saved and the same command goes on."""


@struct.dataclass
class TrainState:
  """Everything that a step changes."""

  step: jax.Array
  params: Any
  optimizer: Any


def total_steps(experiment: Experiment, corpus: Corpus) -> int:
  """Steps of the whole run: `passes` over the training frames, counted in windows."""
  if experiment.train.steps > 0:
    return experiment.train.steps
  frames = corpus.frames('train', experiment.data.max_songs)
  return max(math.ceil(experiment.train.passes * frames / experiment.data.window / experiment.data.batch_size), 1)


def make_optimizer(experiment: Experiment, steps: int) -> optax.GradientTransformation:
  """AdamW with warm-up, cosine decay and gradient clipping."""
  cfg = experiment.train
  warmup = min(cfg.warmup_steps, max(steps // 10, 1))
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, cfg.learning_rate, warmup, max(steps, warmup + 1), cfg.learning_rate * cfg.final_learning_rate
  )
  return optax.chain(optax.clip_by_global_norm(cfg.gradient_clip), optax.adamw(schedule, weight_decay=cfg.weight_decay))


def init_state(experiment: Experiment, seed: int, optimizer: optax.GradientTransformation) -> TrainState:
  """A new state, a function of the seed."""
  params = networks.init_params(experiment.model, experiment.data.window, seed)
  return TrainState(step=jnp.zeros((), jnp.int32), params=params, optimizer=optimizer.init(params))


def train_step(
  state: TrainState,
  batch: Batch,
  seed_key: jax.Array,
  experiment: Experiment,
  statistics: Statistics,
  optimizer: optax.GradientTransformation,
  searching: jax.Array | None = None,
) -> tuple[TrainState, losses.Terms]:
  """One step on a batch; all randomness is a function of (seed, step).

  Args:
    searching: bool, whether this step searches for z; None: none does.
  """
  key = jax.random.fold_in(seed_key, state.step)

  def gradients_of(loss: Callable) -> Callable:
    return lambda params: jax.value_and_grad(loss, has_aux=True)(params, batch, key, experiment, statistics)

  if searching is not None:
    (_, terms), gradients = jax.lax.cond(searching, gradients_of(latent_search.loss), gradients_of(losses.loss), state.params)
  else:
    (_, terms), gradients = gradients_of(losses.loss)(state.params)
  updates, new_optimizer = optimizer.update(gradients, state.optimizer, state.params)
  return TrainState(state.step + 1, optax.apply_updates(state.params, updates), new_optimizer), terms


def steps_of_call(step: int, steps_per_call: int, steps: int) -> int:
  """Steps of the next call. Calls end at multiples of `steps_per_call`, wherever a run goes on: reports and checkpoints fall there."""
  return min(steps_per_call - step % steps_per_call, steps - step)


def make_mesh() -> jax.sharding.Mesh:
  """All devices in one axis, over which batches are split."""
  return jax.make_mesh((jax.device_count(),), ('data',), axis_types=(jax.sharding.AxisType.Auto,))


def check_settings(experiment: Experiment) -> None:
  """What no field shows alone: groups divide over devices, and a window holds frames that lie `smoothness_lag` apart.

  Raises:
    ConfigError: they don't, or it doesn't.
  """
  loss, window = experiment.loss, experiment.data.window
  if (loss.latent_smoothness or loss.kl_lag) and loss.smoothness_lag >= window:
    raise configs.ConfigError(
      f'loss.smoothness_lag={loss.smoothness_lag} frames of windows of data.window={window}: expected less than the window, or the '
      'weights of the terms that use it at 0 (loss.latent_smoothness, loss.kl_lag)'
    )
  size, devices = experiment.data.group_size, jax.device_count()
  if experiment.data.batch_size % (size * devices):
    raise configs.ConfigError(
      f'data.batch_size={experiment.data.batch_size} windows: expected a multiple of data.group_size={size} whose groups divide over '
      f'{devices} devices, such as {size * devices * max(round(experiment.data.batch_size / size / devices), 1)}'
    )


class TfDataFeed:
  """One batch, one step a call; the host reads the next batch while the device computes."""

  steps_per_call = 1

  def __init__(self, experiment: Experiment, corpus: Corpus, seed: int, step: Callable, mesh: jax.sharding.Mesh):
    from data_pipeline import tf_windows

    tf_windows.hide_accelerators()
    data = experiment.data
    dataset = tf_windows.groups(
      corpus.tfds_directories(),
      window=data.window,
      context=networks.context_frames(experiment.model),
      groups_per_batch=data.batch_size // data.group_size // jax.process_count(),
      group_size=data.group_size,
      pair_distance=data.pair_distance,
      groups_per_excerpt=max(data.windows_per_excerpt // data.group_size, 1),
      excerpts_in_memory=data.excerpts_in_memory,
      seed=seed,
      max_songs=data.max_songs,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )
    self.iterator = tf_windows.CheckpointableIterator(dataset)
    self.wait = 0.0
    self._sharding = NamedSharding(mesh, PartitionSpec('data'))
    replicated = NamedSharding(mesh, PartitionSpec())
    self._step = jax.jit(step, donate_argnums=0, out_shardings=(replicated, replicated))

  def __call__(self, state: TrainState, count: int) -> tuple[TrainState, losses.Terms]:
    del count  # always one
    begin = time.perf_counter()
    local = next(self.iterator)
    self.wait += time.perf_counter() - begin
    batch = Batch(**{name: jax.make_array_from_process_local_data(self._sharding, value) for name, value in local.items()})
    return self._step(state, batch)


class ResidentFeed:
  """Many steps a call, windows drawn on the device; there is no position to save but the step.

  Attributes:
    stored: the features, on the devices.
    draw: (stored, step) -> the batch of that step.
  """

  iterator = None
  wait = 0.0

  def __init__(
    self,
    experiment: Experiment,
    corpus: Corpus,
    seed: int,
    step: Callable,
    mesh: jax.sharding.Mesh,
    steps_per_call: int | None = None,
    stored: resident.Resident | None = None,
  ):
    """`steps_per_call`: see `resident.steps_per_call`; `stored`: features that lie on every device already, in place of the corpus's."""
    data, context = experiment.data, networks.context_frames(experiment.model)
    resident.check(data, context)
    replicated = NamedSharding(mesh, PartitionSpec())
    draw = resident.draw
    if stored is None:
      paths = corpus.paths('train', data.max_songs)
      frames = corpus.song_frames('train', data.max_songs)
      with distributed.progress_stream() as stream:
        if resident_shards.is_needed(frames, data, mesh):
          stored = resident_shards.load(paths, frames, mesh, stream)
          draw = functools.partial(resident_shards.draw, mesh=mesh)
          distributed.say(f'the songs are spread over {mesh.size} devices')
        else:
          read = resident.load(paths, stream, frames)
          stored = jax.tree.map(lambda values: jax.make_array_from_process_local_data(replicated, values, values.shape), read)
    self.stored = stored
    self.steps_per_call = resident.steps_per_call(experiment.train, steps_per_call)
    draw_key = jax.random.fold_in(jax.random.key(seed), 1)
    split = NamedSharding(mesh, PartitionSpec('data'))
    self.draw = lambda stored, step: draw(stored, jax.random.fold_in(draw_key, step), data, context)

    def steps(state: TrainState, stored: resident.Resident, count: int):
      def one(carry: TrainState, _):
        batch = self.draw(stored, carry.step)
        return step(carry, jax.lax.with_sharding_constraint(batch, split))

      if count == 1:
        return one(state, None)
      state, terms = jax.lax.scan(one, state, length=count)
      return state, jax.tree.map(lambda x: x[-1], terms)

    self._steps = jax.jit(steps, donate_argnums=0, out_shardings=(replicated, replicated), static_argnums=2)

  def __call__(self, state: TrainState, count: int) -> tuple[TrainState, losses.Terms]:
    return self._steps(state, self.stored, count)


def train(
  experiment: Experiment,
  corpus: Corpus,
  workdir: str,
  seed: int,
  origin: fine_tuning.Origin | None = None,
  accept_changes: bool = False,
  steps_per_call: int | None = None,
  stored: resident.Resident | None = None,
) -> int:
  """Trains to the end, or goes on from the newest checkpoint in `workdir`.

  Order of the loop: save, take the next batch, step, report the step before: checkpoint N is the state before
  batch N was consumed, so that a resume is exact.

  Args:
    origin: of a fine-tuning: the trained model that a new run begins from, whose statistics `corpus` has.
    accept_changes: go on though the checkpoints were made with other settings or data; the new ones hold from there on.
    steps_per_call, stored: of the resident input, see `ResidentFeed`.

  Returns:
    the number of steps of the whole run.

  Raises:
    TrainingError: a loss term isn't finite, or the workdir belongs to other settings.
    Interrupted: SIGTERM or SIGINT came; the state is saved.
  """
  check_settings(experiment)
  steps = total_steps(experiment, corpus)
  optimizer = make_optimizer(experiment, steps)
  mesh = make_mesh()
  replicated = NamedSharding(mesh, PartitionSpec())
  seed_key = jax.random.key(seed + 1)

  def step_fn(state: TrainState, batch: Batch):
    return train_step(
      state, batch, seed_key, experiment, corpus.statistics, optimizer, latent_search.searching(experiment, steps, state.step)
    )

  description = describe(experiment, corpus, seed, steps)
  if origin is not None:
    description = origin.added_to(description)
  with (
    run_control.exclusive(workdir),
    _whole_checkpoints(workdir, experiment.train.checkpoints_kept) as checkpoints,
    run_control.end_signals() as asked,
  ):
    make_state = jax.jit(lambda: init_state(experiment, seed, optimizer), out_shardings=replicated)
    latest = checkpoints.latest_step()
    moved = latest is not None and check_same_run(checkpoints.description(latest), description, workdir, accept_changes)
    if latest is not None and latest >= steps:
      distributed.say(f'training is complete: {latest} steps in {checkpoints.directory}')
      return steps
    if experiment.data.backend == 'resident':
      feed = ResidentFeed(experiment, corpus, seed, step_fn, mesh, steps_per_call, stored)
    else:
      feed = TfDataFeed(experiment, corpus, seed, step_fn, mesh)
    if latest is None:
      state, begun = make_state(), 0
      if origin is not None:
        state = state.replace(params=jax.device_put(origin.params, replicated))
    else:
      shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated), jax.eval_shape(make_state))
      state, begun = checkpoints.restore(latest, shapes, None if moved else feed.iterator), latest
      distributed.say(f'going on from step {latest} of {steps}')
    stop = distributed.AgreedStop(asked, mesh)
    held_out = validation.make(experiment, corpus, NamedSharding(mesh, PartitionSpec('data')), steps)
    _loop(experiment, feed, held_out, state, begun, steps, checkpoints, description, workdir, stop)
  return steps


@contextlib.contextmanager
def _whole_checkpoints(workdir: str, kept: int) -> Iterator[Checkpoints]:
  """The checkpoints of a workdir, of which the newest is whole: damaged ones are set aside first, saying so."""
  with distributed.primary_first('checkpoints'):
    if distributed.is_primary():
      for line in set_damaged_aside(workdir):
        distributed.say(line)
  with Checkpoints(workdir, kept) as checkpoints:
    yield checkpoints


def _loop(experiment, feed, held_out, state, begun, steps, checkpoints, description, workdir, stop) -> None:
  cfg, batch_size = experiment.train, experiment.data.batch_size
  count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
  distributed.say(f'{steps} steps of {batch_size} windows, {count:,} parameters, {jax.device_count()} x {jax.devices()[0].device_kind}')
  step = begun
  terms: losses.Terms | None = None
  pending: Report | None = None
  marked_at, marked_step, marked_wait, note, held_out_note = time.monotonic(), begun, 0.0, '', ''
  with (
    scalar_log.ScalarLog(workdir, begun) as log,
    distributed.progress_stream() as stream,
    Progress(steps, 'training', 'steps', done=begun, stream=stream) as progress,
  ):
    while True:
      stopping = stop()
      if step >= steps or stopping or (step > begun and step % cfg.checkpoint_every == 0):
        _flush(pending, log, workdir)
        pending = None
        if terms is not None:  # the steps since the last report too: a broken state must not become the newest checkpoint
          broken = {} if math.isfinite(_norm(state.params)) else {'parameters': math.nan}
          check_finite(step, values(terms) | broken, workdir)
        checkpoints.save(step, state, description, feed.iterator)
        log.push()
        if step >= steps:
          break
        if stopping:
          checkpoints.wait()
          raise Interrupted(f'stopped at step {step} of {steps}; the state is saved. The same command goes on.')
      taken = steps_of_call(step, feed.steps_per_call, steps)
      state, terms = feed(state, taken)
      previous, step = step, step + taken
      if previous // cfg.log_every != step // cfg.log_every:
        row = _flush(pending, log, workdir)  # of the report before this one: its step has long ended
        elapsed = time.monotonic() - marked_at
        speed = {
          'windows_per_second': (step - marked_step) * batch_size / max(elapsed, 1e-9),
          'data_wait': (feed.wait - marked_wait) / max(elapsed, 1e-9),
        }
        marked_at, marked_step, marked_wait = time.monotonic(), step, feed.wait
        measured = held_out(state.params) if held_out is not None and validation.due(step, cfg) else None
        pending = Report(step, terms, speed, measured)
        if row and not note:
          progress.message(f'about {clock((steps - step) * batch_size / speed["windows_per_second"])} of training at this rate')
        if row:
          note = f'loss {row["total"]:.3f}, {speed["windows_per_second"]:.0f} windows/s, waiting for data {100 * speed["data_wait"]:.1f} %'
          note += f', smoothness {row["latent_smoothness"]:.3f}'
          if f'{validation.SPLIT}/total' in row:
            held_out_note = f', held out {row[f"{validation.SPLIT}/total"]:.3f}'
          note += held_out_note
      progress.update(taken, note)
    checkpoints.wait()


@dataclasses.dataclass
class Report:
  """What is logged of a step, perhaps still being computed."""

  step: int
  terms: losses.Terms
  speed: dict[str, float]
  held_out: validation.Measured | None

  def row(self) -> dict[str, float]:
    """Waits until the devices have it."""
    return values(self.terms) | self.speed | (validation.figures(self.held_out) if self.held_out else {})


def _flush(pending: Report | None, log: scalar_log.ScalarLog, workdir: str) -> dict[str, float] | None:
  """Writes the terms of an earlier step; stops the run if one isn't finite."""
  if pending is None:
    return None
  row = pending.row()
  log.write(pending.step, row)
  check_finite(pending.step, values(pending.terms), workdir)
  return row


def values(terms: losses.Terms) -> dict[str, float]:
  """Scalars as numbers; waits for the devices."""
  return {name: float(value) for name, value in dataclasses.asdict(jax.device_get(terms)).items()}


@jax.jit
def _norm(params: Any) -> jax.Array:
  return optax.tree.norm(params)


def check_finite(step: int, values: dict[str, float], workdir: str) -> None:
  """Raises a TrainingError that names the terms that aren't finite."""
  broken = [name for name, value in values.items() if not math.isfinite(value)]
  if broken:
    raise TrainingError(
      f'step {step}: the loss term {", ".join(broken)} is not finite; training stops. The last good checkpoint is in {workdir}. '
      'Try a smaller train.learning_rate, or look for damaged songs in the data.'
    )


def describe(experiment: Experiment, corpus: Corpus, seed: int, steps: int) -> dict[str, Any]:
  """What a checkpoint says of itself: settings, statistics, data, licences."""
  return {
    'experiment': configs.to_dict(experiment),
    'seed': seed,
    'steps': steps,
    'statistics': corpus.statistics.to_lists(),
    'datasets': list(corpus.names),
    'source_options': corpus.source_options(),
    'licences': corpus.licences(),
    'credits': corpus.credits(),
    'features_version': ft.VERSION,
    'commit': source_commit.current(),
    'hardware': hardware.describe(),
  }


def check_same_run(saved: dict[str, Any], now: dict[str, Any], workdir: str, accept: bool = False) -> bool:
  """Compares a checkpoint's description with this run's.

  Args:
    accept: say what differs and go on, unless it decides the parameters' shapes or meaning.

  Returns:
    whether the input differs, so that a saved position in it means nothing.

  Raises:
    TrainingError: names what differs.
  """
  lines = configs.differences(configs.from_dict(saved['experiment']), configs.from_dict(now['experiment']))
  lines = [line for line in lines if not line.startswith('data.resident_placement:')]  # the batches are the same
  lines += [
    f'{name}: {saved[name]} -> {now[name]}' for name in ('seed', 'steps', 'datasets', 'features_version') if saved[name] != now[name]
  ]
  if saved['statistics'] != now['statistics']:
    lines.append('statistics of the training data differ: the dataset was built anew')
  fixed = [line for line in lines if line.startswith(('model.', 'features_version')) and not line.startswith('model.dtype')]
  if lines and (fixed or not accept):
    raise TrainingError(
      f'{workdir} holds a run with other settings:\n  '
      + '\n  '.join(fixed if accept else lines)
      + '\nGive another --workdir, or the settings that it was begun with'
      + ('; its checkpoints do not fit these.' if fixed else '; --accept_changes goes on with the new ones.')
    )
  if lines:
    distributed.say(f'going on in {workdir} with other settings:\n  ' + '\n  '.join(lines))
  moved = any(line.startswith(('data.', 'seed', 'datasets', 'statistics')) for line in lines)
  if moved:
    distributed.say('the order of the training data begins anew')
  return moved
