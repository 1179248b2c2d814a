"""a1: the bass plays the root, the third or the fifth of the sounding chord."""

from __future__ import annotations

import numpy as np

from data_pipeline.notes import Notes
from data_pipeline.sources.artificial import chords
from data_pipeline.sources.artificial.score import BASS_PROGRAM, SECONDS, ArtificialScore, bass_pitch

PATTERNS = ('root', 'third', 'fifth')
# Keyboards and clean guitars that are in tune and speak at once; those held out are of the same families.
PROGRAMS = (0, 1, 4, 5, 24, 25, 27)
HELD_OUT_PROGRAMS = (2, 6, 26)
_GAP = 0.92  # share of the time to the next attack for which the bass sounds


def compose(rng: np.random.Generator, held_out: bool) -> ArtificialScore:
  """A progression of major and minor triads, struck in a rhythm of eighths that repeats every bar."""
  program = int(rng.choice(HELD_OUT_PROGRAMS if held_out else PROGRAMS))
  eighth = 60 / rng.uniform(80, 160) / 2
  struck = _rhythm(rng)
  changes = rng.choice([4, 8])  # eighths from one chord to the next
  attacks: list[tuple[float, tuple[int, ...], int]] = []  # (onset, voices, velocity)
  tones: list[tuple[int, int, int]] = []  # root, third, fifth of every attack, as pitch classes
  previous_root, tonic = -1, int(rng.integers(12))
  chord, voices = (0, 0, 0), (0,)
  start = rng.uniform(0.0, 0.1)
  for step in range(int((SECONDS - start) / eighth)):
    if step % changes == 0:
      while True:
        root, quality = chords.draw_chord(rng, tonic)
        if root != previous_root:
          break
      previous_root = root
      chord = chords.triad(root, quality)
      voices = chords.voicing(rng, chord)
    if struck[step % 8]:
      attacks.append((start + step * eighth, voices, int(rng.integers(70, 111))))
      tones.append(chord)
  onsets = np.asarray([onset for onset, _, _ in attacks])
  ends = np.append(onsets[1:], min(onsets[-1] + 4 * eighth, SECONDS))
  sustain = rng.uniform(0.6, 1.0)
  rows = [
    (onset, onset + sustain * (end - onset), voice, velocity, program)
    for (onset, voices, velocity), end in zip(attacks, ends, strict=True)
    for voice in voices
  ]
  velocities = np.asarray([velocity for _, _, velocity in attacks])
  patterns = tuple(
    Notes(
      onset=onsets,
      offset=onsets + _GAP * (ends - onsets),
      pitch=bass_pitch(np.asarray(tones)[:, tone]),
      velocity=velocities,
      program=np.full(len(onsets), BASS_PROGRAM),
    )
    for tone in range(3)
  )
  return ArtificialScore(Notes.from_rows(rows), patterns, np.arange(start, SECONDS, 2 * eighth))


def _rhythm(rng: np.random.Generator) -> np.ndarray:
  """Which eighths of a bar are struck: the first of each half always, the others with one probability a song."""
  struck = rng.random(8) < rng.choice([0.0, 0.25, 0.5, 0.8])
  struck[[0, 4]] = True
  return struck
