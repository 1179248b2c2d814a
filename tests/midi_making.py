"""Little MIDI files with a bass, drums and a guitar, made by mido, for tests."""

from __future__ import annotations

import io

import mido

BEATS = 64


def midi_bytes(
  *,
  bass_key: int = 40,
  programs: tuple[int, ...] = (33,),
  bass_beats: float = 0.9,
  tempo_track: int | None = None,
  second_bass: bool = False,
  drums: bool = True,
  bass: bool = True,
  bank: bool = False,
  beats: int = BEATS,
) -> bytes:
  """A type-1 file at 120 BPM: a bass note on each beat, guitar on each half beat, drums on both.

  Args:
    bass_key: MIDI keys bass_key + (0, 3, 5, 7) take turns.
    programs: of the bass channel; the piece is divided evenly between them.
    bass_beats: length of a bass note.
    tempo_track: the track in which the tempo falls to 60 BPM after 16 beats; None: no change.
    second_bass: a second, sparser bass part (program 38) on channel 5, one octave above.
    drums, bass: whether there are any.
    bank: bank selects before the programs.
    beats: length.
  """
  tracks: list[list[tuple[float, mido.Message | mido.MetaMessage]]] = [[(0, mido.MetaMessage('set_tempo', tempo=500_000))], [], [], []]

  def note(track: int, channel: int, at: float, key: int, length: float) -> None:
    tracks[track].append((at, mido.Message('note_on', channel=channel, note=key, velocity=100)))
    tracks[track].append((at + length, mido.Message('note_off', channel=channel, note=key)))

  def program(track: int, channel: int, at: float, number: int) -> None:
    if bank:
      tracks[track].append((at, mido.Message('control_change', channel=channel, control=0, value=8)))
      tracks[track].append((at, mido.Message('control_change', channel=channel, control=32, value=3)))
    tracks[track].append((at, mido.Message('program_change', channel=channel, program=number)))

  for i, number in enumerate(programs):
    program(1, 1, i * beats / len(programs), number)
  program(2, 2, 0, 27)
  program(2, 5, 0, 38)
  for beat in range(beats):
    if bass:
      note(1, 1, beat, bass_key + (0, 3, 5, 7)[beat % 4], bass_beats)
    if second_bass and beat % 2 == 0:
      note(2, 5, beat, bass_key + 12, 0.5)
    for half in (0, 0.5):
      note(2, 2, beat + half, 64 + (0, 3, 5, 7)[beat % 4], 0.4)
      if drums:
        note(3, 9, beat + half, 36 if half == 0 else 42, 0.1)
  if tempo_track is not None:
    tracks[tempo_track].append((16, mido.MetaMessage('set_tempo', tempo=1_000_000)))
  midi = mido.MidiFile(type=1, ticks_per_beat=480)
  for events in tracks:
    track, now = mido.MidiTrack(), 0
    # Ends before beginnings at one time, as sequencers write them.
    for at, message in sorted(events, key=lambda item: (round(item[0] * 480), item[1].type == 'note_on')):
      tick = round(at * 480)
      track.append(message.copy(time=tick - now))
      now = tick
    midi.tracks.append(track)
  file = io.BytesIO()
  midi.save(file=file)
  return file.getvalue()
