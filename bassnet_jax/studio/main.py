"""Starts the studio: `python -m bassnet_jax.studio [--checkpoint=WORKDIR] [--port=8020]`.

For other computers too: `--host=0.0.0.0 --certificate=certificate.pem --key=key.pem`; without https their browsers play no audio.
"""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
from collections.abc import Callable, Sequence

from absl import flags

from bassnet_jax.studio import lan, models, scratch
from bassnet_jax.studio.limits import StudioError
from data_pipeline import commands

PORT = 8020


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_multi_string, 'checkpoint', [], 'trained model; several can be chosen from in the page')
  define(flags.DEFINE_integer, 'port', PORT, 'port; 0 takes a free one', lower_bound=0, upper_bound=65535)
  define(flags.DEFINE_string, 'host', '127.0.0.1', 'address to serve; others than this computer need the token that is printed')
  define(flags.DEFINE_string, 'certificate', None, 'PEM file of a certificate: serves https; browsers on other computers need it for audio')
  define(flags.DEFINE_string, 'key', None, "PEM file of the certificate's private key, without a password")


def _listen(host: str, port: int) -> socket.socket:
  """A bound socket; raises StudioError where the address is taken or unknown."""
  try:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
  except socket.gaierror as error:
    raise StudioError(
      f'{host} is no address of this computer ({error.strerror}). Leave --host out, or give 0.0.0.0 for the network.'
    ) from error
  except OSError as error:
    if error.errno == errno.EADDRINUSE:
      raise StudioError(f'Port {port} is taken; is another studio running? Give another one with --port, or --port=0.') from error
    raise StudioError(f'{host}:{port} cannot be served ({error.strerror}). Give another --host or --port.') from error
  return listener


def _interrupt(*_) -> None:
  raise KeyboardInterrupt


def _end_like_ctrl_c(signals: Sequence[str], handler: Callable) -> None:
  """Sets the handler of signals, by name, that exist here and aren't ignored (nohup ignores SIGHUP)."""
  for name in signals:
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) != signal.SIG_IGN:
      signal.signal(number, handler)


def serve(checkpoints: Sequence[str], host: str, port: int, certificate: lan.Certificate | None = None) -> None:
  """Serves until interrupted, by Ctrl-C, SIGTERM or the end of its terminal (SIGHUP); nothing is left behind."""
  import uvicorn

  from bassnet_jax.studio import app, security

  shelf = models.Shelf(models.find(checkpoints))
  listener = _listen(host, port)
  scratch.remove_dead()
  only_here = security.is_loopback(host)
  token, shown = None if only_here else secrets.token_urlsafe(24), lan.reachable(host)
  scheme, files = 'http', {}
  if certificate is not None:
    scheme, files = 'https', {'ssl_certfile': certificate.certificate, 'ssl_keyfile': certificate.key}
  address = f'{scheme}://{lan.in_brackets(shown)}:{listener.getsockname()[1]}/' + (f'?token={token}' if token else '')
  _end_like_ctrl_c(('SIGTERM', 'SIGHUP'), _interrupt)
  guard = app.build(shelf, security.Access(host, token, scheme))
  try:
    config = uvicorn.Config(
      guard,
      log_level='warning',
      loop='asyncio',
      ws_max_size=4 << 20,
      ws_per_message_deflate=False,  # to compress a piece takes longer than to send it, here and in a LAN
      timeout_graceful_shutdown=2,
      server_header=False,
      **files,
    )
    server = uvicorn.Server(config)
    _end_like_ctrl_c(('SIGHUP',), server.handle_exit)  # it takes the other two itself
    listener.listen()  # who opens the address at once waits a moment instead of being refused
    silent_elsewhere = not only_here and certificate is None
    print(f'The studio is at {address}  (Ctrl-C stops it)' + (f'\n{lan.about_audio(shown)}' if silent_elsewhere else ''), flush=True)
    server.run(sockets=[listener])
  finally:
    guard.studio.store.close()


@commands.with_flags(_define_flags, StudioError, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Serves until Ctrl-C."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  try:
    serve(defined.checkpoint, defined.host, defined.port, lan.check_certificate(defined.certificate, defined.key))
  except KeyboardInterrupt:
    return 0
  return 0
