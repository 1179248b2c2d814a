"""The project file: a ZIP of the tracks as uploaded, the page's settings and takes, and the results; it can be loaded again."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator

import bassnet_jax
from bassnet_jax.studio import exports, uploads
from bassnet_jax.studio.limits import StudioError
from bassnet_jax.studio.line import Line
from bassnet_jax.studio.sessions import PROJECT, Arrival, Session, SessionStore, Track
from bassnet_jax.studio.song import Song

FORMAT = 'bassnet_jax studio project'
VERSION = 1
SETTINGS = 'project.json'
_MOST_SETTINGS = 4 << 20
_MOST_MEMBERS = 64
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError)
"""What a damaged ZIP makes Python's reader trip over."""


def save(session: Session, song: Song, line: Line, sound: exports.Sound, state: dict) -> str:
  """Writes the project into the session's folder. Returns its path.

  Args:
    session, song, line, sound: what the results are made of.
    state: the page's own settings, kept as they are.
  """
  tracks = [session.tracks[channel.track] for channel in song.channels]
  settings = {
    'format': FORMAT,
    'version': VERSION,
    'bassnet_jax': bassnet_jax.__version__,
    'tracks': [{'file': f'tracks/{i:02d}', 'name': track.label, 'id': track.id} for i, track in enumerate(tracks)],
    'state': state,
  }
  handle, path = tempfile.mkstemp(suffix='.zip', dir=session.folder)
  with os.fdopen(handle, 'wb') as file, zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
    archive.writestr(SETTINGS, json.dumps(settings, indent=1, ensure_ascii=False))
    for i, track in enumerate(tracks):
      archive.write(os.path.join(track.folder, uploads.SOURCE), f'tracks/{i:02d}')
    for kind, (name, _) in exports.KINDS.items():
      archive.writestr(name, exports.render(kind, line, song, session, sound))
  return path


def _settings(archive: zipfile.ZipFile) -> dict:
  wrong = StudioError('This is no project file of the studio. Choose the .zip that "Project" has saved, or drop audio files.')
  if len(archive.infolist()) > _MOST_MEMBERS or SETTINGS not in archive.namelist():
    raise wrong
  with archive.open(SETTINGS) as file:
    text = file.read(_MOST_SETTINGS + 1)
  try:
    settings = json.loads(text)
  except (ValueError, RecursionError):
    raise wrong from None
  if len(text) > _MOST_SETTINGS or not isinstance(settings, dict) or settings.get('format') != FORMAT:
    raise wrong
  if settings.get('version') != VERSION:
    raise StudioError(
      f'The project is of version {str(settings.get("version"))[:10]}; this studio reads version {VERSION}. '
      'Open it with the version that saved it.'
    )
  rows = settings.get('tracks')
  if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and isinstance(row.get('file'), str) for row in rows):
    raise StudioError('The project names no tracks; it is damaged. Save it again from the studio, or drop audio files.')
  return settings


async def load(store: SessionStore, session: Session, stream: AsyncIterator[bytes], declared: str | None) -> tuple[list[Track], dict]:
  """Loads a project into a session, in place of its tracks.

  Returns:
    The tracks in the project's order, and the page's state; track numbers in it are the old ones, in the field `ids` of the state
    stand pairs of old and new.

  Raises:
    StudioError: it is no project file, or a track in it isn't usable.
  """
  size = uploads.declared_size(declared, store.limits.session_bytes)
  with store.arriving(session, PROJECT, size) as arrival:
    return await _unpacked(store, session, stream, arrival)


async def _unpacked(store: SessionStore, session: Session, stream: AsyncIterator[bytes], arrival: Arrival) -> tuple[list[Track], dict]:
  folder = tempfile.mkdtemp(dir=session.folder)
  path = os.path.join(folder, 'project')
  added: list[Track] = []
  try:
    await uploads.receive(stream, path, arrival, store.limits)
    try:
      with zipfile.ZipFile(path) as archive:
        settings = _settings(archive)
        before = list(session.tracks)
        for row in settings['tracks']:
          if row['file'] not in archive.namelist():
            raise StudioError(
              'A track of the project is missing in its file; it is damaged. Save it again from the studio, or drop audio files.'
            )
          with archive.open(row['file']) as member:
            size = str(archive.getinfo(row['file']).file_size)
            added.append(await uploads.add_track(store, session, _blocks(member), str(row.get('name', '')), size, before))
    except _DAMAGED as error:
      raise StudioError('The project file is damaged or no ZIP file. Save it again, or drop audio files.') from error
  except BaseException:
    for track in added:
      session.remove(track.id)
    raise
  finally:
    shutil.rmtree(folder, ignore_errors=True)
  for number in before:
    session.remove(number)
  session.song = session.line = None
  state = settings.get('state') if isinstance(settings.get('state'), dict) else {}
  pairs = [[row.get('id'), track.id] for row, track in zip(settings['tracks'], added, strict=True)]
  return added, state | {'ids': pairs}


async def _blocks(member) -> AsyncIterator[bytes]:
  while block := member.read(1 << 20):
    yield block
