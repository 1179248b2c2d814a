"""Takes uploaded files: streams them to a numbered file within limits, and has them decoded by another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import unicodedata
from collections.abc import AsyncIterator, Collection
from urllib.parse import unquote

from bassnet_jax.studio.limits import Limits, StudioError
from bassnet_jax.studio.sessions import Session, SessionStore, Track

SOURCE = 'source'
_LABEL = 80
_EXPECTED = 'WAV, FLAC, OGG, Opus, MP3 or AIFF'


def label_of(name: str | None) -> str:
  """What to show for a file's name: its last part, printable, at most 80 characters. It is never used as a path."""
  text = unquote(name or '', errors='replace').replace('\\', '/').rsplit('/', 1)[-1]
  text = ''.join(c for c in text if unicodedata.category(c)[0] not in 'C').strip()
  return text[:_LABEL] or 'Track'


async def receive(stream: AsyncIterator[bytes], path: str, most: int, declared: str | None = None) -> int:
  """Writes a request's body to `path`. Returns its bytes.

  Raises:
    StudioError: it is larger than `most`; nothing is left of it.
  """
  too_large = StudioError(f'The file is larger than {most >> 20} MB, the most that is taken here. Export it shorter, or as FLAC.', 413)
  if declared is not None and declared.isdecimal() and int(declared) > most:
    raise too_large
  size = 0
  with open(path, 'wb') as file:
    async for chunk in stream:
      size += len(chunk)
      if size > most:
        raise too_large
      await asyncio.to_thread(file.write, chunk)
  return size


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


async def add_track(
  store: SessionStore,
  session: Session,
  stream: AsyncIterator[bytes],
  name: str | None,
  declared: str | None = None,
  replacing: Collection[int] = (),
) -> Track:
  """Adds an uploaded file to a session as a track.

  Args:
    store, session: where to.
    stream: the file's content.
    name: the file's, to be shown.
    declared: its size, as the request says it.
    replacing: tracks that will make room when all is well; they don't count.

  Raises:
    StudioError: it isn't usable, or there is no room for it; the session is as it was.
  """
  limits = store.limits
  kept = [track for track in session.tracks.values() if track.id not in replacing]
  if len(kept) + session.pending >= limits.tracks:
    raise StudioError(f'There are {limits.tracks} tracks already, the most that one song may have. Remove one first.', 409)
  room = min(limits.session_bytes - sum(track.bytes for track in kept), store.disk_left())
  if room <= 0:
    raise StudioError('There is no room for more tracks. Remove some first.', 413)
  number, folder = session.new_folder()
  session.pending += 1
  try:
    source = os.path.join(folder, SOURCE)
    size = await receive(stream, source, min(limits.upload_bytes, room), declared)
    if not size:
      raise StudioError(f'The file is empty (0 bytes). {_EXPECTED} are expected; copy or export it again.')
    async with store.decoders:
      found = await decode(source, folder, limits)
    track = Track(number, label_of(name), folder, size, found['rate'], found['channels'], found['samples'])
    if session.closed:
      raise StudioError('The session has ended. Reload the page.', 410)
    session.tracks[number] = track
    return track
  except BaseException:
    with contextlib.suppress(OSError):
      shutil.rmtree(folder)
    raise
  finally:
    session.pending -= 1
