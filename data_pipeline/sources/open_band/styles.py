"""The styles of the band: for each, what its songs draw from and how often."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Style:
  """Weights of a style; a song draws from them once, or once a kind of section where noted.

  Attributes:
    name: of the style.
    weight: how often songs are of it.
    tempo: lowest and highest beats a minute.
    meters, modes: weights by name.
    grooves: weights of drum grooves, by section.
    textures: weights of guitar textures, by section: 'riff', those of `guitars.CHORD_TEXTURES`, or 'none'.
    riffs: weights of riff kinds, by section.
    idioms: weights of bass idioms where the bass does not double the guitar, by section.
    doubles: probability that the bass doubles a riff or a chug.
    rhythm_guitars: weights of programs.
    keys: probability of keyboards in the song.
    lead: probability of a lead melody in the song.
    power: probability of power-chord harmony.
    swing: probability that the song swings.
    notes_a_second: range of the guitars' density.
  """

  name: str
  weight: float
  tempo: tuple[int, int]
  meters: dict[str, float]
  modes: dict[str, float]
  grooves: dict[str, float]
  textures: dict[str, float]
  riffs: dict[str, float]
  idioms: dict[str, float]
  doubles: float
  rhythm_guitars: dict[int, float]
  keys: float
  lead: float
  power: float
  swing: float
  notes_a_second: tuple[float, float]


_METAL_RIFFS = {'pedal': 4, 'chromatic': 3, 'power': 3, 'tremolo': 1.2, 'gallop': 1.7, 'pentatonic': 2, 'scale': 2, 'octave': 0.5}
_ROCK_RIFFS = {'pedal': 2, 'pentatonic': 3, 'power': 3, 'scale': 1.5, 'octave': 1, 'chromatic': 0.7, 'gallop': 0.3}
_METAL_IDIOMS = {
  **{'root_eighths': 4, 'root_sixteenths': 5, 'gallop': 3, 'kick_locked': 1.5, 'pedal': 1.5, 'riff_simplified': 2, 'root_halves': 0.6},
  **{'root_whole': 0.5, 'melodic': 1.2, 'arpeggio': 0.4, 'syncopated': 0.4, 'root_beats': 0.5},
}
_ROCK_IDIOMS = {
  **{
    'root_eighths': 4,
    'kick_locked': 2,
    'root_fifth': 0.5,
    'pedal': 1,
    'syncopated': 1.2,
    'melodic': 1.6,
    'arpeggio': 0.5,
    'octaves': 0.6,
  },
  **{'riff_simplified': 1, 'root_whole': 0.5, 'root_halves': 0.5, 'root_sixteenths': 1.6, 'root_beats': 0.5, 'walking': 0.3},
}
_POP_IDIOMS = {
  **{'root_eighths': 5, 'kick_locked': 2, 'syncopated': 2, 'root_fifth': 1, 'melodic': 1.5, 'arpeggio': 1, 'octaves': 1, 'root_whole': 0.8},
  **{'root_halves': 1, 'offbeats': 0.6, 'walking': 0.5, 'pedal': 0.6, 'root_beats': 0.7},
}

STYLES = (
  Style(
    name='metal',
    weight=0.17,
    tempo=(90, 170),
    meters={'4/4': 8, '3/4': 0.4, '7/8': 0.5, '6/8': 0.4, '12/8': 0.4},
    modes={'minor': 4, 'phrygian': 3, 'harmonic': 1.5, 'dorian': 0.7, 'blues': 0.5},
    grooves={'double': 2.5, 'locked': 3, 'rock': 1.5, 'half': 2, 'punk': 0.7, 'tom': 0.5},
    textures={'riff': 6, 'chug': 3, 'power': 1, 'picked': 0.5},
    riffs=_METAL_RIFFS,
    idioms=_METAL_IDIOMS,
    doubles=0.68,
    rhythm_guitars={30: 8, 29: 2},
    keys=0.5,
    lead=0.5,
    power=0.9,
    swing=0.02,
    notes_a_second=(4.0, 9.0),
  ),
  Style(
    name='thrash',
    weight=0.07,
    tempo=(150, 190),
    meters={'4/4': 9, '3/4': 0.3, '7/8': 0.3},
    modes={'minor': 3, 'phrygian': 4, 'harmonic': 1},
    grooves={'punk': 4, 'double': 2, 'locked': 2, 'rock': 1, 'half': 1, 'blast': 0.5},
    textures={'riff': 6, 'chug': 4, 'power': 0.7},
    riffs=_METAL_RIFFS,
    idioms=_METAL_IDIOMS,
    doubles=0.7,
    rhythm_guitars={30: 8, 29: 2},
    keys=0.3,
    lead=0.4,
    power=0.95,
    swing=0.0,
    notes_a_second=(5.5, 10.0),
  ),
  Style(
    name='doom',
    weight=0.05,
    tempo=(70, 96),
    meters={'4/4': 6, '12/8': 1.5, '6/8': 1, '3/4': 0.5},
    modes={'minor': 3, 'phrygian': 1.5, 'blues': 2, 'dorian': 1},
    grooves={'half': 4, 'rock': 2, 'locked': 1.5, 'tom': 1, 'ballad': 0.7},
    textures={'riff': 6, 'power': 2, 'chug': 1, 'picked': 0.7},
    riffs={'pentatonic': 3, 'chromatic': 2, 'power': 3, 'pedal': 1.5},
    idioms={**_METAL_IDIOMS, 'root_sixteenths': 0.5, 'gallop': 0.4},
    doubles=0.7,
    rhythm_guitars={30: 6, 29: 4},
    keys=0.45,
    lead=0.35,
    power=0.9,
    swing=0.08,
    notes_a_second=(2.0, 5.0),
  ),
  Style(
    name='hard_rock',
    weight=0.17,
    tempo=(84, 160),
    meters={'4/4': 9, '12/8': 0.6, '6/8': 0.3, '3/4': 0.3},
    modes={'minor': 3, 'blues': 3, 'mixolydian': 2, 'dorian': 2, 'major': 0.7},
    grooves={'rock': 5, 'rock16': 1, 'locked': 1.2, 'half': 1, 'tom': 0.4, 'four': 0.4, 'shuffle': 0.4},
    textures={'riff': 5, 'chug': 2, 'power': 3, 'boogie': 0.5, 'picked': 0.5},
    riffs=_ROCK_RIFFS,
    idioms=_ROCK_IDIOMS,
    doubles=0.58,
    rhythm_guitars={29: 6, 30: 4},
    keys=0.5,
    lead=0.5,
    power=0.7,
    swing=0.12,
    notes_a_second=(2.5, 6.5),
  ),
  Style(
    name='alternative',
    weight=0.08,
    tempo=(80, 150),
    meters={'4/4': 8, '6/8': 0.7, '3/4': 0.7, '7/8': 0.3, '5/4': 0.3},
    modes={'minor': 3, 'mixolydian': 1.5, 'dorian': 1.5, 'major': 1.5, 'phrygian': 0.3},
    grooves={'rock': 5, 'half': 1.5, 'rock16': 1.2, 'tom': 0.8, 'ballad': 0.6},
    textures={'riff': 3, 'power': 4, 'chug': 1.5, 'picked': 2, 'strum': 1},
    riffs=_ROCK_RIFFS,
    idioms=_ROCK_IDIOMS,
    doubles=0.45,
    rhythm_guitars={29: 5, 30: 3, 27: 2},
    keys=0.35,
    lead=0.4,
    power=0.5,
    swing=0.05,
    notes_a_second=(2.0, 6.0),
  ),
  Style(
    name='punk',
    weight=0.07,
    tempo=(150, 190),
    meters={'4/4': 9, '12/8': 0.3},
    modes={'major': 4, 'minor': 3, 'mixolydian': 1, 'dorian': 0.5},
    grooves={'punk': 5, 'rock': 3, 'tom': 0.5, 'half': 0.7},
    textures={'chug': 3, 'power': 5, 'riff': 1.5},
    riffs=_ROCK_RIFFS,
    idioms={**_ROCK_IDIOMS, 'root_eighths': 8, 'melodic': 1.5},
    doubles=0.5,
    rhythm_guitars={29: 6, 30: 4},
    keys=0.1,
    lead=0.3,
    power=0.6,
    swing=0.0,
    notes_a_second=(4.0, 8.0),
  ),
  Style(
    name='pop',
    weight=0.1,
    tempo=(84, 136),
    meters={'4/4': 9, '6/8': 0.7, '3/4': 0.4, '12/8': 0.3},
    modes={'major': 5, 'minor': 2.5, 'mixolydian': 1.2, 'dorian': 0.7},
    grooves={'rock': 4, 'four': 2, 'rock16': 2, 'half': 0.8, 'ballad': 1},
    textures={'strum': 3, 'picked': 2, 'power': 1.5, 'stabs': 1, 'none': 1.5, 'riff': 0.7},
    riffs=_ROCK_RIFFS,
    idioms=_POP_IDIOMS,
    doubles=0.3,
    rhythm_guitars={27: 3, 25: 3, 29: 2, 24: 1},
    keys=0.85,
    lead=0.7,
    power=0.08,
    swing=0.15,
    notes_a_second=(2.0, 5.0),
  ),
  Style(
    name='ballad',
    weight=0.06,
    tempo=(70, 96),
    meters={'4/4': 6, '6/8': 2, '12/8': 2, '3/4': 1.5},
    modes={'major': 4, 'minor': 4, 'harmonic': 0.6, 'mixolydian': 0.7},
    grooves={'ballad': 5, 'rock': 2, 'half': 1, 'hats': 0.6},
    textures={'picked': 4, 'strum': 2, 'power': 1, 'none': 2},
    riffs=_ROCK_RIFFS,
    idioms={**_POP_IDIOMS, 'root_eighths': 1.5, 'root_whole': 3, 'root_halves': 3},
    doubles=0.2,
    rhythm_guitars={24: 3, 25: 3, 27: 3, 29: 1},
    keys=0.9,
    lead=0.7,
    power=0.05,
    swing=0.05,
    notes_a_second=(1.5, 4.0),
  ),
  Style(
    name='funk',
    weight=0.06,
    tempo=(88, 122),
    meters={'4/4': 10},
    modes={'dorian': 4, 'mixolydian': 2, 'blues': 2, 'minor': 2},
    grooves={'funk': 6, 'rock16': 2, 'four': 1, 'rock': 1},
    textures={'stabs': 5, 'riff': 2.5, 'none': 1, 'picked': 0.5},
    riffs={'pentatonic': 4, 'octave': 2, 'scale': 1, 'chromatic': 0.7},
    idioms={'funk': 6, 'kick_locked': 3, 'octaves': 1.5, 'syncopated': 2, 'melodic': 1, 'walking': 0.4, 'root_sixteenths': 0.5},
    doubles=0.6,
    rhythm_guitars={27: 5, 28: 4, 29: 1},
    keys=0.75,
    lead=0.4,
    power=0.05,
    swing=0.3,
    notes_a_second=(3.0, 6.0),
  ),
  Style(
    name='disco',
    weight=0.04,
    tempo=(108, 130),
    meters={'4/4': 10},
    modes={'minor': 4, 'dorian': 2, 'major': 3},
    grooves={'four': 8, 'rock16': 1},
    textures={'stabs': 4, 'none': 2, 'strum': 1, 'power': 1},
    riffs=_ROCK_RIFFS,
    idioms={
      'octaves': 5,
      'offbeats': 2,
      'root_eighths': 1.5,
      'syncopated': 1.5,
      'arpeggio': 1,
      'melodic': 1,
      'funk': 1,
      'root_sixteenths': 1,
    },
    doubles=0.3,
    rhythm_guitars={27: 4, 28: 3},
    keys=0.95,
    lead=0.5,
    power=0.05,
    swing=0.0,
    notes_a_second=(3.0, 6.0),
  ),
  Style(
    name='blues',
    weight=0.06,
    tempo=(76, 150),
    meters={'12/8': 5, '4/4': 5},
    modes={'blues': 8, 'mixolydian': 1, 'dorian': 1},
    grooves={'shuffle': 5, 'rock': 2.5, 'ballad': 0.5},
    textures={'boogie': 4, 'riff': 2.5, 'strum': 1, 'stabs': 1, 'none': 0.7},
    riffs={'pentatonic': 5, 'octave': 1, 'scale': 1, 'power': 1},
    idioms={'boogie': 4, 'walking': 4, 'root_fifth': 1, 'root_eighths': 1.5, 'root_beats': 1, 'syncopated': 0.7},
    doubles=0.5,
    rhythm_guitars={29: 3, 27: 4, 26: 2},
    keys=0.6,
    lead=0.7,
    power=0.1,
    swing=0.6,
    notes_a_second=(2.0, 4.5),
  ),
  Style(
    name='prog',
    weight=0.05,
    tempo=(90, 150),
    meters={'7/8': 4, '5/4': 3, '4/4': 2, '6/8': 1.5},
    modes={'minor': 3, 'dorian': 2, 'phrygian': 1.5, 'harmonic': 1, 'mixolydian': 1},
    grooves={'rock': 4, 'locked': 3, 'half': 1, 'double': 1, 'tom': 0.7},
    textures={'riff': 6, 'picked': 1.5, 'power': 1.5, 'chug': 1.5},
    riffs={**_METAL_RIFFS, 'scale': 3},
    idioms=_ROCK_IDIOMS,
    doubles=0.65,
    rhythm_guitars={29: 4, 30: 4, 27: 2},
    keys=0.6,
    lead=0.45,
    power=0.5,
    swing=0.0,
    notes_a_second=(3.0, 7.0),
  ),
  Style(
    name='electronic',
    weight=0.02,
    tempo=(96, 150),
    meters={'4/4': 10},
    modes={'minor': 5, 'phrygian': 1, 'dorian': 1.5, 'harmonic': 0.5},
    grooves={'four': 5, 'rock16': 2, 'rock': 1, 'half': 1},
    textures={'none': 4, 'riff': 1.5, 'chug': 1, 'power': 1},
    riffs=_METAL_RIFFS,
    idioms={'root_sixteenths': 3, 'octaves': 3, 'offbeats': 2, 'arpeggio': 2, 'root_eighths': 2, 'pedal': 1.5, 'gallop': 1, 'funk': 1},
    doubles=0.4,
    rhythm_guitars={30: 4, 29: 3},
    keys=1.0,
    lead=0.7,
    power=0.2,
    swing=0.0,
    notes_a_second=(3.0, 8.0),
  ),
)
"""Weights add up to 1. Riff-based styles are about two thirds: the bass of rock and metal mostly follows the guitar."""

BASS_PROGRAMS = {34: 0.42, 33: 0.32, 35: 0.06, 37: 0.05, 38: 0.06, 32: 0.05, 36: 0.02, 39: 0.02}
KEY_PROGRAMS = {0: 3, 1: 1.5, 2: 0.7, 4: 2, 5: 1, 17: 1, 18: 2, 19: 1, 11: 0.4, 6: 0.3, 81: 1.0, 80: 1.0, 87: 0.6}
PAD_PROGRAMS = {48: 4, 49: 2, 50: 1.5, 51: 1, 52: 1, 89: 2, 90: 1, 91: 0.7, 88: 0.7, 95: 0.5, 18: 1, 19: 0.7, 92: 0.4}
LEAD_PROGRAMS = {
  30: 3,
  29: 3,
  81: 2,
  80: 2,
  27: 1,
  73: 0.6,
  65: 0.8,
  66: 0.6,
  56: 0.4,
  87: 0.7,
  85: 0.7,
  53: 0.8,
  40: 0.5,
  61: 0.4,
  84: 0.4,
}
COLOUR_PROGRAMS = {
  **{48: 2, 61: 1, 62: 0.7, 52: 1, 81: 2, 80: 1.5, 87: 2, 89: 1, 99: 0.5, 96: 0.5, 102: 0.4, 86: 0.7, 84: 0.5, 7: 0.5, 10: 0.5, 11: 0.5},
  **{12: 0.3, 14: 0.4, 44: 0.6, 45: 1, 46: 0.4, 41: 0.5, 73: 0.4, 68: 0.3, 56: 0.4, 57: 0.4, 31: 0.4, 26: 0.6, 104: 0.2, 107: 0.2, 15: 0.2},
}
"""One more player of the wide rest: brass, bells, plucked strings, synths."""
