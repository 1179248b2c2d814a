"""The studio's server: tracks, analysis, lines over the WebSocket, exports, projects, and who is let in."""

import asyncio
import contextlib
import gc
import io
import json
import os
import threading
import time
import types
import weakref
import zipfile

import anyio
import mido
import numpy as np
import pytest
import soundfile
import studio_model
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from bassnet_jax import midi_export, packaged, trained
from bassnet_jax.studio import channel, line, main, maps, models, security
from bassnet_jax.studio.limits import Limits, StudioError

SECONDS = 6.0
LINE = {'model': '0', 'z': [0, 0], 'threshold': 0.25, 'articulation': 0.5, 'strings': 'full', 'playhead': 0}


@pytest.fixture(scope='module')
def client(tmp_path_factory):
  with (
    TestClient(studio_model.application(tmp_path_factory.mktemp('model')), base_url='http://127.0.0.1:8020') as client,
    contextlib.ExitStack() as client.sockets,
  ):
    yield client


def wav(audio, rate=22_050, **options) -> bytes:
  file = io.BytesIO()
  soundfile.write(file, audio, rate, format='WAV', **options)
  return file.getvalue()


def open_session(client) -> str:
  return f'/api/sessions/{client.post("/api/sessions").json()["id"]}'


def connect(client, session, **options):
  return client.websocket_connect(f'ws://127.0.0.1:8020{session}/socket', **options)


def add(client, session, audio, name='Keys.wav', rate=22_050) -> dict:
  answer = client.post(f'{session}/tracks', content=wav(audio, rate), headers={'x-file-name': name})
  assert answer.status_code == 200, answer.text
  return answer.json()


def until(socket, kind) -> tuple[dict, list[dict]]:
  """The first message of a kind, and those before it. Binary ones are unpacked."""
  before = []
  while True:
    message = socket.receive()
    header = json.loads(message['text']) if message.get('text') else line.unpack(message['bytes'])[0]
    if header['type'] == kind:
      return header, before
    assert header['type'] != 'error', header
    before.append(header)


@pytest.fixture(scope='module')
def song(client):
  """A session with two tracks, its open socket and what the analysis said."""
  session = open_session(client)
  tracks = [add(client, session, studio_model.chords(SECONDS)), add(client, session, studio_model.clicks(SECONDS), 'Drums.wav')]
  socket = client.sockets.enter_context(connect(client, session))
  socket.send_json({'type': 'analyse', 'model': '0', 'channels': [{'id': track['id'], 'gain': 1, 'mute': False} for track in tracks]})
  found, before = until(socket, 'analysed')
  assert [m['share'] for m in before] == sorted(m['share'] for m in before) and len(before) >= 4
  return session, tracks, socket, found


def test_page_and_models_are_served_without_any_other_host(client):
  page = client.get('/')
  assert page.status_code == 200 and 'BassNet' in page.text
  for name in os.listdir(os.path.join(os.path.dirname(main.__file__), 'static')):
    content = client.get(f'/{name}')
    assert content.status_code == 200
    outside = [part for part in ('https://', '//cdn', 'http://') if part in content.text.replace('http://www.w3.org', '')]
    assert not outside, f'{name} names {outside}'
  assert "default-src 'self'" in page.headers['content-security-policy']
  assert client.get('/api/models').json() == {'models': [{'id': '0', 'name': 'half seconds'}], 'first': '0'}
  model = client.get('/api/models/0').json()
  assert model['density']['source'] == 'prior' and 'prior' in model['density']['note']
  assert client.get('/api/models/9').json()['error'].startswith('There is no such model')
  assert client.get('/nowhere').json()['error'].startswith('There is nothing at this address')


def test_lines_come_first_around_the_playhead_then_whole(client, song):
  _, _, socket, found = song
  assert found['seconds'] == pytest.approx(SECONDS, abs=0.01)
  socket.send_json({'type': 'line', 'id': 1, **LINE, 'z': [1, 0], 'playhead': 2.0})
  piece, _ = until(socket, 'piece')
  assert piece['id'] == 1 and piece['span'][0] <= 2.0 < piece['span'][1]
  assert {note[2] for note in piece['notes']} == {42}
  whole, before = until(socket, 'whole')
  assert not before
  begins = np.array([note[0] for note in whole['notes']])
  np.testing.assert_allclose(np.diff(begins), 0.5, atol=1e-6)
  inside = [note[:2] for note in whole['notes'] if piece['span'][0] <= note[0] < piece['span'][1]]
  assert [note[:2] for note in piece['notes']] == inside


def test_newest_move_wins(client, song):
  _, _, socket, _ = song
  for number in range(1, 21):
    socket.send_json({'type': 'line', 'id': number, **LINE, 'z': [number / 10, 0]})
  whole, before = until(socket, 'whole')
  assert whole['id'] == 20 and {note[2] for note in whole['notes']} == {44}
  ids = [header['id'] for header in before]
  assert ids == sorted(ids) and len(ids) <= 20


def test_a_move_does_not_wait_for_the_whole_line_of_the_one_before(client, song, monkeypatch):
  """A step of it may be behind the moves of fifty other pages."""
  begun = threading.Event()

  async def slow(*_):
    begun.set()
    await asyncio.sleep(10)
    raise StudioError('the next move waited for it')

  _, _, socket, _ = song
  monkeypatch.setattr(channel, 'whole_line', slow)
  socket.send_json({'type': 'line', 'id': 1, **LINE})
  assert until(socket, 'piece')[0]['id'] == 1 and begun.wait(20)
  monkeypatch.undo()
  socket.send_json({'type': 'line', 'id': 2, **LINE})
  assert until(socket, 'piece')[0]['id'] == 2
  assert until(socket, 'whole')[0]['id'] == 2


def test_a_mix_is_encoded_once_a_model(tmp_path, monkeypatch):
  """Not once a move: that is most of the network's work."""
  encoded = []
  encode = studio_model.HalfSeconds.encode_mix
  monkeypatch.setattr(studio_model.HalfSeconds, 'encode_mix', lambda self, mix: encoded.append(len(mix)) or encode(self, mix))
  guard = studio_model.application(tmp_path)
  shelf = guard.studio.shelf
  shelf.choices['1'] = models.Choice('1', 'another', str(tmp_path))
  shelf._loaded['1'] = studio_model.HalfSeconds()
  with TestClient(guard, base_url='http://127.0.0.1:8020') as client:
    session = open_session(client)
    track = add(client, session, studio_model.clicks(3.0))
    with connect(client, session) as socket:
      for gain, songs in ((1, 1), (0.5, 2)):
        socket.send_json({'type': 'analyse', 'model': '0', 'channels': [{'id': track['id'], 'gain': gain}]})
        until(socket, 'analysed')
        for number, model in enumerate('0011010'):
          socket.send_json({'type': 'line', 'id': number, **LINE, 'model': model, 'z': [number / 10, 0]})
          until(socket, 'whole')
        client.post(f'{session}/export/midi', json={'id': 9, **LINE, 'z': [-1, 0]})
        # What is compiled beforehand is a frame long.
        assert len([frames for frames in encoded if frames > 1]) == 2 * songs


def test_path_moves_the_line(client, song):
  _, _, socket, _ = song
  socket.send_json({'type': 'line', 'id': 1, **LINE, 'path': [[0, 0, 0], [2.9, 0, 0], [3.0, 2, 0]]})
  whole, _ = until(socket, 'whole')
  assert {note[2] for note in whole['notes'] if note[0] < 2.9} == {40}
  assert {note[2] for note in whole['notes'] if note[0] > 3} == {44}


@pytest.mark.parametrize(
  'change, word',
  [
    ({'z': [0, 'up']}, 'number'),
    ({'z': None}, 'position'),
    ({'z': [0, 99]}, '-10 to 10'),
    ({'threshold': 7}, 'threshold'),
    ({'threshold': None}, 'threshold'),
    ({'strings': 'banjo'}, '4-string'),
    ({'playhead': -1}, 'playhead'),
    ({'path': [[0, 0, 0], [0, 1, 1]]}, 'not after'),
    ({'path': 'home'}, 'path'),
    ({'model': '5'}, 'no such model'),
  ],
)
def test_wrong_request_is_answered_in_plain_words_and_the_next_one_works(client, song, change, word):
  _, _, socket, _ = song
  socket.send_json({'type': 'line', 'id': 1, **LINE, **change})
  answer = json.loads(socket.receive()['text'])
  assert answer['type'] == 'error' and word in answer['message'] and 'Traceback' not in answer['message']
  socket.send_json({'type': 'line', 'id': 2, **LINE})
  assert until(socket, 'whole')[0]['id'] == 2


def test_message_that_is_no_json_does_not_end_the_connection(client, song):
  _, _, socket, _ = song
  for text in ('{', '[]', '"x"', '[' * 100_000, '{"type": "format the disk"}'):
    socket.send_text(text)
    assert json.loads(socket.receive()['text'])['type'] == 'error'


def test_amplitudes_survive_the_wire():
  amplitude = np.array([0.0, 1e-4, 0.01, 0.3, 1.0, 4.0])
  back = line.code_amplitudes(line.amplitude_codes(amplitude))
  assert back[0] == 0
  np.testing.assert_allclose(20 * np.log10(back[1:] / amplitude[1:]), 0, atol=0.22)


def test_exports_are_the_line_that_is_shown(client, song, tmp_path):
  session, _, socket, _ = song
  request = {'id': 3, **LINE, 'z': [-1, 0], 'timbre': 0.5, 'bass_level': 0.7, 'bpm': None}
  socket.send_json({'type': 'line', **request})
  whole, _ = until(socket, 'whole')
  midi = client.post(f'{session}/export/midi', json=request)
  (tmp_path / 'bass.mid').write_bytes(midi.content)
  notes = midi_export.read_notes(str(tmp_path / 'bass.mid'))
  assert notes.pitch.tolist() == [note[2] for note in whole['notes']]
  np.testing.assert_allclose(notes.onset, [note[0] for note in whole['notes']], atol=0.002)
  fixed = client.post(f'{session}/export/midi', json=request | {'bpm': 90})
  tempos = [m.tempo for track in mido.MidiFile(file=io.BytesIO(fixed.content)).tracks for m in track if m.type == 'set_tempo']
  assert tempos == [round(60e6 / 90)]
  bass, rate = soundfile.read(io.BytesIO(client.post(f'{session}/export/bass', json=request).content))
  assert rate == 22_050 and len(bass) == round(SECONDS * rate) and np.abs(bass).max() > 0.01
  mix, rate = soundfile.read(io.BytesIO(client.post(f'{session}/export/mix', json=request | {'bass_level': 0}).content))
  expected = studio_model.chords(SECONDS) + studio_model.clicks(SECONDS)
  np.testing.assert_allclose(mix, expected * min(1, 0.98 / np.abs(expected).max()), atol=2e-4)
  assert json.loads(client.post(f'{session}/export/path', json=request).content) == [{'time': 0.0, 'x': -1.0, 'y': 0.0}]
  assert client.post(f'{session}/export/lyrics', json=request).status_code == 404


def test_export_before_a_line_or_an_analysis(client):
  session = open_session(client)
  answer = client.post(f'{session}/export/midi', json=LINE)
  assert answer.status_code == 409 and 'Drop tracks in first' in answer.json()['error']


def test_muted_and_quiet_tracks_are_not_what_the_model_hears(client):
  session = open_session(client)
  tracks = [add(client, session, studio_model.chords(2.0)), add(client, session, studio_model.clicks(2.0))]
  with connect(client, session) as socket:
    keys = []
    for gains in ([1, 1], [1, 0.5], [1, 1]):
      channels = [{'id': track['id'], 'gain': gain} for track, gain in zip(tracks, gains, strict=True)]
      socket.send_json({'type': 'analyse', 'model': '0', 'channels': channels})
      keys.append(until(socket, 'analysed')[0]['key'])
    assert keys[0] == keys[2] != keys[1]
    socket.send_json({'type': 'analyse', 'model': '0', 'channels': [{'id': tracks[0]['id'], 'gain': 1, 'mute': True}]})
    answer = json.loads(socket.receive()['text'])
    assert answer['type'] == 'error' and 'muted' in answer['message']


def test_silent_mix_is_said_to_be_silent(client):
  session = open_session(client)
  track = add(client, session, np.zeros(44_100, np.float32))
  with connect(client, session) as socket:
    socket.send_json({'type': 'analyse', 'model': '0', 'channels': [{'id': track['id'], 'gain': 1}]})
    while (message := json.loads(socket.receive()['text']))['type'] == 'progress':
      pass
    assert message['type'] == 'error' and 'silent' in message['message']


def test_project_can_be_loaded_again(client, song):
  session, tracks, _, _ = song
  state = {'z': [1, 0], 'takes': [{'id': 1, 'name': 'Verse'}]}
  saved = client.post(f'{session}/export/project', json={'id': 1, **LINE, 'z': [1, 0], 'state': state})
  assert saved.headers['content-type'] == 'application/zip'
  with zipfile.ZipFile(io.BytesIO(saved.content)) as archive:
    assert {'project.json', 'bass.mid', 'bass.wav', 'mix_with_bass.wav', 'path.json', 'tracks/00', 'tracks/01'} == set(archive.namelist())
  other = open_session(client)
  add(client, other, studio_model.clicks(1.0), 'Old.wav')
  loaded = client.post(f'{other}/project', content=saved.content)
  assert loaded.status_code == 200, loaded.text
  assert [track['name'] for track in loaded.json()['tracks']] == ['Keys.wav', 'Drums.wav']
  assert loaded.json()['state']['takes'] == state['takes']
  numbers = dict(loaded.json()['state']['ids'])
  assert set(numbers) == {track['id'] for track in tracks}
  for number in numbers.values():
    assert client.get(f'{other}/tracks/{number}/audio').content[:4] == b'RIFF'
  assert client.get(f'{other}/tracks/1/audio').status_code == 404  # the old track is gone


def test_project_takes_the_place_of_a_full_session(client, song, tmp_path):
  session = song[0]
  saved = client.post(f'{session}/export/project', json={'id': 1, **LINE, 'state': {}}).content
  with TestClient(studio_model.application(tmp_path, Limits(tracks=2)), base_url='http://127.0.0.1:8020') as other:
    full = open_session(other)
    for _ in range(2):
      add(other, full, studio_model.clicks(1.0))
    assert len(other.post(f'{full}/project', content=saved).json()['tracks']) == 2
    assert other.post(f'{full}/style', json={'mix': ['x'], 'bass': {}}).status_code == 404


def _zip(members: dict[str, bytes], **options) -> bytes:
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w', **options) as archive:
    for name, content in members.items():
      archive.writestr(zipfile.ZipInfo(name), content, archive.compression)  # of a constant time: the same file at every call
  return file.getvalue()


def _project(**changes) -> bytes:
  settings = {'format': 'bassnet_jax studio project', 'version': 1, 'tracks': [{'file': 'tracks/00', 'name': 'x', 'id': 1}], 'state': {}}
  return json.dumps(settings | changes).encode()


@pytest.mark.parametrize(
  'content, word',
  [
    (b'', 'ZIP'),
    (b'PK\x03\x04 and then nothing', 'ZIP'),
    (_zip({'song.wav': b'RIFF'}), 'no project file'),
    (_zip({'project.json': b'{'}), 'no project file'),
    (_zip({'project.json': b'[' * 100_000}), 'no project file'),
    (_zip({'project.json': _project(version=99)}), 'version 99'),
    (_zip({'project.json': _project()}), 'missing'),
    (_zip({'project.json': _project(tracks='all')}), 'no tracks'),
    (_zip({'project.json': _project(), 'tracks/00': b'not audio'}), 'Not usable'),
    (_zip({'project.json': _project(tracks=[{'file': '../../etc/passwd'}]), '../../etc/passwd': b'root'}), 'Not usable'),
    (_zip({'project.json': _project(), 'tracks/00': bytes(40 << 20)}, compression=zipfile.ZIP_DEFLATED), 'larger'),
  ],
  ids=[
    'empty',
    'cut off',
    'nothing of ours',
    'no JSON',
    'deeply nested',
    'another version',
    'a track is missing',
    'tracks are no list',
    'no audio',
    'a way out',
    'a bomb',
  ],
)
def test_hostile_project(tmp_path, content, word):
  guard = studio_model.application(tmp_path, Limits(upload_bytes=20 << 20))
  with TestClient(guard, base_url='http://127.0.0.1:8020') as client:
    session = open_session(client)
    kept = add(client, session, studio_model.clicks(1.0), 'Kept.wav')
    answer = client.post(f'{session}/project', content=content)
    assert 400 <= answer.status_code < 500 and word in answer.json()['error'], answer.text
    assert client.get(f'{session}/tracks/{kept["id"]}/audio').status_code == 200


def test_style_of_another_pair(client, song):
  session = song[0]
  time_ = np.arange(2 * 22_050) / 22_050
  mix, bass = add(client, session, studio_model.chords(2.0)), add(client, session, 0.3 * np.sin(2 * np.pi * 55 * time_))
  answer = client.post(f'{session}/style', json={'mix': mix['id'], 'bass': bass['id'], 'model': '0'})
  assert answer.json() == {'z': [1.5, -0.5]}
  assert client.get(f'{session}/tracks/{mix["id"]}/audio').status_code == 404  # both are forgotten
  short = add(client, session, 0.3 * np.sin(2 * np.pi * 55 * time_[:11_025]))
  mix = add(client, session, studio_model.chords(2.0))
  answer = client.post(f'{session}/style', json={'mix': mix['id'], 'bass': short['id'], 'model': '0'})
  assert answer.status_code == 400 and 'differ in length' in answer.json()['error']


def test_maps_are_measured_on_this_song(client, song):
  _, _, socket, found = song
  socket.send_json({'type': 'maps', 'model': '0', 'threshold': 0.25})
  cells = {}
  while len(cells) < maps.SIZE**2:
    cell, _ = until(socket, 'map')
    cells[cell['row'], cell['column']] = cell['values']
    assert cell['key'] == found['key']
  axis = maps.axis()
  silent = int(np.flatnonzero(axis > 2)[0])
  assert cells[silent, 0] == {'density': 0.0, 'register': None, 'diatonic': None, 'syncopation': None}
  low, high = cells[0, 0], cells[0, maps.SIZE - 1]
  assert low['density'] == pytest.approx(2.0, abs=0.3) and 0 <= low['diatonic'] <= 1
  assert low['register'] == studio_model.pitch_of(axis[0]) and high['register'] == studio_model.pitch_of(axis[-1])


@pytest.mark.parametrize(
  'headers, allowed',
  [
    ({}, True),
    ({'host': 'localhost:8020'}, True),
    ({'host': '[::1]:8020'}, True),
    ({'origin': 'http://127.0.0.1:8020'}, True),
    ({'host': 'evil.example'}, False),
    ({'host': '127.0.0.1.evil.example:8020'}, False),
    ({'host': '[zz'}, False),
    ({'host': ''}, False),
    ({'origin': 'http://evil.example'}, False),
    ({'origin': 'http://localhost:9999'}, False),
    ({'origin': 'null'}, False),
  ],
)
def test_host_and_origin(client, headers, allowed):
  answer = client.post('/api/sessions', headers=headers)
  assert (answer.status_code == 200) is allowed
  if not allowed:
    assert answer.status_code == 403


def test_socket_of_another_page_is_refused(client):
  session = open_session(client)
  with pytest.raises(WebSocketDisconnect), connect(client, session, headers={'origin': 'http://evil.example'}):
    raise AssertionError('it was let in')


def test_token_off_this_computer(tmp_path):
  guard = studio_model.application(tmp_path, access=security.Access('0.0.0.0', 'correct-horse'))
  with TestClient(guard, base_url='http://192.168.1.20:8020') as client:
    assert client.get('/').status_code == 403
    assert client.get('/?token=wrong').status_code == 403
    assert client.post('/api/sessions', headers={'cookie': f'{security.COOKIE}=wrong'}).status_code == 403
    assert client.get('/?token=correct-horse').status_code == 200  # by a cookie and a redirect
    assert client.post('/api/sessions').status_code == 200
    assert client.post('/api/sessions', headers={'origin': 'http://evil.example'}).status_code == 403


def test_loopback():
  assert all(map(security.is_loopback, ('127.0.0.1', 'localhost', '::1', '[::1]', '127.9.9.9')))
  assert not any(map(security.is_loopback, ('0.0.0.0', '192.168.1.2', '::', 'localhost.evil.example', '')))


def test_nothing_is_left_behind(tmp_path):
  guard = studio_model.application(tmp_path)
  folder = guard.studio.store.folder
  with TestClient(guard, base_url='http://127.0.0.1:8020') as client:
    session = open_session(client)
    add(client, session, studio_model.clicks(1.0), '../../../escape.wav')
    assert os.path.isdir(folder) and os.stat(folder).st_mode & 0o077 == 0
    names = [name for _, _, files in os.walk(folder) for name in files]
    assert sorted(names) == ['mono.npy', 'native.npy', 'source']
    assert client.delete(session).status_code == 204
    assert not [name for _, _, files in os.walk(folder) for name in files]
    assert client.post(f'{session}/tracks', content=b'x').status_code == 410
  assert not os.path.exists(folder)


@pytest.mark.parametrize('under_way', ['line', 'maps'])
def test_the_song_of_a_page_that_left_is_freed_at_once(client, under_way):
  """Not by the collector, which comes too seldom: a song is megabytes that it does not see."""
  session = open_session(client)
  track = add(client, session, studio_model.chords(4.0))
  gc.collect()
  gc.disable()
  try:
    with connect(client, session) as socket:
      socket.send_json({'type': 'analyse', 'model': '0', 'channels': [{'id': track['id'], 'gain': 1}]})
      until(socket, 'analysed')
      song = weakref.ref(client.app.studio.store.get(session.rpartition('/')[2]).song)
      if under_way == 'maps':
        socket.send_json({'type': 'maps', 'model': '0', 'threshold': 0.5})
        until(socket, 'map')
      else:
        for number in range(1, 10):
          socket.send_json({'type': 'line', 'id': number, **LINE, 'z': [number / 10, 0]})
      socket.close()
      client.delete(session)
      deadline = time.monotonic() + 20
      while song() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert song() is None
  finally:
    gc.enable()


def test_a_cancel_scope_that_ends_while_a_page_leaves_knows_its_own_cancellation(tmp_path):
  """The order of the two is chance in a server: here both come in one turn of the event loop."""

  async def leave() -> bool:
    with anyio.CancelScope() as scope:

      class Socket:
        async def receive(self):
          await asyncio.sleep(0)  # the channel's tasks begin
          asyncio.get_running_loop().call_soon(scope.cancel)
          return {'type': 'websocket.disconnect'}

      session = types.SimpleNamespace(sockets=0)
      await channel.Channel(Socket(), session, shelf=None, network=None, limits=Limits()).serve()
    return scope.cancelled_caught and session.sockets == 0

  assert asyncio.run(leave())


def test_idle_sessions_end_and_open_ones_stay(tmp_path):
  guard = studio_model.application(tmp_path, Limits(sessions=2, idle_seconds=0.2))
  store = guard.studio.store
  with TestClient(guard, base_url='http://127.0.0.1:8020') as client:
    first = open_session(client)
    with connect(client, first):
      second = open_session(client)
      time.sleep(0.3)
      third = open_session(client)
      assert client.post(f'{second}/export/midi', json=LINE).status_code == 410
      with connect(client, third):
        assert len(store) == 2
        full = client.post('/api/sessions')
        assert full.status_code == 503 and 'Close one' in full.json()['error']


def test_no_model_names_the_command_that_trains_one(monkeypatch, tmp_path, capsys):
  monkeypatch.setattr(packaged, 'FOLDER', str(tmp_path / 'weights'))
  assert main.main(['studio']) == 2
  assert 'python -m bassnet_jax.main --experiment=pr_window64' in capsys.readouterr().err
  assert main.main(['studio', f'--checkpoint={tmp_path}/nowhere']) == 2
  assert 'no such checkpoint' in capsys.readouterr().err
  assert main.main(['studio', 'folder']) == 2
  assert 'is not a flag' in capsys.readouterr().err
  for name in ('long', 'short'):
    (tmp_path / 'weights' / name).mkdir(parents=True)
    (tmp_path / 'weights' / name / packaged.WEIGHTS_FILE).write_bytes(b'')
  (tmp_path / 'weights' / 'README.md').write_text('notes')
  assert [choice.name for choice in models.find([])] == ['short', 'long']
  assert models.find(['long'])[0].path == str(tmp_path / 'weights' / 'long')


def test_a_model_of_one_part_of_the_mix_is_refused(monkeypatch, tmp_path):
  """Songs are analysed once for all models: it would be given the whole mix, which it never heard."""
  model = types.SimpleNamespace(describe={'datasets': ['bassnet_pop_rock/open_harm']})
  monkeypatch.setattr(trained, 'load', lambda path: model)
  shelf = models.Shelf(models.find([str(tmp_path)]))
  with pytest.raises(StudioError, match='harmonic part'):
    shelf.get(shelf.first)


def test_a_model_whose_network_does_not_fit_says_so(monkeypatch, tmp_path):
  def warm_up():
    raise trained.CheckpointError('the parameters of a1 do not fit the network of this version')

  monkeypatch.setattr(trained, 'load', lambda path: types.SimpleNamespace(describe={}, warm_up=warm_up))
  shelf = models.Shelf(models.find([str(tmp_path)]))
  with pytest.raises(StudioError, match=r'cannot be used\. the parameters of a1 do not fit'):
    shelf.get(shelf.first)


def test_port_that_is_taken(tmp_path, capsys):
  taken = main._listen('127.0.0.1', 0)
  taken.listen()
  with pytest.raises(StudioError, match='is taken'):
    main._listen('127.0.0.1', taken.getsockname()[1])
  taken.close()
