"""The studio as a process: who is served over https, how it ends, and what it leaves on the disk."""

import os
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest
import studio_model
from starlette.testclient import TestClient

from bassnet_jax.studio import lan, main, scratch, security
from bassnet_jax.studio.limits import StudioError

SECONDS = 120.0
needs_openssl = pytest.mark.skipif(shutil.which('openssl') is None, reason='openssl makes the certificates')
needs_signals = pytest.mark.skipif(not hasattr(signal, 'SIGHUP'), reason='signals of POSIX')


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  """A certificate and its key, made by the command that the studio prints."""
  folder = tmp_path_factory.mktemp('certificate')
  subprocess.run(shlex.split(lan.how_to_make('127.0.0.1')), cwd=folder, check=True, capture_output=True)
  return str(folder / 'certificate.pem'), str(folder / 'key.pem')


class Process:
  """The studio as a user starts it, with a temporary folder and a checkpoint (that can't be loaded) of its own."""

  def __init__(self, folder, *flags, before=()):
    os.makedirs(folder / 'tmp', exist_ok=True)
    self.temporary = folder / 'tmp'
    command = [*before, sys.executable, '-m', 'bassnet_jax.studio', '--port=0', f'--checkpoint={folder}', *flags]
    environment = os.environ | {'TMPDIR': str(self.temporary)}
    self.process = subprocess.Popen(
      command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, preexec_fn=hears_signals
    )
    self._killer = threading.Timer(SECONDS, self.process.kill)
    self._killer.start()
    self.first = self.process.stdout.readline()
    self.address = next((word for word in self.first.split() if word.startswith('http')), None)
    assert self.address, self.first + self.process.stdout.read()

  @property
  def folders(self) -> list[str]:
    return sorted(name for name in os.listdir(self.temporary) if name.startswith('bassnet_studio_'))

  def end(self, number: int) -> tuple[int, str]:
    """Exit code after a signal, and what was printed beside the address."""
    self.process.send_signal(number)
    said, _ = self.process.communicate()
    self._killer.cancel()
    return self.process.returncode, said


def hears_signals() -> None:
  """Tests may run below nohup or in the background of a shell, which ignore some of them; a process inherits that."""
  for name in ('SIGINT', 'SIGHUP'):
    signal.signal(getattr(signal, name), signal.SIG_DFL)


def get(address: str, path: str = '', data: bytes | None = None, context: ssl.SSLContext | None = None) -> bytes:
  method = 'GET' if data is None else 'POST'
  with urllib.request.urlopen(urllib.request.Request(address + path, data, method=method), context=context) as answer:
    return answer.read()


@needs_signals
@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGHUP'])
def test_nothing_is_left_behind_after(tmp_path, name):
  studio = Process(tmp_path)
  get(studio.address, 'api/sessions', b'')
  assert len(studio.folders) == 1
  assert studio.end(getattr(signal, name)) == (0, '')
  assert studio.folders == []


@needs_signals
@pytest.mark.skipif(shutil.which('nohup') is None, reason='nohup is missing')
def test_the_end_of_the_terminal_is_ignored_where_the_user_wishes_so(tmp_path):
  studio = Process(tmp_path, before=['nohup'])
  studio.process.send_signal(signal.SIGHUP)
  time.sleep(0.5)
  assert b'BassNet' in get(studio.address)
  assert studio.end(signal.SIGTERM)[0] == 0 and studio.folders == []


HOLD = 'from bassnet_jax.studio.scratch import Scratch; s = Scratch(); print(s.folder, flush=True); input()'


@pytest.mark.skipif(scratch.fcntl is None, reason='locks of POSIX')
def test_folders_of_dead_studios_are_removed_and_others_stay(tmp_path, monkeypatch):
  environment = os.environ | {'TMPDIR': str(tmp_path)}
  held = [
    subprocess.Popen([sys.executable, '-c', HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    for _ in range(2)
  ]
  dead, living = [os.path.dirname(process.stdout.readline().strip()) for process in held]
  held[0].kill()
  held[0].wait()
  assert os.path.isdir(dead)  # nobody could do anything about it
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  mine = scratch.Scratch()
  (tmp_path / 'bassnet_studio_songs').mkdir()  # a user's own, without a lock
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'elsewhere' / 'lock').write_text('')
  (tmp_path / 'bassnet_studio_link').symlink_to(tmp_path / 'elsewhere')
  assert scratch.remove_dead() == [dead]
  kept = {
    'bassnet_studio_songs',
    'bassnet_studio_link',
    'elsewhere',
    os.path.basename(living),
    os.path.basename(os.path.dirname(mine.folder)),
  }
  assert set(os.listdir(tmp_path)) == kept and (tmp_path / 'elsewhere' / 'lock').exists()
  (tmp_path / 'bassnet_studio_songs' / 'lock').write_text('')
  monkeypatch.setattr(os, 'getuid', lambda: 12345)
  assert scratch.remove_dead() == []  # what is another user's
  mine.close()
  mine.close()
  held[1].communicate('\n')
  assert not os.path.exists(mine.folder)


@needs_signals
def test_a_studio_that_starts_removes_what_a_killed_one_left(tmp_path):
  killed = Process(tmp_path)
  killed.end(signal.SIGKILL)
  left = killed.folders
  assert len(left) == 1
  studio = Process(tmp_path)
  assert len(studio.folders) == 1 and studio.folders != left
  assert studio.end(signal.SIGTERM)[0] == 0


@needs_openssl
def test_https(tmp_path, pair):
  certificate, key = pair
  studio = Process(tmp_path, f'--certificate={certificate}', f'--key={key}')
  try:
    trusting = ssl.create_default_context(cafile=certificate)
    assert studio.address.startswith('https://127.0.0.1:')
    assert b'BassNet' in get(studio.address, context=trusting)
    own = urllib.request.Request(f'{studio.address}api/sessions', b'', {'Origin': studio.address.rstrip('/')})
    with urllib.request.urlopen(own, context=trusting) as answer:
      assert answer.status == 200
    other = urllib.request.Request(f'{studio.address}api/sessions', b'', {'Origin': studio.address.rstrip('/').replace('https', 'http')})
    with pytest.raises(urllib.error.HTTPError, match='403'):
      urllib.request.urlopen(other, context=trusting)
  finally:
    assert studio.end(signal.SIGTERM) == (0, '')


def test_other_computers_get_an_address_and_are_told_about_audio(tmp_path):
  studio = Process(tmp_path, '--host=0.0.0.0')
  said = studio.end(signal.SIGTERM)[1]
  assert '//0.0.0.0' not in studio.address and '?token=' in studio.address
  assert 'refuse to play audio' in said and 'openssl req -x509 ' in said and '--certificate=certificate.pem --key=key.pem' in said
  assert f'/CN={lan.reachable("0.0.0.0")}' in said


def test_reachable(monkeypatch):
  assert lan.reachable('192.168.1.20') == '192.168.1.20' and lan.reachable('studio.local') == 'studio.local'
  monkeypatch.setattr(lan, '_own_address', {lan.socket.AF_INET: '10.0.0.7', lan.socket.AF_INET6: None}.get)
  assert lan.reachable('0.0.0.0') == lan.reachable('::') == '10.0.0.7'
  monkeypatch.setattr(lan, '_own_address', lambda family: None)
  monkeypatch.setattr(lan.socket, 'gethostname', lambda: 'cello')
  assert lan.reachable('0.0.0.0') == 'cello'
  assert lan.in_brackets('::1') == '[::1]' and lan.in_brackets('cello') == 'cello'
  assert 'subjectAltName=DNS:cello' in lan.how_to_make('cello') and 'subjectAltName=IP:10.0.0.7' in lan.how_to_make('10.0.0.7')


def test_token_is_kept_for_https_alone_where_there_is_a_certificate(tmp_path):
  for scheme in ('http', 'https'):
    guard = studio_model.application(tmp_path, access=security.Access('0.0.0.0', 'correct-horse', scheme))
    with TestClient(guard, base_url=f'{scheme}://192.168.1.20:8020') as client:
      cookie = client.get('/?token=correct-horse', follow_redirects=False).headers['set-cookie']
      assert ('Secure' in cookie) is (scheme == 'https')
      assert client.get('/?token=correct-horse').status_code == 200
      for origin, allowed in (('https://192.168.1.20:8020', True), ('http://192.168.1.20:8020', scheme == 'http')):
        assert (client.post('/api/sessions', headers={'origin': origin}).status_code == 200) is allowed


@needs_openssl
def test_certificate_that_is_not_usable(pair, tmp_path, capsys):
  certificate, key = pair
  other, encrypted, nothing = str(tmp_path / 'other.pem'), str(tmp_path / 'encrypted.pem'), str(tmp_path / 'nothing.pem')
  subprocess.run(['openssl', 'genrsa', '-out', other, '2048'], check=True, capture_output=True)
  encrypting = ['openssl', 'pkey', '-in', key, '-aes256', '-passout', 'pass:word', '-out', encrypted]
  subprocess.run(encrypting, check=True, capture_output=True)
  (tmp_path / 'nothing.pem').write_text('hello\n')
  assert lan.check_certificate(None, None) is None
  assert lan.check_certificate(certificate, key) == lan.Certificate(certificate, key)
  for given, words in {
    (certificate, None): 'Add --key',
    (None, key): 'Add --certificate',
    (str(tmp_path / 'nowhere.pem'), key): 'No such file',
    (certificate, str(tmp_path)): 'Is a directory',
    (nothing, key): 'holds no certificate',
    (key, key): 'holds no certificate',
    (certificate, nothing): 'holds no key',
    (certificate, certificate): 'holds no key',
    (certificate, other): 'is not the key of',
    (certificate, encrypted): 'is encrypted',
  }.items():
    with pytest.raises(StudioError, match=words):
      lan.check_certificate(*given)
  assert main.main(['studio', f'--certificate={certificate}', f'--key={other}']) == 2
  said = capsys.readouterr()
  assert 'is not the key of' in said.err and 'The studio is at' not in said.out
