"""Checks notes that come with a recording against its sound: the octave they sound in, and whether they are of this sound at all."""

from __future__ import annotations

import numpy as np

from data_pipeline import features as ft
from data_pipeline.notes import Notes, monophonic

_SECONDS = 15.0
"""That much of the song is listened to; the estimator is the slow part."""
_FEWEST_FRAMES = 40
"""With fewer frames in which both have a pitch (0.5 s) nothing can be said."""
_LEAST_AGREEMENT = 0.5


def fitted(notes: Notes, bass: np.ndarray) -> Notes | None:
  """The notes as one line, in the octave in which they sound.

  Instruments that are written an octave higher than they sound, and sampled instruments with an octave of their own, are moved by
  whole octaves. Compared are the pitches of 15 s from the first note on with those that `audio_targets` finds.

  Args:
    notes: of the bass, on the audio's clock.
    bass: [samples] at 16 kHz.

  Returns:
    None where most of the pitches differ: late, early or other notes, which are worse than none (the targets then come from the sound).
  """
  notes = monophonic(notes.where(notes.onset < len(bass) / ft.SAMPLE_RATE))
  if not len(notes):
    return None
  begin = max(float(notes.onset[0]) - 0.1, 0.0)
  first = int(begin * ft.SAMPLE_RATE)
  heard = bass[first : first + int(_SECONDS * ft.SAMPLE_RATE)]
  frames = len(heard) // ft.HOP
  if frames < _FEWEST_FRAMES:
    return notes
  from data_pipeline import audio_targets

  _, pitch, _ = audio_targets.targets_from_audio(heard, frames)
  written = _pitch_of_frames(notes.shifted(-first / ft.SAMPLE_RATE), frames)
  both = (pitch < ft.NO_PITCH) & (written >= 0)
  if both.sum() < _FEWEST_FRAMES:
    return notes
  difference = pitch[both].astype(int) + ft.LOWEST_PITCH - written[both]
  octaves = int(np.round(np.median(difference) / 12))
  if np.mean(difference == 12 * octaves) < _LEAST_AGREEMENT:
    return None
  return notes.transposed(12 * octaves)


def _pitch_of_frames(notes: Notes, frames: int) -> np.ndarray:
  """[frames] int, MIDI pitch as written, -1 where there is no note."""
  result = np.full(frames, -1)
  for onset, offset, pitch in zip(notes.onset, notes.offset, notes.pitch, strict=True):
    result[max(round(onset * ft.FRAME_RATE), 0) : max(round(offset * ft.FRAME_RATE), 0)] = pitch
  return result
