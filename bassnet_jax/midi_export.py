"""Writes notes as a MIDI file with a tempo map that keeps their times in seconds, and reads such files back."""

from __future__ import annotations

import os
import tempfile

import mido
import numpy as np

from bassnet_jax.decoding import BASS_PROGRAM
from data_pipeline.notes import DRUMS, Notes

TICKS_PER_BEAT = 480
DEFAULT_BPM = 120.0
DRUM_CHANNEL = 9
LONGEST_BEAT = 0xFFFFFF  # microseconds: a tempo event has 24 bits
SHORTEST_BEAT = 20_000  # microseconds; a tracker's double hit is no beat


class MidiError(ValueError):
  """A file is no readable MIDI file; the message names it."""


def write(
  path: str,
  notes: Notes,
  *,
  beats: np.ndarray | None = None,
  bpm: float | None = None,
  ticks_per_beat: int = TICKS_PER_BEAT,
  track_name: str = 'Bass',
) -> None:
  """Writes a type 1 file of two tracks: the tempo map and the notes. Under a temporary name first, then renamed.

  Every tick is computed from the tempo map as it stands in the file, rounding included: the notes' seconds are kept within half a tick,
  however long the song is. (Readers such as pretty_midi want all tempo events in the first track.)

  Args:
    path: the file.
    notes: any notes; those of one program share a channel, drums go to channel 10.
    beats: [beats] seconds of the beats, rising; the tempo follows them. Beat lines of a sequencer then lie on the beats.
    bpm: constant tempo, wins over `beats`. Neither, or fewer than two beats: 120.
    ticks_per_beat: resolution, at least 24.
    track_name: name of the notes' track.

  Raises:
    ValueError: the tempo or the beats can't be written.
    OSError: the file can't be written.
  """
  if not 24 <= ticks_per_beat <= 0x7FFF:
    raise ValueError(f'{ticks_per_beat} ticks a beat; expected 24 to 32767.')
  tempos = _constant_tempo(bpm) if bpm is not None or beats is None or len(beats) < 2 else _tempo_map(beats)
  file = mido.MidiFile(type=1, ticks_per_beat=ticks_per_beat)
  file.tracks.append(_conductor(tempos, ticks_per_beat))
  file.tracks.append(_note_track(notes, _ticks(tempos, ticks_per_beat), track_name))
  handle, temporary = tempfile.mkstemp(suffix='.tmp', dir=os.path.dirname(path) or '.')
  try:
    with os.fdopen(handle, 'wb') as stream:
      file.save(file=stream)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise


def read_notes(path: str) -> Notes:
  """Reads the notes of any MIDI file, times in seconds by its tempo map.

  Raises:
    MidiError: this is no MIDI file.
    OSError: the file can't be read.
  """
  try:
    file = mido.MidiFile(path, clip=True)
    merged = mido.merge_tracks(file.tracks)
  except (EOFError, KeyError, IndexError, ValueError) as error:
    raise MidiError(f'{path} is not a readable MIDI file ({error}).') from error
  except OSError as error:
    if error.errno is not None:  # mido raises a bare OSError for content that isn't MIDI
      raise
    raise MidiError(f'{path} is not a readable MIDI file ({error}).') from error
  seconds, tempo = 0.0, 500_000
  programs = dict.fromkeys(range(16), 0)
  sounding: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
  rows = []
  for message in merged:
    seconds += message.time * tempo * 1e-6 / file.ticks_per_beat
    if message.type == 'set_tempo':
      tempo = message.tempo
    elif message.type == 'program_change':
      programs[message.channel] = message.program
    elif message.type == 'note_on' and message.velocity > 0:
      program = DRUMS if message.channel == DRUM_CHANNEL else programs[message.channel]
      sounding.setdefault((message.channel, message.note), []).append((seconds, message.velocity, program))
    elif message.type in ('note_on', 'note_off') and sounding.get((message.channel, message.note)):
      onset, velocity, program = sounding[message.channel, message.note].pop(0)
      rows.append((onset, seconds, message.note, velocity, program))
  return Notes.from_rows(rows)


def _constant_tempo(bpm: float | None) -> np.ndarray:
  bpm = DEFAULT_BPM if bpm is None else float(bpm)
  if not 4 <= bpm <= 1000:
    raise ValueError(f'The tempo is {bpm:g} beats a minute; expected 4 to 1000.')
  return np.array([round(60e6 / bpm)])


def _tempo_map(beats: np.ndarray) -> np.ndarray:
  """Microseconds of each beat from second 0 on, [beats] int64; the last one holds to the end.

  Beats are filled in before the first one, so that the file's beats are the music's beats from the start.
  """
  beats = np.asarray(beats, dtype=np.float64)
  if not np.isfinite(beats).all() or beats[0] < 0 or (np.diff(beats) <= 0).any():
    raise ValueError('The beats must be finite, not negative, and rise.')
  kept = [beats[0]]
  for beat in beats[1:]:
    if beat - kept[-1] >= SHORTEST_BEAT * 1e-6:
      kept.append(beat)
  if len(kept) < 2:
    return _constant_tempo(None)
  period = kept[1] - kept[0]
  before = round(kept[0] / period)
  # A first beat nearer to 0 than half a period is taken as 0; else whole beats, slightly stretched, lead up to it.
  lead = np.linspace(0.0, kept[0], before + 1)[:-1] if before else np.zeros(1)
  grid = np.concatenate([lead, kept] if before else [lead, kept[1:]])
  lengths = []
  clock = 0  # microseconds as written: each beat makes up for the rounding of those before it
  for end in grid[1:]:
    left = max(round(end * 1e6) - clock, 1)
    parts = -(-left // LONGEST_BEAT)  # a pause longer than a tempo event can say becomes several beats
    lengths += [left // parts] * (parts - 1) + [left - left // parts * (parts - 1)]
    clock += left
  return np.asarray(lengths, dtype=np.int64)


def _ticks(tempos: np.ndarray, ticks_per_beat: int):
  """A function from seconds, [n], to ticks, [n] int64, by the tempo map as written."""
  starts = np.concatenate([[0], np.cumsum(tempos)[:-1]])

  def convert(seconds: np.ndarray) -> np.ndarray:
    microseconds = np.maximum(np.asarray(seconds, dtype=np.float64), 0.0) * 1e6
    beat = np.searchsorted(starts, microseconds, side='right') - 1
    return np.round((beat + (microseconds - starts[beat]) / tempos[beat]) * ticks_per_beat).astype(np.int64)

  return convert


def _conductor(tempos: np.ndarray, ticks_per_beat: int) -> mido.MidiTrack:
  track = mido.MidiTrack([mido.MetaMessage('track_name', name='Tempo')])
  written_at, last = 0, None
  for beat, tempo in enumerate(tempos.tolist()):
    if tempo != last:
      tick = beat * ticks_per_beat
      track.append(mido.MetaMessage('set_tempo', tempo=tempo, time=tick - written_at))
      written_at, last = tick, tempo
  track.append(mido.MetaMessage('end_of_track'))
  return track


def _note_track(notes: Notes, ticks, name: str) -> mido.MidiTrack:
  """The notes as one track; an end comes before a beginning of the same tick, so that repeated notes are struck again."""
  # Meta text is Latin-1 in MIDI files.
  track = mido.MidiTrack([mido.MetaMessage('track_name', name=name.encode('latin-1', 'replace').decode('latin-1'))])
  programs = sorted(set(notes.program.tolist()) - {DRUMS}) or [BASS_PROGRAM]
  free = [channel for channel in range(16) if channel != DRUM_CHANNEL]
  if len(programs) > len(free):
    raise ValueError(f'{len(programs)} programs; one MIDI track has room for {len(free)}.')
  channels = dict(zip(programs, free, strict=False)) | {DRUMS: DRUM_CHANNEL}
  for program in programs:
    track.append(mido.Message('program_change', program=program, channel=channels[program]))
  begin = ticks(notes.onset)
  end = np.maximum(ticks(notes.offset), begin + 1)
  # The next note of the same key ends this one: overlapping copies of one key can't be told apart in MIDI.
  following: dict[tuple[int, int], int] = {}
  for i in reversed(range(len(notes))):
    key = (int(notes.program[i]), int(notes.pitch[i]))
    end[i] = max(min(end[i], following.get(key, end[i])), begin[i] + 1)
    following[key] = int(begin[i])
  events = []
  for i in range(len(notes)):
    channel, note = channels[int(notes.program[i])], int(notes.pitch[i])
    events.append((int(begin[i]), 1, mido.Message('note_on', channel=channel, note=note, velocity=int(notes.velocity[i]))))
    events.append((int(end[i]), 0, mido.Message('note_off', channel=channel, note=note, velocity=0)))
  events.sort(key=lambda event: event[:2])
  written_at = 0
  for tick, _, message in events:
    track.append(message.copy(time=tick - written_at))
    written_at = tick
  track.append(mido.MetaMessage('end_of_track'))
  return track
