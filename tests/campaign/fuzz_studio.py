"""The studio's routes, messages and project files as readers for the fuzzing; the application runs in this process.

Uploads are decoded here instead of in their own process (`fuzz_targets` feeds that decoder on its own): an input takes milliseconds.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import io
import json
import pathlib
import shutil
import sys
import tempfile
import zipfile
from unittest import mock

import soundfile
from hypothesis import strategies as st

from . import mutations
from .fuzzing import Reader

_BASE = 'http://127.0.0.1:8020'
_LINE = {'model': '0', 'z': [0.5, -1], 'threshold': 0.25, 'articulation': 0.5, 'strings': 'full', 'playhead': 0.0}
_SOUND = {'timbre': 0.5, 'bass_level': 0.7, 'bpm': None}
_PATH = [[0, 0, 0], [0.5, 1, 1], [1.5, -1, 2]]
_MESSAGES = (
  {'type': 'line', 'id': 1, **_LINE},
  {'type': 'line', 'id': 2, **_LINE, 'path': _PATH},
  {'type': 'analyse', 'model': '0', 'channels': [{'id': 1, 'gain': 1.0, 'mute': False}]},
  {'type': 'maps', 'model': '0', 'threshold': 0.25},
)


class Refused(Exception):
  """The studio refused; its message is the text."""


class Broken(AssertionError):
  """The studio did what it must not."""


class Studio:
  """The application with one session that holds an analysed song; what inputs take away is put back."""

  def __init__(self, folder: pathlib.Path):
    import studio_model
    from starlette.testclient import TestClient

    from bassnet_jax.studio import app, channel, decode_worker, uploads
    from bassnet_jax.studio.limits import Limits, StudioError

    self.seen: list[str] = []
    self._stack = contextlib.ExitStack()

    async def decode(source: str, target: str, limits: Limits) -> dict:
      result = decode_worker.decode(source, target, limits.track_seconds, limits.track_values)
      if 'error' in result:
        raise StudioError(f'Not usable: {result["error"]}')
      return result

    def note(error: BaseException, *_) -> None:
      self.seen.append(repr(error))

    enter = self._stack.enter_context
    enter(mock.patch.object(tempfile, 'tempdir', str(folder)))
    enter(mock.patch.object(uploads, 'decode', decode))
    enter(mock.patch.object(app.traceback, 'print_exception', note))
    enter(mock.patch.object(channel.traceback, 'print_exc', lambda: note(sys.exc_info()[1])))
    limits = Limits(upload_bytes=1 << 20, session_bytes=4 << 20, track_seconds=20.0, track_values=2_000_000, tracks=3)
    guard = studio_model.application(folder, limits)
    self.client = enter(TestClient(guard, base_url=_BASE))
    self.store = guard.studio.store
    wave = io.BytesIO()
    soundfile.write(wave, studio_model.chords(2.0), 22_050, format='WAV')
    self.wave = wave.getvalue()
    self.id = self.client.post('/api/sessions').json()['id']
    assert self.client.post(f'{self.path}/tracks', content=self.wave, headers={'x-file-name': 'Keys.wav'}).status_code == 200
    with self.socket() as socket:
      socket.send_json(_MESSAGES[2])
      while json.loads(socket.receive()['text'])['type'] != 'analysed':
        pass
    session = self.store.get(self.id)
    self._song, self._track = session.song, session.tracks[1]
    self._kept = folder / 'kept'
    shutil.copytree(self._track.folder, self._kept)

  @property
  def path(self) -> str:
    return f'/api/sessions/{self.id}'

  def socket(self):
    return self.client.websocket_connect(f'{self.path}/socket', headers={'host': '127.0.0.1:8020'})

  def ready(self) -> None:
    """Puts the session back to where it was."""
    session = self.store._sessions.get(self.id)
    if session is None:
      session = self.store.create()
      self.id = session.id
    for number in [number for number in session.tracks if number != 1]:
      session.remove(number)
    if 1 not in session.tracks:
      folder = pathlib.Path(session.folder) / 'put_back'
      shutil.rmtree(folder, ignore_errors=True)
      shutil.copytree(self._kept, folder)
      session.tracks[1] = dataclasses.replace(self._track, folder=str(folder))
    session.song = self._song
    self.seen.clear()

  def check(self) -> None:
    """The server lives on, and nothing was printed in its terminal."""
    if self.seen:
      raise Broken(f'a traceback in the terminal: {self.seen[0][:300]}')
    if self.client.get('/api/models').status_code != 200:
      raise Broken('it no longer answers')

  def answered(self, status: int, text: str, headers, api: bool) -> None:
    """Raises Broken, or Refused with the message."""
    if status >= 500 and status != 503:
      raise Broken(f'status {status}: {text[:300]}')
    if self.store.folder in text:
      raise Broken(f'an answer shows where files lie: {text[:300]}')
    if status >= 400:
      if api and text and headers.get('content-type', '').startswith('application/json'):
        text = json.loads(text)['error']
      raise Refused(f'{status} {text}')

  def close(self) -> None:
    self._stack.close()


_BODIES = st.one_of(
  st.binary(max_size=200),
  mutations.edited([{**_LINE, **_SOUND, 'id': 1}, {**_LINE, **_SOUND, 'path': _PATH}, {'mix': 1, 'bass': 1, 'model': '0'}]).map(
    lambda value: json.dumps(value).encode('utf-8', 'replace')
  ),
  st.just(json.dumps({**_LINE, **_SOUND}).encode()),
)
_ODD = st.sampled_from(
  (
    '',
    '..',
    '%2e%2e',
    '%00',
    '-1',
    '0',
    '1',
    '2',
    '99999999999999999999',
    'x' * 500,
    'é',
    '%ff',
    '.',
    '1.5',
    '1e3',
    'None',
    '%2F',
    'null',
    '*',
  )
)
_ROUTES = st.sampled_from(
  (
    *('/', '/index.html', '/main.js', '/nothing', '/api', '/api/models', '/api/models/{odd}', '/api/sessions', '/api/sessions/{odd}'),
    *('/api/sessions/{id}', '/api/sessions/{id}/tracks', '/api/sessions/{id}/tracks/{odd}', '/api/sessions/{id}/tracks/1/audio'),
    *('/api/sessions/{id}/tracks/{odd}/audio', '/api/sessions/{id}/style', '/api/sessions/{id}/project', '/api/sessions/{id}/socket'),
    *(f'/api/sessions/{{id}}/export/{kind}' for kind in ('midi', 'bass', 'mix', 'path', 'project', '{odd}')),
    *('/{odd}', '/{odd}/{odd}', '/../../etc/passwd', '//etc/passwd', '/static/../app.py'),
  )
)
_HEADERS = st.dictionaries(
  st.sampled_from(
    ('x-file-name', 'content-length', 'content-type', 'origin', 'host', 'cookie', 'range', 'if-none-match', 'accept-encoding')
  ),
  st.sampled_from(
    (
      *(
        '',
        '0',
        '-1',
        'abc',
        '9' * 30,
        'bytes=0-',
        'bytes=9-1',
        'bytes=0-0,2-3',
        'bytes=abc',
        'http://127.0.0.1:8020',
        'null',
        '127.0.0.1',
      ),
      *('[', 'a=b; c', 'Keys.wav', '%ff%00', '../../x', 'x' * 3000, 'gzip', '127.0.0.1:99999', '127.0.0.1:x', '::1'),
    )
  ),
  max_size=3,
)
_METHODS = st.sampled_from(('GET', 'POST', 'POST', 'POST', 'DELETE', 'PUT', 'PATCH', 'HEAD', 'OPTIONS'))


def routes(folder: pathlib.Path) -> Reader:
  """HTTP requests of every kind."""
  import httpx

  studio = Studio(folder)

  def read(value: tuple[str, str, str, dict, bytes]) -> None:
    method, route, odd, headers, body = value
    studio.ready()
    try:
      request = studio.client.build_request(method, route.format(id=studio.id, odd=odd), headers=headers, content=body or None)
    except (httpx.InvalidURL, UnicodeEncodeError):
      return
    answer = studio.client.send(request)
    studio.check()
    studio.answered(answer.status_code, answer.text, answer.headers, route.startswith('/api'))

  return Reader(st.tuples(_METHODS, _ROUTES, _ODD, _HEADERS, _BODIES), read, (Refused,), close=studio.close)


def messages(folder: pathlib.Path) -> Reader:
  """Messages on the WebSocket, several in a row; behind them a good one must be answered."""
  studio = Studio(folder)
  counted = iter(range(10**6, 10**9))

  def read(value: list[str | bytes]) -> None:
    studio.ready()
    refused = None
    with contextlib.suppress(concurrent.futures.CancelledError), studio.socket() as socket:  # the test client cancels what it leaves
      for message in value:
        (socket.send_text if isinstance(message, str) else socket.send_bytes)(message)
      last = next(counted)
      answered = False
      while not answered:
        studio.store.get(studio.id).song = studio._song  # an analysis that ends meanwhile may have put another in its place
        socket.send_json({'type': 'line', **_LINE, 'id': last})
        for _ in range(400):
          answer = socket.receive()
          if answer['type'] == 'websocket.close':
            raise Broken(f'the connection was closed: {answer}')
          if answer.get('bytes'):
            header = json.loads(answer['bytes'][4 : 4 + int.from_bytes(answer['bytes'][:4], 'little')])
            if header['id'] == last:
              answered = True
              break
          else:
            content = json.loads(answer['text'])
            if content['type'] == 'error':
              refused = content['message']
              if studio.store.folder in refused or 'Something went wrong' in refused:
                raise Broken(refused)
    studio.check()
    if refused is not None:
      raise Refused(refused)

  text = (
    mutations.edited(_MESSAGES).map(json.dumps) | st.text(max_size=40) | st.sampled_from([json.dumps(message) for message in _MESSAGES])
  )
  damaged = mutations.damaged([json.dumps(message).encode() for message in _MESSAGES])
  return Reader(st.lists(text | damaged, min_size=1, max_size=4), read, (Refused,), close=studio.close)


def projects(folder: pathlib.Path) -> Reader:
  """Project files: a real one, damaged; and well-kept ZIPs with strange content."""
  studio = Studio(folder)
  studio.ready()
  saved = studio.client.post(f'{studio.path}/export/project', json={**_LINE, **_SOUND, 'state': {'z': [0, 0], 'takes': [{'id': 1}]}})
  assert saved.status_code == 200, saved.text
  with zipfile.ZipFile(io.BytesIO(saved.content)) as archive:
    members = {name: archive.read(name) for name in ('project.json', 'tracks/00')}
  settings = json.loads(members['project.json'])

  def packed(drawn: tuple[object, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
      archive.writestr('project.json', json.dumps(drawn[0]).encode('utf-8', 'replace'))
      archive.writestr('tracks/00', drawn[1])
    return file.getvalue()

  contents = st.just(members['tracks/00']) | mutations.damaged([members['tracks/00']])
  small = packed((settings, members['tracks/00']))

  def read(value: bytes) -> None:
    studio.ready()
    kept = set(studio.store.get(studio.id).tracks)
    answer = studio.client.post(f'{studio.path}/project', content=value)
    studio.check()
    if answer.status_code != 200 and set(studio.store.get(studio.id).tracks) != kept:
      raise Broken('a project that was refused took tracks away')
    studio.answered(answer.status_code, answer.text, answer.headers, True)

  inputs = st.tuples(mutations.edited([settings]), contents).map(packed) | mutations.damaged([small])
  return Reader(inputs, read, (Refused,), close=studio.close)
