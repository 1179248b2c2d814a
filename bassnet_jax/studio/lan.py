"""What it takes to serve other computers: an address that they can open, and a certificate, without which browsers play no audio there."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import socket
import ssl

from bassnet_jax.studio.limits import StudioError

_EVERYWHERE = {'0.0.0.0': socket.AF_INET, '::': socket.AF_INET6}
_DOCUMENTATION = {socket.AF_INET: '192.0.2.1', socket.AF_INET6: '2001:db8::1'}
"""Addresses that nobody has (RFC 5737, RFC 3849)."""


@dataclasses.dataclass(frozen=True)
class Certificate:
  """Paths of two PEM files that belong together: the certificate, or its chain, and its private key."""

  certificate: str
  key: str


def check_certificate(certificate: str | None, key: str | None) -> Certificate | None:
  """The pair, or None where neither is given.

  Raises:
    StudioError: one of the two is missing or can't be read, is no PEM file or encrypted, or they don't belong together.
  """
  if not certificate and not key:
    return None
  if not certificate or not key:
    given, missing = ('certificate', 'key') if certificate else ('key', 'certificate')
    raise StudioError(f'--{given} is given without --{missing}; https needs both. Add --{missing}, or leave both out.')
  for flag, path in (('certificate', certificate), ('key', key)):
    try:
      with open(path, 'rb') as file:
        file.read(1)
    except OSError as error:
      raise StudioError(
        f'--{flag}={path} cannot be read ({error.strerror}); expected a PEM file. Look at its path and permissions.'
      ) from error
  try:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=certificate)
  except ssl.SSLError as error:
    raise StudioError(
      f'--certificate={certificate} holds no certificate; expected a PEM file (-----BEGIN CERTIFICATE-----). '
      f'This makes one, for this computer: {how_to_make(reachable("0.0.0.0"))}'
    ) from error

  def password() -> str:
    raise StudioError(
      f'--key={key} is encrypted; expected a key without a password. This writes one: openssl pkey -in {key} -out key_without_password.pem'
    )

  try:
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password)
  except ssl.SSLError as error:
    if error.reason == 'KEY_VALUES_MISMATCH':
      raise StudioError(f'--key={key} is not the key of --certificate={certificate}. Give the two that were made together.') from error
    raise StudioError(
      f'--key={key} holds no key that this certificate can be used with; expected a PEM file (-----BEGIN PRIVATE KEY-----). '
      'Give the file that was made together with the certificate.'
    ) from error
  return Certificate(certificate, key)


def _own_address(family: socket.AddressFamily) -> str | None:
  """This computer's address in its network: the one that a packet to elsewhere would leave from. None is sent."""
  with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
    probe.connect((_DOCUMENTATION[family], 9))
    found = ipaddress.ip_address(probe.getsockname()[0].split('%')[0])
    if not (found.is_loopback or found.is_unspecified or found.is_link_local):
      return str(found)
  return None


def reachable(host: str) -> str:
  """A name or address under which other computers find a server that is bound to `host`."""
  if host not in _EVERYWHERE:
    return host
  return _own_address(_EVERYWHERE[host]) or _own_address(socket.AF_INET) or socket.gethostname()


def in_brackets(host: str) -> str:
  """As it stands in an address: IPv6 in brackets."""
  return f'[{host}]' if ':' in host else host


def how_to_make(host: str) -> str:
  """The command that makes a certificate and its key for a name or address."""
  try:
    kind = f'IP:{ipaddress.ip_address(host)}'
  except ValueError:
    kind = f'DNS:{host}'
  return (
    'openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout key.pem -out certificate.pem '
    f"-subj '/CN={host}' -addext 'subjectAltName={kind}'"
  )


def about_audio(host: str) -> str:
  """What to print where other computers are served without https."""
  return (
    'Browsers on other computers refuse to play audio from this address, because it is not https. This makes a certificate:\n'
    f'  {how_to_make(host)}\n'
    'Then start the studio with --certificate=certificate.pem --key=key.pem; browsers ask once whether to trust it.'
  )
