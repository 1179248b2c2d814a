"""Pitch, onsets and notes of a bass of which only the audio is known, with the frames marked that nobody can be sure of.

Two estimators (pYIN and YIN, see `pitch_tracking`) must agree on a frame's pitch; else it's `UNLABELLED` and left out of the loss.
Measure it on rendered basses whose notes are known:

  python -m data_pipeline.audio_targets --measure --manual_dir=FOLDER_WITH_FREEDOOM
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import time

import numpy as np
import soxr

from data_pipeline import commands, compiler_cache
from data_pipeline.features import FRAME_RATE, HOP, LEVEL_FLOOR_DB, LOWEST_PITCH, NO_PITCH, SAMPLE_RATE, UNLABELLED, into_range, level_of
from data_pipeline.notes import Notes

_PITCH_RATE = 8_000
"""Pitch is estimated at half the rate: as exact, and faster."""
_PITCH_FRAME = 1024  # 128 ms: four periods of the lowest note
_LOWEST_HZ, _HIGHEST_HZ = 29.0, 415.0  # B0 (30.87) to G4 (392) with room for a tuning of half a semitone
_AGREEMENT = 0.5  # semitones
_GATE_BELOW_LOUD_DB = 36.0
_GATE_FLOOR_DB = -58.0
_SHORTEST_GAP = 3  # frames; shorter holes in the level are tremolo, not rests
_SHORTEST_NOTE = 4  # frames, 50 ms
_ATTACK = 5  # frames after an onset in which the estimators' window still holds the note before
_MOST_FALL_DB = 3.0  # a string struck while it rings needn't get louder, but doesn't get much softer
_CLOSEST_ONSETS = 6  # frames, 75 ms: faster than a bass is played
_LEAST_LABELLED = 0.25  # share of a note's frames on which both must have agreed
_BASS_PROGRAM = 33


def targets_from_audio(bass: np.ndarray, frames: int, tuning: float | None = None) -> tuple[Notes, np.ndarray, np.ndarray]:
  """Estimates what a bass plays.

  Args:
    bass: [samples] mono at 16 kHz.
    frames: how many, of 80 a second; frame t is centred at t / 80 s.
    tuning: cents from A440; None estimates it from the bass itself.

  Returns:
    notes: those whose pitch is known, one at a time (velocity from their level).
    pitch: [frames] uint8, 0..44 = MIDI 23..67, `NO_PITCH` where the bass is silent, `UNLABELLED` where the estimators disagree.
    onset: [frames] uint8, 1 where a note begins, be its pitch known or not.

  Raises:
    ValueError: samples that are no numbers.
  """
  if not np.isfinite(bass).all():
    raise ValueError('the bass has samples that are no numbers (NaN or infinite)')
  audio = np.zeros(frames * HOP, dtype=np.float32)
  audio[: min(len(bass), len(audio))] = bass[: len(audio)]
  level = level_of(audio, frames)
  sounding = _sounding(level)
  if not sounding.any():
    return Notes.empty(), np.full(frames, NO_PITCH, dtype=np.uint8), np.zeros(frames, dtype=np.uint8)
  agreed = _agreed_pitch(audio, frames)
  agreed[~sounding] = np.nan
  agreed -= (_tuning(agreed) if tuning is None else tuning) / 100
  semitone = np.where(np.isnan(agreed), -1, np.round(np.nan_to_num(agreed))).astype(np.int64)
  starts, ends = _segments(semitone, sounding, _struck(level, sounding, _onset_frames(audio, frames)))

  pitch = np.where(sounding, UNLABELLED, NO_PITCH).astype(np.uint8)
  known = semitone >= 0
  pitch[known] = into_range(semitone[known]) - LOWEST_PITCH
  onset = np.zeros(frames, dtype=np.uint8)
  onset[starts] = 1
  rows = []
  for start, end in zip(starts, ends, strict=True):
    inside = semitone[start:end]
    labelled = inside[inside >= 0]
    if len(labelled) < max(_LEAST_LABELLED * (end - start), 2):
      continue
    key = int(np.bincount(labelled).argmax())
    attack = slice(start, min(start + _ATTACK, end))
    stale = (semitone[attack] >= 0) & (semitone[attack] != key)
    pitch[attack][stale] = UNLABELLED
    loudest = float(level[start:end].max())
    rows.append(
      (start / FRAME_RATE, end / FRAME_RATE, int(into_range(np.asarray(key))), int(np.clip(round(127 * loudest), 1, 127)), _BASS_PROGRAM)
    )
  return Notes.from_rows(rows), pitch, onset


def _sounding(level: np.ndarray) -> np.ndarray:
  """[frames] bool: louder than 36 dB below the bass's loud moments; short holes are filled."""
  decibels = 60 * (level - 1)
  gate = max(float(np.percentile(decibels, 95)) - _GATE_BELOW_LOUD_DB, _GATE_FLOOR_DB)
  sounding = decibels > gate
  edges = np.flatnonzero(np.diff(sounding.astype(np.int8))) + 1
  for start, end in itertools.pairwise(edges):
    if not sounding[start] and end - start < _SHORTEST_GAP:
      sounding[start:end] = True
  return sounding


def _agreed_pitch(audio: np.ndarray, frames: int) -> np.ndarray:
  """[frames] MIDI pitch with fractions, NaN where pyin and yin are half a semitone or more apart."""
  librosa = compiler_cache.librosa()
  from data_pipeline.pitch_tracking import Tracker

  slow = soxr.resample(audio, SAMPLE_RATE, _PITCH_RATE)
  tracker = Tracker(_LOWEST_HZ, _HIGHEST_HZ, _PITCH_RATE, _PITCH_FRAME, _PITCH_RATE // FRAME_RATE)
  both = [_length(librosa.hz_to_midi(hertz), frames) for hertz in tracker.estimates(slow)]
  return np.where(np.abs(both[0] - both[1]) < _AGREEMENT, (both[0] + both[1]) / 2, np.nan)


def _onset_frames(audio: np.ndarray, frames: int) -> np.ndarray:
  """Frames in which something is struck, by spectral flux."""
  librosa = compiler_cache.librosa()
  strength = librosa.onset.onset_strength(y=audio, sr=SAMPLE_RATE, hop_length=HOP, n_fft=1024)
  found = librosa.onset.onset_detect(onset_envelope=strength, sr=SAMPLE_RATE, hop_length=HOP, units='frames')
  return found[found < frames].astype(np.int64)


def _tuning(midi: np.ndarray) -> float:
  """Cents by which the pitches lie off the semitones, -50..50: their circular mean."""
  known = midi[~np.isnan(midi)]
  return float(100 * np.angle(np.exp(2j * np.pi * known).mean()) / (2 * np.pi)) if len(known) else 0.0


def _struck(level: np.ndarray, sounding: np.ndarray, candidates: np.ndarray) -> np.ndarray:
  """Frames in which the bass is struck or sets in: where spectral flux or the level says so; of close neighbours the steepest.

  The end of a note makes a click that spectral flux takes for a beginning; there the level falls, and it's left out.
  """
  rises = np.flatnonzero(sounding & ~np.concatenate([[False], sounding[:-1]]))
  ahead = np.concatenate([sounding[2:], [False, False]])
  good = [
    frame for frame in np.union1d(rises, candidates).tolist() if ahead[frame] and (frame == 0 or _rise(level, frame) > -_MOST_FALL_DB)
  ]
  kept: list[int] = []
  for frame in good:
    if kept and frame - kept[-1] < _CLOSEST_ONSETS:
      if _rise(level, frame) > _rise(level, kept[-1]):
        kept[-1] = frame
    else:
      kept.append(frame)
  return np.asarray(kept, dtype=np.int64)


def _rise(level: np.ndarray, frame: int) -> float:
  """Decibels by which the level rises from just before a frame to just after it."""
  return -LEVEL_FLOOR_DB * float(level[min(frame + 3, len(level) - 1)] - level[max(frame - 2, 0)])


def _segments(semitone: np.ndarray, sounding: np.ndarray, struck: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """First frames of notes and the frames after their last: they begin where the bass is struck or changes its pitch."""
  begins = struck.tolist()
  for frame in _pitch_changes(semitone):
    if all(abs(frame - other) > 2 * _ATTACK - 2 for other in begins):
      begins.append(frame)
  starts = np.asarray(sorted(begins), dtype=np.int64)
  limits = np.append(starts, len(sounding))[1:]
  ends = []
  for start, limit in zip(starts, limits, strict=True):
    silent = np.flatnonzero(~sounding[start + _SHORTEST_GAP : limit])
    ends.append(start + _SHORTEST_GAP + silent[0] if len(silent) else limit)
  return starts, np.minimum(np.asarray(ends, dtype=np.int64), len(sounding))


def _pitch_changes(semitone: np.ndarray) -> list[int]:
  """Frames in which a pitch begins that lasts and isn't the one that lasted before."""
  changes, before = [], -1
  position = 0
  for value, run in itertools.groupby(semitone.tolist()):
    length = len(list(run))
    if value >= 0 and length >= _SHORTEST_NOTE:
      if before >= 0 and value != before:
        changes.append(position)
      before = value
    position += length
  return changes


def _length(values: np.ndarray, frames: int) -> np.ndarray:
  """[frames] float64: cut, or continued by NaN."""
  result = np.full(frames, np.nan)
  result[: min(frames, len(values))] = values[:frames]
  return result


@dataclasses.dataclass(frozen=True)
class Accuracy:
  """How well `targets_from_audio` does on one bass whose notes are known; shares from 0 to 1.

  Attributes:
    pitch: raw pitch accuracy (50 cents) over the frames that have a label and a true pitch.
    unlabelled: share of the truly pitched frames that are `UNLABELLED`.
    missed: share of the truly pitched frames that are called silent.
    false_alarm: share of the truly silent frames that got a pitch.
    onset_f1: within 50 ms.
    note_f1: onset within 50 ms and pitch within 50 cents.
    times_realtime: seconds of audio a second.
  """

  pitch: float
  unlabelled: float
  missed: float
  false_alarm: float
  onset_f1: float
  note_f1: float
  times_realtime: float


def measure(bass: np.ndarray, notes: Notes) -> Accuracy:
  """Compares the estimate from a bass's audio [samples] at 16 kHz with its notes."""
  import mir_eval

  from data_pipeline.features import frame_targets

  frames = len(bass) // HOP
  begun = time.perf_counter()
  found, pitch, onset = targets_from_audio(bass, frames)
  taken = time.perf_counter() - begun
  truth, _ = frame_targets(notes, frames)
  played = truth != NO_PITCH
  given = (pitch != UNLABELLED) & (pitch != NO_PITCH)
  compared = played & given
  cents = [100.0 * (values[compared].astype(np.float64) + LOWEST_PITCH) for values in (truth, pitch)]
  voiced = np.ones(int(compared.sum()))
  accuracy = mir_eval.melody.raw_pitch_accuracy(voiced, cents[0], voiced, cents[1], cent_tolerance=50) if compared.any() else 0.0
  note_f1 = 0.0
  if len(found) and len(notes):
    spans = [np.stack([line.onset, line.offset], axis=1) for line in (notes, found)]
    hertz = [440 * 2 ** ((into_range(line.pitch) - 69) / 12) for line in (notes, found)]
    note_f1 = mir_eval.transcription.precision_recall_f1_overlap(spans[0], hertz[0], spans[1], hertz[1], offset_ratio=None)[2]
  return Accuracy(
    pitch=float(accuracy),
    unlabelled=float(np.mean(pitch[played] == UNLABELLED)) if played.any() else 0.0,
    missed=float(np.mean(pitch[played] == NO_PITCH)) if played.any() else 0.0,
    false_alarm=float(np.mean(given[~played])) if not played.all() else 0.0,
    onset_f1=float(mir_eval.onset.f_measure(notes.onset, np.flatnonzero(onset) / FRAME_RATE, window=0.05)[0]),
    note_f1=float(note_f1),
    times_realtime=len(bass) / SAMPLE_RATE / taken,
  )


@commands.plain_errors()
def main(arguments: list[str] | None = None) -> int:
  """Prints the table of `measure` over pieces of Freedoom: the first usable ones, in the order of their ids."""
  from data_pipeline.song import SkipSong
  from data_pipeline.sources.freedoom import Freedoom

  parser = argparse.ArgumentParser(
    prog='python -m data_pipeline.audio_targets', description='Accuracy of pitch and onsets estimated from audio.'
  )
  parser.add_argument('--measure', action='store_true', required=True, help='measure on rendered basses of Freedoom')
  parser.add_argument('--manual_dir', default='', help='folder with freedoom1.wad and freedoom2.wad; default: where Debian puts them')
  parser.add_argument('--pieces', type=int, default=8, help='how many pieces')
  parser.add_argument('--seconds', type=float, default=60.0, help='how much of each, from its first bass note on')
  flags = parser.parse_args(arguments)
  source = Freedoom(flags.manual_dir)
  keys = source.songs()
  targets_from_audio(np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32), FRAME_RATE)  # librosa compiles on first use
  names = [field.name for field in dataclasses.fields(Accuracy)]
  print('piece'.ljust(12) + ''.join(name.rjust(15) for name in names))
  rows = []
  for key in keys:
    if len(rows) == flags.pieces:
      break
    try:
      song = source.load(key)
    except SkipSong:
      continue
    start = float(song.notes.onset[0])
    first = int(start * SAMPLE_RATE)
    accuracy = measure(
      song.bass[first : first + int(flags.seconds * SAMPLE_RATE)],
      song.notes.between(start, start + flags.seconds).shifted(-first / SAMPLE_RATE),
    )
    rows.append(dataclasses.astuple(accuracy))
    print(key.id.ljust(12) + ''.join(f'{value:15.3f}' for value in rows[-1]), flush=True)
  print('mean'.ljust(12) + ''.join(f'{value:15.3f}' for value in np.mean(rows, axis=0)))
  return 0


if __name__ == '__main__':
  sys.exit(main())
