"""Song forms: which sections follow each other, how long and how intense they are, and what a kind of section is made of."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.sources.open_band.grid import SIXTEENTH, Meter, choose, pick
from data_pipeline.sources.open_band.harmony import Chord, Key, draw_progression
from data_pipeline.sources.open_band.keyboards import KEY_TEXTURES
from data_pipeline.sources.open_band.riffs import Riff, draw_riff
from data_pipeline.sources.open_band.styles import BASS_PROGRAMS, COLOUR_PROGRAMS, KEY_PROGRAMS, LEAD_PROGRAMS, PAD_PROGRAMS, Style

_FORMS = (
  ('intro', 'verse', 'chorus', 'verse', 'chorus', 'bridge', 'chorus'),
  ('intro', 'verse', 'verse', 'chorus', 'solo', 'verse', 'chorus'),
  ('verse', 'chorus', 'verse', 'chorus', 'breakdown', 'chorus'),
  ('intro', 'verse', 'bridge', 'verse', 'solo', 'breakdown', 'verse'),
  ('verse', 'verse', 'bridge', 'chorus', 'verse', 'chorus', 'solo'),
  ('intro', 'chorus', 'verse', 'chorus', 'solo', 'bridge', 'chorus'),
)

_ENERGY = {'intro': 0.5, 'verse': 0.6, 'chorus': 0.9, 'bridge': 0.55, 'solo': 0.85, 'breakdown': 0.4}


@dataclasses.dataclass(frozen=True)
class Band:
  """Who plays: programs and the guitars' and the bass's tuning.

  Attributes:
    rhythm, second, clean: programs of the guitars; the second guitar has another sound than the first.
    keys, pad, lead, colour: programs, or None where nobody plays them.
    bass: program 32..39.
    guitar_low: pitch of the guitars' lowest string.
    bass_low: pitch of the bass's lowest string.
    bass_base: the bass's roots lie within an octave from here.
    legato: sounding part of bass notes.
    approach, fills: probabilities of approach notes and fills of the bass.
  """

  rhythm: int
  second: int
  clean: int
  keys: int | None
  pad: int | None
  lead: int | None
  colour: int | None
  bass: int
  guitar_low: int
  bass_low: int
  bass_base: int
  legato: float
  approach: float
  fills: float


@dataclasses.dataclass(frozen=True)
class Material:
  """What every section of one name in a song shares.

  Attributes:
    seed: of the random numbers of its parts: a verse that comes again is the same verse.
    texture: of the guitars: 'riff', 'none', or one of `guitars.CHORD_TEXTURES`.
    riff: where the texture is 'riff'.
    chords: the progression.
    bars_each: bars a chord.
    groove: of the drums.
    idiom: of the bass.
    second: what the second guitar does, or None.
    key_textures: (texture, program) of keyboards and pads.
    lead: whether a tune is played.
    notes_per_beat: density of the guitars.
  """

  seed: int
  texture: str
  riff: Riff | None
  chords: tuple[Chord, ...]
  bars_each: float
  groove: str
  idiom: str
  second: str | None
  key_textures: tuple[tuple[str, int], ...]
  lead: bool
  notes_per_beat: float


@dataclasses.dataclass(frozen=True)
class Section:
  """One section of a form.

  Attributes:
    name: of the material.
    bars: length.
    energy: 0..1.
    groove: of the drums here, which may differ from the material's.
    idiom: of the bass here; 'rest' is silence.
    guitars: whether they play here.
    transposition: semitones.
  """

  name: str
  bars: int
  energy: float
  groove: str
  idiom: str
  guitars: bool
  transposition: int


def draw_band(rng: np.random.Generator, style: Style) -> Band:
  """The band of a song."""
  rhythm = choose(rng, style.rhythm_guitars)
  second = choose(rng, {30: 3, 29: 3, 28: 1, 27: 1.5} if rhythm in (29, 30) else {26: 1, 25: 2, 27: 2, 28: 1, 29: 1})
  lead = choose(rng, LEAD_PROGRAMS) if rng.random() < style.lead else None
  used = {rhythm, second}
  keys = choose(rng, KEY_PROGRAMS) if rng.random() < style.keys else None
  pad = choose(rng, PAD_PROGRAMS) if rng.random() < 0.4 * style.keys + 0.5 else None
  heavy = style.power > 0.6
  guitar_low = choose(rng, {40: 6, 38: 2.5, 36: 1, 35: 0.7} if heavy else {40: 1})
  bass_low = 28 if guitar_low == 40 else guitar_low - 12
  lead = next((program for program in (lead, 81, 80) if program not in {*used, keys, pad}), None) if lead is not None else None
  colour = choose(rng, COLOUR_PROGRAMS) if rng.random() < 0.5 else None
  # No upright bass under fast distorted guitars, a synthesizer seldom.
  electric = {33, 34, 35, 36, 37} | ({38, 39} if rng.random() < 0.12 else set())
  weights = {program: weight for program, weight in BASS_PROGRAMS.items() if not heavy or program in electric}
  return Band(
    rhythm=rhythm,
    second=second if second != rhythm else 29 + (rhythm == 29),
    clean=next(program for program in (27, 25, 26) if program not in used),
    keys=keys,
    pad=None if pad == keys else pad,
    lead=lead,
    colour=None if colour in {*used, keys, pad, lead, 25, 26, 27} else colour,
    bass=choose(rng, weights),
    guitar_low=guitar_low,
    bass_low=bass_low,
    bass_base=bass_low + choose(rng, {0: 3.5, 3: 1.5, 5: 2, 7: 2, 8: 1.5, 10: 1.2, 12: 1}),
    legato=float(rng.choice([0.45, 0.6, 0.75, 0.88, 0.94, 1.0], p=[0.02, 0.05, 0.09, 0.18, 0.28, 0.38])),
    approach=float(rng.choice([0.0, 0.1, 0.4])),
    fills=float(rng.choice([0.0, 0.0, 0.15, 0.3])),
  )


def draw_material(rng: np.random.Generator, style: Style, name: str, meter: Meter, key: Key, band: Band, tick_seconds: float) -> Material:
  """What the sections called `name` are made of.

  Args:
    tick_seconds: seconds a tick.
  """
  textures = dict(style.textures)
  if name == 'bridge':
    textures['picked'] = textures.get('picked', 0) + 1.5
  if name == 'chorus':
    textures['power'] = 2 * textures.get('power', 0)
  texture = choose(rng, textures)
  # Riffs that are slow or very fast besides those between; chords are rather held than struck.
  rate = rng.uniform(*style.notes_a_second) * choose(rng, {0.7: 0.7, 1.0: 3, 1.5: 3.5} if texture == 'riff' else {0.3: 3, 0.5: 3, 1.0: 2})
  notes_per_beat = float(np.clip(rate * 24 * tick_seconds, 0.5, 4))
  riff = None
  if texture == 'riff':
    riff = draw_riff(rng, meter, key, choose(rng, style.riffs), _playable(notes_per_beat, tick_seconds), moves=rng.random() < 0.45)
  doubled = texture in ('riff', 'chug', 'boogie', 'power') and rng.random() < style.doubles * (0.7 if texture == 'power' else 1.12)
  idiom = 'riff_doubled' if doubled else choose(rng, style.idioms)
  key_textures = []
  if band.keys is not None and (rng.random() < 0.75 or texture == 'none'):
    key_textures.append((pick(rng, [texture for texture in KEY_TEXTURES if texture != 'pad']), band.keys))
  if band.pad is not None and rng.random() < 0.8:
    key_textures.append(('pad' if rng.random() < 0.85 else 'ostinato', band.pad))
  if band.colour is not None and rng.random() < 0.6:
    key_textures.append((pick(rng, ('ostinato', 'ostinato', 'broken', 'pad')), band.colour))
  if texture == 'none' and not key_textures:
    texture = 'strum'
  heavy = band.rhythm in (29, 30) and texture in ('riff', 'chug', 'power')
  second = pick(rng, ('unison', 'octave', 'third', 'held', 'unison')) if heavy and rng.random() < 0.45 else None
  return Material(
    seed=int(rng.integers(2**31)),
    texture=texture,
    riff=riff,
    chords=draw_progression(rng, key, style.power),
    bars_each=choose(rng, {1: 3.5, 2: 4, 0.5: 0.7, 4: 1.8}),
    groove=choose(rng, {**style.grooves, **({'hats': 1.0, 'tom': 1.0} if name in ('intro', 'breakdown') else {})}),
    idiom=idiom,
    second=second,
    key_textures=tuple(key_textures),
    lead=band.lead is not None and (name in ('solo', 'verse') or rng.random() < 0.35) and (name == 'solo' or rng.random() < 0.7),
    notes_per_beat=notes_per_beat,
  )


def _playable(notes_per_beat: float, tick_seconds: float) -> float:
  """Sixteenths only where a hand can pick them (longer than 88 ms)."""
  return notes_per_beat if SIXTEENTH * tick_seconds > 0.088 else min(notes_per_beat, 1.4)


def draw_form(rng: np.random.Generator, materials: dict[str, Material], bar_seconds: float, seconds: float) -> list[Section]:
  """Sections that last about `seconds` together; what drops out where."""
  unit = 8 if bar_seconds < 1.9 else 4
  sections: list[Section] = []
  wanted = max(4 * round(seconds / bar_seconds / 4), 8)
  transposition = 0
  modulates = rng.random() < 0.14
  names = pick(rng, _FORMS)
  for i, name in enumerate(names * 3):
    left = wanted - sum(section.bars for section in sections)
    if left <= 0:
      break
    bars = unit if name != 'intro' or unit == 4 else pick(rng, (4, 4, 8))
    bars = 2 * bars if name in ('verse', 'chorus') and rng.random() < 0.25 else bars
    if modulates and not transposition and i >= 4 and name in ('chorus', 'verse', 'solo'):
      transposition = pick(rng, (1, 2, 2, 3, 5, -2, -1))
    sections.append(_section(rng, materials[name], name, min(bars, left), i, transposition))
  return sections


def _section(rng: np.random.Generator, material: Material, name: str, bars: int, number: int, transposition: int) -> Section:
  groove, idiom, guitars = material.groove, material.idiom, True
  chance = rng.random()
  if name == 'intro':
    idiom = 'rest' if chance < 0.3 else idiom
    groove = 'none' if rng.random() < 0.25 else groove
    guitars = chance < 0.8
  elif name == 'breakdown':
    groove = 'none' if chance < 0.3 else groove
    idiom = 'rest' if 0.3 < chance < 0.45 else idiom
    guitars = chance < 0.85
  elif name == 'verse' and chance < 0.08 and number:
    guitars = False
  energy = float(np.clip(_ENERGY[name] + rng.normal(0, 0.12), 0.2, 1.0))
  return Section(name, bars, energy, groove, idiom, guitars, transposition)
