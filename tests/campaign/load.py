"""Simulated users on a studio of its own on loopback: `python -m tests.campaign.load --users=50 --seconds=60`.

Each user opens a page, uploads a short song, listens to it, moves the dot ten times a second, and downloads the results. Printed are the
time from a move to the message that was decoded for it or for a later move of that user (a page shows the newest), errors, the server's
memory over time, and what is left when all have gone. `--sessions=N` lets the users come again until there were N: memory, files and
sockets must not grow with N. Ends with 1 where a goal is not met. Linux only: it reads /proc.

Results: RESULTS/load.json; with --sessions RESULTS/load_sessions.json, or another --name.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import glob
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import soundfile

from . import part

MOVES_A_SECOND = 10
SLOWEST_MOVE = 200.0
"""Milliseconds in which 95 of 100 moves that were decoded must be answered, on two cores."""
MOST_HELD = 2
"""Open files and sockets more than before the first user came: what the server opens once, not for each of them."""
MOST_GROWTH = 100.0
"""KiB a session by which memory may grow over the second half of the sessions; what is loaded and compiled once lies before."""
FEWEST_SESSIONS = 100
"""From so many on that figure counts: in the first half of fewer not every length of song has been met."""
MOST_RISE = 8.0
"""MiB a user by which memory may rise from when all songs are analysed to the end, downloads included."""
_RATE = 22_050
_EXPORTS = ('midi', 'mix', 'project')


@dataclasses.dataclass
class Tally:
  """What the users saw; times in seconds.

  Attributes:
    prepared: upload to the end of the analysis, of every session.
    moved: move to its answer, or to that of a later move.
    decoded: the same, of those moves that were answered themselves.
    exported: of every download.
    moves: sent.
    sessions: finished.
    refused: sessions that the studio had no room for, in words.
    errors: everything else that went wrong.
  """

  prepared: list[float] = dataclasses.field(default_factory=list)
  moved: list[float] = dataclasses.field(default_factory=list)
  decoded: list[float] = dataclasses.field(default_factory=list)
  exported: list[float] = dataclasses.field(default_factory=list)
  moves: int = 0
  sessions: int = 0
  refused: int = 0
  errors: collections.Counter = dataclasses.field(default_factory=collections.Counter)


def song(seconds: float, seed: int) -> bytes:
  """A WAV file: chords and a click on every beat."""
  clock = np.arange(round(seconds * _RATE)) / _RATE
  root = 220 * 2 ** (np.random.default_rng(seed).integers(0, 12) / 12)
  audio = sum(np.sin(2 * np.pi * root * ratio * clock) for ratio in (1, 1.26, 1.5)) * np.exp(-4 * (clock % 0.5))
  audio += np.random.default_rng(seed).normal(0, 0.5, len(clock)) * np.exp(-60 * (clock % 0.5))
  file = io.BytesIO()
  soundfile.write(file, 0.1 * audio, _RATE, format='WAV')
  return file.getvalue()


class Server:
  """A studio in a process and with a temporary folder of its own."""

  def __init__(self, arguments: Sequence[str] = ()):
    self.folder = tempfile.mkdtemp(prefix='bassnet_load_')
    command = [sys.executable, '-u', '-m', 'bassnet_jax.studio', '--port=0', *arguments]
    environment = os.environ | {'TMPDIR': self.folder}
    self.log = open(os.path.join(self.folder, 'log'), 'w+b')  # noqa: SIM115, closed by `stop`
    self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, env=environment)
    line = self.process.stdout.readline().decode()
    found = re.search(r'http://[^ ]+/', line)
    if found is None:
      self.log.seek(0)
      raise RuntimeError(f'the studio did not start: {line} {self.log.read().decode(errors="replace")[-500:]}')
    self.address = found[0].rstrip('/')

  def memory(self) -> float:
    """MiB of the server's process."""
    with open(f'/proc/{self.process.pid}/statm') as file:
      return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE') / 2**20

  def held(self) -> dict[str, int]:
    """Open files and sockets, threads, and files of sessions."""
    names = []
    for path in glob.glob(f'/proc/{self.process.pid}/fd/*'):
      try:
        names.append(os.readlink(path))
      except FileNotFoundError:  # closed meanwhile
        continue
    sockets = sum(name.startswith('socket:') for name in names)
    files = sum(len(files) for _, _, files in os.walk(self.folder)) - 1  # the log
    return {'files open': len(names) - sockets, 'sockets': sockets, 'temporary files': files}

  def said(self) -> str:
    """What the server printed as errors."""
    self.log.seek(0)
    return self.log.read().decode(errors='replace')

  def stop(self) -> dict[str, int]:
    """Ends it as Ctrl-C does; returns what is left of its temporary files."""
    import shutil
    import signal

    self.process.send_signal(signal.SIGINT)
    try:
      self.process.wait(30)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()
    left = sum(len(files) for _, _, files in os.walk(self.folder)) - 1
    self.log.close()
    self.process.stdout.close()
    shutil.rmtree(self.folder)
    return {'temporary files after the end': left}


class Sample(NamedTuple):
  """MiB of the server, how many songs had been analysed then, and how many sessions were over; one a second."""

  size: float
  prepared: int
  over: int


class User:
  """One page."""

  def __init__(self, address: str, number: int, seconds: float, tally: Tally):
    self.address, self.number, self.seconds, self.tally = address, number, seconds, tally

  async def session(self, client, ready: asyncio.Barrier | None = None) -> None:
    """From opening the page to leaving it."""
    answer = await client.post('/api/sessions')
    if answer.status_code == 503:
      assert answer.json()['error']
      self.tally.refused += 1
      return
    answer.raise_for_status()
    base = f'/api/sessions/{answer.json()["id"]}'
    try:
      await self._stay(client, base, ready)
      self.tally.sessions += 1
    finally:
      await client.delete(base)

  async def _stay(self, client, base: str, ready: asyncio.Barrier | None) -> None:
    from websockets.asyncio.client import connect

    begin = time.perf_counter()
    content = song(4 + self.number % 5, self.number)
    uploaded = await client.post(f'{base}/tracks', content=content, headers={'x-file-name': f'{self.number}.wav'})
    uploaded.raise_for_status()
    track = uploaded.json()['id']
    length = uploaded.json()['seconds']
    async with connect(f'{self.address.replace("http", "ws")}{base}/socket', max_size=None) as socket:
      await socket.send(json.dumps({'type': 'analyse', 'model': '0', 'channels': [{'id': track, 'gain': 1.0}]}))
      while (message := json.loads(await socket.recv()))['type'] != 'analysed':
        if message['type'] == 'error':
          raise RuntimeError(message['message'])
      self.tally.prepared.append(time.perf_counter() - begin)
      (await client.get(f'{base}/tracks/{track}/audio')).raise_for_status()
      if ready is not None:
        await ready.wait()
      await self._move(socket, length)
    request = {'model': '0', 'z': [0.0, 0.0], 'threshold': 0.5, 'id': 1}
    for kind in _EXPORTS:
      begin = time.perf_counter()
      answer = await client.post(f'{base}/export/{kind}', json=request)
      answer.raise_for_status()
      self.tally.exported.append(time.perf_counter() - begin)

  async def _move(self, socket, length: float) -> None:
    """Moves the dot in circles; takes what comes."""
    sent: dict[int, float] = {}

    async def listen() -> None:
      async for message in socket:
        now = time.perf_counter()
        if isinstance(message, str):
          content = json.loads(message)
          if content['type'] == 'error':
            self.tally.errors[content['message'][:120]] += 1
          continue
        header = message[4 : 4 + int.from_bytes(message[:4], 'little')]
        number = int(re.search(rb'"id":(\d+)', header)[1])
        if number in sent:
          self.tally.decoded.append(now - sent[number])
        for older in [key for key in sent if key <= number]:
          self.tally.moved.append(now - sent.pop(older))

    listening = asyncio.create_task(listen())
    begin = time.perf_counter() + (self.number * 0.618 % 1) / MOVES_A_SECOND  # users don't move in step
    for step in range(1, round(self.seconds * MOVES_A_SECOND) + 1):
      await asyncio.sleep(max(begin + step / MOVES_A_SECOND - time.perf_counter(), 0))
      angle = step / MOVES_A_SECOND * math.pi
      z = [round(1.5 * math.cos(angle), 3), round(1.5 * math.sin(angle), 3)]
      message = {'type': 'line', 'id': step, 'model': '0', 'z': z, 'threshold': 0.5, 'playhead': step / MOVES_A_SECOND % length}
      sent[step] = time.perf_counter()
      self.tally.moves += 1
      await socket.send(json.dumps(message))
    for _ in range(200):
      if not sent:
        break
      await asyncio.sleep(0.05)
    if sent:
      self.tally.errors['the last move was not answered within 10 s'] += 1
    listening.cancel()
    (ended,) = await asyncio.gather(listening, return_exceptions=True)
    if not isinstance(ended, asyncio.CancelledError):
      self.tally.errors[f'the connection was closed: {str(ended)[:100]}'] += 1


async def visit(server: Server, users: int, seconds: float, sessions: int, tally: Tally, memory: list[Sample]) -> None:
  """All users, at once; with `sessions` above `users` they come again."""
  import httpx

  left = iter(range(max(sessions, users)))
  again = sessions > users
  ready = None if again else asyncio.Barrier(users)

  def note() -> None:
    memory.append(Sample(server.memory(), len(tally.prepared), tally.sessions))

  async def one(number: int) -> None:
    async with httpx.AsyncClient(base_url=server.address, timeout=600) as client:
      for visit_number in left:
        user = User(server.address, visit_number, seconds, tally)
        try:
          await user.session(client, ready)
        except asyncio.BrokenBarrierError:
          pass
        except (httpx.HTTPError, OSError, RuntimeError, AssertionError) as error:
          tally.errors[f'{type(error).__name__}: {str(error)[:120]}'] += 1
          if ready is not None:
            await ready.abort()
        if not again:
          return

  async def watch() -> None:
    while True:
      note()
      await asyncio.sleep(1)

  watching = asyncio.create_task(watch())
  await asyncio.gather(*(one(number) for number in range(users)))
  await asyncio.sleep(0.5)
  note()
  watching.cancel()


def _percentiles(values: Sequence[float]) -> dict[str, float]:
  return (
    {name: round(1000 * float(np.percentile(values, share)), 1) for name, share in (('p50', 50), ('p95', 95), ('p99', 99))}
    if values
    else {}
  )


def measure(users: int, seconds: float, sessions: int = 0, arguments: Sequence[str] = ()) -> dict:
  """Runs a studio and its users. Returns the figures, times in milliseconds, memory in MiB."""
  begin = time.monotonic()
  server = Server(arguments)
  tally, memory = Tally(), []
  try:
    before = server.held()
    asyncio.run(visit(server, users, seconds, sessions, tally, memory))
    after, said = server.held(), server.said()
  finally:
    end = server.stop()
  if 'Traceback' in said:
    tally.errors[f'a traceback in the terminal: {said[-300:]}'] += 1
  result = {
    'minutes': round((time.monotonic() - begin) / 60, 1),
    'users': users,
    'sessions_wanted': max(sessions, users),
    'sessions': tally.sessions,
    'refused': tally.refused,
    'moves': tally.moves,
    'answered_themselves': len(tally.decoded),
    'decoded_ms': _percentiles(tally.decoded),
    'moved_ms': _percentiles(tally.moved),
    'prepared_ms': _percentiles(tally.prepared),
    'exported_ms': _percentiles(tally.exported),
    'memory_mib': {
      'first': round(memory[0].size, 1),
      'highest': round(max(sample.size for sample in memory), 1),
      'last': round(memory[-1].size, 1),
    },
    'held_before': before,
    'held_after': after,
    'left': end,
    'errors': dict(tally.errors),
  }
  late = [(sample.over, sample.size) for sample in memory if sample.over >= tally.sessions / 2]
  settled = [sample.size for sample in memory if sample.prepared >= users]
  if sessions > users and len({over for over, _ in late}) > 2:
    result['memory_growth_kib_a_session'] = round(1024 * float(np.polyfit(*zip(*late, strict=True), 1)[0]), 1)
  elif sessions <= users and settled:
    result['memory_rise_mib_a_user'] = round((max(settled) - settled[0]) / users, 1)
  return result


@dataclasses.dataclass(frozen=True)
class Goal:
  """What was found of something, None where it could not be measured, and how much it may be."""

  what: str
  found: float | None
  most: float

  @property
  def met(self) -> bool:
    return self.found is not None and self.found <= self.most


def goals(figures: dict) -> list[Goal]:
  """What decides whether the load was borne."""
  before, after = figures['held_before'], figures['held_after']
  coming = figures['sessions_wanted'] > figures['users']
  rows = [
    Goal('errors', sum(figures['errors'].values()), 0),
    *(Goal(f'{name} left over', after[name] - before[name], MOST_HELD) for name in ('files open', 'sockets')),
    Goal('temporary files left over', after['temporary files'] - before['temporary files'], 0),
    *(Goal(name, count, 0) for name, count in figures['left'].items()),
  ]
  if not coming:
    moves = Goal('p95 from a move to the piece decoded for it, ms', figures['decoded_ms'].get('p95'), SLOWEST_MOVE)
    return [moves, *rows, Goal('memory that a user takes while there, MiB', figures.get('memory_rise_mib_a_user'), MOST_RISE)]
  # Where users come and go, songs are analysed while others move: the wait for a move says nothing there.
  if figures['sessions_wanted'] >= FEWEST_SESSIONS:
    rows.append(Goal('memory that a session leaves behind, KiB', figures.get('memory_growth_kib_a_session'), MOST_GROWTH))
  return rows


def table(rows: Sequence[Goal]) -> list[tuple[str, ...]]:
  """A line a goal, with a header."""
  lines = [(goal.what, 'not measured' if goal.found is None else f'{goal.found:g}', f'{goal.most:g}') for goal in rows]
  verdicts = ['yes' if goal.met else 'NO' for goal in rows]
  return [('what', 'found', 'at most', 'met'), *((*line, verdict) for line, verdict in zip(lines, verdicts, strict=True))]


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command. Returns 0, 1 where a goal is not met, 2 for a user's mistake."""
  from absl import flags

  defined = flags.FlagValues()
  flags.DEFINE_integer('users', 50, 'at one time', lower_bound=1, flag_values=defined)
  flags.DEFINE_float('seconds', 60, 'for which each moves the dot', lower_bound=0.1, flag_values=defined)
  flags.DEFINE_integer('sessions', 0, 'come again until there were so many (0: each comes once)', lower_bound=0, flag_values=defined)
  flags.DEFINE_string('name', None, 'of the result; default: load, or load_sessions', flag_values=defined)
  flags.DEFINE_string('checkpoint', None, 'model; default: the one that comes with the package', flag_values=defined)
  flags.DEFINE_string('results', 'docs/campaign', 'folder of load.json and load_sessions.json', flag_values=defined)
  flags.DEFINE_bool('help', False, 'show this text', flag_values=defined)
  try:
    defined(list(sys.argv if arguments is None else arguments))
  except flags.Error as error:
    print(f'load: {error}', file=sys.stderr)
    return 2
  if defined.help:
    print(f'{__doc__}\n{defined.get_help()}')
    return 0
  chosen = [f'--checkpoint={defined.checkpoint}'] if defined.checkpoint else []
  figures = measure(defined.users, defined.seconds, defined.sessions, chosen)
  for name, value in figures.items():
    print(f'{name:<30}{value}')
  found = goals(figures)
  rows = table(found)
  print('\n'.join(f'{row[0]:<52}{row[1]:>14}{row[2]:>10}{row[3]:>6}' for row in rows))
  percentiles = lambda name: ', '.join(f'{key} {value:g}' for key, value in figures[name].items()) or 'none'  # noqa: E731
  memory = figures['memory_mib']
  coming = defined.sessions > defined.users
  command = f'python -m tests.campaign load --users={defined.users} --seconds={defined.seconds:g}'
  command += (f' --sessions={defined.sessions}' if coming else '') + (f' --name={defined.name}' if defined.name else '')
  part.write(
    defined.results,
    defined.name or ('load_sessions' if coming else 'load'),
    title=f'Load: users who come and go for {figures["minutes"]:.0f} minutes' if coming else 'Load',
    command=command,
    statements=[
      f'{defined.users} users at one time, {figures["sessions"]} sessions, {figures["moves"]} moves, {sum(figures["errors"].values())} '
      f'errors, {figures["refused"]} refused, {os.cpu_count()} cores',
      f'milliseconds from a move to the piece decoded for it: {percentiles("decoded_ms")}; or for a later move of that page: '
      + percentiles('moved_ms'),
      f'memory of the server: {memory["first"]} MiB at first, {memory["highest"]} MiB at most, {memory["last"]} MiB when all had gone',
    ],
    table=rows,
    figures=figures,
  )
  return 0 if all(goal.met for goal in found) else 1


if __name__ == '__main__':
  sys.exit(main())
