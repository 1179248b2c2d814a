"""Sounds a bass line with an instrument of a SoundFont (.sf2, .sf3) by tinysoundfont, which is imported when it is asked for."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from bassnet_jax.decoding import BASS_PROGRAM
from bassnet_jax.sonification import RELEASE
from data_pipeline.notes import Notes

INSTALL = 'pip install --no-deps tinysoundfont'
_GAIN = -6.0  # dB; the level is set afterwards
_VOICES = 64
_BEND_SEMITONES = 2.0


class SoundFontError(ValueError):
  """A SoundFont can't be used; the message says why in plain words."""


@dataclasses.dataclass(frozen=True)
class Instrument:
  """One sound of a SoundFont.

  Attributes:
    path: of the file.
    bank, program: counted from 0.
    name: as the file has it.
  """

  path: str
  bank: int
  program: int
  name: str


def find(path: str | os.PathLike, program: int | None = None) -> Instrument:
  """An instrument of a file.

  Args:
    path: of the SoundFont.
    program: counted from 0, in the lowest bank that has it; None: the finger bass (33), or where there is none the file's first sound.

  Raises:
    SoundFontError: tinysoundfont is missing, the file can't be read, or has no such program.
  """
  path = os.fspath(path)
  font = _load(path)
  sounds = {}
  for bank in range(128):  # bank 128 is the drums
    for number in range(128):
      name = font.get_preset_name(bank, number)
      if name not in (None, '', '<None>'):
        sounds.setdefault(number, (bank, name))
  if not sounds:
    raise SoundFontError(f'{path} has no instrument besides drums. Give another --soundfont.')
  wanted = program
  if wanted is None:
    wanted = BASS_PROGRAM if BASS_PROGRAM in sounds else min(sounds)
  if wanted not in sounds:
    some = ', '.join(f'{number} {name}' for number, (_, name) in sorted(sounds.items())[:40])
    more = ', ...' if len(sounds) > 40 else ''
    raise SoundFontError(f'{path} has no program {wanted} (counted from 0); it has {some}{more}. Give one of these.')
  return Instrument(path, sounds[wanted][0], wanted, sounds[wanted][1])


class SoundFontVoice:
  """A line on one instrument. It is rendered from beginning to end: a synthesizer has a state."""

  def __init__(self, notes: Notes, instrument: Instrument, samples: int, sample_rate: int, tuning: float = 0.0):
    """Prepares the synthesizer.

    Args:
      notes: the line.
      instrument: of `find`.
      samples: length of the whole output; its last 30 ms are faded, so that a ringing note doesn't end in a click.
      sample_rate: Hz.
      tuning: cents from A440.

    Raises:
      SoundFontError: as `find`.
    """
    self._font = _load(instrument.path)
    mode = _tinysoundfont().OutputMode.StereoInterleaved
    self._font.set_output(mode, sample_rate, _GAIN)
    self._font.set_max_voices(_VOICES)
    self._font.channel_set_bank(0, instrument.bank)
    self._font.channel_set_preset_number(0, instrument.program, False)
    self._font.channel_set_pitch_range(0, _BEND_SEMITONES)
    self._font.channel_set_pitch_wheel(0, int(np.clip(round(8192 * (1 + tuning / 100 / _BEND_SEMITONES)), 0, 16383)))
    self._rate, self._samples, self._at = sample_rate, samples, 0
    begin, end = (np.round(moments * sample_rate).astype(np.int64) for moments in (notes.onset, notes.offset))
    keys, velocities = notes.pitch.tolist(), notes.velocity.tolist()
    ends = [(sample, 0, key, 0) for sample, key in zip(end.tolist(), keys, strict=True)]
    begins = [(sample, 1, key, velocity) for sample, key, velocity in zip(begin.tolist(), keys, velocities, strict=True)]
    self._events = sorted(ends + begins)  # of one moment, ends come first
    self._next = 0

  def render(self, start: int, stop: int) -> np.ndarray:
    """Samples `start` to `stop`, [stop - start] float32, mono.

    Raises:
      ValueError: the part doesn't begin where the last one ended.
    """
    if start != self._at:
      raise ValueError(f'The part begins at sample {start}; a SoundFont is played in order, and sample {self._at} is next.')
    stereo = np.zeros((stop - start, 2), dtype=np.float32)
    while self._at < stop:
      while self._next < len(self._events) and self._events[self._next][0] <= self._at:
        _, begins, key, velocity = self._events[self._next]
        if begins:
          self._font.channel_note_on(0, key, velocity / 127)
        else:
          self._font.channel_note_off(0, key)
        self._next += 1
      until = min(self._events[self._next][0], stop) if self._next < len(self._events) else stop
      self._font.render(memoryview(stereo[self._at - start : until - start]).cast('B'), False)
      self._at = until
    left = (self._samples - np.arange(start, stop)) / self._rate
    return stereo.mean(axis=1) * np.clip(left / RELEASE, 0, 1).astype(np.float32)


def _tinysoundfont():
  try:
    from tinysoundfont import _tinysoundfont as library
  except ImportError as error:
    raise SoundFontError(f'tinysoundfont is not installed, which plays SoundFonts: run `{INSTALL}`, or leave --soundfont out.') from error
  return library


def _load(path: str):
  library = _tinysoundfont()
  if not os.path.isfile(path):
    found = 'a folder' if os.path.isdir(path) else 'there is no such file'
    raise SoundFontError(f'{path}: {found}; expected a SoundFont (.sf2 or .sf3). Check the path.')
  try:
    with open(path, 'rb') as file:
      head = file.read(12)
    if head[:4] != b'RIFF' or head[8:] != b'sfbk':  # the library itself may crash on anything else
      raise SoundFontError(f'{path} is not a SoundFont: it begins with {head!r}; expected a .sf2 or .sf3 file. Give another one.')
    return library.SoundFont(path)
  except OSError as error:
    raise SoundFontError(f'{path} cannot be read: {error.strerror or error}. Look at its permissions.') from error
  except RuntimeError as error:
    raise SoundFontError(f'{path} is a damaged SoundFont ({error}). Copy it again, or give another one.') from error
