"""What a bass player hears in a line, as figures: time, key, rests, note lengths, repeated strikes, octaves, and the variety of several."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassnet_jax.evaluation import metrics
from data_pipeline.features import FRAME_RATE, Features
from data_pipeline.notes import KICK_KEYS, Notes

IN_TIME = 0.03
"""Seconds: an onset this near to one of the mix sounds together with it."""
REST = 1.0
"""Seconds of silence of the true bass that are a rest, where a line should be silent too."""
STUB = 0.09
"""Seconds; a shorter note is a click rather than a note."""
RESTRIKE = 0.15
"""Seconds: the same note struck again sooner is a stutter (a sixteenth at 100 beats a minute)."""


@dataclasses.dataclass(frozen=True)
class Playing:
  """Figures of one line over one piece; shares are of its notes unless said otherwise, and 0 where it has none.

  Attributes:
    density: notes a second.
    together: begin within 30 ms of an onset of the mix.
    with_kick: begin within 30 ms of a kick.
    grid_ms: median distance of the beginnings to the nearest sixteenth of the beats, milliseconds.
    diatonic, chord_tones: of its duration, as in `metrics`.
    in_rests: of the time in which the true bass rests for a second or more, the share in which the line sounds.
    length: median, seconds.
    stubs: shorter than 90 ms.
    stutters: begin within 150 ms of the beginning of a note of the same pitch.
    octave_flips: an octave or more above or below the note before and the one after, which lie within a third of each other.
    leaps: more than seven semitones away from the note before.
    note_pc_f1, note_f1, onset_f1, voicing_f1: against the true bass.
    register: mean MIDI pitch by duration; 0 without notes.
  """

  density: float
  together: float
  with_kick: float
  grid_ms: float
  diatonic: float
  chord_tones: float
  in_rests: float
  length: float
  stubs: float
  stutters: float
  octave_flips: float
  leaps: float
  note_pc_f1: float
  note_f1: float
  onset_f1: float
  voicing_f1: float
  register: float


def measure(line: Notes, piece: Features) -> Playing:
  """Measures a line over a piece whose notes of bass and mix, and whose beats, are known."""
  frames = piece.frames
  lengths, gaps, steps = line.offset - line.onset, np.diff(line.onset), np.diff(line.pitch)
  sounds = metrics.frame_pitch(line, frames) != metrics.SILENT
  rests = rest_frames(piece.notes, frames)
  collections = metrics.diatonic_collections(piece.mix_notes, frames)
  drums = piece.mix_notes.drums
  near = lambda moments: _share(_distance(line.onset, moments) <= IN_TIME)  # noqa: E731
  return Playing(
    density=len(line) / piece.seconds,
    together=near(piece.mix_notes.onset),
    with_kick=near(drums.onset[np.isin(drums.pitch, KICK_KEYS)]),
    grid_ms=1000 * float(np.median(_distance(line.onset, sixteenths(piece.beats)))) if len(line) else 0.0,
    diatonic=metrics.diatonic_rate(line, collections),
    chord_tones=metrics.chord_tone_rate(line, piece.mix_notes, frames),
    in_rests=float(sounds[rests].mean()) if rests.any() else 0.0,
    length=float(np.median(lengths)) if len(line) else 0.0,
    stubs=_share(lengths < STUB),
    stutters=float(((gaps < RESTRIKE) & (steps == 0)).sum() / max(len(line), 1)),
    octave_flips=octave_flips(line),
    leaps=float((np.abs(steps) > 7).sum() / max(len(line), 1)),
    note_pc_f1=metrics.note_pc_f1(line, piece.notes),
    note_f1=metrics.note_f1(line, piece.notes),
    voicing_f1=metrics.voicing_f1(line, piece.notes, frames),
    onset_f1=metrics.onset_f1(line, piece.notes),
    register=float(line.pitch @ lengths / lengths.sum()) if len(line) else 0.0,
  )


def mean(figures: Sequence[Playing]) -> Playing:
  """The mean of every figure."""
  return Playing(*(float(np.mean([getattr(one, field.name) for one in figures])) for field in dataclasses.fields(Playing)))


def variety(lines: Sequence[Notes]) -> float:
  """How different lines over one mix are: mean over pairs of 1 - note_pc_f1 of one against the other; 0 is one line everywhere."""
  pairs = [1 - metrics.note_pc_f1(a, b) for i, a in enumerate(lines) for b in lines[i + 1 :]]
  return float(np.mean(pairs)) if pairs else 0.0


def octave_flips(line: Notes) -> float:
  """Share of notes that jump an octave or more away from a neighbourhood that stays: the two notes around lie within a third."""
  if len(line) < 3:
    return 0.0
  before, here, after = line.pitch[:-2], line.pitch[1:-1], line.pitch[2:]
  away = (np.abs(here - before) >= 12) & (np.abs(here - after) >= 12) & (np.sign(here - before) == np.sign(here - after))
  return float((away & (np.abs(after - before) <= 4)).sum() / len(line))


def rest_frames(notes: Notes, frames: int) -> np.ndarray:
  """[frames] bool: the frames of all gaps between notes that last a second or more."""
  silent = np.concatenate([[False], metrics.frame_pitch(notes, frames) == metrics.SILENT, [False]])
  edges = np.flatnonzero(np.diff(silent))
  result = np.zeros(frames, dtype=bool)
  for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
    result[first:last] = last - first >= REST * FRAME_RATE
  return result


def sixteenths(beats: np.ndarray) -> np.ndarray:
  """Seconds of every quarter of every beat."""
  places = np.arange(4 * (len(beats) - 1) + 1) / 4
  return np.interp(places, np.arange(len(beats)), beats)


def _distance(moments: np.ndarray, to: np.ndarray) -> np.ndarray:
  """[moments] seconds to the nearest of `to`; infinity where there is none."""
  if not len(to):
    return np.full(len(moments), np.inf)
  to = np.sort(to)
  right = np.clip(np.searchsorted(to, moments), 1, len(to) - 1) if len(to) > 1 else np.zeros(len(moments), int)
  return np.minimum(np.abs(to[right] - moments), np.abs(to[np.maximum(right - 1, 0)] - moments))


def _share(mask: np.ndarray) -> float:
  return float(mask.mean()) if len(mask) else 0.0
