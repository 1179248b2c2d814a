"""Several pages at one time, over real sockets: all are answered, more than there is room for are told so, and nothing is left."""

import asyncio
import gc
import json
import os
import threading
import weakref

import pytest
import studio_model
import uvicorn
from campaign import load

from bassnet_jax.studio.limits import Limits

ROOM = 3


class Local:
  """The studio with the stand-in model, served from a thread of this process."""

  def __init__(self, folder):
    self.guard = studio_model.application(folder, Limits(sessions=ROOM))
    self._server = uvicorn.Server(uvicorn.Config(self.guard, port=0, log_level='error', timeout_graceful_shutdown=2))
    self._thread = threading.Thread(target=self._server.run)
    self._thread.start()
    while not self._server.started:
      assert self._thread.is_alive()
      threading.Event().wait(0.01)
    self.address = f'http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}'

  def memory(self) -> float:
    with open('/proc/self/statm') as file:
      return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE') / 2**20

  def stop(self) -> None:
    self._server.should_exit = True
    self._thread.join(20)


@pytest.fixture
def server(tmp_path):
  local = Local(tmp_path)
  yield local
  local.stop()


def open_files() -> int:
  gc.collect()
  return len(os.listdir('/proc/self/fd'))


def test_pages_move_at_one_time_and_nothing_is_left(server):
  tally = load.Tally()
  asyncio.run(load.visit(server, ROOM, 1.0, 0, load.Tally(), []))  # what is loaded once
  before = open_files()
  store, kept = server.guard.studio.store, []
  create = store.create
  store.create = lambda: kept.append(weakref.ref(session := create())) or session
  asyncio.run(load.visit(server, ROOM, 1.0, 2 * ROOM, tally, []))
  assert not tally.errors and not tally.refused
  assert tally.sessions == 2 * ROOM and tally.moves == 2 * ROOM * load.MOVES_A_SECOND
  assert len(tally.moved) == tally.moves and len(tally.exported) == 2 * ROOM * 3
  assert len(server.guard.studio.store) == 0 and os.listdir(server.guard.studio.store.folder) == []
  assert open_files() <= before + 2
  assert len(kept) == 2 * ROOM and not any(session() for session in kept)  # its song and its line went with it


def test_more_pages_than_there_is_room_for(server):
  import httpx

  with httpx.Client(base_url=server.address) as client:
    opened = [client.post('/api/sessions') for _ in range(ROOM + 2)]
    assert [answer.status_code for answer in opened] == [200] * ROOM + [503] * 2
    assert (
      opened[-1].json()['error'] == 'The studio is open in 3 pages already, the most at one time. Close one, wait a minute, and reload.'
    )
    client.delete(f'/api/sessions/{opened[0].json()["id"]}')
    assert client.post('/api/sessions').status_code == 200  # and those that were there have been left alone
    assert all(client.delete(f'/api/sessions/{answer.json()["id"]}').status_code == 204 for answer in opened[1:ROOM])


FIGURES = {
  'minutes': 1.0, 'users': 50, 'sessions_wanted': 50, 'sessions': 50, 'refused': 0, 'moves': 30_000, 'errors': {},
  'decoded_ms': {'p50': 40.0, 'p95': 199.0, 'p99': 300.0}, 'moved_ms': {'p50': 50.0, 'p95': 210.0, 'p99': 320.0},
  'memory_mib': {'first': 150.0, 'highest': 900.0, 'last': 880.0}, 'memory_rise_mib_a_user': 1.0,
  'held_before': {'files open': 5, 'sockets': 1, 'temporary files': 1}, 'held_after': {'files open': 6, 'sockets': 3, 'temporary files': 1},
  'left': {'temporary files after the end': 0},
}  # fmt: skip
COMING = {'sessions_wanted': 200, 'sessions': 200, 'memory_growth_kib_a_session': 20.0}


@pytest.mark.parametrize(
  ('changed', 'missed'),
  [
    ({}, ''),
    ({'decoded_ms': {'p50': 90.0, 'p95': 201.0, 'p99': 300.0}}, 'p95 from a move'),
    ({'decoded_ms': {}}, 'p95 from a move'),
    ({'errors': {'the last move was not answered within 10 s': 1}}, 'errors'),
    ({'held_after': {'files open': 55, 'sockets': 1, 'temporary files': 1}}, 'files open left over'),
    ({'held_after': {'files open': 5, 'sockets': 51, 'temporary files': 1}}, 'sockets left over'),
    ({'held_after': {'files open': 5, 'sockets': 1, 'temporary files': 2}}, 'temporary files left over'),
    ({'left': {'temporary files after the end': 1}}, 'temporary files after the end'),
    ({'memory_rise_mib_a_user': 20.0}, 'memory that a user takes'),
    (COMING | {'decoded_ms': {'p50': 90.0, 'p95': 900.0, 'p99': 990.0}}, ''),
    (COMING | {'memory_growth_kib_a_session': 800.0}, 'memory that a session leaves behind'),
    (COMING | {'memory_growth_kib_a_session': None}, 'memory that a session leaves behind'),
    (COMING | {'sessions_wanted': 60, 'memory_growth_kib_a_session': 800.0}, ''),  # what is loaded once is in it still
  ],
)
def test_a_goal_that_is_missed_is_the_exit_code(changed, missed, monkeypatch, tmp_path, capsys):
  """And both ways of coming keep figures of their own."""
  figures = FIGURES | changed
  coming = figures['sessions_wanted'] > figures['users']
  monkeypatch.setattr(load, 'measure', lambda *_: figures)
  arguments = [f'--results={tmp_path}', *([f'--sessions={figures["sessions_wanted"]}'] if coming else [])]
  assert load.main(['load', *arguments]) == (1 if missed else 0)
  printed = [line.split('  ')[0] for line in capsys.readouterr().out.splitlines() if line.endswith(' NO')]
  assert len(printed) == bool(missed) and all(line.startswith(missed) for line in printed)
  assert os.listdir(tmp_path) == ['load_sessions.json' if coming else 'load.json']
  kept = json.loads(next(tmp_path.iterdir()).read_text())
  assert kept['table'][0] == ['what', 'found', 'at most', 'met']
  assert [row[0] for row in kept['table'] if row[-1] == 'NO'] == printed
