"""The features of a song, their constants, and the per-song file that holds them (stage 1 of the build). numpy only."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile

import numpy as np

from data_pipeline import npz_file, storage
from data_pipeline.notes import Notes

VERSION = '1.1.0'
"""Version of everything that makes features: raise it when their values change, and every dataset is built anew."""

SAMPLE_RATE = 16_000
HOP = 200
FRAME_RATE = SAMPLE_RATE // HOP  # 80 frames a second, 12.5 ms each
BINS_PER_OCTAVE = 24
LOWEST_FREQUENCY = 27.5  # A0, MIDI 21, is the centre of bin 0
LOWEST_BIN_PITCH = 21
MIX_BINS = 192
BASS_BINS = 144

LOWEST_PITCH = 23
HIGHEST_PITCH = 67
PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1
NO_PITCH = PITCHES
"""Class of a frame in which the bass is silent; classes 0..44 are MIDI 23..67."""
UNLABELLED = 255
"""Pitch of a frame whose truth isn't known; it's left out of the pitch loss."""
LEVEL_FLOOR_DB = -60.0
AUDIBLE = 0.1
"""Level (-54 dB) above which a frame of the bass counts."""

EXCERPT_FRAMES = 1024
"""Frames of an excerpt, the unit of a TFDS example: 12.8 s."""
CONTEXT_FRAMES = 256
"""Frames of real context that an excerpt carries on both sides: the longest that a model may ask for."""


class FeatureFileError(ValueError):
  """A feature file is damaged or of another version."""


@dataclasses.dataclass(frozen=True)
class Features:
  """Everything that is known of one song, on a clock of 80 frames a second; frame t is centred at t / 80 seconds.

  Attributes:
    id, split, licence, credit: as in `Song`.
    mix: [frames, 192] float16, log1p-compressed constant-Q magnitudes of the mix.
    bass: [frames, 144] float16, the same of the bass.
    pitch: [frames] uint8, 0..44 = MIDI 23..67, `NO_PITCH`, or `UNLABELLED`.
    onset: [frames] uint8, 1 on the frame nearest to a note's beginning.
    level: [frames] float16, RMS in dB from -60 to 0, mapped to 0..1.
    gain: factor that brought the mix to its fixed loudness; audio at this gain made the features.
    tuning: cents from A440 that the features were compensated for.
    notes: the bass notes.
    mix_notes: the notes of the mix, or None.
    beats: [beats] seconds, or None.
    patterns: bass notes of every pattern (artificial sets), or ().
    pattern: index of the pattern that is played, or -1.
  """

  id: str
  split: str
  licence: str
  credit: str
  mix: np.ndarray
  bass: np.ndarray
  pitch: np.ndarray
  onset: np.ndarray
  level: np.ndarray
  gain: float
  tuning: float
  notes: Notes
  mix_notes: Notes | None = None
  beats: np.ndarray | None = None
  patterns: tuple[Notes, ...] = ()
  pattern: int = -1

  @property
  def frames(self) -> int:
    return len(self.mix)

  @property
  def seconds(self) -> float:
    return self.frames / FRAME_RATE


_ARRAYS = ('mix', 'bass', 'pitch', 'onset', 'level')
_SCALARS = ('id', 'split', 'licence', 'credit', 'gain', 'tuning', 'pattern')


def save(features: Features, path: str) -> None:
  """Writes a feature file (.npz): under a temporary name first, then renamed, so that it's whole or absent."""
  members = {name: getattr(features, name) for name in _ARRAYS}
  members['notes'] = features.notes.rows()
  if features.mix_notes is not None:
    members['mix_notes'] = features.mix_notes.rows()
  if features.beats is not None:
    members['beats'] = np.asarray(features.beats, dtype=np.float64)
  for i, pattern in enumerate(features.patterns):
    members[f'pattern_{i}'] = pattern.rows()
  header = {'version': VERSION, 'patterns': len(features.patterns)} | {name: getattr(features, name) for name in _SCALARS}
  members['header'] = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
  if storage.is_remote(path):
    content = io.BytesIO()
    np.savez(content, **members)
    storage.write_bytes(path, content.getvalue())
    return
  handle, temporary = tempfile.mkstemp(suffix='.tmp', dir=os.path.dirname(path))
  try:
    with os.fdopen(handle, 'wb') as file:
      np.savez(file, **members)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise


def load(path: str) -> Features:
  """Reads a feature file.

  Raises:
    FeatureFileError: the file is damaged, or another version of this package wrote it.
  """
  try:
    members = npz_file.read(path)
    header = json.loads(members['header'].tobytes())
    if header['version'] != VERSION:
      raise FeatureFileError(
        f'{path}: features of version {str(header["version"])[:20]}; this package makes {VERSION}. Delete its dataset and build it anew.'
      )
    optional = {
      'mix_notes': Notes.from_rows(members['mix_notes']) if 'mix_notes' in members else None,
      'beats': members['beats'] if 'beats' in members else None,
      'patterns': tuple(Notes.from_rows(members[f'pattern_{i}']) for i in range(header['patterns'])),
    }
    arrays = {name: members[name] for name in _ARRAYS}
    frames = len(arrays['mix'])
    shapes = {'mix': (frames, MIX_BINS), 'bass': (frames, BASS_BINS)} | dict.fromkeys(('pitch', 'onset', 'level'), (frames,))
    for name, shape in shapes.items():
      if arrays[name].shape != shape:
        raise ValueError(f'{name} has shape {arrays[name].shape}, not {shape}')
    return Features(**arrays, notes=Notes.from_rows(members['notes']), **optional, **{name: header[name] for name in _SCALARS})
  except (FeatureFileError, FileNotFoundError):
    raise
  except (KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError) as error:
    raise FeatureFileError(f'{path}: not a readable feature file ({str(error)[:300]}). Delete it and run the build again.') from error


def frames_of(path: str) -> int:
  """Frames of the song in a feature file, of which it reads little on a local disk.

  Raises:
    FeatureFileError: the file is damaged.
  """
  try:
    return len(npz_file.read(path, ('pitch',))['pitch'])
  except (npz_file.ArrayFileError, KeyError, TypeError) as error:
    raise FeatureFileError(f'{path}: not a readable feature file ({str(error)[:300]}). Delete it and run the build again.') from error


def frame_targets(notes: Notes, frames: int) -> tuple[np.ndarray, np.ndarray]:
  """Pitch class and onset of every frame from a line of notes, one at a time.

  Returns:
    pitch: [frames] uint8, 0..44 or `NO_PITCH`; notes outside MIDI 23..67 are moved by octaves into it.
    onset: [frames] uint8, 0 or 1.
  """
  pitch = np.full(frames, NO_PITCH, dtype=np.uint8)
  onset = np.zeros(frames, dtype=np.uint8)
  for start, end, key in zip(notes.onset, notes.offset, into_range(notes.pitch), strict=True):
    first = int(round(start * FRAME_RATE))
    last = max(int(round(end * FRAME_RATE)), first + 1)
    pitch[first:last] = key - LOWEST_PITCH
    if 0 <= first < frames:
      onset[first] = 1
  return pitch, onset


def into_range(pitch: np.ndarray, lowest: int = LOWEST_PITCH, highest: int = HIGHEST_PITCH) -> np.ndarray:
  """Moves MIDI pitches by octaves into lowest..highest; the range must span an octave at least."""
  pitch = np.asarray(pitch)
  up = np.ceil(np.maximum(lowest - pitch, 0) / 12).astype(int)
  down = np.ceil(np.maximum(pitch - highest, 0) / 12).astype(int)
  return pitch + 12 * (up - down)


def level_of(audio: np.ndarray, frames: int) -> np.ndarray:
  """RMS around every frame (25 ms windows), in dB from -60 to 0 full scale, mapped to 0..1.

  Args:
    audio: [samples] at 16 kHz.

  Returns:
    [frames] float32.
  """
  power = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
  centres = np.arange(frames) * HOP
  low, high = np.clip(centres - HOP, 0, len(audio)), np.clip(centres + HOP, 0, len(audio))
  mean = (power[high] - power[low]) / np.maximum(high - low, 1)
  decibels = 10 * np.log10(np.maximum(mean, 1e-12))
  return np.clip(1 - decibels / LEVEL_FLOOR_DB, 0, 1).astype(np.float32)
