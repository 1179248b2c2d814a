"""What the server keeps for each open page: its tracks in a temporary folder, and the analysis of their mix."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from bassnet_jax.studio.limits import Limits, StudioError
from bassnet_jax.studio.scratch import Scratch

SONG, STYLE, PROJECT = 'song', 'style', 'project'
"""What an upload is for: a track of the song, one of a pair whose style is taken, a file that tracks are unpacked from."""
_SPARE = 256 << 20
"""Bytes that stay free on the disk."""


@dataclasses.dataclass(frozen=True)
class Track:
  """One uploaded track.

  Attributes:
    id: its number in the session.
    label: the file's name, to be shown only.
    folder: where `source` (as uploaded), `native.npy` and `mono.npy` lie.
    bytes: size as uploaded.
    rate: Hz.
    channels: 1 or 2.
    samples: length.
    purpose: SONG or STYLE.
  """

  id: int
  label: str
  folder: str
  bytes: int
  rate: int
  channels: int
  samples: int
  purpose: str = SONG

  @property
  def seconds(self) -> float:
    return self.samples / self.rate

  def native(self) -> np.ndarray:
    """[samples, channels] float32, read from disk as it is used."""
    return np.load(os.path.join(self.folder, 'native.npy'), mmap_mode='r')

  def mono(self) -> np.ndarray:
    """[samples at 16 kHz] float32."""
    return np.load(os.path.join(self.folder, 'mono.npy'), mmap_mode='r')

  def describe(self) -> dict[str, Any]:
    """What a page is told."""
    return {'id': self.id, 'name': self.label, 'seconds': self.seconds, 'rate': self.rate, 'channels': self.channels}


@dataclasses.dataclass(eq=False)
class Arrival:
  """An upload under way.

  Attributes:
    purpose: SONG, STYLE or PROJECT.
    bytes: that it will have, as its request says; room is kept for them.
    received: those that are written.
  """

  purpose: str
  bytes: int
  received: int = 0


class Session:
  """One open page.

  Attributes:
    id: unguessable.
    tracks: by number.
    arrivals: uploads under way; a session with one is in use.
    song: the analysed mix, or None.
    line: the last whole bass line, with the settings that made it; exports reuse it.
    sockets: open connections; a session with one is in use.
  """

  def __init__(self, folder: str):
    self.id = secrets.token_urlsafe(18)
    self.folder = folder
    self.tracks: dict[int, Track] = {}
    self.arrivals: list[Arrival] = []
    self.song: Any = None
    self.line: Any = None
    self.sockets = 0
    self.closed = False
    self.used = time.monotonic()
    self._numbers = 0

  def touch(self) -> None:
    self.used = time.monotonic()

  @property
  def busy(self) -> bool:
    return bool(self.sockets or self.arrivals)

  def new_folder(self) -> tuple[int, str]:
    """The number and the empty folder of a new track."""
    self._numbers += 1
    folder = os.path.join(self.folder, f'{self._numbers:04d}')
    os.mkdir(folder)
    return self._numbers, folder

  def track(self, number: int) -> Track:
    """Raises StudioError where there is none."""
    if not isinstance(number, int) or number not in self.tracks:
      raise StudioError('There is no such track; it may have been removed. Reload the page.', 404)
    return self.tracks[number]

  def remove(self, number: int) -> None:
    track = self.track(number)
    del self.tracks[number]
    shutil.rmtree(track.folder, ignore_errors=True)


class SessionStore:
  """All sessions, in one temporary folder that is removed by `close`."""

  def __init__(self, limits: Limits | None = None):
    self.limits = limits or Limits()
    self._scratch = Scratch()
    self.folder = self._scratch.folder
    self.decoders = asyncio.Semaphore(self.limits.decoders)
    self._sessions: dict[str, Session] = {}

  def __len__(self) -> int:
    return len(self._sessions)

  def create(self) -> Session:
    """A new session; the one that has been idle for longest, and for a minute at least, makes room.

    Raises:
      StudioError: there are too many, all in use.
    """
    self.sweep()
    if len(self._sessions) >= self.limits.sessions:
      now = time.monotonic()
      idle = [s for s in self._sessions.values() if not s.busy and now - s.used > self.limits.fresh_seconds]
      if not idle:
        raise StudioError(
          f'The studio is open in {len(self._sessions)} pages already, the most at one time. Close one, wait a minute, and reload.', 503
        )
      self.drop(min(idle, key=lambda session: session.used).id)
    session = Session(tempfile.mkdtemp(dir=self.folder))
    self._sessions[session.id] = session
    return session

  def get(self, session_id: str) -> Session:
    """Raises StudioError where there is none (any longer)."""
    session = self._sessions.get(session_id)
    if session is None:
      raise StudioError('This song is no longer kept here: the studio was restarted, or it was idle for too long. Reload the page.', 410)
    session.touch()
    return session

  def drop(self, session_id: str) -> None:
    session = self._sessions.pop(session_id, None)
    if session is not None:
      session.closed = True
      session.song = session.line = None
      shutil.rmtree(session.folder, ignore_errors=True)

  def sweep(self) -> None:
    """Drops the sessions that nobody has used for long."""
    now = time.monotonic()
    for session in list(self._sessions.values()):
      if not session.busy and now - session.used > self.limits.idle_seconds:
        self.drop(session.id)

  @contextlib.contextmanager
  def arriving(self, session: Session, purpose: str, size: int, replacing: Collection[int] = ()) -> Iterator[Arrival]:
    """Keeps room for an upload while it is received and read.

    Args:
      session: whose.
      purpose: SONG, STYLE or PROJECT.
      size: bytes.
      replacing: tracks that will make room when all is well; they don't count.

    Raises:
      StudioError: there is no room.
    """
    if purpose != PROJECT:
      kept = sum(track.bytes for track in session.tracks.values() if track.id not in replacing)
      kept += sum(arrival.bytes for arrival in session.arrivals if arrival.purpose != PROJECT)
      most = self.limits.session_bytes
      if kept + size > most:
        raise StudioError(
          f'There is no room for {_size(size)}: the files of a song may have {_size(most)} in all, and {_size(kept)} are there or on '
          'their way. Remove a track first, or give FLAC instead of WAV.',
          413,
        )
    if self.disk_left() < size:
      raise self.full()
    arrival = Arrival(purpose, size)
    session.arrivals.append(arrival)
    try:
      yield arrival
    finally:
      session.arrivals.remove(arrival)
      session.touch()

  def full(self) -> StudioError:
    """What to say where `disk_left` isn't enough."""
    return StudioError(
      "There is no room for it on the studio's disk, which all open pages share. Remove tracks, or close pages that are no longer needed.",
      413,
    )

  def disk_left(self) -> int:
    """Bytes that may still be written into the folder, less those that uploads under way will write."""
    used = 0
    for folder, _, names in os.walk(self.folder):
      for name in names:
        try:
          used += os.path.getsize(os.path.join(folder, name))
        except FileNotFoundError:  # removed meanwhile
          continue
    promised = sum(arrival.bytes - arrival.received for session in self._sessions.values() for arrival in session.arrivals)
    return min(self.limits.disk_bytes - used, shutil.disk_usage(self.folder).free - _SPARE) - promised

  def close(self) -> None:
    for session_id in list(self._sessions):
      self.drop(session_id)
    self._scratch.close()


def _size(count: int) -> str:
  return f'{count / 2**20:.0f} MB' if count >= 10 << 20 else f'{count / 2**20:.1f} MB'
