"""Triads, drawn and voiced: what the sets with chords share."""

from __future__ import annotations

import numpy as np

TRIADS = ((0, 4, 7), (0, 3, 7))
"""Intervals above the root: major, minor."""
_LOWEST_VOICE = (45, 57)  # the lowest note of a chord, MIDI


def draw_chord(rng: np.random.Generator, tonic: int) -> tuple[int, int]:
  """Mostly a triad of a major key, sometimes any: (root, 0 for major or 1 for minor)."""
  if rng.random() < 0.25:
    return int(rng.integers(12)), int(rng.integers(2))
  degree, quality = [(0, 0), (2, 1), (4, 1), (5, 0), (7, 0), (9, 1)][rng.integers(6)]
  return (tonic + degree) % 12, quality


def triad(root: int, quality: int) -> tuple[int, int, int]:
  """Pitch classes of root, third and fifth."""
  return tuple((root + interval) % 12 for interval in TRIADS[quality])


def voicing(rng: np.random.Generator, chord: tuple[int, ...], doubling: float = 0.5) -> tuple[int, ...]:
  """All three tones, one of them sometimes doubled; each is the lowest in a third of the chords. MIDI pitches, sorted."""
  bottom = int(rng.integers(*_LOWEST_VOICE))
  order = np.roll(chord, -int(rng.integers(3)))
  first = bottom + (order[0] - bottom) % 12
  voices = [first]
  for tone in rng.permutation(order[1:]):
    above = voices[-1] if rng.random() < 0.6 else first
    voices.append(above + 1 + (tone - above - 1) % 12)
  if rng.random() < doubling:
    tone = rng.choice(order)
    voices.append(voices[-1] + 1 + (tone - voices[-1] - 1) % 12)
  return tuple(int(voice) for voice in sorted(set(voices)))
