"""The WebSocket of one page: progress of the analysis, bass lines as the dot moves, maps of the plane.

From the page, JSON: {'type': 'analyse', 'channels', 'model'}, {'type': 'line', ...} (see `requests`), {'type': 'maps', 'threshold'}.
To the page, JSON: 'progress', 'analysed', 'map', 'stale', 'error'; binary: 'piece' and 'whole' (see `line.pack`).
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from bassnet_jax.studio import line, maps, requests
from bassnet_jax.studio import song as songs
from bassnet_jax.studio.limits import Limits, StudioError
from bassnet_jax.studio.models import Shelf
from bassnet_jax.studio.network import Network
from bassnet_jax.studio.sessions import Session

PAUSE = 0.06
"""Seconds without a new move after which the whole song is decoded."""


class Channel:
  """Serves one page until it leaves."""

  def __init__(self, socket: WebSocket, session: Session, shelf: Shelf, network: Network, limits: Limits):
    self._socket, self._session, self._shelf, self._network, self._limits = socket, session, shelf, network, limits
    self._wanted: requests.LineRequest | None = None
    self._wake = asyncio.Event()
    self._tasks: dict[str, asyncio.Task] = {}
    self._sending = asyncio.Lock()

  async def serve(self) -> None:
    """Reads messages until the page leaves; then nothing of it goes on."""
    self._session.sockets += 1
    self._start('lines', self._lines())
    try:
      while True:
        message = await self._socket.receive()
        if message['type'] == 'websocket.disconnect':
          return
        self._session.touch()
        try:
          await self._take(requests.parse_json(message.get('text') or message.get('bytes') or '', self._limits))
        except StudioError as error:
          await self._say({'type': 'error', 'message': error.message})
    except WebSocketDisconnect:
      return
    finally:
      self._session.sockets -= 1
      tasks = list(self._tasks.values())
      # A cancelled task holds its frames, and they this channel and the song: a cycle would keep megabytes until the collector comes.
      self._tasks.clear()
      for task in tasks:
        task.cancel()
      # Not `asyncio.gather`: cancelled at this moment it may forget by whom, and the server's cancel scope wouldn't know its own.
      await asyncio.wait(tasks)
      for task in tasks:
        if not task.cancelled():
          task.exception()  # seen: the page left while something was said to it

  async def _take(self, message: dict[str, Any]) -> None:
    kind = message.get('type')
    if kind == 'line':
      self._wanted = requests.parse_line(message, self._limits)
      self._wake.set()
    elif kind == 'analyse':
      self._start('analyse', self._guarded(self._analyse(message)))
    elif kind == 'maps':
      model, threshold = str(message.get('model', ''))[:20], requests.number(message.get('threshold'), 'onset threshold', 0, 1)
      self._start('maps', self._guarded(self._maps(model, threshold)))
    else:
      raise StudioError('The page asked for something that this studio does not know; reload it.')

  def _start(self, name: str, work) -> None:
    """Begins a task in place of the one of the same name."""
    if name in self._tasks:
      self._tasks[name].cancel()
    self._tasks[name] = asyncio.create_task(work)

  async def _guarded(self, work) -> None:
    """Tells the page what went wrong, where something does."""
    try:
      await work
    except StudioError as error:
      await self._say({'type': 'error', 'message': error.message})
    except (asyncio.CancelledError, WebSocketDisconnect):
      raise
    except Exception:
      traceback.print_exc()
      with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await self._say({'type': 'error', 'message': 'Something went wrong in the studio; its terminal says what. Try again.'})

  async def _say(self, message: dict) -> None:
    async with self._sending:
      await self._socket.send_json(message)

  async def _send(self, message: bytes) -> None:
    async with self._sending:
      await self._socket.send_bytes(message)

  async def _analyse(self, message: dict) -> None:
    """Analyses the mix and encodes it for the model that is wanted."""
    session = self._session
    channels = songs.parse_channels(message.get('channels'), session.tracks)
    loop = asyncio.get_running_loop()
    moving = asyncio.Queue()

    def report(stage: str, share: float) -> None:
      loop.call_soon_threadsafe(moving.put_nowait, {'type': 'progress', 'stage': stage, 'share': round(share, 3)})

    async def forward() -> None:
      while True:
        await self._say(await moving.get())

    forwarding = asyncio.create_task(forward())
    try:
      song = session.song
      if self._network.analyses:
        report(f'Waiting for {self._network.analyses} other tasks of this studio', 0.0)
      if song is None or song.key != songs.key_of(channels) or song.channels[0].track != channels[0].track:
        song = await self._network.analyse(songs.analyse, dict(session.tracks), channels, report)
      song.channels = channels
      report('Understanding the harmony and the rhythm', 0.85)
      await code_of(self._network, self._shelf, song, str(message.get('model', ''))[:20])
      session.song, session.line = song, None
    finally:
      forwarding.cancel()
    await self._say({'type': 'analysed', **song.describe()})

  async def _lines(self) -> None:
    """Answers the newest line that is wanted: its beginning at once, all of it as soon as the dot rests."""
    while True:
      await self._wake.wait()
      self._wake.clear()
      request = self._wanted
      if request is not None:
        await self._guarded(self._line(request))

  async def _line(self, request: requests.LineRequest) -> None:
    song = self._session.song
    if song is None:
      raise StudioError('There is no analysed mix yet. Drop tracks in first.')
    model, code = await code_of(self._network, self._shelf, song, request.model)

    def newest() -> tuple:
      """The dot may have moved on while other pages had their turn."""
      nonlocal request
      if self._wanted.model == request.model:
        request = self._wanted
        self._wake.clear()
      return code, song, request

    await self._send(await self._network.near(model, line.decode_near, newest, line.near))
    with contextlib.suppress(TimeoutError):
      await asyncio.wait_for(self._wake.wait(), PAUSE)
    if self._wake.is_set():
      return
    # A step of it may wait long behind the moves of other pages; this page's next move doesn't wait with it.
    making = asyncio.create_task(whole_line(self._network, model, code, song, request))
    moved = asyncio.create_task(self._wake.wait())
    try:
      await asyncio.wait({making, moved}, return_when=asyncio.FIRST_COMPLETED)
      if not making.done():
        return
      self._session.line, message = making.result()
    finally:
      making.cancel()
      moved.cancel()
    await self._send(message)

  async def _maps(self, model_id: str, threshold: float) -> None:
    """Measures the line over the plane, while nothing else is to be done."""
    song = self._session.song
    if song is None:
      raise StudioError('There is no analysed mix yet. Drop tracks in first.')
    model, code = await code_of(self._network, self._shelf, song, model_id)
    starts = maps.places(song)
    sets = await self._network.analyse(lambda: [maps.collection(song, start) for start in starts])
    axis = maps.axis()
    cells = maps.order()
    for done, (row, column) in enumerate(cells, start=1):
      where = (axis[column], axis[row])
      values = await self._network.run_in_background(maps.measure_cell, model, code, song, starts, sets, where, threshold)
      await self._say(
        {'type': 'map', 'key': song.key, 'model': model_id, 'size': maps.SIZE, 'row': row, 'column': column, 'values': values}
        | {'done': done, 'of': len(cells)}
      )


async def code_of(network: Network, shelf: Shelf, song: songs.Song, model_id: str):
  """The model and the song's code for it, made when first wanted."""

  def make():
    model = shelf.get(model_id)
    if model_id not in song.codes:
      song.codes[model_id] = model.encode_mix(song.mix)
      line.warm_up(model)  # done already for the first model: in no time
    return model, song.codes[model_id]

  if shelf.loaded(model_id) and model_id in song.codes:
    return shelf.get(model_id), song.codes[model_id]
  model, code = await network.run(make)
  if shelf.encoded(model_id) == 2:  # a second song: two pages may move at one time from now on
    network.group(model, lambda: line.warm_up_together(model, code))
  return model, code


async def whole_line(network: Network, model, code, song: songs.Song, request: requests.LineRequest) -> tuple[line.Line, bytes]:
  """The whole song in steps, from the playhead on."""
  z = request.position.at(song.frames)
  pieces = {}
  for start in line.steps(song, request.playhead):
    pieces[start] = await network.run(model.decode_piece, code, z, start, line.CHUNK)
  return await network.line(line.whole, line.joined(pieces), song, request)
