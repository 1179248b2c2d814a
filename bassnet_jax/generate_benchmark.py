"""Measures generation as a user meets it: `python -m bassnet_jax.generate_benchmark --json=FILE`.

A made-up song of four minutes and one of an hour (44.1 kHz, stereo, FLAC) go through `python -m bassnet_jax.generate`, each in a process
of its own, with what is compiled kept nowhere: seconds and peak memory of the whole process, over three runs, beside the aims. The
network alone is measured in a further process. The exit code is 1 where an aim is missed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
from absl import flags

from bassnet_jax import aims, side_by_side
from data_pipeline import commands

RATE = 44_100
_BLOCK_SECONDS = 30
AIMS: aims.Aims = {
  'generate.4min.seconds': (aims.AT_MOST, 10.0),
  'network.times_realtime': (aims.AT_LEAST, 200.0),
  'generate.60min.peak_memory_mib': (aims.AT_MOST, 2048.0),
}
_NETWORK = """
import sys, time
import numpy as np
from bassnet_jax import packaged, trained
model = trained.load(packaged.resolve(sys.argv[1] or None))
model.warm_up()
frames = 240 * 80
mix = np.random.default_rng(0).gamma(1, 0.5, (frames, 192)).astype(np.float32)
times = []
for _ in range(5):
  begin = time.perf_counter()
  model.predict(mix, np.zeros(2))
  times.append(time.perf_counter() - begin)
print(240 / sorted(times)[2])
"""


_LAUNCHER = """
import glob, json, os, subprocess, sys, time

def memory(process):
  try:
    with open(f'/proc/{process}/statm') as file:
      kib = int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') // 1024
    for path in glob.glob(f'/proc/{process}/task/*/children'):
      with open(path) as file:
        kib += sum(map(memory, file.read().split()))
    return kib
  except OSError:
    return 0

begin, peak, ended = time.perf_counter(), 0, 0
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
while not ended:
  time.sleep(0.02)
  peak = max(peak, memory(process.pid))
  ended, status, usage = os.wait4(process.pid, os.WNOHANG)
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - begin, max(peak, usage.ru_maxrss)]))
"""
"""Starts a command from a small process (Linux counts the memory of whoever starts one among that process's own peak) and, on Linux, adds
up what it and the processes that it starts hold at a time, 50 times a second; elsewhere the greater of them counts."""


def made_up_song(seconds: float, seed: int = 0) -> Iterator[np.ndarray]:
  """Chords that change every two seconds with a noise on every beat, 120 a minute: [samples, 2] float32, half a minute a time."""
  random = np.random.default_rng(seed)
  total = round(seconds * RATE)
  roots = random.integers(45, 57, int(seconds / 2) + 1)
  for start in range(0, total, _BLOCK_SECONDS * RATE):
    clock = np.arange(start, min(start + _BLOCK_SECONDS * RATE, total)) / RATE
    audio = random.normal(0, 0.5, len(clock)) * np.exp(-40 * (clock % 0.5))
    hertz = 440 * 2 ** ((roots[(clock / 2).astype(int)] - 69) / 12)
    for interval in (0, 4, 7):
      audio += np.sin(2 * np.pi * hertz * 2 ** (interval / 12) * clock) * np.exp(-2 * (clock % 0.5))
    yield np.repeat((0.1 * audio)[:, None], 2, axis=1).astype(np.float32)


def write_song(path: str, seconds: float) -> None:
  """The song as FLAC."""
  import soundfile

  with soundfile.SoundFile(path, 'w', RATE, 2, format='FLAC') as file:
    for block in made_up_song(seconds):
      file.write(block)


def run(command: Sequence[str]) -> tuple[float, float, str]:
  """Seconds, peak memory in MiB, and output of a command in a process of its own.

  Raises:
    RuntimeError: it failed; the message ends with what it said.
  """
  environment = {name: value for name, value in os.environ.items() if name != 'JAX_COMPILATION_CACHE_DIR'}
  with tempfile.TemporaryFile('w+') as said:
    launcher = [sys.executable, '-c', _LAUNCHER, *command]
    done = subprocess.run(launcher, stdout=subprocess.PIPE, stderr=said, env=environment, text=True, check=True)
    said.seek(0)
    output = said.read()
  code, seconds, memory = json.loads(done.stdout)
  if code:
    raise RuntimeError(f'{" ".join(command).splitlines()[0][:200]} failed: {side_by_side.last_words(output)}')
  # macOS counts in bytes, Linux in KiB.
  return seconds, memory / (1 << 20 if sys.platform == 'darwin' else 1 << 10), output


def measure(checkpoint: str | None, minutes: Sequence[float], repeats: int, say=print) -> dict[str, float]:
  """All figures, by their public keys: medians of the seconds, and the largest peak of memory, over `repeats` runs."""
  figures: dict[str, float] = {}
  _, _, said = run([sys.executable, '-c', _NETWORK, checkpoint or ''])
  figures['network.times_realtime'] = float(said.split()[-1])
  with tempfile.TemporaryDirectory() as folder:
    for length in minutes:
      song = os.path.join(folder, 'song.flac')
      write_song(song, 60 * length)
      output = os.path.join(folder, f'out{length:g}')
      command = [sys.executable, '-m', 'bassnet_jax.generate', '--onset_threshold=0.05', f'--input={song}', f'--output={output}']
      command += ['--overwrite', *([f'--checkpoint={checkpoint}'] if checkpoint else [])]
      measured = [run(command) for _ in range(repeats)]
      say(measured[-1][2].rstrip())
      seconds, memory = statistics.median(row[0] for row in measured), max(row[1] for row in measured)
      figures[f'generate.{length:g}min.seconds'] = seconds
      figures[f'generate.{length:g}min.times_realtime'] = 60 * length / seconds
      figures[f'generate.{length:g}min.peak_memory_mib'] = memory
  return figures


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'checkpoint', None, "workdir of a training run (default: the package's model)")
  define(flags.DEFINE_list, 'minutes', ['4', '60'], 'lengths of the songs')
  define(flags.DEFINE_integer, 'repeats', 3, 'runs of each length, whose median is told', lower_bound=1)
  define(flags.DEFINE_string, 'json', None, 'also write the figures to this file')


@commands.with_flags(_define_flags, RuntimeError, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Prints the figures."""
  try:
    minutes = [float(length) for length in defined.minutes]
  except ValueError:
    raise ValueError(f'--minutes={",".join(defined.minutes)}: expected numbers, separated by commas, for example 4,60') from None
  return aims.report(measure(defined.checkpoint, minutes, defined.repeats), AIMS, defined.json)


if __name__ == '__main__':
  sys.exit(main())
