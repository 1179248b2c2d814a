"""Files of a finished line: MIDI with a tempo map, the bass as WAV, the mix with it, and the dot's path."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile

import numpy as np

from bassnet_jax import midi_export, sonification
from bassnet_jax.studio.line import Line
from bassnet_jax.studio.sessions import Session
from bassnet_jax.studio.song import Song, native_mix

KINDS = {
  'midi': ('bass.mid', 'audio/midi'),
  'bass': ('bass.wav', 'audio/wav'),
  'mix': ('mix_with_bass.wav', 'audio/wav'),
  'path': ('path.json', 'application/json'),
}
"""Kind to file name and media type."""


@dataclasses.dataclass(frozen=True)
class Sound:
  """How a line is rendered.

  Attributes:
    timbre: 0 dull, 1 bright.
    bass_level: in the mix.
    bpm: constant tempo of the MIDI file, or None for the tempo map.
  """

  timbre: float
  bass_level: float
  bpm: float | None


def _bass(line: Line, song: Song, sound: Sound) -> np.ndarray:
  """[samples] float32, at the mix's scale."""
  return sonification.synthesise(
    line.notes, line.prediction, song.samples, song.rate, gain=song.gain, tuning=song.tuning, timbre=sound.timbre
  )


def write(kind: str, folder: str, line: Line, song: Song, session: Session, sound: Sound) -> str:
  """Writes one file into a folder. Returns its path."""
  from data_pipeline import audio

  path = os.path.join(folder, KINDS[kind][0])
  if kind == 'midi':
    midi_export.write(path, line.notes, beats=song.beats, bpm=sound.bpm)
  elif kind == 'bass':
    bass, _ = sonification.within_full_scale(_bass(line, song, sound))
    audio.save_wav(path, bass, song.rate)
  elif kind == 'mix':
    mix = native_mix(session.tracks, song.channels, song.rate, song.samples)
    audio.save_wav(path, sonification.preview_mix(mix, _bass(line, song, sound), sound.bass_level)[0], song.rate)
  else:
    with open(path, 'w', encoding='utf-8') as file:
      json.dump(line.request.position.rows(), file, indent=1)
  return path


def render(kind: str, line: Line, song: Song, session: Session, sound: Sound) -> bytes:
  """The content of one file."""
  with tempfile.TemporaryDirectory(dir=session.folder) as folder, open(write(kind, folder, line, song, session, sound), 'rb') as file:
    return file.read()
