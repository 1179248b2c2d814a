"""Decodes bass lines for the page: the piece around the playhead first, then the whole song.

What goes out is compact: the notes, and for every note a table of its harmonics' amplitudes, which the page's synthesiser plays.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from typing import NamedTuple

import numpy as np

from bassnet_jax import decoding, sonification
from bassnet_jax.decoding import Prediction
from bassnet_jax.studio.network import CROWD, TOGETHER
from bassnet_jax.studio.requests import LineRequest
from bassnet_jax.studio.song import Song
from data_pipeline import features
from data_pipeline.notes import Notes


class Extent(NamedTuple):
  """Of the first piece, in frames.

  Attributes:
    frames: all of it.
    tail: at its end, in which no note of it begins: they only give the last notes their length.
  """

  frames: int
  tail: int


NEAR = Extent(256, 96)
"""3.2 s, decoded in a few milliseconds."""
BRIEF = Extent(128, 48)
"""Where many pages wait: each gets less at a time, and more often."""
NEAR_BEFORE = 32
"""Frames of a first piece that lie before the playhead, so that a note's onset is seen whole."""
CHUNK = 512
"""Frames a step of the rest."""
QUIETEST_DB, LOUDEST_DB = -90.0, 18.0
"""Range of the amplitude codes 1 and 255; code 0 is silence. Steps are 0.43 dB."""


@dataclasses.dataclass(frozen=True)
class Line:
  """A whole bass line and what made it.

  Attributes:
    request: the settings.
    song_key: of the mix.
    notes: the line.
    prediction: of the whole song.
  """

  request: LineRequest
  song_key: str
  notes: Notes
  prediction: Prediction


def amplitude_codes(amplitude: np.ndarray) -> np.ndarray:
  """Amplitudes as uint8, in decibels; of the same shape."""
  decibels = 20 * np.log10(np.maximum(amplitude, 1e-9))
  codes = np.rint(1 + (decibels - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB) * 254)
  return np.clip(codes, 0, 255).astype(np.uint8)


def code_amplitudes(codes: np.ndarray) -> np.ndarray:
  """The inverse of `amplitude_codes`."""
  decibels = QUIETEST_DB + (codes.astype(np.float64) - 1) / 254 * (LOUDEST_DB - QUIETEST_DB)
  return np.where(codes > 0, 10 ** (decibels / 20), 0.0)


def pack(header: dict, tables: np.ndarray) -> bytes:
  """A message: length of the header (uint32, little endian), the header as JSON, padding to 4 bytes, then the tables."""
  text = json.dumps(header, separators=(',', ':')).encode()
  text += b' ' * (-len(text) % 4)
  return b''.join([struct.pack('<I', len(text)), text, tables.tobytes()])


def unpack(message: bytes) -> tuple[dict, np.ndarray]:
  """The header, and all tables' codes in one [bytes] array."""
  (length,) = struct.unpack('<I', message[:4])
  return json.loads(message[4 : 4 + length]), np.frombuffer(message[4 + length :], dtype=np.uint8)


def rows_and_tables(notes: Notes, prediction: Prediction, song: Song, first_frame: int) -> tuple[list[list], np.ndarray]:
  """Notes as rows and their amplitude tables.

  Args:
    notes: on the prediction's clock.
    prediction: of the piece.
    song: for gain and tuning.
    first_frame: of the prediction in the song.

  Returns:
    rows of [onset, offset, pitch, velocity, Hz, first frame, frames], in the song's time; all notes' tables one after the
    other, [frames, 48] uint8.
  """
  rate = 48_000  # of the page, about; it only decides which harmonics are above 0.45 of it
  voice = sonification.voice(
    notes, prediction, round(rate * prediction.frames / features.FRAME_RATE), rate, gain=song.gain, tuning=song.tuning
  )
  shift = first_frame / features.FRAME_RATE
  begins = (notes.onset * features.FRAME_RATE).astype(np.int64)
  lengths = np.ceil((notes.offset + sonification.RELEASE) * features.FRAME_RATE).astype(np.int64) + 1 - begins
  within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
  tables = amplitude_codes(voice.amplitudes(np.repeat(np.arange(len(notes)), lengths), np.repeat(begins, lengths) + within))
  rows = []
  for i, (begin, length) in enumerate(zip(begins.tolist(), lengths.tolist(), strict=True)):
    onset, offset = round(float(notes.onset[i]) + shift, 5), round(float(notes.offset[i]) + shift, 5)
    rows.append([onset, offset, int(notes.pitch[i]), int(notes.velocity[i]), round(voice.frequency(i), 4), begin + first_frame, length])
  return rows, tables


def notes_of(prediction: Prediction, request: LineRequest) -> Notes:
  lowest, highest = decoding.RANGES[request.strings]
  return decoding.notes_from_prediction(prediction, request.threshold, request.articulation, lowest, highest)


def _near_frames(song: Song, request: LineRequest) -> tuple[int, int]:
  """Frame of the playhead, and the first one of the piece around it."""
  playhead = min(int(request.playhead * features.FRAME_RATE), song.frames - 1)
  return playhead, max((playhead - NEAR_BEFORE) // 2 * 2, 0)


def warm_up(model) -> None:
  """Compiles what a moved dot needs of a model; later calls, of any song, compile nothing."""
  code = model.encode_mix(np.zeros((1, features.MIX_BINS), np.float32))
  for frames in (NEAR.frames, CHUNK):
    model.decode_piece(code, np.zeros(2, np.float32), 0, frames)


def warm_up_together(model, code) -> None:
  """Compiles what dots of several pages need that move at one time; `code` is any song's."""
  for extent, most in ((NEAR, TOGETHER), (BRIEF, CROWD)):
    model.decode_pieces([(code, np.zeros(2, np.float32), 0)], extent.frames, most)


def decode_near(model, items: list[tuple]) -> list[tuple[Prediction, Extent]]:
  """The pieces from the playhead on of one or several pages: items of (code, song, request). With each how long it was to be."""
  pieces = [(code, request.position.at(song.frames), _near_frames(song, request)[1]) for code, song, request in items]
  if len(pieces) == 1:
    return [(model.decode_piece(*pieces[0], NEAR.frames), NEAR)]
  extent, most = (NEAR, TOGETHER) if len(pieces) <= TOGETHER else (BRIEF, CROWD)
  return [(prediction, extent) for prediction in model.decode_pieces(pieces, extent.frames, most)]


def near(piece: tuple[Prediction, Extent], item: tuple) -> bytes:
  """The message of a piece: notes that begin there, and until when a note that sounds now may go on ('hold').

  Notes that reach the piece's end are marked as open: their true end comes with the whole line.
  """
  (prediction, extent), (_, song, request) = piece, item
  playhead, start = _near_frames(song, request)
  notes = notes_of(prediction, request)
  at_end = start + extent.frames >= song.frames
  last = prediction.frames if at_end else extent.frames - extent.tail
  hold = _hold(prediction, notes, playhead - start)
  first_onset = (playhead - 4 - start) / features.FRAME_RATE
  last_onset = last / features.FRAME_RATE
  notes = notes.where((notes.onset >= first_onset) & (notes.onset < last_onset))
  rows, tables = rows_and_tables(notes, prediction, song, start)
  end = (start + prediction.frames) / features.FRAME_RATE
  header = {
    'type': 'piece',
    'id': request.id,
    'span': [max(start / features.FRAME_RATE + first_onset, 0.0), start / features.FRAME_RATE + last_onset],
    'hold': hold + start / features.FRAME_RATE,
    'notes': [[*row, int(row[1] >= end - 0.05 and not at_end)] for row in rows],
  }
  return pack(header, tables)


def _hold(prediction: Prediction, notes: Notes, frame: int) -> float:
  """Seconds into the piece until which a note that sounds at `frame` goes on: to the next note or the next rest of 3 frames."""
  silent = np.argmax(prediction.pitch_logits, axis=1) == features.NO_PITCH
  resting = silent[:-2] & silent[1:-1] & silent[2:]
  rests = np.flatnonzero(resting[frame:])
  following = notes.onset[notes.onset > frame / features.FRAME_RATE]
  return float(min([prediction.frames / features.FRAME_RATE, *(rests[:1] + frame) / features.FRAME_RATE, *following[:1]]))


def steps(song: Song, playhead: float) -> list[int]:
  """First frames of the chunks of the whole song, from the playhead on, then from the beginning."""
  starts = list(range(0, song.frames, CHUNK))
  here = min(int(playhead * features.FRAME_RATE) // CHUNK, len(starts) - 1)
  return starts[here:] + starts[:here]


def joined(pieces: dict[int, Prediction]) -> Prediction:
  """The whole song's prediction from its chunks, by first frame."""
  order = [pieces[start] for start in sorted(pieces)]
  return Prediction(*(np.concatenate([getattr(piece, field.name) for piece in order]) for field in dataclasses.fields(Prediction)))


def whole(prediction: Prediction, song: Song, request: LineRequest) -> tuple[Line, bytes]:
  """The finished line, and the message that carries it."""
  line = Line(request, song.key, notes_of(prediction, request), prediction)
  rows, tables = rows_and_tables(line.notes, prediction, song, 0)
  header = {'type': 'whole', 'id': request.id, 'span': [0.0, song.seconds], 'notes': [[*row, 0] for row in rows]}
  return line, pack(header, tables)
