"""Guitar parts: riffs, chugs, power chords, strums, picked chords, stabs, boogie; and a second guitar beside them.

Every part returns its tones and its *figure*: the low line under them, one note at a time, which kick and bass may follow.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipeline.sources.open_band.frame import Frame
from data_pipeline.sources.open_band.grid import EIGHTH, QUARTER, SIXTEENTH, Tone, choose, pick
from data_pipeline.sources.open_band.harmony import Span, pitch_from, scale_step, voicing
from data_pipeline.sources.open_band.riffs import Riff, draw_rhythm

_MUTED_SECONDS = 0.075


@dataclasses.dataclass(frozen=True)
class Part:
  """What one player plays in a section.

  Attributes:
    tones: ticks from the section's start.
    figure: the low line, lengths up to the next note.
  """

  tones: tuple[Tone, ...]
  figure: tuple[Tone, ...] = ()


def _stroke(frame: Frame, tick: int, length: int, pitches, program: int, muted: bool = False, soft: bool = False) -> list[Tone]:
  """One stroke of one or more strings."""
  velocity = (100 if frame.on_beat(tick) else 92) - (14 if muted else 0) - (16 if soft else 0)
  velocity = int(velocity * (0.8 + 0.2 * frame.energy))
  if muted:
    length = min(length, max(2, round(_MUTED_SECONDS / frame.tick_seconds)))
  return [Tone(tick, max(length, 2), pitch, velocity - 3 * i, program) for i, pitch in enumerate(pitches)]


def _power(root: int, wide: bool, fifth: int = 7) -> tuple[int, ...]:
  return (root, root + fifth, root + 12) if wide else (root, root + fifth)


def riff(rng: np.random.Generator, frame: Frame, riff: Riff, program: int, low: int) -> Part:
  """A riff over the section.

  Args:
    low: pitch of the lowest string.
  """
  wide, tonic = rng.random() < 0.4, pitch_from(frame.key.tonic, low)
  tones, figure = [], []
  for bar in range(0, frame.bars, riff.bars):
    for stroke in riff.strokes:
      tick = bar * frame.meter.bar + stroke.tick
      if tick >= frame.ticks:
        break
      pitch = (pitch_from(frame.chord(tick).root, low) if riff.moves else tonic) + stroke.offset
      pitch += 12 * (pitch < low)
      pitches = _power(pitch, wide) if stroke.power else (pitch,)
      tones += _stroke(frame, tick, stroke.length, pitches, program, stroke.muted)
      figure.append(Tone(tick, stroke.length, pitch, 100, program))
  return Part(tuple(tones), tuple(figure))


def riff_harmony(frame: Frame, riff: Riff) -> tuple[Span, ...]:
  """The chords that a riff which stays on the tonic makes by itself: a power chord's root that holds for a beat or more is one."""
  tonic, power = frame.chord(0), riff.kind in ('power', 'gallop')
  edges: list[tuple[int, int]] = [(0, 0)]
  for bar in range(0, frame.bars, riff.bars):
    edges.append((bar * frame.meter.bar, 0))
    for stroke in riff.strokes:
      if power and stroke.power and stroke.offset % 12 != edges[-1][1]:
        edges.append((bar * frame.meter.bar + stroke.tick, stroke.offset % 12))
  edges = [edge for edge in edges if edge[0] < frame.ticks]
  spans = []
  for (start, offset), (end, _) in zip(edges, [*edges[1:], (frame.ticks, 0)], strict=True):
    if end > start:
      spans.append(Span(start, end, dataclasses.replace(tonic.power, root=(frame.key.tonic + offset) % 12)))
  return tuple(spans)


def chug(rng: np.random.Generator, frame: Frame, program: int, low: int, notes_per_beat: float) -> Part:
  """Palm-muted power chords on the chord's root: eighths, sixteenths, gallops, or a rhythm of its own; accents ring."""
  kind = choose(rng, {'even': 0.4, 'gallop': 0.25 if frame.finest == SIXTEENTH else 0.0, 'free': 0.35})
  meter, step = frame.meter, SIXTEENTH if frame.finest == SIXTEENTH and notes_per_beat > 2.5 else EIGHTH
  if kind == 'even':
    bar = [(tick, step) for tick in range(0, meter.bar, step)]
  elif kind == 'gallop' and not meter.ternary:
    cell = ((0, 12), (12, 6), (18, 6)) if rng.random() < 0.7 else ((0, 6), (6, 6), (12, 12))
    bar = [(beat + tick, length) for beat in meter.beats for tick, length in cell if beat + tick < meter.bar]
  else:
    bar = draw_rhythm(rng, meter, notes_per_beat, frame.finest == SIXTEENTH)
  wide, ring = rng.random() < 0.4, rng.random() < 0.4
  accents = {tick for tick, _ in bar if tick and rng.random() < 0.12}
  starts = {span.start for span in frame.spans}
  tones, figure = [], []
  for tick, length in frame.cut_at_chords(frame.repeated(bar)):
    chord = frame.chord(tick)
    root = pitch_from(chord.root, low)
    accent = tick in starts or tick % meter.bar in accents or length >= QUARTER
    pitches = _power(root, wide, chord.fifth) if accent or ring else (root,)
    tones += _stroke(frame, tick, length, pitches, program, muted=not accent)
    figure.append(Tone(tick, length, root, 100, program))
  return Part(tuple(tones), tuple(figure))


def power(rng: np.random.Generator, frame: Frame, program: int, low: int, notes_per_beat: float) -> Part:
  """Ringing power chords: held, or struck in a rhythm."""
  wide = rng.random() < 0.6
  held = rng.random() < 0.45
  rhythm = [(span.start, span.end - span.start) for span in frame.spans]
  if not held:
    rhythm = frame.cut_at_chords(frame.repeated(draw_rhythm(rng, frame.meter, min(notes_per_beat, 2.8), frame.finest == SIXTEENTH)))
  tones, figure = [], []
  for tick, length in rhythm:
    chord = frame.chord(tick)
    root = pitch_from(chord.root, low)
    tones += _stroke(frame, tick, length, _power(root, wide, chord.fifth), program)
    figure.append(Tone(tick, length, root, 100, program))
  return Part(tuple(tones), tuple(figure))


def strum(rng: np.random.Generator, frame: Frame, program: int, low: int, notes_per_beat: float) -> Part:
  """Full chords, strummed: root at the bottom, down-strokes stronger, strings a few ticks apart at slow tempi."""
  rhythm = frame.cut_at_chords(frame.repeated(draw_rhythm(rng, frame.meter, min(notes_per_beat, 2.5), frame.finest == SIXTEENTH)))
  tones, figure = [], []
  for tick, length in rhythm:
    chord = frame.chord(tick)
    root = pitch_from(chord.root, low)
    upper = [pitch for pitch in voicing(chord, root + 17) if pitch > root + 6]
    pitches = [root, root + chord.fifth, *[pitch for pitch in upper if pitch != root + chord.fifth]]
    down = tick % (2 * EIGHTH) == 0
    tones += _stroke(frame, tick, length, pitches if down else pitches[1:], program, soft=not down)
    figure.append(Tone(tick, length, root, 100, program))
  return Part(tuple(tones), tuple(figure))


def picked(rng: np.random.Generator, frame: Frame, program: int, low: int, notes_per_beat: float) -> Part:
  """Broken chords: the root first, then the upper tones in one order; strings ring to the end of the chord or a beat."""
  step = SIXTEENTH if frame.finest == SIXTEENTH and rng.random() < 0.3 else EIGHTH
  order = pick(rng, ((0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 2, 1), (0, 3, 2, 1), (0, 2, 3, 2), (0, 1, 3, 2)))
  ring = rng.random() < 0.6
  tones, figure = [], []
  for span in frame.spans:
    root = pitch_from(span.chord.root, low)
    strings = [root, *[pitch for pitch in voicing(span.chord, root + 16) if pitch > root + 3]]
    for i, tick in enumerate(range(span.start, span.end, step)):
      index = order[i % len(order)]
      pitch = strings[index % len(strings)]
      length = min(span.end - tick, step * len(order) if ring else step)
      tones += _stroke(frame, tick, length, (pitch,), program, soft=index > 0)
    figure.append(Tone(span.start, span.end - span.start, root, 100, program))
  return Part(tuple(tones), tuple(figure))


def stabs(rng: np.random.Generator, frame: Frame, program: int, low: int, notes_per_beat: float) -> Part:
  """Short high chords: on the off-beats, or in a syncopated sixteenth figure; no low line of their own."""
  if rng.random() < 0.45:
    bar = [(tick + EIGHTH, SIXTEENTH) for tick in frame.meter.beats]
  else:
    bar = draw_rhythm(rng, frame.meter, min(notes_per_beat, 3.0), frame.finest == SIXTEENTH)
  tones = []
  for tick, length in frame.repeated(bar):
    tones += _stroke(frame, tick, min(length, SIXTEENTH), voicing(frame.chord(tick), 64), program, soft=not frame.on_beat(tick))
  return Part(tuple(tones), tuple(Tone(s.start, s.end - s.start, pitch_from(s.chord.root, low), 100, program) for s in frame.spans))


def boogie(rng: np.random.Generator, frame: Frame, program: int, low: int, notes_per_beat: float) -> Part:
  """Root and fifth, root and sixth, in eighths: the shuffle figure of blues and rock'n'roll."""
  upper = pick(rng, ((7, 7, 9, 9), (7, 7, 9, 7), (7, 9, 10, 9)))
  tones, figure = [], []
  for beat_number, beat in enumerate(frame.beats):
    group = frame.meter.groups[beat_number % len(frame.meter.groups)]
    for tick, length in ((beat, (group - 1) * EIGHTH), (beat + (group - 1) * EIGHTH, EIGHTH)):
      root = pitch_from(frame.chord(tick).root, low)
      tones += _stroke(frame, tick, length, (root, root + upper[beat_number % 4]), program, muted=length < EIGHTH)
      figure.append(Tone(tick, length, root, 100, program))
  return Part(tuple(tones), tuple(figure))


CHORD_TEXTURES = {'chug': chug, 'power': power, 'strum': strum, 'picked': picked, 'stabs': stabs, 'boogie': boogie}


def second_guitar(rng: np.random.Generator, frame: Frame, first: Part, program: int, kind: str) -> Part:
  """A second guitar over the first one's part.

  Args:
    kind: 'unison' (the same, other sound), 'octave', 'third' (a diatonic third above the figure), 'held' (power chords of the harmony).
  """
  if kind == 'unison':
    return Part(tuple(tone._replace(program=program) for tone in first.tones))
  if kind in ('octave', 'third'):
    return Part(
      tuple(
        tone._replace(
          pitch=tone.pitch + 12 if kind == 'octave' else scale_step(frame.key, tone.pitch + 12, 2),
          length=max(tone.length - 1, 2),
          velocity=88,
        )
        for tone in first.figure
      )
    )
  tones = []
  for span in frame.spans:
    root = pitch_from(span.chord.root, 47)
    tones += _stroke(frame, span.start, span.end - span.start, _power(root, rng.random() < 0.5, span.chord.fifth), program, soft=True)
  return Part(tuple(tones))
