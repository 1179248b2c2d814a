"""Writes notes as a MIDI file with a tempo map that keeps their times in seconds, and reads such files back."""

from __future__ import annotations

import os
import tempfile

import mido
import numpy as np

from bassnet_jax import tempo as tempos
from bassnet_jax.decoding import BASS_PROGRAM
from bassnet_jax.tempo import TICKS_PER_BEAT, TempoMap, open_midi
from data_pipeline.notes import DRUMS, Notes

DRUM_CHANNEL = 9


def write(
  path: str,
  notes: Notes,
  *,
  beats: np.ndarray | None = None,
  bpm: float | None = None,
  tempo_map: TempoMap | None = None,
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
    tempo_map: wins over both, and brings its own resolution.
    ticks_per_beat: resolution, at least 24.
    track_name: name of the notes' track.

  Raises:
    ValueError: the tempo or the beats can't be written.
    OSError: the file can't be written.
  """
  if not 24 <= ticks_per_beat <= 0x7FFF:
    raise ValueError(f'{ticks_per_beat} ticks a beat; expected 24 to 32767.')
  if tempo_map is None:
    by_beats = bpm is None and beats is not None
    tempo_map = tempos.from_beats(beats, ticks_per_beat) if by_beats else tempos.constant(bpm, ticks_per_beat)
  file = mido.MidiFile(type=1, ticks_per_beat=tempo_map.ticks_per_beat)
  file.tracks.append(_conductor(tempo_map))
  file.tracks.append(_note_track(notes, tempo_map, track_name))
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
    TempoError: this is no MIDI file.
    OSError: the file can't be read.
  """
  file, messages = open_midi(path)
  seconds, tempo, before = 0.0, 500_000, 0
  programs = dict.fromkeys(range(16), 0)
  sounding: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
  rows = []
  for tick, message in messages:
    seconds += (tick - before) * tempo * 1e-6 / file.ticks_per_beat
    before = tick
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


def _conductor(tempo_map: TempoMap) -> mido.MidiTrack:
  """The first track: time signatures and tempo changes."""
  events = [(tick, 0, mido.MetaMessage('time_signature', numerator=n, denominator=d)) for tick, n, d in tempo_map.signatures]
  changes = zip(tempo_map.ticks.tolist(), tempo_map.tempos.tolist(), strict=True)
  events += [(tick, 1, mido.MetaMessage('set_tempo', tempo=tempo)) for tick, tempo in changes]
  return _ended(mido.MidiTrack([mido.MetaMessage('track_name', name='Tempo')]), events)


def _note_track(notes: Notes, tempo_map: TempoMap, name: str) -> mido.MidiTrack:
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
  begin, end = (np.round(tempo_map.ticks_of(moments)).astype(np.int64) for moments in (notes.onset, notes.offset))
  end = np.maximum(end, begin + 1)
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
  return _ended(track, events)


def _ended(track: mido.MidiTrack, events: list[tuple[int, int, mido.Message | mido.MetaMessage]]) -> mido.MidiTrack:
  """The track with its events (tick, order within the tick, message) and its end; MIDI counts ticks from message to message."""
  written_at = 0
  for tick, _, message in sorted(events, key=lambda event: event[:2]):
    track.append(message.copy(time=tick - written_at))
    written_at = tick
  track.append(mido.MetaMessage('end_of_track'))
  return track
