"""Uploads that are meant to break the studio: each gets a plain message, and the next good file is taken."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import soundfile
import studio_model
from starlette.testclient import TestClient

from bassnet_jax.studio import uploads
from bassnet_jax.studio.limits import Limits

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


HOSTILE = {
  'empty': (b'', 'empty'),
  'text named .wav': (b'hello, I am a song\n' * 50, 'not audio'),
  'html': (b'<html><script>alert(1)</script></html>', 'not audio'),
  'png': (b'\x89PNG\r\n\x1a\n' + bytes(200), 'not audio'),
  'zip bomb named .flac': (b'PK\x03\x04' + zlib.compress(bytes(50 << 20)), 'not audio'),
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
