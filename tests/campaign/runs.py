"""Real training runs of seconds, for campaigns that disturb them: small corpora, their commands, and processes to send signals to."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import bad_songs

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATASET = 'bassnet_pop_rock/stems'
STEPS = 24
SETTINGS = {
  'data.datasets': DATASET, 'data.batch_size': 4, 'data.window': 32, 'data.excerpts_in_memory': 2, 'data.windows_per_excerpt': 4,
  'train.steps': STEPS, 'train.log_every': 1, 'train.checkpoint_every': 4,
  'model.pitch_channels': 4, 'model.hidden': 16, 'model.pitch_dilations': 1, 'model.trunk_dilations': 1,
  'evaluation.max_songs': 1, 'evaluation.validation_songs': 1,
}  # fmt: skip
_SPLITS = {False: {'train': 4}, True: {'train': 4, 'validation': 1, 'test': 2}}


@dataclasses.dataclass(frozen=True)
class Setting:
  """What a run is like.

  Attributes:
    backend: 'tfdata' or 'resident'.
    processes: 1 or 2, which find each other over localhost.
    report: whether there are songs for a report after training.
  """

  backend: str
  processes: int = 1
  report: bool = False

  @property
  def name(self) -> str:
    return f'{self.backend}_{self.processes}' + ('_report' if self.report else '')


@dataclasses.dataclass(frozen=True)
class Laboratory:
  """A folder with corpora, built datasets and compiled programs that runs share."""

  root: pathlib.Path

  def corpus(self, report: bool) -> pathlib.Path:
    """A folder of stems; made at the first call."""
    folder = self.root / ('corpus_report' if report else 'corpus')
    if not folder.exists():
      for split, count in _SPLITS[report].items():
        for i in range(count):
          bad_songs.good_song(folder / split / f'song_{i}', seconds=5.5)
    return folder

  def data_dir(self, report: bool) -> pathlib.Path:
    """Where the built datasets lie that no campaign disturbs."""
    return self.root / ('data_report' if report else 'data')

  def command(self, setting: Setting, workdir: pathlib.Path, data_dir: pathlib.Path, *more: str) -> list[str]:
    """The one command of a run, the same after every disturbance."""
    changes = [f'--set={name}={value}' for name, value in (SETTINGS | {'data.backend': setting.backend}).items()]
    return [
      sys.executable, '-m', 'bassnet_jax.main', '--experiment=pr_window64', '--nodemo', f'--workdir={workdir}', f'--data_dir={data_dir}',
      f'--manual_dir={self.corpus(setting.report)}', f'--compilation_cache={self.root / "compiled"}', *changes, *more,
    ]  # fmt: skip


def environment(**more: str) -> dict[str, str]:
  """Of a run: the CPU, one device a process, programs compiled fast and kept."""
  return (
    {name: value for name, value in os.environ.items() if name != 'JAX_COMPILATION_CACHE_DIR'}
    | {
      'PYTHONPATH': str(ROOT),
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': '--xla_backend_optimization_level=0',
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
      'TF_CPP_MIN_LOG_LEVEL': '3',
    }
    | more
  )


class Running:
  """The processes of one start of a run, each the leader of a session of its own, and what they print."""

  def __init__(self, command: list[str], log: pathlib.Path, processes: int = 1, variables: dict[str, str] | None = None):
    self.log = log
    self.begun = time.time()
    self.printed = log.stat().st_size if log.exists() else 0
    self.processes = []
    place: list[dict[str, str]] = [{}]
    if processes > 1:
      address = f'localhost:{_free_port()}'
      place = [
        {
          'BASSNET_JAX_COORDINATOR_ADDRESS': address,
          'BASSNET_JAX_PROCESS_COUNT': str(processes),
          'BASSNET_JAX_PROCESS_INDEX': str(i),
        }
        for i in range(processes)
      ]
    for more in place:
      with open(log, 'a') as output:
        self.processes.append(
          subprocess.Popen(
            command, cwd=log.parent, env=environment(**(variables or {}), **more), stdout=output, stderr=output, start_new_session=True
          )
        )

  def text(self) -> str:
    return self.log.read_text(errors='replace')

  def alive(self) -> bool:
    """Whether all of its processes still run."""
    return all(process.poll() is None for process in self.processes)

  def send(self, number: int, which: list[int]) -> None:
    for i in which:
      if self.processes[i].poll() is None:
        self.processes[i].send_signal(number)

  def freeze(self) -> None:
    """Holds the processes still, not their workers; returns when every thread of them stands."""
    self.send(signal.SIGSTOP, list(range(len(self.processes))))
    while not all(_stands(process.pid) for process in self.processes if process.poll() is None):
      time.sleep(0.0005)

  def thaw(self) -> None:
    self.send(signal.SIGCONT, list(range(len(self.processes))))

  def wait(self, seconds: float) -> list[int]:
    """Exit codes; those that are not over in time are killed, and stand as `TimeoutError`."""
    deadline = time.monotonic() + seconds
    for process in self.processes:
      try:
        process.wait(max(deadline - time.monotonic(), 0.01))
      except subprocess.TimeoutExpired as error:
        self.end()
        raise TimeoutError(f'not over after {seconds:.0f} s: {self.text()[-1500:]}') from error
    return [process.returncode for process in self.processes]

  def wait_together(self, seconds: float, patience: float = 2.0) -> list[int]:
    """As `wait`; when a signal has ended one process, those that go on are killed a little later, as clusters do."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(process.poll() is None for process in self.processes):
      if any((process.poll() or 0) < 0 for process in self.processes):
        time.sleep(patience)
        self.send(signal.SIGKILL, list(range(len(self.processes))))
        break
      time.sleep(0.01)
    return self.wait(max(deadline - time.monotonic(), 10.0))

  def end(self) -> None:
    """Kills what is left, workers too."""
    for process in self.processes:
      for member in session_members(process.pid):
        os.kill(member, signal.SIGKILL)
      process.wait()

  def left_over(self, seconds: float = 15.0) -> list[int]:
    """Processes of its sessions that are still there so long after its end: workers that nobody waits for."""
    deadline = time.monotonic() + seconds
    while True:
      found = [member for process in self.processes for member in session_members(process.pid)]
      if not found or time.monotonic() > deadline:
        return found
      time.sleep(0.1)


def session_members(session: int) -> list[int]:
  """Ids of the processes of a session, but for those that are dead and only not yet asked for."""
  found = []
  for name in os.listdir('/proc'):
    if name.isdigit():
      try:
        fields = pathlib.Path('/proc', name, 'stat').read_text().rpartition(')')[2].split()
      except (FileNotFoundError, ProcessLookupError):
        continue
      if int(fields[3]) == session and fields[0] != 'Z':
        found.append(int(name))
  return found


def _stands(pid: int) -> bool:
  """Whether all threads of a process are stopped, or it is no more."""
  try:
    threads = os.listdir(f'/proc/{pid}/task')
    states = [pathlib.Path('/proc', str(pid), 'task', thread, 'stat').read_text().rpartition(')')[2].split()[0] for thread in threads]
  except (FileNotFoundError, ProcessLookupError):
    return False  # a thread has just ended; the caller looks again
  return all(state in 'TtZX' for state in states)


def _free_port() -> int:
  with socket.socket() as server:
    server.bind(('localhost', 0))
    return server.getsockname()[1]
