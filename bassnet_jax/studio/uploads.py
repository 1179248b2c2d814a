"""Takes uploaded files: streams them to a numbered file within limits, and has them decoded by another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import AsyncIterator, Collection
from urllib.parse import unquote

from bassnet_jax.studio.limits import Limits, StudioError
from bassnet_jax.studio.sessions import SONG, STYLE, Arrival, Session, SessionStore, Track

SOURCE = 'source'
_LABEL = 80
_PAIR = 2
_DIGITS = 15
_EXPECTED = 'WAV, FLAC, OGG, Opus, MP3 or AIFF'


def label_of(name: str | None) -> str:
  """What to show for a file's name: its last part, printable, at most 80 characters. It is never used as a path."""
  text = unquote(name or '', errors='replace').replace('\\', '/').rsplit('/', 1)[-1]
  text = ''.join(c for c in text if unicodedata.category(c)[0] not in 'C').strip()
  return text[:_LABEL] or 'Track'


def declared_size(declared: str | None, most: int) -> int:
  """The bytes of a request's body, as its header says.

  Raises:
    StudioError: it says nothing of use, or more than `most`.
  """
  if declared is None or not declared.isdecimal():
    raise StudioError('The upload does not say how large it is; expected a content-length. Reload the page and give the file again.', 411)
  if len(declared) > _DIGITS or int(declared) > most:
    raise _too_large(most)
  return int(declared)


def _too_large(most: int) -> StudioError:
  return StudioError(f'The file is larger than {most >> 20} MB, the most that is taken here. Export it shorter, or as FLAC.', 413)


async def receive(stream: AsyncIterator[bytes], path: str, arrival: Arrival, limits: Limits) -> int:
  """Writes a request's body to `path`. Returns its bytes.

  Raises:
    StudioError: it is larger than was said, or comes too slowly.
  """
  begin = time.monotonic()
  with open(path, 'wb') as file:
    while True:
      due = begin + limits.stall_seconds + arrival.received / limits.slowest_bytes - time.monotonic()
      try:
        async with asyncio.timeout(min(limits.stall_seconds, max(due, 0))):
          chunk = await anext(stream, None)
      except TimeoutError:
        raise StudioError(
          f'The upload was given up: {arrival.received >> 10} of {arrival.bytes >> 10} KB had come in {time.monotonic() - begin:.0f} s. '
          'Give the file again over a better connection.',
          408,
        ) from None
      if chunk is None:
        return arrival.received
      if arrival.received + len(chunk) > arrival.bytes:
        raise StudioError('The upload is larger than it said. Reload the page and give the file again.')
      await asyncio.to_thread(file.write, chunk)
      arrival.received += len(chunk)


async def decode(source: str, folder: str, limits: Limits) -> dict:
  """Decodes a file in a process with a timeout.

  Returns:
    {'rate', 'channels', 'samples'}.

  Raises:
    StudioError: it isn't audio, or took too long.
  """
  arguments = (
    sys.executable,
    '-m',
    'bassnet_jax.studio.decode_worker',
    source,
    folder,
    str(limits.track_seconds),
    str(limits.track_values),
  )
  process = await asyncio.create_subprocess_exec(
    *arguments,
    stdin=asyncio.subprocess.DEVNULL,
    stdout=asyncio.subprocess.PIPE,
    stderr=asyncio.subprocess.DEVNULL,
    close_fds=False,  # then the process is spawned, not forked, which JAX's threads don't take well; none of ours is inheritable
  )
  try:
    output, _ = await asyncio.wait_for(process.communicate(), limits.decode_seconds)
  except TimeoutError:
    raise StudioError(f'The file took more than {limits.decode_seconds:.0f} s to read and was given up. Export it as WAV.') from None
  finally:
    if process.returncode is None:
      process.kill()
      await process.wait()
  try:
    result = json.loads(output)
  except ValueError:
    raise StudioError(f'The file could not be read: its decoder gave up. {_EXPECTED} are expected; export it as WAV.') from None
  if 'error' in result:
    raise StudioError(f'Not usable: {result["error"]}')
  if result['samples'] < limits.shortest_seconds * result['rate']:
    raise StudioError(
      f'The track is {result["samples"] / result["rate"]:.2f} s long; at least {limits.shortest_seconds:g} s are needed. Give a longer one.'
    )
  return result


def _make_room(session: Session, limits: Limits, purpose: str, replacing: Collection[int]) -> None:
  """Raises StudioError where there are too many tracks already; of pairs, an older one makes room."""
  there = [track for track in session.tracks.values() if track.purpose == purpose and track.id not in replacing]
  coming = sum(arrival.purpose == purpose for arrival in session.arrivals)
  if purpose == SONG and len(there) + coming >= limits.tracks:
    raise StudioError(f'There are {limits.tracks} tracks already, the most that one song may have. Remove one first.', 409)
  if purpose == STYLE:
    if coming >= _PAIR:
      raise StudioError('A mix and a bass are being read already. Wait until they are there.', 409)
    for track in there[: len(there) + coming + 1 - _PAIR]:
      session.remove(track.id)


async def add_track(
  store: SessionStore,
  session: Session,
  stream: AsyncIterator[bytes],
  name: str | None,
  declared: str | None,
  replacing: Collection[int] = (),
  purpose: str = SONG,
) -> Track:
  """Adds an uploaded file to a session as a track.

  Args:
    store, session: where to.
    stream: the file's content.
    name: the file's, to be shown.
    declared: its size, as the request says it.
    replacing: tracks that will make room when all is well; they don't count.
    purpose: SONG, or STYLE for a file of a pair, which isn't one of the song's tracks.

  Raises:
    StudioError: it isn't usable, or there is no room for it; the session is as it was.
  """
  limits = store.limits
  size = declared_size(declared, limits.upload_bytes)
  _make_room(session, limits, purpose, replacing)
  with store.arriving(session, purpose, size, replacing) as arrival:
    number, folder = session.new_folder()
    try:
      source = os.path.join(folder, SOURCE)
      size = await receive(stream, source, arrival, limits)
      if not size:
        raise StudioError(f'The file is empty (0 bytes). {_EXPECTED} are expected; copy or export it again.')
      async with store.decoders:
        found = await decode(source, folder, limits)
      if store.disk_left() < 0:  # decoded, it is larger
        raise store.full()
      if session.closed:
        raise StudioError('The session has ended. Reload the page.', 410)
      track = Track(number, label_of(name), folder, size, found['rate'], found['channels'], found['samples'], purpose)
      session.tracks[number] = track
      return track
    except BaseException:
      with contextlib.suppress(OSError):
        shutil.rmtree(folder)
      raise
