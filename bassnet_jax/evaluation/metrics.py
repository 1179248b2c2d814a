"""Compares two lines of notes, and a line with the notes of its mix: onsets, pitches, frames, harmony.

Every metric is a share in [0, 1] and never NaN. The rule for lines without notes, the same everywhere: nothing compared with nothing is
agreement (1), nothing compared with something is none at all (0). `diatonic_rate` and `chord_tone_rate` describe one line: without a
note, or without any pitched note in the mix, nothing fits, so they are 0.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.features import FRAME_RATE
from data_pipeline.notes import Notes

ONSET_WINDOW = 0.05
"""Seconds that an onset may be early or late; the usual tolerance of MIREX note tracking and onset detection."""
CHANCE_SHIFTS = 20
DIATONIC_RADIUS = 8.0
DIATONIC_STEP = 1.0
SILENT = -1
"""Pitch of a frame in which a line is silent, in the arrays of `frame_pitch`."""

_ROUNDING = 5e-5  # mir_eval.transcription rounds distances to 4 decimals, so that 50 ms of frames (4 of 12.5 ms) is always inside
_MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])
DIATONIC = np.zeros((12, 12), dtype=bool)
"""[12 rotations, 12 pitch classes]: the 7-note diatonic collections; row r is the major scale (and its modes) on pitch class r."""
for _root in range(12):
  DIATONIC[_root, (_root + _MAJOR) % 12] = True


def _matches(reference: np.ndarray, estimate: np.ndarray, window: float) -> int:
  """Size of the maximum matching between two sets of times, each used once, that lie at most `window` seconds apart.

  Taking the earliest free pair that fits is optimal in one dimension (interval scheduling by exchange of partners), in linear time;
  mir_eval's general bipartite matching gives the same number, slowly.
  """
  tolerance = window + _ROUNDING
  wanted, played = np.sort(reference).tolist(), np.sort(estimate).tolist()
  i = j = matched = 0
  while i < len(wanted) and j < len(played):
    difference = wanted[i] - played[j]
    if difference > tolerance:
      j += 1
    elif difference < -tolerance:
      i += 1
    else:
      matched += 1
      i += 1
      j += 1
  return matched


def _f1(matched: float, estimated: float, referenced: float) -> float:
  """F1 = 2 hits / (estimated + referenced); both empty: 1."""
  return 2 * matched / (estimated + referenced) if estimated + referenced else 1.0


def _f1_by_class(estimate: Notes, reference: Notes, estimated: np.ndarray, referenced: np.ndarray, window: float) -> float:
  """Notes of different classes never match, so the classes [notes] are matched apart from each other, which stays exact."""
  shared = np.intersect1d(estimated, referenced)
  matched = sum(_matches(reference.onset[referenced == c], estimate.onset[estimated == c], window) for c in shared)
  return _f1(matched, len(estimate), len(reference))


def note_f1(estimate: Notes, reference: Notes, window: float = ONSET_WINDOW) -> float:
  """F1 of notes: onset within `window` seconds and the same semitone (mir_eval.transcription with offset_ratio=None)."""
  return _f1_by_class(estimate, reference, estimate.pitch, reference.pitch, window)


def note_pc_f1(estimate: Notes, reference: Notes, window: float = ONSET_WINDOW) -> float:
  """F1 of notes: onset within `window` seconds and the same pitch class; the headline figure."""
  return _f1_by_class(estimate, reference, estimate.pitch % 12, reference.pitch % 12, window)


def onset_f1(estimate: Notes, reference: Notes, window: float = ONSET_WINDOW) -> float:
  """F1 of onsets alone (mir_eval.onset), within `window` seconds."""
  return _f1(_matches(reference.onset, estimate.onset, window), len(estimate), len(reference))


def onset_f1_chance(
  estimate: Notes, reference: Notes, seconds: float, window: float = ONSET_WINDOW, shifts: int = CHANCE_SHIFTS, seed: int = 0
) -> float:
  """What `onset_f1` the same line gets at a wrong place: mean over random circular shifts of the estimate.

  Args:
    estimate: a line.
    reference: the true line.
    seconds: the piece's length; shifts are uniform over it, and notes pushed over its end come back at its start.
    window: seconds.
    shifts: how many.
    seed: of the shifts.
  """
  offsets = np.random.default_rng(seed).uniform(0, seconds, shifts)
  moved = [_matches(reference.onset, (estimate.onset + offset) % seconds, window) for offset in offsets]
  return _f1(float(np.mean(moved)), len(estimate), len(reference))


def frame_pitch(line: Notes, frames: int) -> np.ndarray:
  """Pitch of every frame of a line of one note at a time, on the clock of 80 frames a second.

  Returns:
    [frames] int64, MIDI note number or `SILENT`; a note lasts a frame at least, and where notes overlap the later one sounds.
  """
  pitch = np.full(frames, SILENT, dtype=np.int64)
  first = np.rint(line.onset * FRAME_RATE).astype(int)
  last = np.maximum(np.rint(line.offset * FRAME_RATE).astype(int), first + 1)
  for low, high, key in zip(np.maximum(first, 0).tolist(), np.maximum(last, 0).tolist(), line.pitch.tolist(), strict=True):
    pitch[low:high] = key
  return pitch


def _accuracy_while_sounding(estimate: np.ndarray, reference: np.ndarray, octave: int | None) -> float:
  """Share of the frames with a reference in which the estimate is the same, whole (None) or modulo `octave`."""
  sounds = reference != SILENT
  if not sounds.any():
    return float(not (estimate != SILENT).any())
  estimate, reference = estimate[sounds], reference[sounds]
  same = estimate == reference if octave is None else (estimate % octave == reference % octave) & (estimate != SILENT)
  return float(same.mean())


def pitch_accuracy(estimate: Notes, reference: Notes, frames: int) -> float:
  """Share of the frames in which the reference sounds where the estimate has the same semitone; a silent estimate is wrong."""
  return _accuracy_while_sounding(frame_pitch(estimate, frames), frame_pitch(reference, frames), None)


def pitch_class_accuracy(estimate: Notes, reference: Notes, frames: int) -> float:
  """As `pitch_accuracy`, octaves apart counting as equal."""
  return _accuracy_while_sounding(frame_pitch(estimate, frames), frame_pitch(reference, frames), 12)


def voicing_f1(estimate: Notes, reference: Notes, frames: int) -> float:
  """F1 of 'a note sounds' over frames, whatever its pitch."""
  sounding, wanted = frame_pitch(estimate, frames) != SILENT, frame_pitch(reference, frames) != SILENT
  return _f1(float((sounding & wanted).sum()), float(sounding.sum()), float(wanted.sum()))


def frame_accuracy(estimate: Notes, reference: Notes, frames: int) -> float:
  """Share of all frames with the same semitone, or 'no pitch' in both; of no frames at all: 1."""
  return float((frame_pitch(estimate, frames) == frame_pitch(reference, frames)).mean()) if frames else 1.0


def chroma_roll(mix_notes: Notes, frames: int) -> np.ndarray:
  """How many pitched notes of a mix sound in every frame, by pitch class.

  Args:
    mix_notes: notes of the mix; drums are left out.
    frames: length, 80 frames a second.

  Returns:
    [frames, 12] int64.
  """
  pitched = mix_notes.pitched
  first = np.clip(np.rint(pitched.onset * FRAME_RATE).astype(int), 0, frames)
  last = np.clip(np.maximum(np.rint(pitched.offset * FRAME_RATE).astype(int), first + 1), 0, frames)
  steps = np.zeros((frames + 1, 12), dtype=np.int64)
  np.add.at(steps, (first, pitched.pitch % 12), 1)
  np.add.at(steps, (last, pitched.pitch % 12), -1)
  return np.cumsum(steps[:frames], axis=0)


def diatonic_collections(mix_notes: Notes, frames: int, radius: float = DIATONIC_RADIUS, step: float = DIATONIC_STEP) -> np.ndarray:
  """The diatonic set around every moment: the rotation of the 7-note collection that best fits the pitched mix nearby.

  The fit is the share of the mix's notes, weighted by their duration within +-`radius` seconds, that lies inside the collection. Where
  several fit alike (a power chord fits six), the one that fits the whole piece best is taken: the order of keys must not decide.

  Args:
    mix_notes: notes of the mix; drums are left out.
    frames: length, 80 frames a second.
    radius: seconds to either side.
    step: seconds between estimates.

  Returns:
    [steps, 12] bool, row s for the moment s * `step` seconds; all False where the piece has no pitched note at all.
  """
  return collections_of_chroma(chroma_roll(mix_notes, frames), radius, step)


def collections_of_chroma(chroma: np.ndarray, radius: float = DIATONIC_RADIUS, step: float = DIATONIC_STEP) -> np.ndarray:
  """`diatonic_collections` from how strongly every pitch class sounds, [frames, 12], not negative, 80 frames a second."""
  roll, frames = np.asarray(chroma, dtype=np.float64), len(chroma)
  total = roll.sum(axis=0)
  moments = np.arange(int(np.ceil(frames / FRAME_RATE / step)) + 1) * step
  if not total.any():
    return np.zeros((len(moments), 12), dtype=bool)
  cumulative = np.concatenate([np.zeros((1, 12)), np.cumsum(roll, axis=0)])
  low, high = (np.clip(np.rint((moments + side) * FRAME_RATE).astype(int), 0, frames) for side in (-radius, radius))
  nearby = cumulative[high] - cumulative[low]
  share = nearby / np.maximum(nearby.sum(axis=1, keepdims=True), 1)
  fit = (share + 1e-6 * total / total.sum()) @ DIATONIC.T
  return DIATONIC[np.argmax(fit, axis=1)]


def diatonic_rate(estimate: Notes, collections: np.ndarray, step: float = DIATONIC_STEP) -> float:
  """Share of a line's duration on pitch classes of the diatonic set at that time.

  Args:
    estimate: a line.
    collections: [steps, 12] bool of `diatonic_collections`, with the same `step` in seconds.
    step: seconds between the rows.
  """
  pitch = frame_pitch(estimate, round((len(collections) - 1) * step * FRAME_RATE))
  frames = np.flatnonzero(pitch != SILENT)
  if not len(frames):
    return 0.0
  rows = np.minimum(np.rint(frames / FRAME_RATE / step).astype(int), len(collections) - 1)
  return float(collections[rows, pitch[frames] % 12].mean())


def chord_tone_rate(estimate: Notes, mix_notes: Notes, frames: int) -> float:
  """Share of a line's duration on pitch classes that sound in the pitched mix at that time, in any octave.

  Args:
    estimate: a line.
    mix_notes: notes of the mix; drums are left out.
    frames: the piece's length, 80 frames a second.
  """
  pitch = frame_pitch(estimate, frames)
  sounding = np.flatnonzero(pitch != SILENT)
  if not len(sounding):
    return 0.0
  return float((chroma_roll(mix_notes, frames)[sounding, pitch[sounding] % 12] > 0).mean())
