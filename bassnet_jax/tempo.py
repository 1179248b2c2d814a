"""Tempo maps: which second each tick of a MIDI file has; from the beats of a song, from a tempo, or from a MIDI file of the user's."""

from __future__ import annotations

import dataclasses
import os

import mido
import numpy as np

TICKS_PER_BEAT = 480
DEFAULT_BPM = 120.0
SLOWEST_BPM, FASTEST_BPM = 4.0, 1000.0
LONGEST_BEAT = 0xFFFFFF  # microseconds: a tempo event has 24 bits
SHORTEST_BEAT = 20_000  # microseconds; a tracker's double hit is no beat
MOST_BYTES = 64 << 20
_MOST_TICKS_PER_BEAT = 0x7FFF
_AGAIN = 'Export it from the sequencer again.'


class TempoError(ValueError):
  """A tempo, beats or a MIDI file can't be used; the message says why in plain words."""


@dataclasses.dataclass(frozen=True)
class TempoMap:
  """Tempo changes of a MIDI file, all in whole ticks and microseconds as they stand in it, so that no rounding is left over.

  Attributes:
    ticks_per_beat: resolution, ticks a quarter note.
    ticks: [changes] int64, where each tempo begins; the first is 0, and they rise.
    tempos: [changes] int64, microseconds a quarter note; the last one holds to the end.
    signatures: (tick, numerator, denominator) of each time signature; none: 4/4, and the file doesn't say so.
  """

  ticks_per_beat: int
  ticks: np.ndarray
  tempos: np.ndarray
  signatures: tuple[tuple[int, int, int], ...] = ()

  @property
  def _starts(self) -> np.ndarray:
    """[changes] float64, microseconds at which each tempo begins."""
    spans = np.diff(self.ticks) * self.tempos[:-1] / self.ticks_per_beat
    return np.concatenate([[0.0], np.cumsum(spans)])

  def ticks_of(self, seconds: np.ndarray) -> np.ndarray:
    """Ticks [n] float64, not rounded, of moments in seconds [n]; moments before 0 are at 0."""
    microseconds = np.maximum(np.asarray(seconds, dtype=np.float64), 0.0) * 1e6
    starts = self._starts
    change = np.searchsorted(starts, microseconds, side='right') - 1
    return self.ticks[change] + (microseconds - starts[change]) / self.tempos[change] * self.ticks_per_beat

  def seconds_of(self, ticks: np.ndarray) -> np.ndarray:
    """Seconds [n] float64 of ticks [n], the inverse of `ticks_of`."""
    ticks = np.asarray(ticks, dtype=np.float64)
    change = np.maximum(np.searchsorted(self.ticks, ticks, side='right') - 1, 0)
    return (self._starts[change] + (ticks - self.ticks[change]) * self.tempos[change] / self.ticks_per_beat) * 1e-6

  def beats(self, end: float) -> np.ndarray:
    """Seconds [beats] of all quarter notes before `end` seconds."""
    last = int(np.ceil(self.ticks_of(np.array([end]))[0] / self.ticks_per_beat))
    return self.seconds_of(np.arange(last) * self.ticks_per_beat)

  def bpm(self, end: float) -> float:
    """Median tempo of the quarter notes before `end` seconds."""
    beats = self.beats(end)
    return float(60 / np.median(np.diff(beats))) if len(beats) > 1 else float(60e6 / self.tempos[0])


def constant(bpm: float | None = None, ticks_per_beat: int = TICKS_PER_BEAT) -> TempoMap:
  """One tempo from beginning to end; 120 unless told otherwise.

  Raises:
    TempoError: the tempo is out of range.
  """
  bpm = DEFAULT_BPM if bpm is None else float(bpm)
  if not SLOWEST_BPM <= bpm <= FASTEST_BPM:
    raise TempoError(f'The tempo is {bpm:g} beats a minute; expected {SLOWEST_BPM:g} to {FASTEST_BPM:g}.')
  return TempoMap(ticks_per_beat, np.zeros(1, np.int64), np.array([round(60e6 / bpm)], dtype=np.int64))


def from_beats(beats: np.ndarray, ticks_per_beat: int = TICKS_PER_BEAT) -> TempoMap:
  """A tempo for every beat, so that a sequencer's beat lines lie on the beats; of fewer than two beats: 120.

  Beats are filled in before the first one, so that the file's beats are the music's beats from the start.

  Args:
    beats: [beats] seconds, rising.
    ticks_per_beat: resolution.

  Raises:
    TempoError: the beats aren't finite, or don't rise.
  """
  beats = np.asarray(beats, dtype=np.float64)
  if not np.isfinite(beats).all() or (beats < 0).any() or (np.diff(beats) <= 0).any():
    raise TempoError('The beats must be finite, not negative, and rise.')
  kept = beats[:1].tolist()
  for beat in beats[1:].tolist():
    if beat - kept[-1] >= SHORTEST_BEAT * 1e-6:
      kept.append(beat)
  if len(kept) < 2:
    return constant(None, ticks_per_beat)
  before = round(kept[0] / (kept[1] - kept[0]))
  # A first beat nearer to 0 than half a period is taken as 0; else whole beats, slightly stretched, lead up to it.
  lead = np.linspace(0.0, kept[0], before + 1)[:-1].tolist() if before else [0.0]
  grid = [*lead, *(kept if before else kept[1:])]
  lengths: list[int] = []
  clock = 0  # microseconds as written: each beat makes up for the rounding of those before it
  for end in grid[1:]:
    left = max(round(end * 1e6) - clock, 1)
    parts = -(-left // LONGEST_BEAT)  # a pause longer than a tempo event can say becomes several beats
    lengths += [left // parts] * (parts - 1) + [left - left // parts * (parts - 1)]
    clock += left
  tempos = np.asarray(lengths, dtype=np.int64)
  changed = np.concatenate([[True], np.diff(tempos) != 0])
  return TempoMap(ticks_per_beat, np.flatnonzero(changed) * ticks_per_beat, tempos[changed])


def open_midi(path: str | os.PathLike) -> tuple[mido.MidiFile, list[tuple[int, mido.messages.BaseMessage]]]:
  """A MIDI file and all its messages with the tick of each, in order.

  Raises:
    TempoError: this is no MIDI file, or one without one time line in quarter notes.
    OSError: the file can't be read.
  """
  if os.path.isdir(path):
    raise TempoError(f'{path} is a folder; expected a MIDI file. Give the path of one file.')
  if os.path.getsize(path) > MOST_BYTES:
    raise TempoError(f'{path} is larger than {MOST_BYTES >> 20} MiB; this is no MIDI file of a song. Give another one.')
  try:
    file = mido.MidiFile(path, clip=True)
    merged = mido.merge_tracks(file.tracks)
  except (EOFError, KeyError, IndexError, ValueError) as error:
    raise TempoError(f'{path} is not a readable MIDI file ({str(error) or "it ends too early"}). {_AGAIN}') from error
  except OSError as error:
    if error.errno is not None:  # mido raises a bare OSError for content that isn't MIDI
      raise
    raise TempoError(f'{path} is not a readable MIDI file ({error}). {_AGAIN}') from error
  if file.type == 2:
    raise TempoError(f'{path} is a MIDI file of type 2 (its tracks are independent patterns, not one song); save it as type 1.')
  if not 0 < file.ticks_per_beat <= _MOST_TICKS_PER_BEAT:
    raise TempoError(f'{path} counts time in SMPTE frames; save it with ticks per quarter note.')
  messages, tick = [], 0
  for message in merged:
    tick += message.time
    messages.append((tick, message))
  return file, messages


def read(path: str | os.PathLike) -> TempoMap:
  """The tempo map of a MIDI file, tick by tick as it stands there, with its time signatures; notes in the file play no part.

  Its beginning is the beginning of the audio. Coarse resolutions are multiplied to 480 ticks a quarter note or more, so that notes are
  kept to the millisecond.

  Raises:
    TempoError: the file is missing, is no MIDI file, or its tempo is damaged.
  """
  try:
    file, messages = open_midi(path)
  except OSError as error:
    raise TempoError(f'{path} cannot be read as a tempo map: {error.strerror or error}. Give the path of a MIDI file.') from error
  factor = -(-TICKS_PER_BEAT // file.ticks_per_beat)
  changes, signatures = {0: round(60e6 / DEFAULT_BPM)}, {}
  for tick, message in messages:
    if message.type == 'set_tempo':
      bpm = 60e6 / max(message.tempo, 1)
      if not SLOWEST_BPM * 0.8 <= bpm <= FASTEST_BPM:  # the longest tempo event says 3.6
        raise TempoError(f'{path}: a tempo of {bpm:g} beats a minute; expected {SLOWEST_BPM:g} to {FASTEST_BPM:g}. The file is damaged.')
      changes[tick * factor] = message.tempo  # of several at one tick the last one counts
    elif message.type == 'time_signature':
      signatures[tick * factor] = (message.numerator, message.denominator)
  return TempoMap(
    file.ticks_per_beat * factor,
    np.array(list(changes), dtype=np.int64),
    np.array(list(changes.values()), dtype=np.int64),
    tuple((tick, *signature) for tick, signature in signatures.items()),
  )
