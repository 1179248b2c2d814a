"""Renders notes to audio with sampled instruments: tinysoundfont and a General MIDI SoundFont."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Literal

import numpy as np

from data_pipeline.notes import DRUMS, Notes

SAMPLE_RATE = 16_000
DRUM_CHANNEL = 9
_GAIN_DB = -6.0


@dataclasses.dataclass(frozen=True)
class Event:
  """One MIDI channel event.

  Attributes:
    time: seconds.
    channel: 0..15; `DRUM_CHANNEL` plays the drum kit.
    kind: 'on' (a = key, b = velocity), 'off' (a = key), 'program' (a), 'control' (a = number, b = value),
      'bend' (a = 0..16383, 8192 is none).
  """

  time: float
  channel: int
  kind: Literal['on', 'off', 'program', 'control', 'bend']
  a: int
  b: int = 0


@dataclasses.dataclass(frozen=True)
class Instruments:
  """Who plays.

  Attributes:
    soundfont: path of a General MIDI .sf2; None: `default_soundfont()`.
    programs: (as written, as played) pairs; programs that aren't named are played as written.
    kit: program of the drum kit: 0 standard, 8 room, 16 power, 24 electronic, 25 TR-808, 32 jazz, 40 brush.
  """

  soundfont: str | None = None
  programs: tuple[tuple[int, int], ...] = ()
  kit: int = 0


# At one time: programs and controls first, then note ends, then note starts; a note struck again is thereby not cut off.
_ORDER = {'program': 0, 'control': 1, 'bend': 1, 'off': 2, 'on': 3}


def default_soundfont() -> str:
  """Path of the SoundFont inside the installed package pretty_midi (TimGM6mb, GPL-2; used from there, never copied)."""
  import pretty_midi

  path = os.path.join(os.path.dirname(pretty_midi.__file__), 'TimGM6mb.sf2')
  if not os.path.exists(path):
    raise FileNotFoundError(f'{path} is missing: pretty_midi 0.2.9 or later brings it; run `pip install --upgrade pretty_midi`')
  return path


def check_soundfont(path: str) -> None:
  """Raises ValueError: no SoundFont 2 file; what was found and what to do."""
  if not os.path.isfile(path):
    raise ValueError(f'{path}: no such file; a General MIDI SoundFont (.sf2) is expected. Check the path.')
  with open(path, 'rb') as file:
    head = file.read(12)
  if head[:4] != b'RIFF' or head[8:] != b'sfbk':
    raise ValueError(f'{path}: not a SoundFont 2 file (it begins with {head!r}); a General MIDI .sf2 is expected, not .sf3 or .sfz')


def _synthesizer(soundfont: str):
  """A new synthesizer with a SoundFont loaded (15 ms). A used one remembers rounding errors: not bit-identical."""
  try:
    import tinysoundfont
  except ImportError as error:
    raise ModuleNotFoundError(
      'tinysoundfont is not installed; it renders the songs. Run `pip install --no-deps tinysoundfont` '
      '(--no-deps: its other requirement, pyaudio, is for live playback only and has no wheel)'
    ) from error
  synth = tinysoundfont.Synth(gain=_GAIN_DB, samplerate=SAMPLE_RATE)
  return synth, synth.sfload(soundfont, max_voices=256)


def render(events: Sequence[Event], seconds: float, instruments: Instruments | None = None) -> np.ndarray:
  """Renders events to mono audio, sample-accurately and deterministically.

  Args:
    events: in any order.
    seconds: length of the result; what sounds later is cut.
    instruments: who plays; default: the programs as written, by `default_soundfont()`.

  Returns:
    [samples] float32 at 16 kHz, dry, not normalised: renderings of disjoint channels add up to the rendering of all.
  """
  instruments = instruments or Instruments()
  played = dict(instruments.programs)
  synth, font = _synthesizer(instruments.soundfont or default_soundfont())
  for channel in range(16):
    drums = channel == DRUM_CHANNEL
    synth.program_select(channel, font, 128 if drums else 0, instruments.kit if drums else played.get(0, 0), drums)
    for control, value in ((121, 0), (7, 100), (10, 64), (11, 127)):
      synth.control_change(channel, control, value)
    synth.pitchbend(channel, 8192)
  total = int(round(seconds * SAMPLE_RATE))
  stereo = np.zeros((total, 2), dtype=np.float32)
  position = 0
  for event in sorted(events, key=lambda e: (e.time, _ORDER[e.kind])):
    at = min(max(int(round(event.time * SAMPLE_RATE)), 0), total)
    if at > position:
      synth.generate_simple(at - position, buffer=memoryview(stereo[position:at]).cast('B'))
      position = at
    if at >= total:
      break
    if event.kind == 'on':
      synth.noteon(event.channel, event.a, event.b)
    elif event.kind == 'off':
      synth.noteoff(event.channel, event.a)
    elif event.kind == 'control':
      synth.control_change(event.channel, event.a, event.b)
    elif event.kind == 'bend':
      synth.pitchbend(event.channel, event.a)
    elif event.channel != DRUM_CHANNEL:
      synth.program_select(event.channel, font, 0, played.get(event.a, event.a))
  if position < total:
    synth.generate_simple(total - position, buffer=memoryview(stereo[position:]).cast('B'))
  return stereo.mean(axis=1)


def events_from_notes(notes: Notes, volumes: dict[int, int] | None = None) -> list[Event]:
  """Events for `render`: one channel a program, drums on `DRUM_CHANNEL`.

  Args:
    notes: with at most 15 different programs besides the drums.
    volumes: program -> MIDI volume 0..127 (default 100).

  Raises:
    ValueError: more programs than channels.
  """
  programs = sorted(set(notes.program.tolist()) - {DRUMS})
  free = [channel for channel in range(16) if channel != DRUM_CHANNEL]
  if len(programs) > len(free):
    raise ValueError(f'{len(programs)} programs at once; MIDI has {len(free)} channels for them')
  channels = {DRUMS: DRUM_CHANNEL, **dict(zip(programs, free, strict=False))}
  events = [Event(0.0, channels[program], 'program', program) for program in programs]
  for program, volume in (volumes or {}).items():
    if program in channels:
      events.append(Event(0.0, channels[program], 'control', 7, volume))
  for onset, offset, pitch, velocity, program in notes.rows():
    channel, key = channels[int(program)], int(pitch)
    events += [Event(onset, channel, 'on', key, int(velocity)), Event(offset, channel, 'off', key)]
  return events
