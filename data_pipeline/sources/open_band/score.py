"""Composes one song: from a seed and an index to all notes in seconds, without rendering."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.notes import DRUMS, Notes, monophonic
from data_pipeline.sources.open_band import bass, drums, guitars, keyboards
from data_pipeline.sources.open_band.form import Band, Material, Section, draw_band, draw_form, draw_material
from data_pipeline.sources.open_band.frame import Frame
from data_pipeline.sources.open_band.grid import METERS, Clock, Meter, Tone, choose, pick
from data_pipeline.sources.open_band.harmony import Chord, Key, lay_out, pitch_from, voicing
from data_pipeline.sources.open_band.styles import STYLES, Style

HIGHEST_BASS = 60


@dataclasses.dataclass(frozen=True)
class SectionInfo:
  """A section as it was composed: its name, start and end in seconds, the bass idiom, the guitar texture, the drum groove."""

  name: str
  start: float
  end: float
  idiom: str
  texture: str
  groove: str


@dataclasses.dataclass(frozen=True)
class ChordInfo:
  """A chord that sounds from `start` to `end` seconds: root and all pitch classes, 0..11."""

  start: float
  end: float
  root: int
  pitch_classes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Score:
  """A composed song.

  Attributes:
    notes: the bass, one note at a time.
    mix_notes: all else.
    beats: [beats] seconds.
    downbeats: [bars] seconds.
    seconds: length, with a second for the last notes to ring.
    style: name of the style.
    tempo: beats a minute at the beginning.
    meter: name of the meter.
    key: tonic and mode at the beginning.
    sections, chords: as they follow each other.
    volumes: (program, MIDI volume) of every program.
    swung: whether eighths or sixteenths are not even.
  """

  notes: Notes
  mix_notes: Notes
  beats: np.ndarray
  downbeats: np.ndarray
  seconds: float
  style: str
  tempo: float
  meter: str
  key: Key
  sections: tuple[SectionInfo, ...]
  chords: tuple[ChordInfo, ...]
  volumes: tuple[tuple[int, int], ...]
  swung: bool


def compose(seed: int, index: int) -> Score:
  """Song number `index` of the corpus `seed`; the same numbers give the same song."""
  rng = np.random.default_rng([seed, index])
  style = _STYLES[choose(rng, {name: style.weight for name, style in _STYLES.items()})]
  meter = METERS[choose(rng, style.meters)]
  key = Key(_draw_tonic(rng, style), choose(rng, style.modes))
  tempo = float(np.round(rng.uniform(*style.tempo)))
  if meter.ternary:
    # The beat has three eighths: as many beats a minute would be half as many eighths again.
    tempo = float(np.round(max(0.72 * tempo, 50)))
  tick_seconds = 60 / tempo / meter.beat
  swung = meter.name == '4/4' and rng.random() < style.swing
  eighth_swing, sixteenth_swing = (float(rng.uniform(0.58, 0.67)), 0.5) if swung else (0.5, 0.5)
  if swung and style.name in ('funk', 'pop'):
    eighth_swing, sixteenth_swing = 0.5, float(rng.uniform(0.54, 0.64))
  band = draw_band(rng, style)
  names = ('intro', 'verse', 'chorus', 'bridge', 'solo', 'breakdown')
  materials = {name: draw_material(rng, style, name, meter, key, band, tick_seconds) for name in names}
  if rng.random() < 0.5:
    materials['intro'] = dataclasses.replace(materials['verse'], seed=materials['intro'].seed, lead=False)
  # By the index, so that even a small corpus has every idiom; what is foreign to the style only in the bridge, where it surprises least.
  featured = tuple(bass.IDIOMS)[index % len(bass.IDIOMS)]
  place = pick(rng, ('bridge', 'bridge', 'chorus')) if style.idioms.get(featured, 0) >= 1 else 'bridge'
  materials[place] = dataclasses.replace(materials[place], idiom=featured)
  bar_seconds = meter.bar * tick_seconds
  form = draw_form(rng, materials, bar_seconds, seconds=float(rng.uniform(52, 84)))
  sixteenths = eighth_swing == 0.5 and not meter.ternary
  return _perform(rng, style, meter, key, tempo, tick_seconds, band, materials, form, (eighth_swing, sixteenth_swing), sixteenths)


_STYLES: dict[str, Style] = {style.name: style for style in STYLES}


def _draw_tonic(rng: np.random.Generator, style: Style) -> int:
  """All twelve; styles of open low strings prefer E, A, D and their neighbours."""
  if style.power > 0.6 and rng.random() < 0.5:
    return choose(rng, {4: 4, 9: 2, 2: 2, 11: 1, 0: 1, 7: 1})
  return int(rng.integers(12))


def _perform(
  rng: np.random.Generator,
  style: Style,
  meter: Meter,
  key: Key,
  tempo: float,
  tick_seconds: float,
  band: Band,
  materials: dict[str, Material],
  form: list[Section],
  swing: tuple[float, float],
  sixteenths: bool,
) -> Score:
  drift = rng.random() < 0.25
  starts, rates, infos, spans = [], [], [], []
  mix_tones: list[Tone] = []
  bass_tones: list[Tone] = []
  tick = 0
  for number, section in enumerate(form):
    material = materials[section.name]
    here = Key((key.tonic + section.transposition) % 12, key.mode)
    chords = tuple(Chord((chord.root + section.transposition) % 12, chord.intervals) for chord in material.chords)
    frame = Frame(
      meter, section.bars, here, lay_out(chords, meter, section.bars, material.bars_each), section.energy, tick_seconds, sixteenths
    )
    last = number == len(form) - 1
    mix_part, bass_part, frame = _play_section(frame, section, material, band, first=number == 0, last=last)
    mix_tones += [tone._replace(tick=tone.tick + tick) for tone in mix_part]
    bass_tones += [tone._replace(tick=tone.tick + tick) for tone in bass_part]
    starts.append(tick)
    rates.append(tick_seconds * (1 + 0.025 * float(rng.uniform(-1, 1)) * drift))
    infos.append((section, material, tick, tick + frame.ticks))
    spans += [(tick + span.start, tick + span.end, span.chord) for span in frame.spans]
    tick += frame.ticks
  ends = rng.random() < 0.7
  if ends:
    chord = Chord((key.tonic + form[-1].transposition) % 12, (0, 7))
    mix_tones += _ending(chord, tick, meter, band, any(section.guitars for section in form))
    bass_tones.append(Tone(tick, meter.bar, pitch_from(chord.root, band.bass_base), 100, band.bass))
    spans.append((tick, tick + meter.bar, chord))
  clock = Clock(np.asarray(starts), np.asarray(rates), *swing)
  bars = tick // meter.bar + ends
  final = bars * meter.bar
  beats = np.asarray([bar * meter.bar + beat for bar in range(bars) for beat in meter.beats])
  human = float(rng.choice([0.0, 0.002, 0.004, 0.006], p=[0.35, 0.3, 0.25, 0.1]))
  mix_notes = _untangled(_to_notes(rng, [tone for tone in mix_tones if tone.tick < final], clock, human))
  notes = monophonic(_to_notes(rng, [tone for tone in bass_tones if tone.tick < final], clock, human), shortest=0.03)
  seconds = float(max(clock.seconds(np.asarray([final]))[0], mix_notes.offset.max(), notes.offset.max()) + 1.0)
  second_of = {t: s for t, s in zip(_edges(infos, spans), clock.seconds(_edges(infos, spans)).tolist(), strict=True)}
  return Score(
    notes=dataclasses.replace(notes, pitch=np.where(notes.pitch > HIGHEST_BASS, notes.pitch - 12, notes.pitch)),
    mix_notes=mix_notes,
    beats=clock.seconds(beats),
    downbeats=clock.seconds(np.arange(bars) * meter.bar),
    seconds=seconds,
    style=style.name,
    tempo=tempo,
    meter=meter.name,
    key=key,
    sections=tuple(
      SectionInfo(s.name, second_of[a], second_of[b], s.idiom, m.texture if s.guitars else 'none', s.groove) for s, m, a, b in infos
    ),
    chords=tuple(ChordInfo(second_of[a], second_of[b], chord.root, chord.pitch_classes) for a, b, chord in spans),
    volumes=_volumes(rng, band),
    swung=max(swing) > 0.5,
  )


def _edges(infos, spans) -> np.ndarray:
  """All ticks at which a section or a chord begins or ends."""
  return np.unique([tick for info in infos for tick in info[2:]] + [tick for span in spans for tick in span[:2]])


def _play_section(
  frame: Frame, section: Section, material: Material, band: Band, first: bool, last: bool
) -> tuple[list[Tone], list[Tone], Frame]:
  """Everybody plays: mix, bass, and the frame with the harmony that a riff may have made."""
  # One generator a player: whether one of them rests never changes what the others play.
  dice = [np.random.default_rng([material.seed, player]) for player in range(6)]
  low = band.guitar_low if band.rhythm in (29, 30) else 40
  guitar = guitars.Part(())
  if material.riff is not None:
    if not material.riff.moves:
      frame = dataclasses.replace(
        frame, spans=(dataclasses.replace(frame.spans[0], end=frame.ticks, chord=Chord(frame.key.tonic, (0, 7))),)
      )
      frame = dataclasses.replace(frame, spans=guitars.riff_harmony(frame, material.riff))
    guitar = guitars.riff(dice[0], frame, material.riff, band.rhythm, low)
  elif material.texture != 'none':
    program = band.clean if material.texture in ('picked', 'strum', 'stabs') and band.rhythm in (29, 30) else band.rhythm
    guitar = guitars.CHORD_TEXTURES[material.texture](dice[0], frame, program, low, material.notes_per_beat)
  mix: list[Tone] = []
  if section.guitars:
    mix += guitar.tones
    if material.second is not None:
      mix += guitars.second_guitar(dice[1], frame, guitar, band.second, material.second).tones
  for texture, program in material.key_textures:
    mix += keyboards.KEY_TEXTURES[texture](dice[2], frame, program)
  if material.lead:
    mix += keyboards.melody(dice[3], frame, band.lead, 72, min(material.notes_per_beat, 2.0))
  figure = [tone.tick for tone in guitar.figure]
  kit = drums.play(dice[4], frame.meter, frame.bars, section.groove, section.energy, figure, crash=not first, fill=not last)
  if not mix and not kit:
    kit = drums.play(dice[4], frame.meter, frame.bars, 'hats', section.energy, figure, crash=False, fill=True)
  mix += kit
  if section.idiom == 'rest':
    return mix, [], frame
  kicks = drums.kicks_of(kit) or [bar * frame.meter.bar + beat for bar in range(frame.bars) for beat in (0, frame.meter.half)]
  bed = bass.Bed(frame, guitar.figure, tuple(kicks), band.bass_low, band.bass_base, band.approach, band.bass)
  return mix, bass.play(dice[5], bed, section.idiom, band.legato, band.fills), frame


def _ending(chord: Chord, tick: int, meter: Meter, band: Band, with_guitars: bool) -> list[Tone]:
  """The last bar: everybody holds the tonic."""
  tones = [Tone(tick, 5, key, 110, DRUMS) for key in (drums.KICK, drums.CRASHES[0])]
  if with_guitars:
    root = pitch_from(chord.root, band.guitar_low)
    tones += [Tone(tick, meter.bar, root + step, 98, band.rhythm) for step in (0, 7, 12)]
  for program in (band.keys, band.pad):
    if program is not None:
      tones += [Tone(tick, meter.bar, pitch, 80, program) for pitch in voicing(chord, 62)]
  return tones


def _to_notes(rng: np.random.Generator, tones: list[Tone], clock: Clock, human: float) -> Notes:
  """Tones in seconds, with the few milliseconds and the unevenness of hands.

  Args:
    human: standard deviation of the timing in seconds; 0 is a sequencer.
  """
  table = np.asarray(tones, dtype=np.float64).reshape(-1, 5)
  onset, offset = clock.seconds(table[:, 0]), clock.seconds(table[:, 0] + table[:, 1])
  if human and len(table):
    # One draw for what one player strikes together, and a constant for how early or late that player is.
    together, which = np.unique(table[:, [0, 4]], axis=0, return_inverse=True)
    late = {program: rng.normal(0, human / 2) for program in np.unique(table[:, 4])}
    moved = rng.normal(0, human, len(together)).clip(-3 * human, 3 * human) + np.asarray([late[program] for program in together[:, 1]])
    onset = np.maximum(onset + moved[which.reshape(-1)], 0.0)
  velocity = np.clip(table[:, 3] + rng.normal(0, 4 if human else 1.5, len(table)), 20, 127)
  offset = np.maximum(offset, onset + 0.03)
  return Notes.from_rows(np.stack([onset, offset, table[:, 2], np.round(velocity), table[:, 4]], axis=1))


def _untangled(notes: Notes) -> Notes:
  """A key struck again ends the note before it; of two strokes of one key at one time the first stays."""
  order = np.lexsort((notes.onset, notes.pitch, notes.program))
  table = notes.rows()[order]
  same = np.all(table[1:, [2, 4]] == table[:-1, [2, 4]], axis=1)
  keep = np.append(True, ~(same & (table[1:, 0] - table[:-1, 0] < 0.02)))
  table = table[keep]
  same = np.all(table[1:, [2, 4]] == table[:-1, [2, 4]], axis=1)
  table[:-1, 1] = np.where(same, np.minimum(table[:-1, 1], table[1:, 0]), table[:-1, 1])
  return Notes.from_rows(table)


def _volumes(rng: np.random.Generator, band: Band) -> tuple[tuple[int, int], ...]:
  """A balance: rhythm guitars and bass carry, keys and pads lie behind, each a little different from song to song."""
  # The picked bass of the SoundFont is 5 dB softer than the fingered one.
  bass_level = {34: 106, 32: 86, 33: 90, 37: 102}.get(band.bass, 94)
  levels = {
    band.colour: 80,
    band.pad: 76,
    band.keys: 90,
    band.lead: 96,
    band.second: 88,
    band.clean: 100,
    band.rhythm: 100,
    band.bass: bass_level,
    DRUMS: 102,
  }
  return tuple((int(program), int(np.clip(level + rng.normal(0, 6), 40, 127))) for program, level in levels.items() if program is not None)
