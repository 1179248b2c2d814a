"""Lets in only the studio's own page: checks Host, Origin and, off this computer, a token. Adds headers that keep the page to itself."""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse

COOKIE = 'bassnet_studio_token'
_HEADERS = {
  'content-security-policy': "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}


@dataclasses.dataclass(frozen=True)
class Access:
  """Who may use the server.

  Attributes:
    host: that it is bound to.
    token: that has to be shown once, or None on this computer alone.
    scheme: 'http', or 'https' where the server has a certificate.
  """

  host: str
  token: str | None
  scheme: str = 'http'


def is_loopback(host: str) -> bool:
  """Whether a host name or address means this computer alone."""
  if host == 'localhost':
    return True
  try:
    return ipaddress.ip_address(host.strip('[]')).is_loopback
  except ValueError:
    return False


def _host_name(netloc: str) -> str | None:
  try:
    return urlsplit(f'//{netloc}').hostname
  except ValueError:
    return None


class Guard:
  """ASGI middleware."""

  def __init__(self, app, access: Access):
    self.app, self.access = app, access

  async def __call__(self, scope, receive, send):
    if scope['type'] not in ('http', 'websocket'):
      await self.app(scope, receive, send)
      return
    headers = {name.decode('latin-1').lower(): value.decode('latin-1') for name, value in scope['headers']}
    refusal = self._refusal(headers)
    if refusal is None and self.access.token is not None and not self._shown(headers):
      query = parse_qs(scope.get('query_string', b'').decode('latin-1'))
      if scope['type'] == 'http' and scope['path'] == '/' and self._matches(query.get('token', [''])[0]):
        answer = RedirectResponse('/', status_code=303)
        answer.set_cookie(COOKIE, self.access.token, httponly=True, samesite='strict', secure=self.access.scheme == 'https')
        await answer(scope, receive, send)
        return
      refusal = 'This studio is open to those who have its link: open the address with ?token=... that it printed when it started.'
    if refusal is not None:
      await self._refuse(scope, receive, send, refusal)
      return

    async def with_headers(message):
      if message['type'] == 'http.response.start':
        present = {name.lower() for name, _ in message['headers']}
        extra = [(name.encode(), value.encode()) for name, value in _HEADERS.items() if name.encode() not in present]
        message = message | {'headers': [*message['headers'], *extra]}
      await send(message)

    await self.app(scope, receive, with_headers)

  def _refusal(self, headers: dict[str, str]) -> str | None:
    """Why a request isn't answered, by its Host and Origin; None where it is."""
    host = headers.get('host', '')
    name = _host_name(host)
    # Another name for this address is how a foreign page would reach a local server (DNS rebinding).
    if name is None or (is_loopback(self.access.host) and not is_loopback(name)):
      address = f'{self.access.scheme}://{self.access.host}:PORT/'
      return f'The studio was asked under another name; open the address that it printed when it started ({address}).'
    origin = headers.get('origin')
    # Without a certificate of its own it may stand behind a server that has one.
    schemes = ('https',) if self.access.scheme == 'https' else ('http', 'https')
    if origin is not None and origin.lower() not in [f'{scheme}://{host.lower()}' for scheme in schemes]:
      return 'Another web page asked for this. The studio answers its own page only.'
    return None

  def _shown(self, headers: dict[str, str]) -> bool:
    try:
      cookie = SimpleCookie(headers.get('cookie', '')).get(COOKIE)
    except CookieError:
      return False
    return cookie is not None and self._matches(cookie.value)

  def _matches(self, text: str) -> bool:
    return hmac.compare_digest(text.encode(), (self.access.token or '').encode())

  async def _refuse(self, scope, receive, send, text: str) -> None:
    if scope['type'] == 'websocket':
      await receive()
      await send({'type': 'websocket.close', 'code': 4403, 'reason': text[:120]})
      return
    await PlainTextResponse(text, status_code=403, headers=_HEADERS)(scope, receive, send)
