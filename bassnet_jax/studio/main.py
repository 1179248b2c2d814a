"""Starts the studio: `python -m bassnet_jax.studio [--checkpoint=WORKDIR] [--port=8020] [--host=127.0.0.1]`."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Sequence

from absl import flags

from bassnet_jax.studio import models
from bassnet_jax.studio.limits import StudioError
from data_pipeline import commands

PORT = 8020


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_multi_string, 'checkpoint', [], 'trained model; several can be chosen from in the page')
  define(flags.DEFINE_integer, 'port', PORT, 'port; 0 takes a free one', lower_bound=0, upper_bound=65535)
  define(flags.DEFINE_string, 'host', '127.0.0.1', 'address to serve; others than this computer need the token that is printed')


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


def serve(checkpoints: Sequence[str], host: str, port: int) -> None:
  """Serves until interrupted; nothing is left behind."""
  import uvicorn

  from bassnet_jax.studio import app, security

  shelf = models.Shelf(models.find(checkpoints))
  listener = _listen(host, port)
  token = None if security.is_loopback(host) else secrets.token_urlsafe(24)
  guard = app.build(shelf, security.Access(host, token))
  shown = f'[{host}]' if ':' in host else host
  address = f'http://{shown}:{listener.getsockname()[1]}/' + (f'?token={token}' if token else '')
  try:
    config = uvicorn.Config(
      guard, log_level='warning', loop='asyncio', ws_max_size=4 << 20, timeout_graceful_shutdown=2, server_header=False
    )
    listener.listen()  # who opens the address at once waits a moment instead of being refused
    print(f'The studio is at {address}  (Ctrl-C stops it)', flush=True)
    uvicorn.Server(config).run(sockets=[listener])
  finally:
    guard.studio.store.close()


@commands.with_flags(_define_flags, StudioError, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Serves until Ctrl-C."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  try:
    serve(defined.checkpoint, defined.host, defined.port)
  except KeyboardInterrupt:
    return 0
  return 0
