"""Uploads that are meant to break the studio: each gets a plain message, and the next good file is taken."""

import asyncio
import io
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib

import numpy as np
import pytest
import soundfile
import studio_model
import uvicorn
from starlette.testclient import TestClient

from bassnet_jax.studio import uploads
from bassnet_jax.studio.limits import Limits, StudioError
from bassnet_jax.studio.sessions import STYLE, SessionStore

LIMITS = Limits(upload_bytes=6 << 20, track_seconds=30.0, track_values=3_000_000, decode_seconds=20.0, tracks=2)


@pytest.fixture(scope='module')
def client(tmp_path_factory):
  guard = studio_model.application(tmp_path_factory.mktemp('model'), LIMITS)
  with TestClient(guard, base_url='http://127.0.0.1:8020') as client:
    client.store = guard.studio.store
    yield client


def audio_file(audio, rate=16_000, kind='WAV', **options) -> bytes:
  file = io.BytesIO()
  soundfile.write(file, audio, rate, format=kind, **options)
  return file.getvalue()


def wav_header(rate=16_000, channels=1, data=b'', claimed=None, bits=16, extra=b'') -> bytes:
  """A WAV file put together by hand, so that it can lie."""
  form = struct.pack('<4sIHHIIHH', b'fmt ', 16, 1, channels, rate & 0xFFFFFFFF, (rate * channels * bits // 8) & 0xFFFFFFFF, 2, bits)
  content = b'WAVE' + form + extra + struct.pack('<4sI', b'data', len(data) if claimed is None else claimed) + data
  return b'RIFF' + struct.pack('<I', len(content)) + content


GOOD = audio_file(studio_model.clicks(1.0))
FLAC = audio_file(studio_model.clicks(3.0), kind='FLAC')
OGG = audio_file(studio_model.clicks(3.0), kind='OGG')
NOT_NUMBERS = np.where(np.arange(16_000) == 9_000, np.nan, 0.1).astype(np.float32)
INFINITE = np.where(np.arange(16_000) == 9_000, np.inf, 0.1).astype(np.float32)


def lying_flac() -> bytes:
  """A FLAC file whose header claims 10^9 frames."""
  content = bytearray(FLAC)
  place = 8 + 13  # the 36 bits of the number of samples begin in the low half of this byte of STREAMINFO
  content[place] = (content[place] & 0xF0) | 0
  content[place + 1 : place + 5] = struct.pack('>I', 10**9)
  return bytes(content)


def zip_bomb() -> bytes:
  """A ZIP file of 100 KB whose one member is 100 MB of zeros."""
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('song.flac', bytes(100 << 20))
  return file.getvalue()


HOSTILE = {
  'empty': (b'', 'empty'),
  'text named .wav': (b'hello, I am a song\n' * 50, 'not audio'),
  'html': (b'<html><script>alert(1)</script></html>', 'not audio'),
  'png': (b'\x89PNG\r\n\x1a\n' + bytes(200), 'not audio'),
  'zip bomb named .flac': (zip_bomb(), 'not audio'),
  'what begins as a zip file': (b'PK\x03\x04' + zlib.compress(bytes(50 << 20)), 'not audio'),
  'gzip bomb': (b'\x1f\x8b\x08\x00' + zlib.compress(bytes(50 << 20)), 'not audio'),
  'header alone': (GOOD[:44], 'cut short'),
  'half a header': (GOOD[:20], 'Not usable'),
  'truncated wav': (GOOD[: len(GOOD) // 2], 'cut short'),
  'truncated flac': (FLAC[: len(FLAC) // 2], 'Not usable'),
  'truncated ogg': (OGG[: len(OGG) // 2], 'cut short'),
  'flac of 10^9 frames': (lying_flac(), 'Not usable'),
  'wav that claims 4 GB': (wav_header(data=bytes(1000), claimed=0xFFFFFE00), 'cut short'),
  'not a number': (audio_file(NOT_NUMBERS, subtype='FLOAT'), 'no numbers'),
  'infinite': (audio_file(INFINITE, subtype='FLOAT'), 'no numbers'),
  '1 MHz': (audio_file(np.full(200_000, 0.1), 1_000_000), '1000000 samples a second'),
  'rate 0': (wav_header(rate=0, data=bytes(4000)), 'Not usable'),
  'no channels': (wav_header(channels=0, data=bytes(4000)), 'Not usable'),
  '1 ms': (audio_file(np.full(16, 0.1)), 'at least'),
  'too long': (audio_file(np.full(40 * 8_000, 0.1), 8_000), 'at most'),
  'too many channels': (audio_file(np.full((16_000 * 5, 40), 0.1, np.float32), 16_000, subtype='PCM_U8'), 'Not usable'),
  'larger than the limit': (bytes(7 << 20), 'larger than'),
  'huge metadata': (wav_header(extra=struct.pack('<4sI', b'LIST', 0x7FFFFFFF) + b'INFO', data=bytes(4000)), 'Not usable'),
  'random bytes with a flac head': (b'fLaC' + np.random.default_rng(0).bytes(200_000), 'Not usable'),
  'random bytes with an mp3 head': (b'ID3\x04\x00\x00\x7f\x7f\x7f\x7f' + np.random.default_rng(1).bytes(100_000), 'Not usable'),
}


def flac_with(kind: int, content: bytes) -> bytes:
  """A FLAC file with one more block of metadata, behind its first one."""
  block = bytes([kind]) + struct.pack('>I', len(content))[1:] + content
  head = 4 + 4 + 34
  assert FLAC[4] & 0x80 == 0  # the first block isn't the last one
  return FLAC[:head] + block + FLAC[head:]


MUCH = bytes(5 << 20)
PICTURE = struct.pack('>II', 3, 9) + b'image/png' + struct.pack('>IIIIII', 0, 1, 1, 24, 0, len(MUCH)) + MUCH
METADATA = {
  'picture in flac': flac_with(6, PICTURE),
  'application data in flac': flac_with(2, b'test' + MUCH),
  'padding in flac': flac_with(1, MUCH),
  'list in wav': wav_header(extra=struct.pack('<4sI4s4sI', b'LIST', 12 + len(MUCH), b'INFO', b'ICMT', len(MUCH)) + MUCH, data=GOOD[44:]),
  'unknown chunk in wav': wav_header(extra=struct.pack('<4sI', b'what', len(MUCH)) + MUCH, data=GOOD[44:]),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_upload(client, name):
  content, word = HOSTILE[name]
  session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
  answer = client.post(f'{session}/tracks', content=content, headers={'x-file-name': f'{name}.flac'})
  message = answer.json()['error']
  assert 400 <= answer.status_code < 500
  assert word in message, message
  assert client.store.folder not in message and 'Traceback' not in message and len(message) < 400
  good = client.post(f'{session}/tracks', content=GOOD, headers={'x-file-name': 'good.wav'})
  assert good.status_code == 200, good.text
  store = client.store.get(session.rsplit('/', 1)[-1])
  assert os.listdir(store.folder) == [os.path.basename(store.tracks[good.json()['id']].folder)]  # nothing is left of the bad one
  client.delete(session)


@pytest.mark.parametrize('name', METADATA)
def test_much_metadata_that_is_valid_is_read_over(client, name):
  session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
  answer = client.post(f'{session}/tracks', content=METADATA[name])
  assert answer.status_code == 200, answer.text
  assert answer.json()['seconds'] == pytest.approx(soundfile.info(io.BytesIO(FLAC if 'flac' in name else GOOD)).duration, abs=1e-3)
  client.delete(session)


@pytest.mark.parametrize(
  'name, shown',
  [
    ('../../../etc/passwd', 'passwd'),
    ('..%2F..%2Fetc%2Fshadow', 'shadow'),
    ('C:\\Windows\\system.ini', 'system.ini'),
    ('/', 'Track'),
    ('', 'Track'),
    ('..', '..'),
    ('a%00b.wav', 'ab.wav'),
    ('%0d%0aSet-Cookie: x', 'Set-Cookie: x'),
    ('x' * 500, 'x' * 80),
    ('%E2%80%AEgnp.wav', 'gnp.wav'),
    ('%FF%FE', '��'),
    ('<img src=x onerror=alert(1)>.wav', '<img src=x onerror=alert(1)>.wav'),
  ],
)
def test_name_is_shown_and_never_a_path(client, name, shown):
  session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
  answer = client.post(f'{session}/tracks', content=GOOD, headers={'x-file-name': name})
  assert answer.json()['name'] == shown
  track = client.store.get(session.rsplit('/', 1)[-1]).tracks[1]
  assert sorted(os.listdir(track.folder)) == ['mono.npy', 'native.npy', 'source']
  client.delete(session)


def test_too_many_tracks(client):
  session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
  for _ in range(LIMITS.tracks):
    assert client.post(f'{session}/tracks', content=GOOD).status_code == 200
  answer = client.post(f'{session}/tracks', content=GOOD)
  assert answer.status_code == 409 and 'Remove one' in answer.json()['error']
  client.delete(session)


def test_slow_decoder_is_given_up(tmp_path, monkeypatch):
  monkeypatch.setattr(uploads.sys, 'executable', '/bin/sleep')  # `sleep -m ...` fails at once: the decoder gave up
  with TestClient(studio_model.application(tmp_path), base_url='http://127.0.0.1:8020') as client:
    session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
    assert 'gave up' in client.post(f'{session}/tracks', content=GOOD).json()['error']
  sleeper = tmp_path / 'sleeper'
  sleeper.write_text('#!/bin/sh\nexec sleep 60\n')
  sleeper.chmod(0o755)
  monkeypatch.setattr(uploads.sys, 'executable', str(sleeper))
  with TestClient(studio_model.application(tmp_path, Limits(decode_seconds=0.5)), base_url='http://127.0.0.1:8020') as client:
    session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
    assert 'given up' in client.post(f'{session}/tracks', content=GOOD).json()['error']


async def parts(*contents: bytes, every: float = 0.0, gate: asyncio.Event | None = None):
  """A request's body; before its last part it waits for `gate`."""
  for i, content in enumerate(contents):
    if gate is not None and i == len(contents) - 1:
      await gate.wait()
    await asyncio.sleep(every)
    yield content


def in_store(limits: Limits, work) -> None:
  """Runs `work(store)`; afterwards nothing is under way, and only the tracks that are there lie on the disk."""

  async def main():
    store = SessionStore(limits)
    try:
      await work(store)
      for session in store._sessions.values():
        assert not session.busy
        assert sorted(os.listdir(session.folder)) == sorted(os.path.basename(track.folder) for track in session.tracks.values())
    finally:
      store.close()

  asyncio.run(main())


def upload(store, session, stream, **options):
  return uploads.add_track(store, session, stream, 'song.wav', str(len(GOOD)), **options)


def test_uploads_under_way_take_room_of_their_session():
  async def work(store):
    session, other = store.create(), store.create()
    gate = asyncio.Event()
    first = asyncio.create_task(upload(store, session, parts(GOOD[:1000], GOOD[1000:], gate=gate)))
    await asyncio.sleep(0.05)
    with pytest.raises(StudioError, match='Remove a track') as refused:
      await upload(store, session, parts(GOOD))
    assert refused.value.status == 413
    await upload(store, other, parts(GOOD))
    gate.set()
    assert (await first).bytes == len(GOOD)
    with pytest.raises(StudioError, match='Remove a track'):
      await upload(store, session, parts(GOOD))
    session.remove(1)
    await upload(store, session, parts(GOOD))

  in_store(Limits(session_bytes=len(GOOD) * 3 // 2), work)


def test_uploads_under_way_take_room_of_the_disk():
  async def work(store):
    session, other = store.create(), store.create()
    gate = asyncio.Event()
    first = asyncio.create_task(upload(store, session, parts(GOOD[:1000], GOOD[1000:], gate=gate)))
    await asyncio.sleep(0.05)
    body = parts(GOOD)
    with pytest.raises(StudioError, match='all open pages share') as refused:
      await upload(store, other, body)
    assert refused.value.status == 413 and await anext(body) == GOOD  # nothing of it was received
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    with pytest.raises(StudioError, match='all open pages share'):  # received, but there is no room for it when it is decoded
      await upload(store, other, parts(GOOD))

  in_store(Limits(disk_bytes=len(GOOD) * 3 // 2), work)


def test_decoded_audio_counts_as_taken_from_the_disk():
  silence = audio_file(np.zeros(16_000 * 5), kind='FLAC')
  assert len(silence) < 20_000

  async def work(store):
    session = store.create()
    with pytest.raises(StudioError, match='all open pages share'):
      await uploads.add_track(store, session, parts(silence), 'silence.flac', str(len(silence)))
    assert not session.tracks
    await upload(store, session, parts(GOOD))

  in_store(Limits(disk_bytes=300_000), work)


@pytest.mark.parametrize('declared', [None, '', 'many', '-1', '9' * 5000, str(1 << 40)])
def test_size_must_be_said(declared):
  async def work(store):
    with pytest.raises(StudioError, match=r'does not say how large|larger than 300 MB'):
      await uploads.add_track(store, store.create(), parts(GOOD), 'song.wav', declared)

  in_store(Limits(), work)


def test_more_than_was_said():
  async def work(store):
    with pytest.raises(StudioError, match='larger than it said'):
      await upload(store, store.create(), parts(GOOD, b'x'))

  in_store(Limits(), work)


@pytest.mark.parametrize('body', [{'contents': (b'x', b'y'), 'every': 60.0}, {'contents': (b'x',) * 1000, 'every': 0.05}])
def test_upload_that_stalls_or_trickles_is_given_up(body):
  async def work(store):
    session = store.create()
    begin = time.monotonic()
    with pytest.raises(StudioError, match='was given up') as refused:
      await upload(store, session, parts(*body['contents'], every=body['every']))
    assert refused.value.status == 408 and time.monotonic() - begin < 5
    await asyncio.sleep(0.05)
    store.sweep()
    assert len(store) == 0  # nothing holds the session any longer

  in_store(Limits(stall_seconds=0.3, slowest_bytes=1 << 20, idle_seconds=0.01), work)


def test_slow_upload_that_goes_on_is_taken():
  async def work(store):
    pieces = [GOOD[i : i + 4000] for i in range(0, len(GOOD), 4000)]
    await upload(store, store.create(), parts(*pieces, every=0.1))

  in_store(Limits(stall_seconds=0.5, slowest_bytes=16 << 10), work)


def test_over_the_network_a_stalled_upload_is_told_and_one_that_is_cut_off_is_no_fault(tmp_path, capsys, caplog):
  guard = studio_model.application(tmp_path, Limits(stall_seconds=0.3))
  server = uvicorn.Server(uvicorn.Config(guard, port=0, log_config=None, timeout_graceful_shutdown=2))
  thread = threading.Thread(target=server.run)
  thread.start()
  try:
    while not server.started:
      time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    session = guard.studio.store.create()
    head = f'POST /api/sessions/{session.id}/tracks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9999\r\n\r\nRIFF'
    with socket.create_connection(('127.0.0.1', port), timeout=20) as connection:
      connection.sendall(head.encode())
      said = b''
      while block := connection.recv(4096):  # until the studio closes it
        said += block
    assert said.startswith(b'HTTP/1.1 408') and b'was given up: 0 of 9 KB' in said and b'connection: close' in said.lower()
    with socket.create_connection(('127.0.0.1', port)) as connection:
      connection.sendall(head.encode())
    while session.busy or os.listdir(session.folder):
      time.sleep(0.01)
  finally:
    server.should_exit = True
    thread.join(20)
  assert 'Traceback' not in capsys.readouterr().err + caplog.text


def test_a_pair_whose_style_is_taken_is_not_among_the_tracks(client):
  session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
  for _ in range(LIMITS.tracks):
    assert client.post(f'{session}/tracks', content=GOOD).status_code == 200
  numbers = [client.post(f'{session}/style/tracks', content=GOOD).json()['id'] for _ in range(3)]
  kept = client.store.get(session.rsplit('/', 1)[-1])
  assert [track.id for track in kept.tracks.values() if track.purpose == STYLE] == numbers[1:]  # one that was left lying makes room
  assert client.post(f'{session}/tracks', content=GOOD).status_code == 409
  client.post(f'{session}/style', json={'mix': numbers[1], 'bass': numbers[2], 'model': '0'})
  assert set(kept.tracks) == {1, 2}
  client.delete(session)


WORKER = """
import resource, sys
import numpy as np
from bassnet_jax.studio import decode_worker
decode_worker.decode = lambda *_: np.empty(5 << 30, np.uint8)
sys.argv = ['worker', 'file', 'folder', '1', '1']
code = decode_worker.main()
print(resource.getrlimit(resource.RLIMIT_AS)[1], resource.getrlimit(resource.RLIMIT_CPU)[1])
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux keeps to this limit')
def test_memory_and_time_of_a_decoder_are_limited():
  done = subprocess.run([sys.executable, '-c', WORKER], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  answer, limits = done.stdout.splitlines()
  assert 'more memory than a track may take' in json.loads(answer)['error']
  assert limits.split() == [str(4 << 30), '120']
