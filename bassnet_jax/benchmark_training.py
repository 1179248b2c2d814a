"""How long a whole training takes: `python -m bassnet_jax.benchmark_training --experiment=pr_window64 --hours=60 [--seeds=8] [--full]`.

Made-up features of the right shapes and amount lie in the device's memory, and the experiment trains on them with the resident input,
at its full size: for some seconds, from which the time of the whole length is projected, or with --full from beginning to end, with logs
and checkpoints. With --seeds also several seeds in one compiled step, as `train_seeds` makes them: runs an hour. What the features
hold changes no time; the report at the end of a run is not part of it.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
import tempfile
import time
from collections.abc import Callable

from absl import flags

from bassnet_jax import memory
from data_pipeline import commands, storage

_SONG_SECONDS = 240.0


@dataclasses.dataclass(frozen=True)
class Length:
  """How long is measured.

  Attributes:
    seconds: of every phase.
    steps: if positive, so many steps at least instead.
  """

  seconds: float
  steps: int = 0

  def reached(self, begin: float, done: int) -> bool:
    return done >= self.steps if self.steps else time.perf_counter() - begin >= self.seconds


def made_up(experiment, hours: float):
  """A corpus that lies nowhere, and its songs in device memory: noise of one song, over and over.

  Returns:
    (Corpus, Resident, which has a copy on every device).

  Raises:
    ConfigError: one device has no room for so many hours.
  """
  import jax
  import jax.numpy as jnp
  import numpy as np

  from bassnet_jax import train
  from bassnet_jax.config import ConfigError
  from bassnet_jax.inputs import corpus as corpora
  from bassnet_jax.inputs import resident, resident_shards
  from data_pipeline import extraction
  from data_pipeline import features as ft

  count = max(round(hours * 3600 / _SONG_SECONDS), 1)
  frames = max(round(hours * 3600 * ft.FRAME_RATE / count), ft.EXCERPT_FRAMES)
  mesh = train.make_mesh()
  needed, room = resident_shards.layout([frames] * count, 1).bytes, resident_shards.device_room(mesh)
  if needed > room:
    raise ConfigError(f'--hours={hours:g}: the features are {needed / 1e9:.1f} GB; a device has room for {room / 1e9:.1f} GB. Give fewer')

  rng, period = np.random.default_rng(0), resident.room(frames)
  song = resident.silence(period)
  for name, bins in (('mix', ft.MIX_BINS), ('bass', ft.BASS_BINS)):
    song[name][:frames] = rng.exponential(0.5, (frames, bins)).astype(np.float16)
  song['pitch'][:frames] = np.repeat(rng.integers(5, 40, frames // 8 + 1), 8)[:frames]
  song['onset'][:frames] = np.arange(frames) % 8 == 0
  song['level'][:frames] = rng.uniform(0.3, 0.9, frames)
  starts = ft.CONTEXT_FRAMES + period * np.arange(count)
  # A song ends with silence, and so does what comes before the first.
  where = (np.arange(ft.CONTEXT_FRAMES + count * period + resident.TAIL) - ft.CONTEXT_FRAMES) % period
  replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  repeat = jax.jit(lambda values, where: jnp.take(values, where, axis=0), out_shardings=replicated)
  stored = resident.Resident(
    **{name: repeat(values, where.astype(np.int32)) for name, values in song.items()},
    **jax.device_put(resident.index(starts, [frames] * count), replicated),
  )

  statistics = {'frames': [float(count * frames)]}
  for name in ('mix', 'bass'):
    values = song[name][:frames].astype(np.float32)
    statistics |= {f'{name}_mean': values.mean(axis=0).tolist(), f'{name}_std': values.std(axis=0).tolist()}
  entry = {'split': 'train', 'seconds': frames / ft.FRAME_RATE, 'licence': 'CC0-1.0', 'credit': 'made up'}
  summary = extraction.Summary(ft.VERSION, 'made up', {f'{i:06d}': entry for i in range(count)}, {}, statistics)
  corpus = corpora.Corpus(experiment.data.datasets[:1], '', (summary,), corpora.pooled_statistics([summary]))
  return corpus, stored


def pace(advance: Callable, state, per_call: int, length: Length, most: int) -> tuple[float, float]:
  """(seconds of the first call, which compiles; steps a second of those after it).

  Args:
    advance: (state, steps) -> (state, terms).
    most: steps of the phase, which is not left: what comes after it takes another time.
  """
  import jax

  begin = time.perf_counter()
  state, terms = advance(state, per_call)
  jax.block_until_ready(state)
  first, done, begin = time.perf_counter() - begin, 0, time.perf_counter()
  while not done or (not length.reached(begin, done) and done + 2 * per_call <= most):  # the first call is one of them
    before, (state, terms) = terms, advance(state, per_call)
    done += per_call
    jax.block_until_ready(before)  # one call ahead of the device and no further, so that the clock is right
  jax.block_until_ready(state)
  return first, done / (time.perf_counter() - begin)


def project(experiment, steps: int, advance: Callable, begin: Callable, per_call: int, length: Length) -> dict[str, float]:
  """Measures the phases of a run, searching and not, and adds up their times.

  Args:
    begin: step -> a state that is there.

  Returns:
    compile_seconds, windows_per_second and, of a run that searches, search_windows_per_second, of one seed; seconds of the whole run.
  """
  from bassnet_jax import latent_search

  searched, figures, total = latent_search.search_steps(experiment, steps), {}, 0.0
  for name, first, last in (('search_windows_per_second', 0, searched), ('windows_per_second', searched, steps)):
    if first == last:
      continue
    compiling, rate = pace(advance, begin(first), per_call, length, last - first)
    figures.setdefault('compile_seconds', compiling)
    figures[name] = rate * experiment.data.batch_size
    total += (last - first) / rate
  return figures | {'projected_seconds': total}


def measure(experiment, hours: float, seeds: int, length: Length, full: bool, steps_per_call: int | None = None) -> dict[str, float]:
  """All figures, by their public keys.

  Args:
    experiment: with the resident input.
    hours: of features.
    seeds: more than one: they are trained at once, too.
    full: also train from beginning to end.
  """
  import jax
  import jax.numpy as jnp

  from bassnet_jax import hardware, latent_search, train, train_seeds

  train.check_settings(experiment)
  corpus, stored = made_up(experiment, hours)
  steps = train.total_steps(experiment, corpus)
  optimizer, mesh, seed_key = train.make_optimizer(experiment, steps), train.make_mesh(), jax.random.key(1)

  def step(state, batch):
    searching = latent_search.searching(experiment, steps, state.step)
    return train.train_step(state, batch, seed_key, experiment, corpus.statistics, optimizer, searching)

  feed = train.ResidentFeed(experiment, corpus, 0, step, mesh, steps_per_call, stored)
  replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  make = jax.jit(lambda: train.init_state(experiment, 0, optimizer), out_shardings=replicated)

  def begin(step: int) -> train.TrainState:
    return make().replace(step=jax.device_put(jnp.asarray(step, jnp.int32), replicated))

  figures = {'hours': hours, 'training.steps': float(steps), 'training.steps_per_call': float(feed.steps_per_call)}
  found = project(experiment, steps, feed, begin, feed.steps_per_call, length)
  figures |= {f'training.{name}': value for name, value in found.items()}
  if full:
    with tempfile.TemporaryDirectory() as workdir:
      started = time.perf_counter()
      train.train(experiment, corpus, workdir, 0, steps_per_call=steps_per_call, stored=stored)
      figures['training.measured_seconds'] = time.perf_counter() - started
  if seeds > 1:
    found = _several(experiment, corpus, stored, steps, seeds, length, steps_per_call)
    figures |= {f'seeds.{name}': value for name, value in found.items()}
    figures['seeds.gain'] = figures['seeds.runs_per_hour'] * figures['training.projected_seconds'] / 3600
    if full:
      with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        train_seeds.train_seeds(experiment, corpus, {seed: f'{folder}/{seed}' for seed in range(seeds)}, steps_per_call, stored)
        figures['seeds.measured_seconds'] = time.perf_counter() - started
  peak = hardware.peak_memory_mib()
  return figures if peak is None else figures | {'device.peak_memory_mib': peak}


def _several(experiment, corpus, stored, steps: int, seeds: int, length: Length, steps_per_call: int | None) -> dict[str, float]:
  """Figures of several seeds in one compiled step; windows/s of all of them together."""
  import jax
  import jax.numpy as jnp

  from bassnet_jax import train_seeds

  stepper = train_seeds.Stepper(experiment, corpus, range(seeds), stored, steps, steps_per_call)

  def begin(step: int):
    return stepper.begin().replace(step=jax.device_put(jnp.full(seeds, step, jnp.int32), stepper.by_seed))

  found = project(experiment, steps, stepper, begin, stepper.steps_per_call, length)
  together = {name: value * seeds for name, value in found.items() if name.endswith('windows_per_second')}
  return found | together | {'count': float(seeds), 'runs_per_hour': 3600 * seeds / found['projected_seconds']}


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'experiment', 'pr_window64', 'whose network, batch and length are measured')
  define(flags.DEFINE_multi_string, 'set', [], 'section.field=value, repeatedly')
  define(flags.DEFINE_float, 'hours', 60.0, 'of made-up features', lower_bound=0.01, upper_bound=100_000)
  define(flags.DEFINE_integer, 'seeds', 1, 'if more than one: they are trained at once, too', lower_bound=1)
  define(flags.DEFINE_float, 'seconds', 30.0, 'how long each phase is measured: with search, without, one seed, several', lower_bound=0.1)
  define(flags.DEFINE_integer, 'steps', 0, 'if positive: so many steps of each phase instead', lower_bound=0)
  define(flags.DEFINE_bool, 'full', False, 'also train the whole length, and tell how long that took')
  define(flags.DEFINE_string, 'json', None, 'also write the figures to this file')


@commands.with_flags(_define_flags, bare='experiment')
def main(defined: flags.FlagValues) -> int:
  """Prints the figures."""
  memory.keep_freed()
  import experiments
  from bassnet_jax import config as configs
  from bassnet_jax import hardware

  experiment = configs.override(experiments.get(defined.experiment), defined.set)
  experiment = configs.replace(experiment, data={'backend': 'resident', 'max_songs': 0})
  try:
    figures = measure(experiment, defined.hours, defined.seeds, Length(defined.seconds, defined.steps), defined.full)
  except MemoryError as error:
    raise configs.ConfigError(f'--hours={defined.hours:g}: the features have no room in memory ({error}). Give fewer') from error
  made = {
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'hardware': hardware.describe(),
    'precision': hardware.precision(experiment.model.dtype),
    'experiment': experiment.name,
  }
  for name, value in made.items():
    print(f'{name:<40}{value}')
  for name, value in figures.items():
    print(f'{name:<40}{value:>14.2f}')
  if defined.json:
    storage.write_json(defined.json, made | figures)
  return 0


if __name__ == '__main__':
  sys.exit(main())
