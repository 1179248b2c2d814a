"""Several processes and other numbers of devices: the same losses, one checkpoint, one end."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny

from bassnet_jax import checkpoints, distributed, scalar_log
from bassnet_jax.batch import Statistics
from bassnet_jax.checkpoints import CheckpointError, Checkpoints
from data_pipeline import extraction
from data_pipeline import features as ft
from data_pipeline.notes import Notes

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STEPS = 20

# Asks itself for an end when its progress has come to `stop_at`, as a cloud does.
PROGRAM = """
import json, os, signal, sys
import tiny
from bassnet_jax import distributed, train
from bassnet_jax.inputs import corpus
data_dir, workdir, steps, stop_at = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
distributed.initialize(distributed.cluster(None, None, None, None))

class Stopping(train.Progress):
  def update(self, count=1, note=''):
    super().update(count, note)
    if self.done == stop_at and distributed.is_primary():
      os.kill(os.getpid(), signal.SIGTERM)

train.Progress = Stopping
experiment = tiny.experiment(
  # Not transposed, as a1 is trained: else the first losses are in the ten thousands, and rounding errors grow with them.
  data={'backend': 'resident', 'window': 32, 'transposition': 0, 'resident_placement': os.environ.get('PLACEMENT', 'auto')},
  # Small steps: at the usual rate parameters that differ by 1e-7 give, on one device too, losses that differ by 1e-3 after ten steps.
  train={'steps': steps, 'log_every': 1, 'checkpoint_every': 1000, 'learning_rate': 1e-4, 'validate_every': 5}
)
try:
  train.train(experiment, corpus.open_corpus(experiment.data, data_dir, tfds_files=False), workdir, 0)
except train.Interrupted as error:
  print(error)
  sys.exit(143)
"""


def start(arguments: list[str], devices: int, environment: dict[str, str], output: str) -> subprocess.Popen:
  flags = f'--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0'
  variables = os.environ | {'PYTHONPATH': os.pathsep.join([ROOT, os.path.join(ROOT, 'tests')]), 'XLA_FLAGS': flags} | environment
  with open(output, 'w') as file:
    return subprocess.Popen([sys.executable, *arguments], env=variables, stdout=file, stderr=subprocess.STDOUT)


def free_port() -> int:
  with socket.socket() as server:
    server.bind(('localhost', 0))
    return server.getsockname()[1]


def start_all(arguments: list[str], folder, processes: int, devices: int) -> list[tuple[subprocess.Popen, str]]:
  """Processes that find each other over localhost, each with so many simulated devices, and their output files."""
  address, started = f'localhost:{free_port()}', []
  for index in range(processes):
    place = {
      'BASSNET_JAX_COORDINATOR_ADDRESS': address,
      'BASSNET_JAX_PROCESS_COUNT': str(processes),
      'BASSNET_JAX_PROCESS_INDEX': str(index),
      'BASSNET_JAX_INITIALIZATION_TIMEOUT': '120',
    }
    output = str(folder / f'output_{time.monotonic_ns()}_{index}.txt')
    started.append((start(arguments, devices, place if processes > 1 else {}, output), output))
  return started


def read(path: str) -> str:
  with open(path) as file:
    return file.read()


def wait(started, code: int) -> list[str]:
  try:
    for process, output in started:
      assert process.wait(600) == code, read(output)[-3000:]
  finally:
    for process, _ in started:
      process.kill()  # nothing, where it has ended
  return [read(output) for _, output in started]


def losses(workdir) -> dict[int, float]:
  return {row['step']: row['total'] for row in scalar_log.read_rows(os.path.join(workdir, 'metrics.jsonl'))}


def held_out(workdir) -> dict[str, float]:
  """The losses on validation songs."""
  rows = scalar_log.read_rows(os.path.join(workdir, 'metrics.jsonl'))
  return {f'held out, step {row["step"]}': row['validation/total'] for row in rows if 'validation/total' in row}


@pytest.fixture(scope='module')
def noise_dir(tmp_path_factory) -> str:
  """A data folder with stage 1 of three songs of noise: nothing is rendered, and training needs no more."""
  root = str(tmp_path_factory.mktemp('noise'))
  directory = extraction.folder(root, *tiny.DATASET.split('/'))
  os.makedirs(os.path.join(directory, 'songs'))
  songs, rng = {}, np.random.default_rng(0)
  for name, frames, split in (('a', 1500, 'train'), ('b', 700, 'train'), ('c', 400, 'train'), ('d', 500, 'validation')):
    line = Notes.from_rows([(t, t + 0.4, 30 + int(2 * t) % 12, 90, 33) for t in np.arange(0, frames / ft.FRAME_RATE - 0.5, 0.5)])
    pitch, onset = ft.frame_targets(line, frames)
    song = dataclasses.replace(
      tiny.coordinate_song('short'), id=name, pitch=pitch, onset=onset, notes=line, mix_notes=None, patterns=(),
      mix=rng.gamma(1, 0.5, (frames, ft.MIX_BINS)).astype(np.float16), bass=rng.gamma(1, 0.5, (frames, ft.BASS_BINS)).astype(np.float16),
      level=rng.uniform(0.3, 0.9, frames).astype(np.float16),
    )  # fmt: skip
    ft.save(song, extraction.song_path(directory, name))
    songs[name] = {'split': split, 'seconds': song.seconds, 'licence': 'none', 'credit': 'noise'}
  numbers = {field.name: getattr(tiny.statistics(), field.name).tolist() for field in dataclasses.fields(Statistics)}
  with open(os.path.join(directory, 'summary.json'), 'w') as file:
    json.dump(dataclasses.asdict(extraction.Summary(ft.VERSION, 'noise', songs, {}, numbers | {'frames': [2600.0]})), file)
  return root


@pytest.fixture(scope='module')
def train_on(data_dir):
  """Trains: (workdir, processes, devices of each, stop_at) -> losses by step, and what was printed."""

  def run(workdir, processes: int, devices: int, stop_at: int = -1):
    started = start_all(['-c', PROGRAM, data_dir, str(workdir), str(STEPS), str(stop_at)], workdir.parent, processes, devices)
    printed = wait(started, 143 if stop_at >= 0 else 0)
    return losses(workdir) | held_out(workdir), printed

  return run


@pytest.fixture(scope='module')
def alone(train_on, tmp_path_factory):
  """Losses of one process on one device."""
  found, _ = train_on(tmp_path_factory.mktemp('alone') / 'run', 1, 1)
  assert list(found) == [*range(1, STEPS + 1), *(f'held out, step {step}' for step in (5, 10, 15, 20))]
  assert len(set(found.values())) == STEPS + 4
  return found


def assert_same_losses(found: dict[int, float], expected: dict[int, float]) -> None:
  assert list(found) == list(expected)
  np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(('processes', 'devices', 'placement'), [(1, 2, 'auto'), (1, 8, 'auto'), (2, 2, 'auto'), (2, 2, 'sharded')])
def test_losses_do_not_depend_on_devices_and_processes(train_on, alone, tmp_path, monkeypatch, processes, devices, placement):
  """Nor on whether songs are on every device or spread over them."""
  monkeypatch.setenv('PLACEMENT', placement)
  found, printed = train_on(tmp_path / 'run', processes, devices)
  assert_same_losses(found, alone)
  if processes == 2:
    for index, text in enumerate(printed):
      assert text.startswith(f'process {index}/2: 2 of 4 devices'), text[:500]
    assert ('spread over 4 devices' in printed[0]) == (placement == 'sharded')
    assert 'training:' in printed[0] and 'training:' not in printed[1], 'progress belongs to process 0 alone'


@pytest.mark.slow
@pytest.mark.parametrize(('before', 'after'), [((1, 8), (1, 2)), ((2, 1), (1, 1)), ((1, 1), (2, 1))])
def test_a_checkpoint_goes_on_on_another_number_of_devices_and_processes(train_on, alone, tmp_path, before, after):
  """Stopped in mid-run by SIGTERM to process 0; both processes save the same step."""
  _, printed = train_on(tmp_path / 'run', *before, stop_at=8)
  step = checkpoints.load_params(str(tmp_path / 'run'))[2]
  assert 8 <= step <= 10
  assert f'stopped at step {step} of {STEPS}' in printed[0]
  found, printed = train_on(tmp_path / 'run', *after)
  assert f'going on from step {step}' in printed[0]
  assert_same_losses(found, alone)


@pytest.mark.slow
def test_sigterm_to_one_of_two_processes_leaves_one_checkpoint_of_both(noise_dir, tmp_path):
  """To process 1, from outside."""
  workdir = tmp_path / 'run'
  started = start_all(['-c', PROGRAM, noise_dir, str(workdir), '5000', '-1'], tmp_path, 2, 1)
  deadline = time.monotonic() + 600
  try:
    while max(losses(workdir), default=0) < 5:
      assert time.monotonic() < deadline and all(process.poll() is None for process, _ in started), read(started[0][1])[-3000:]
      time.sleep(0.05)
    started[1][0].send_signal(signal.SIGTERM)
    printed = wait(started, 143)
  finally:
    for process, _ in started:
      process.kill()
  folders = [name for name in os.listdir(workdir / 'checkpoints') if name.isdigit()]
  assert len(folders) == 1
  step = int(folders[0])
  assert 5 <= step < 5000 and checkpoints.load_params(str(workdir))[2] == step
  assert all(f'stopped at step {step} of 5000' in text for text in printed), 'the processes stopped at different steps'


@pytest.mark.slow
def test_two_processes_run_the_command_to_its_report(data_dir, tmp_path):
  """Process 0 writes it, while the other waits; started as `launch/local.sh` starts them."""
  workdir = tmp_path / 'run'
  settings = {
    'data.backend': 'resident', 'data.batch_size': 8, 'data.window': 32, 'train.steps': 4, 'train.log_every': 1,
    'model.pitch_channels': 4, 'model.hidden': 16, 'model.trunk_dilations': '1', 'evaluation.max_songs': 2,
  }  # fmt: skip
  changes = [f'--set={name}={value}' for name, value in settings.items()]
  command = ['--experiment=a1_window64', f'--workdir={workdir}', f'--data_dir={data_dir}', *changes]
  flags = '--xla_backend_optimization_level=0'
  environment = os.environ | {'PATH': f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}', 'PYTHONPATH': ROOT, 'XLA_FLAGS': flags}
  launcher = ['bash', os.path.join(ROOT, 'launch', 'local.sh'), '2', *command]
  done = subprocess.run(launcher, env=environment, capture_output=True, text=True, timeout=900, cwd=tmp_path)
  printed = done.stdout + done.stderr
  assert done.returncode == 0, printed[-3000:]
  assert 'process 0/2: 1 of 2 devices' in printed and 'process 1/2: 1 of 2 devices' in printed
  assert printed.count('report: ') == 1, 'that of process 0'
  with open(workdir / 'report' / 'metrics.json') as file:
    assert json.load(file)['run']['steps'] == 4


@pytest.mark.slow
def test_a_workdir_that_is_not_one_folder_for_all_is_refused_before_training(tmp_path):
  """As on hosts with a disk each."""
  program = """
import os, sys
from bassnet_jax import distributed
distributed.initialize(distributed.cluster(None, None, None, None))
distributed._SHARED_SECONDS = 2
folder = os.path.join(sys.argv[1], str(distributed.jax.process_index()))
os.makedirs(folder)
distributed.check_shared(sys.argv[1])
try:
  distributed.check_shared(folder)
except distributed.ClusterError as error:
  print(error, flush=True)
  sys.exit(2)
"""
  for text in wait(start_all(['-c', program, str(tmp_path)], tmp_path, 2, 1), 2):
    assert 'the processes 1 of 2 do not see what process 0 writes into' in text and 'gs://BUCKET/FOLDER' in text


@pytest.mark.parametrize(
  ('given', 'environment', 'expected'),
  [
    ((None, None, None, None), {}, None),
    (('host:8476', 4, 3, 60), {}, distributed.Cluster('host:8476', 4, 3, 60)),
    (('auto', None, None, None), {}, distributed.Cluster(None, None, None, 300)),
    (('host:8476', None, None, None), {}, distributed.Cluster('host:8476', None, None, 300)),
    (
      (None, None, 1, None),
      {'COORDINATOR_ADDRESS': 'host:1', 'PROCESS_COUNT': '2', 'PROCESS_INDEX': '0', 'INITIALIZATION_TIMEOUT': '9'},
      distributed.Cluster('host:1', 2, 1, 9),
    ),
  ],
)
def test_flags_and_environment(given, environment, expected):
  """A flag comes before the environment."""
  assert distributed.cluster(*given, {f'BASSNET_JAX_{name}': value for name, value in environment.items()}) == expected


@pytest.mark.parametrize(
  ('given', 'environment', 'message'),
  [
    ((None, 2, 0, None), {}, 'need --coordinator_address: host:port of process 0'),
    (('host', 2, 0, None), {}, 'expected host:port, for example'),
    (('host:port', 2, 0, None), {}, 'expected host:port, for example'),
    (('host:1', 2, None, None), {}, 'come together'),
    (('host:1', 2, 2, None), {}, 'process_index=2 of --process_count=2: expected 0 to 1'),
    (('host:1', 2, 0, -1), {}, 'seconds above 0'),
    (('host:1', None, 0, None), {'PROCESS_COUNT': 'two'}, 'BASSNET_JAX_PROCESS_COUNT=two: expected a whole number'),
  ],
)
def test_settings_that_do_not_fit_are_named(given, environment, message):
  with pytest.raises(distributed.ClusterError, match=message):
    distributed.cluster(*given, {f'BASSNET_JAX_{name}': value for name, value in environment.items()})


@pytest.mark.slow
def test_a_process_whose_partner_never_starts_says_so(tmp_path):
  """Not a hang: the time is up, the process ends with a code and says what to look for."""
  place = {
    'BASSNET_JAX_COORDINATOR_ADDRESS': f'localhost:{free_port()}',
    'BASSNET_JAX_PROCESS_COUNT': '2',
    'BASSNET_JAX_PROCESS_INDEX': '0',
    'BASSNET_JAX_INITIALIZATION_TIMEOUT': '3',
  }
  output = str(tmp_path / 'output.txt')
  process = start(['-m', 'bassnet_jax.main', '--experiment=a1_window64', f'--workdir={tmp_path / "run"}'], 1, place, output)
  assert process.wait(120) != 0
  assert 'did not find each other in 3 s' in read(output) or 'DEADLINE_EXCEEDED' in read(output)


class Position:
  """An input whose position is a number in a file."""

  def __init__(self, at: int):
    self.at = at

  def write(self, path: str) -> None:
    with open(path, 'w') as file:
      file.write(str(self.at))

  def read(self, path: str) -> None:
    self.at = int(read(path))


def test_an_input_position_is_refused_by_another_number_of_processes(tmp_path, monkeypatch):
  """The order of tf.data depends on how many processes share it; `resident` has no position and goes on anywhere."""
  state = {'weight': np.arange(3.0)}
  with Checkpoints(str(tmp_path)) as saved:
    saved.save(2, state, {}, Position(7))
    saved.wait()
    position = Position(0)
    saved.restore(2, state, position)
    assert position.at == 7
    monkeypatch.setattr(checkpoints, '_process_name', lambda: 'process_0_of_2')
    with pytest.raises(
      CheckpointError, match=r'input position of process_0_of_1; this run is process_0_of_2.*Go on with as many processes'
    ):
      saved.restore(2, state, position)
    np.testing.assert_array_equal(saved.restore(2, state, None)['weight'], state['weight'])


def test_processes_read_disjoint_excerpts_that_together_are_all(coordinates_dir):
  from data_pipeline import build, tf_windows

  def songs_of(index: int, count: int) -> set[tuple[str, int]]:
    """(song, excerpt) of every window: where a window begins tells its excerpt."""
    dataset = tf_windows.groups(
      [build.tfds_folder(tiny.DATASET, coordinates_dir)], window=32, context=6, groups_per_batch=4, group_size=2, pair_distance=32,
      groups_per_excerpt=2, excerpts_in_memory=2, seed=0, process_index=index, process_count=count,
    )  # fmt: skip
    iterator, found = tf_windows.CheckpointableIterator(dataset), []
    for _ in range(12):
      found += tiny.check_coordinate_windows(next(iterator), 32, 6)
    return {(name, start // 1024) for name, start in found}

  first, second = songs_of(0, 2), songs_of(1, 2)
  assert first and second and not first & second
  assert first | second == songs_of(0, 1)
