"""A server on localhost that speaks as much of Cloud Storage's JSON interface as gcsfs and tensorstore ask for."""

from __future__ import annotations

import contextlib
import datetime
import email
import email.policy
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = 'runs'
_OBJECT = re.compile(r'^(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)$')
_COPY = re.compile(r'^/storage/v1/b/[^/]+/o/([^/]+)/(?:rewriteTo|copyTo)/b/[^/]+/o/([^/]+)$')


class Bucket:
  """Objects by name: (content, generation, when it was written)."""

  def __init__(self):
    self.objects: dict[str, tuple[bytes, int, str]] = {}
    self.asked: list[str] = []
    self._lock = threading.Lock()
    self._generation = 0

  def put(self, name: str, content: bytes) -> dict:
    with self._lock:
      self._generation += 1
      self.objects[name] = (content, self._generation, datetime.datetime.now(datetime.UTC).isoformat().replace('+00:00', 'Z'))
    return self.describe(name)

  def describe(self, name: str) -> dict:
    content, generation, written = self.objects[name]
    return {
      'kind': 'storage#object', 'name': name, 'bucket': BUCKET, 'id': f'{BUCKET}/{name}/{generation}', 'size': str(len(content)),
      'generation': str(generation), 'metageneration': '1', 'timeCreated': written, 'updated': written,
      'contentType': 'application/octet-stream',
    }  # fmt: skip

  def listing(self, prefix: str, delimiter: str, first: str, end: str) -> dict:
    items, prefixes = [], set()
    for name in sorted(self.objects):
      if not name.startswith(prefix) or name < first or (end and name >= end):
        continue
      cut = name.find(delimiter, len(prefix)) if delimiter else -1
      if cut >= 0:
        prefixes.add(name[: cut + 1])
      else:
        items.append(self.describe(name))
    return {'kind': 'storage#objects', 'items': items, 'prefixes': sorted(prefixes)}


class _Handler(BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'
  wbufsize = -1  # an answer is one packet: else every one waits for the client to confirm its head
  bucket: Bucket
  sessions: dict[str, tuple[str, bytearray]]

  def log_message(self, *_) -> None:
    pass

  def _answer(self, code: int, content: bytes | dict = b'', **headers: str) -> None:
    if isinstance(content, dict):
      content, headers['Content-Type'] = json.dumps(content).encode(), 'application/json'
    self.send_response(code)
    for name, value in headers.items():
      self.send_header(name.replace('_', '-'), value)
    self.send_header('Content-Length', str(len(content)))
    self.end_headers()
    self.wfile.write(content)

  def _missing(self) -> None:
    self._answer(404, {'error': {'code': 404, 'message': 'Not Found'}})

  def _body(self) -> bytes:
    if self.headers.get('Transfer-Encoding') == 'chunked':
      parts = []
      while size := int(self.rfile.readline().split(b';')[0], 16):
        parts.append(self.rfile.read(size))
        self.rfile.readline()
      self.rfile.readline()
      return b''.join(parts)
    return self.rfile.read(int(self.headers.get('Content-Length') or 0))

  def _query(self) -> tuple[str, dict[str, str]]:
    parts = urlsplit(self.path)
    self.bucket.asked.append(f'{self.command} {self.path}')
    return parts.path, {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}

  def _refused(self, name: str, query: dict[str, str]) -> bool:
    """Whether a condition on the object's generation fails; then it is answered."""
    generation = self.bucket.objects[name][1] if name in self.bucket.objects else 0
    if 'ifGenerationMatch' in query and int(query['ifGenerationMatch']) != generation:
      self._answer(412, {'error': {'code': 412, 'message': 'Precondition Failed'}})
      return True
    if 'ifGenerationNotMatch' in query and int(query['ifGenerationNotMatch']) == generation:
      self._answer(304)
      return True
    return False

  def do_GET(self) -> None:
    path, query = self._query()
    if path.split('/b/')[-1].split('/')[0] != BUCKET:
      self._answer(403, {'error': {'code': 403, 'message': 'anonymous does not have storage.objects.list access'}})
    elif found := _OBJECT.match(path):
      name = unquote(found[2])
      if name not in self.bucket.objects:
        self._missing()
      elif not self._refused(name, query):
        self._send(name, query)
    elif path.endswith('/o'):
      asked = (query.get(name, '') for name in ('prefix', 'delimiter', 'startOffset', 'endOffset'))
      listed = self.bucket.listing(*asked)
      self._answer(200, listed)
    else:
      self._answer(200, {'kind': 'storage#bucket', 'name': BUCKET, 'id': BUCKET}) if path.endswith(f'/b/{BUCKET}') else self._missing()

  def _send(self, name: str, query: dict[str, str]) -> None:
    content, generation, _ = self.bucket.objects[name]
    if query.get('alt') != 'media':
      self._answer(200, self.bucket.describe(name))
      return
    headers = {'x_goog_generation': str(generation), 'x_goog_stored_content_length': str(len(content))}
    asked = re.match(r'bytes=(\d*)-(\d*)$', self.headers.get('Range', ''))
    if not asked:
      self._answer(200, content, **headers)
      return
    first, last = (int(asked[1]), int(asked[2] or len(content) - 1)) if asked[1] else (len(content) - int(asked[2]), len(content) - 1)
    last = min(last, len(content) - 1)
    if first > last:
      self._answer(416)
      return
    self._answer(206, content[first : last + 1], Content_Range=f'bytes {first}-{last}/{len(content)}', **headers)

  def do_POST(self) -> None:
    path, query = self._query()
    body = self._body()
    if path.startswith('/session/'):
      self._receive(path, body)
    elif copied := _COPY.match(path):
      source, target = unquote(copied[1]), unquote(copied[2])
      if source not in self.bucket.objects:
        self._missing()
        return
      described = self.bucket.put(target, self.bucket.objects[source][0])
      self._answer(200, {'kind': 'storage#rewriteResponse', 'done': True, 'resource': described})
    elif path.startswith('/batch'):
      self._batch(body)
    elif query.get('uploadType') == 'resumable':
      session = str(len(self.sessions))
      name = query.get('name') or json.loads(body)['name']
      self.sessions[session] = (name, bytearray())
      self._answer(200, Location=f'http://{self.headers["Host"]}/session/{session}')
    elif query.get('uploadType') == 'multipart':
      parts = _parts(self.headers['Content-Type'], body)
      self._answer(200, self.bucket.put(query.get('name') or json.loads(parts[0])['name'], parts[1]))
    elif not self._refused(query['name'], query):
      self._answer(200, self.bucket.put(query['name'], body))

  def do_PUT(self) -> None:
    path, _ = self._query()
    self._receive(path, self._body())

  def _receive(self, path: str, body: bytes) -> None:
    """A piece of an upload in several requests."""
    name, received = self.sessions[path.rsplit('/', 1)[1]]
    received += body
    if self.headers.get('Content-Range', '').endswith('/*'):
      self._answer(308, Range=f'bytes=0-{len(received) - 1}')
    else:
      self._answer(200, self.bucket.put(name, bytes(received)))

  def do_DELETE(self) -> None:
    path, query = self._query()
    name = unquote(_OBJECT.match(path)[2])
    if name not in self.bucket.objects:
      self._missing()
    elif not self._refused(name, query):
      del self.bucket.objects[name]
      self._answer(204)

  def _batch(self, body: bytes) -> None:
    """Several deletions in one request."""
    answers = []
    for part in _parts(self.headers['Content-Type'], body):
      name = unquote(re.search(rb'/o/([^ ?]+)', part)[1].decode())
      there = self.bucket.objects.pop(name, None) is not None
      status = '204 No Content' if there else '404 Not Found'
      answers.append(f'--answers\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {status}\r\n\r\n\r\n')
    self._answer(200, (''.join(answers) + '--answers--').encode(), Content_Type='multipart/mixed; boundary=answers')


class _Server(ThreadingHTTPServer):
  daemon_threads = True

  def handle_error(self, request, client_address) -> None:
    """gcsfs asks in two ways at once and hangs up when one is answered; everything else is shown."""
    if not isinstance(sys.exception(), BrokenPipeError | ConnectionResetError):
      super().handle_error(request, client_address)


def _parts(content_type: str, body: bytes) -> list[bytes]:
  message = email.message_from_bytes(f'Content-Type: {content_type}\r\n\r\n'.encode() + body, policy=email.policy.HTTP)
  return [part.get_payload(decode=True) for part in message.iter_parts()]


@contextlib.contextmanager
def served() -> Iterator[tuple[str, Bucket]]:
  """Its address and what is in it."""
  bucket = Bucket()
  handler = type('Handler', (_Handler,), {'bucket': bucket, 'sessions': {}})
  server = _Server(('127.0.0.1', 0), handler)
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield f'http://127.0.0.1:{server.server_port}', bucket
  finally:
    server.shutdown()
    server.server_close()
