"""Keys, modes, chords and progressions: well-known ones, and ones from a small functional grammar."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from data_pipeline.sources.open_band.grid import Meter, choose, pick

MODES = {
  'major': (0, 2, 4, 5, 7, 9, 11),
  'minor': (0, 2, 3, 5, 7, 8, 10),
  'harmonic': (0, 2, 3, 5, 7, 8, 11),
  'dorian': (0, 2, 3, 5, 7, 9, 10),
  'mixolydian': (0, 2, 4, 5, 7, 9, 10),
  'phrygian': (0, 1, 3, 5, 7, 8, 10),
  'blues': (0, 2, 3, 5, 7, 9, 10),
}

# What riffs and solos are made of: fewer notes than the mode has, and the blue or the flat second where the mode invites it.
RIFF_SCALES = {
  'major': ((0, 2, 4, 7, 9), (0, 2, 4, 5, 7, 9, 11)),
  'minor': ((0, 3, 5, 7, 10), (0, 3, 5, 6, 7, 10), (0, 2, 3, 5, 7, 8, 10)),
  'harmonic': ((0, 2, 3, 5, 7, 8, 11), (0, 1, 3, 5, 6, 8, 11)),
  'dorian': ((0, 3, 5, 7, 10), (0, 2, 3, 5, 7, 9, 10)),
  'mixolydian': ((0, 2, 4, 7, 10), (0, 3, 4, 5, 7, 10)),
  'phrygian': ((0, 1, 3, 5, 6, 7, 10), (0, 1, 3, 5, 7, 8, 10), (0, 1, 4, 5, 7, 8, 10)),
  'blues': ((0, 3, 5, 6, 7, 10), (0, 3, 5, 7, 10)),
}

_PROGRESSIONS = {
  'major': (
    *('I V vi IV', 'I IV V IV', 'vi IV I V', 'I vi IV V', 'I IV I V', 'I iii IV V', 'I V IV IV', 'IV V iii vi', 'I IV vi V', 'I I IV V'),
    *(
      'I bVII IV I',
      'ii V I vi',
      'Imaj7 IVmaj7 Imaj7 ii7',
      'I V vi iii IV I IV V',
      'I III7 vi IV',
      'I Isus4 IV V',
      'I IV iv I',
      'vi V IV V',
    ),
  ),
  'minor': (
    *('i bVI bIII bVII', 'i bVII bVI V', 'i bVII bVI bVII', 'i iv v i', 'i iv bVII bIII', 'i bVI iv V', 'i i bVI bVII', 'i bIII bVII iv'),
    *('i v bVI iv', 'bVI bVII i i', 'i bVII iv bVI', 'i bVI bVII v', 'i bIII iv bVI', 'i7 iv7 i7 v7', 'i bII bVII i'),
  ),
  'harmonic': ('i V i V', 'i iv V i', 'i bVI V V', 'i bVI iv V', 'i iv bVI V', 'i bII V i'),
  'dorian': ('i IV', 'i bVII IV i', 'i7 IV7', 'i bIII IV i', 'i7 ii7', 'i IV bVII i', 'i bVII i IV'),
  'mixolydian': ('I bVII IV I', 'I bVII', 'I IV bVII IV', 'I v IV I', 'I7 IV7 I7 bVII', 'I bVII IV bVII', 'I bIII IV I'),
  'phrygian': ('i bII', 'i bII bIII bII', 'i i bII bvii', 'i bVI bII i', 'i bII bVII i', 'i bIII bII i', 'i i i bII'),
  'blues': (
    *('I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7', 'I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7', 'i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7'),
    *('I7 V7 IV7 IV7 I7 V7 I7 V7', 'I7 IV7', 'i7 IV7', 'I7 bIII IV7 I7', 'I7 I7 IV7 V7'),
  ),
}

_POWER_PROGRESSIONS = (
  *(
    'I5 bVI5 bVII5 I5',
    'I5 bIII5 bVII5 IV5',
    'I5 bII5 I5 bV5',
    'I5 I5 bVI5 V5',
    'I5 bIII5 bII5 I5',
    'I5 IV5 bVI5 bVII5',
    'I5 bVII5 IV5 IV5',
  ),
  *('I5 I5 bIII5 IV5', 'bVI5 bVII5 I5 I5', 'I5 bVI5 IV5 V5', 'I5 V5 bVI5 bIII5', 'I5 I5 I5 bVII5', 'I5 bV5 IV5 bIII5', 'I5 bIII5 IV5 bVI5'),
)

_QUALITIES = {
  '': (0, 4, 7),
  'm': (0, 3, 7),
  '5': (0, 7),
  '7': (0, 4, 7, 10),
  'm7': (0, 3, 7, 10),
  'maj7': (0, 4, 7, 11),
  'sus4': (0, 5, 7),
  'sus2': (0, 2, 7),
  'dim': (0, 3, 6),
  'add9': (0, 2, 4, 7),
}

_DEGREES = {'I': 0, 'II': 2, 'III': 4, 'IV': 5, 'V': 7, 'VI': 9, 'VII': 11}

# Tonic, subdominant and dominant chords of the grammar, and which function may follow which.
_FUNCTIONS = {
  True: {'T': ('I', 'I', 'vi', 'iii'), 'S': ('IV', 'IV', 'ii', 'vi'), 'D': ('V', 'V', 'V7', 'iii')},
  False: {'T': ('i', 'i', 'bIII', 'bVI'), 'S': ('iv', 'iv', 'bVI', 'bII'), 'D': ('bVII', 'bVII', 'v', 'V')},
}
_FOLLOWS = {'T': {'T': 1, 'S': 3, 'D': 2}, 'S': {'S': 1, 'D': 3, 'T': 2}, 'D': {'T': 4, 'S': 1}}


@dataclasses.dataclass(frozen=True)
class Key:
  """A tonic (pitch class 0..11, C = 0) and the name of a mode."""

  tonic: int
  mode: str

  @property
  def scale(self) -> tuple[int, ...]:
    """The mode's pitch classes, from the tonic upwards."""
    return tuple((self.tonic + step) % 12 for step in MODES[self.mode])

  @property
  def minor(self) -> bool:
    return 3 in MODES[self.mode]


@dataclasses.dataclass(frozen=True)
class Chord:
  """Root (pitch class) and intervals above it in semitones."""

  root: int
  intervals: tuple[int, ...]

  @property
  def pitch_classes(self) -> tuple[int, ...]:
    return tuple((self.root + interval) % 12 for interval in self.intervals)

  @property
  def fifth(self) -> int:
    """Semitones from the root to the chord's fifth."""
    return 6 if 6 in self.intervals and 7 not in self.intervals else 7

  @property
  def power(self) -> Chord:
    return Chord(self.root, (0, 7))


@dataclasses.dataclass(frozen=True)
class Span:
  """A chord from tick `start` to tick `end` of a section."""

  start: int
  end: int
  chord: Chord


def parse_chord(name: str, tonic: int) -> Chord:
  """'bVII', 'ii7', 'V5' ... in a key; lower case is minor."""
  accidental, numeral, suffix = re.fullmatch(r'([b#]?)([IViv]+)(.*)', name).groups()
  quality = 'm' + suffix if numeral.islower() and suffix in ('', '7') else suffix
  return Chord((tonic + _DEGREES[numeral.upper()] - (accidental == 'b') + (accidental == '#')) % 12, _QUALITIES[quality])


def draw_progression(rng: np.random.Generator, key: Key, power: float) -> tuple[Chord, ...]:
  """A progression of 2 to 12 chords: from the tables, or from the grammar.

  Args:
    power: probability that it is one of power chords, as heavy styles have.
  """
  if rng.random() < power and key.mode != 'major':
    names = pick(rng, _POWER_PROGRESSIONS).split()
  elif rng.random() < 0.3 and key.mode in ('major', 'minor', 'mixolydian', 'dorian'):
    names = _grammar(rng, key)
  else:
    names = pick(rng, _PROGRESSIONS[key.mode]).split()
  chords = tuple(parse_chord(name, key.tonic) for name in names)
  return tuple(chord.power for chord in chords) if rng.random() < power else chords


def _grammar(rng: np.random.Generator, key: Key) -> list[str]:
  """Four or eight chord names: functions by a first-order walk from the tonic, each filled with one of its chords."""
  function, names = 'T', [_FUNCTIONS[not key.minor]['T'][0]]
  for _ in range(pick(rng, (3, 3, 7))):
    function = choose(rng, _FOLLOWS[function])
    names.append(pick(rng, _FUNCTIONS[not key.minor][function]))
  return names


def lay_out(chords: tuple[Chord, ...], meter: Meter, bars: int, bars_each: float) -> tuple[Span, ...]:
  """Repeats a progression over a section.

  Args:
    bars_each: 0.5, 1 or 2 bars a chord.
  """
  edges: list[int] = []
  for bar in range(bars):
    if bars_each < 1:
      edges += [bar * meter.bar, bar * meter.bar + meter.half]
    elif bar % int(bars_each) == 0:
      edges.append(bar * meter.bar)
  ends = [*edges[1:], bars * meter.bar]
  return tuple(Span(start, end, chords[i % len(chords)]) for i, (start, end) in enumerate(zip(edges, ends, strict=True)))


def chord_at(spans: tuple[Span, ...], tick: int) -> Chord:
  """The chord that sounds at a tick; after the section's end, its first chord (what a repeat would bring)."""
  for span in spans:
    if span.start <= tick < span.end:
      return span.chord
  return spans[0].chord


def pitch_near(pitch_class: int, centre: int) -> int:
  """The pitch of this class nearest to `centre`."""
  return centre + (pitch_class - centre + 6) % 12 - 6


def pitch_from(pitch_class: int, lowest: int) -> int:
  """The lowest pitch of this class that isn't below `lowest`."""
  return lowest + (pitch_class - lowest) % 12


def voicing(chord: Chord, centre: int) -> tuple[int, ...]:
  """The chord's tones, each as near to `centre` as possible: smooth voice leading without memory."""
  return tuple(sorted({pitch_near(pitch_class, centre) for pitch_class in chord.pitch_classes}))


def scale_step(key: Key, pitch: int, steps: int) -> int:
  """`pitch` moved by scale steps; a pitch outside the scale first goes down into it."""
  scale = key.scale
  while pitch % 12 not in scale:
    pitch -= 1
  direction = 1 if steps > 0 else -1
  for _ in range(abs(steps)):
    pitch += direction
    while pitch % 12 not in scale:
      pitch += direction
  return pitch
