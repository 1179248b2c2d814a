"""The studio's web server: static page, uploads, WebSocket, exports and projects."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import traceback

import numpy as np
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from bassnet_jax import memory
from bassnet_jax.studio import exports, line, project, requests, style, uploads
from bassnet_jax.studio.channel import Channel, code_of, whole_line
from bassnet_jax.studio.limits import Limits, StudioError
from bassnet_jax.studio.line import Line
from bassnet_jax.studio.models import Shelf
from bassnet_jax.studio.network import Network
from bassnet_jax.studio.security import Access, Guard
from bassnet_jax.studio.sessions import SONG, STYLE, Session, SessionStore
from data_pipeline import features

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'static')
_SWEEP_SECONDS = 60.0
_GIVE_BACK_SECONDS = 5.0
"""In which the memory of several pages that are closed is given back once."""


class Studio:
  """The routes, and what they share."""

  def __init__(self, shelf: Shelf, store: SessionStore, network: Network):
    self.shelf, self.store, self.network = shelf, store, network
    self._given_back = 0.0

  def _session(self, request: Request) -> Session:
    return self.store.get(request.path_params['session'])

  async def models(self, request: Request) -> Response:
    choices = [{'id': choice.id, 'name': choice.name} for choice in self.shelf.choices.values()]
    return JSONResponse({'models': choices, 'first': self.shelf.first})

  async def model(self, request: Request) -> Response:
    """Loads a model and says what the page needs of it."""
    return JSONResponse(await self.network.run(self.shelf.describe, request.path_params['model']))

  async def create(self, request: Request) -> Response:
    session = self.store.create()
    return JSONResponse({'id': session.id, 'limits': {'tracks': self.store.limits.tracks, 'bytes': self.store.limits.upload_bytes}})

  async def close(self, request: Request) -> Response:
    self.store.drop(self._session(request).id)
    now = time.monotonic()
    if now - self._given_back < _GIVE_BACK_SECONDS:
      return Response(status_code=204)
    self._given_back = now
    return Response(status_code=204, background=BackgroundTask(memory.give_back))

  async def add_track(self, request: Request) -> Response:
    return await self._add(request, SONG)

  async def add_style(self, request: Request) -> Response:
    """A file of another song's pair; it isn't one of the tracks."""
    return await self._add(request, STYLE)

  async def _add(self, request: Request, purpose: str) -> Response:
    name, size = request.headers.get('x-file-name'), request.headers.get('content-length')
    track = await uploads.add_track(self.store, self._session(request), request.stream(), name, size, purpose=purpose)
    return JSONResponse(track.describe())

  async def remove_track(self, request: Request) -> Response:
    self._session(request).remove(request.path_params['track'])
    return Response(status_code=204)

  async def track_audio(self, request: Request) -> Response:
    """A track as the studio reads it (decoders of MP3 differ by some milliseconds; this one is the model's)."""
    track = self._session(request).track(request.path_params['track'])
    path = os.path.join(track.folder, 'listen.wav')
    if not os.path.exists(path):
      await self.network.analyse(_write_wav, path, track)
    return FileResponse(path, media_type='audio/wav')

  async def style(self, request: Request) -> Response:
    """The position of another song's pair: two of the session's uploads, removed afterwards."""
    session = self._session(request)
    message = requests.parse_json(await _body(request, self.store.limits), self.store.limits)
    mix, bass = (session.track(message.get(name)) for name in ('mix', 'bass'))
    try:
      model = await self.network.run(self.shelf.get, str(message.get('model', ''))[:20])
      x, y = await self.network.analyse(style.position, model, mix.mono(), bass.mono())
    finally:
      for number in {mix.id, bass.id} & set(session.tracks):
        session.remove(number)
    return JSONResponse({'z': [x, y]})

  async def _line(self, session: Session, message: dict) -> tuple[Line, exports.Sound]:
    """The line that the page shows: the one that is there, or decoded anew."""
    limits = self.store.limits
    if session.song is None:
      raise StudioError('There is no analysed mix yet. Drop tracks in first.', 409)
    wanted = requests.parse_line(message, limits)
    bpm = message.get('bpm')
    sound = exports.Sound(
      timbre=requests.number(message.get('timbre', 0.5), 'timbre', 0, 1),
      bass_level=requests.number(message.get('bass_level', 0.7), 'bass level', 0, 1),
      bpm=None if bpm is None else requests.number(bpm, 'tempo', 4, 1000),
    )
    song, made = session.song, session.line
    if made is None or made.song_key != song.key or made.request.same_sound != wanted.same_sound:
      model, code = await code_of(self.network, self.shelf, song, wanted.model)
      made, _ = await whole_line(self.network, model, code, song, wanted)
      session.line = made
    return made, sound

  async def export(self, request: Request) -> Response:
    session, kind = self._session(request), request.path_params['kind']
    message = requests.parse_json(await _body(request, self.store.limits), self.store.limits)
    made, sound = await self._line(session, message)
    if kind == 'project':
      state = message.get('state') if isinstance(message.get('state'), dict) else {}
      path = await self.network.analyse(project.save, session, session.song, made, sound, state)
      return FileResponse(path, media_type='application/zip', filename='bassnet_project.zip', background=BackgroundTask(_remove, path))
    if kind not in exports.KINDS:
      raise StudioError(f'There is no such download; there are: {", ".join((*exports.KINDS, "project"))}.', 404)
    name, media_type = exports.KINDS[kind]
    content = await self.network.analyse(exports.render, kind, made, session.song, session, sound)
    return Response(content, media_type=media_type, headers={'content-disposition': f'attachment; filename="{name}"'})

  async def load_project(self, request: Request) -> Response:
    session = self._session(request)
    tracks, state = await project.load(self.store, session, request.stream(), request.headers.get('content-length'))
    return JSONResponse({'tracks': [track.describe() for track in tracks], 'state': state})

  async def socket(self, socket: WebSocket) -> None:
    try:
      session = self.store.get(socket.path_params['session'])
    except StudioError as error:
      await socket.accept()
      await socket.send_json({'type': 'gone', 'message': error.message})
      await socket.close(4404)
      return
    await socket.accept()
    await Channel(socket, session, self.shelf, self.network, self.store.limits).serve()

  @contextlib.asynccontextmanager
  async def lifespan(self, app: Starlette):
    async def sweep() -> None:
      while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        self.store.sweep()
        await asyncio.to_thread(memory.give_back)

    # While the page opens and its user looks for files, what the first song needs is made ready.
    tasks = [asyncio.create_task(sweep()), asyncio.create_task(self._warm_up())]
    try:
      yield
    finally:
      for task in tasks:
        task.cancel()
      await asyncio.gather(*tasks, return_exceptions=True)
      self.network.close()
      self.store.close()

  async def _warm_up(self) -> None:
    """Loads the first model, compiles what its lines need, and loads what analyses audio."""
    from data_pipeline import front_end

    with contextlib.suppress(StudioError):  # the page asks for it too, and is told then
      model = await self.network.run(self.shelf.get, self.shelf.first)
      await self.network.run(line.warm_up, model)
    silence = np.zeros(features.SAMPLE_RATE, np.float32)
    await asyncio.to_thread(front_end.estimate_tuning, silence)
    await asyncio.to_thread(front_end.constant_q, silence, features.MIX_BINS)


async def _body(request: Request, limits: Limits) -> bytes:
  parts, size = [], 0
  async for part in request.stream():
    size += len(part)
    if size > limits.json_bytes:
      raise StudioError(f'The request is larger than {limits.json_bytes >> 20} MB, the most that is taken. Reload the page.', 413)
    parts.append(part)
  return b''.join(parts)


def _remove(path: str) -> None:
  with contextlib.suppress(FileNotFoundError):  # the page left, and its files went with it
    os.unlink(path)


def _write_wav(path: str, track) -> None:
  from data_pipeline import audio

  audio.save_wav(path, np.asarray(track.native()), track.rate)


async def _plain_error(request: Request, error: Exception) -> Response:
  if isinstance(error, StudioError):
    # Who brings nothing more is not waited for.
    headers = {'connection': 'close'} if error.status == 408 else None
    return JSONResponse({'error': error.message}, status_code=error.status, headers=headers)
  if isinstance(error, HTTPException):
    nowhere = 'There is nothing at this address. Open the one that the studio printed when it started.'
    return JSONResponse({'error': nowhere if error.status_code == 404 else str(error.detail)}, status_code=error.status_code)
  if isinstance(error, ClientDisconnect):  # the page was left during an upload
    return Response(status_code=400)
  traceback.print_exception(error)
  return JSONResponse({'error': 'Something went wrong in the studio; its terminal says what. Try again.'}, status_code=500)


def build(shelf: Shelf, access: Access, limits: Limits | None = None) -> Guard:
  """The application; it owns a temporary folder from now until it stops."""
  studio = Studio(shelf, SessionStore(limits), Network())
  session = '/api/sessions/{session}'
  routes = [
    Route('/api/models', studio.models),
    Route('/api/models/{model}', studio.model),
    Route('/api/sessions', studio.create, methods=['POST']),
    Route(session, studio.close, methods=['DELETE']),
    Route(f'{session}/tracks', studio.add_track, methods=['POST']),
    Route(f'{session}/tracks/{{track:int}}', studio.remove_track, methods=['DELETE']),
    Route(f'{session}/tracks/{{track:int}}/audio', studio.track_audio),
    Route(f'{session}/style/tracks', studio.add_style, methods=['POST']),
    Route(f'{session}/style', studio.style, methods=['POST']),
    Route(f'{session}/export/{{kind}}', studio.export, methods=['POST']),
    Route(f'{session}/project', studio.load_project, methods=['POST']),
    WebSocketRoute(f'{session}/socket', studio.socket),
    Mount('/', StaticFiles(directory=STATIC, html=True)),
  ]
  handlers = {StudioError: _plain_error, HTTPException: _plain_error, ClientDisconnect: _plain_error, Exception: _plain_error}
  app = Starlette(routes=routes, exception_handlers=handlers, lifespan=studio.lifespan)
  guard = Guard(app, access)
  guard.studio = studio
  return guard
