"""a3: held chords and drums; the bass plays the chord's root with the kick, with the snare or on the off-beats."""

from __future__ import annotations

import numpy as np

from data_pipeline.notes import Notes
from data_pipeline.sources.artificial import chords, drums, instruments
from data_pipeline.sources.artificial.score import ArtificialScore

PATTERNS = ('kick', 'snare', 'off-beat')
_HELD = 0.97  # share of the time to the next chord for which a chord sounds


def compose(rng: np.random.Generator, held_out: bool) -> ArtificialScore:
  """A progression of triads that change every half bar or bar, over drums."""
  groove = drums.groove(rng, held_out)
  program = int(rng.choice(instruments.HELD_OUT_SUSTAINED if held_out else instruments.SUSTAINED))
  eighths, changes = len(groove.roles), int(rng.choice([4, 8]))
  tonic, previous_root = int(rng.integers(12)), -1
  rows = list(groove.rows)
  roots = np.zeros(eighths, int)
  for first in range(0, eighths, changes):
    while True:
      root, quality = chords.draw_chord(rng, tonic)
      if root != previous_root:
        break
    previous_root, last = root, min(first + changes, eighths)
    velocity = instruments.equal_velocity(int(rng.integers(80, 111)), program)
    roots[first:last] = root
    begin, end = groove.times[first], groove.times[last]
    rows += [(begin, begin + _HELD * (end - begin), voice, velocity, program) for voice in chords.voicing(rng, chords.triad(root, quality))]
  patterns = tuple(drums.bass_line(groove, role, roots) for role in (drums.KICK, drums.SNARE, drums.OFF_BEAT))
  return ArtificialScore(Notes.from_rows(rows), patterns, groove.beats)
