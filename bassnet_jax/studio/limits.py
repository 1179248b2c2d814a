"""What the studio takes from a browser: how much, how long and for how long. Also its errors in plain words."""

from __future__ import annotations

import dataclasses


class StudioError(Exception):
  """Something the user did can't be done.

  Attributes:
    message: what was found, what is expected and what to do, in plain words.
    status: of the HTTP answer.
  """

  def __init__(self, message: str, status: int = 400):
    super().__init__(message)
    self.message = message
    self.status = status


@dataclasses.dataclass(frozen=True)
class Limits:
  """Limits on what is uploaded and kept.

  Attributes:
    upload_bytes: of one file.
    session_bytes: of all files of one session, as uploaded.
    disk_bytes: of everything in the temporary folder: uploads and decoded audio of all sessions.
    track_seconds: length of one track.
    track_values: samples times channels of one track, as decoded.
    shortest_seconds: below which nothing can be heard.
    tracks: of one session; a pair whose style is taken is not among them.
    sessions: at one time.
    fresh_seconds: for which a session that no page is connected to is kept all the same: its page is just being loaded.
    decoders: files that are read at one time; others wait.
    idle_seconds: after which a session that nobody has used is forgotten.
    stall_seconds: for which an upload may bring nothing; then it is given up.
    slowest_bytes: a second, that an upload must bring on average once it has lasted for `stall_seconds`.
    decode_seconds: after which the reading of a file is given up.
    path_points: of a recorded path.
    json_bytes: of a request that is no file.
  """

  upload_bytes: int = 300 << 20
  session_bytes: int = 1 << 30
  disk_bytes: int = 8 << 30
  track_seconds: float = 20 * 60.0
  track_values: int = 120_000_000
  shortest_seconds: float = 0.5
  tracks: int = 12
  sessions: int = 64
  fresh_seconds: float = 60.0
  decoders: int = 2
  idle_seconds: float = 2 * 3600.0
  stall_seconds: float = 60.0
  slowest_bytes: int = 16 << 10
  decode_seconds: float = 60.0
  path_points: int = 30_000
  json_bytes: int = 4 << 20
