"""Keyboards, strings and lead melodies: pads, comping, broken chords, ostinatos, and a tune above it all."""

from __future__ import annotations

import numpy as np

from data_pipeline.sources.open_band.frame import Frame
from data_pipeline.sources.open_band.grid import EIGHTH, SIXTEENTH, Tone, pick
from data_pipeline.sources.open_band.harmony import RIFF_SCALES, pitch_near, voicing
from data_pipeline.sources.open_band.riffs import draw_rhythm


def pad(rng: np.random.Generator, frame: Frame, program: int) -> list[Tone]:
  """Held chords; the same chord twice in a row is not struck again."""
  centre = pick(rng, (60, 64, 67, 72))
  tones: list[Tone] = []
  start = 0
  for i, span in enumerate(frame.spans):
    if i + 1 < len(frame.spans) and frame.spans[i + 1].chord == span.chord and (span.end - start) < 4 * frame.meter.bar:
      continue
    tones += [Tone(start, span.end - start, pitch, 78, program) for pitch in voicing(span.chord, centre)]
    start = span.end
  return tones


def comp(rng: np.random.Generator, frame: Frame, program: int) -> list[Tone]:
  """Block chords in a repeated rhythm, sometimes with the root an octave or two below in the left hand."""
  rhythm = frame.cut_at_chords(frame.repeated(draw_rhythm(rng, frame.meter, pick(rng, (0.5, 1.0, 1.5, 2.0)), frame.finest == SIXTEENTH)))
  left_hand, staccato, centre = rng.random() < 0.35, rng.random() < 0.3, pick(rng, (60, 64, 67))
  tones = []
  for tick, length in rhythm:
    chord = frame.chord(tick)
    sounding = min(length, SIXTEENTH) if staccato else length
    tones += [Tone(tick, sounding, pitch, 86 if frame.on_beat(tick) else 76, program) for pitch in voicing(chord, centre)]
    if left_hand and frame.on_beat(tick):
      tones.append(Tone(tick, sounding, pitch_near(chord.root, 48), 80, program))
  return tones


def broken(rng: np.random.Generator, frame: Frame, program: int) -> list[Tone]:
  """Broken chords in even notes: up, down, or up and down over one or two octaves."""
  step = SIXTEENTH if frame.finest == SIXTEENTH and rng.random() < 0.5 else EIGHTH
  centre, wide, shape = pick(rng, (60, 67, 72)), rng.random() < 0.4, pick(rng, ('up', 'down', 'both'))
  tones = []
  for span in frame.spans:
    ladder = list(voicing(span.chord, centre))
    ladder += [pitch + 12 for pitch in ladder] if wide else []
    order = ladder if shape == 'up' else ladder[::-1] if shape == 'down' else ladder + ladder[-2:0:-1]
    for i, tick in enumerate(range(span.start, span.end, step)):
      tones.append(Tone(tick, step, order[i % len(order)], 84 if frame.on_beat(tick) else 74, program))
  return tones


def ostinato(rng: np.random.Generator, frame: Frame, program: int) -> list[Tone]:
  """A short figure of chord and scale tones that repeats every bar and bends with the chords."""
  rhythm = draw_rhythm(rng, frame.meter, pick(rng, (1.0, 2.0, 3.0)), frame.finest == SIXTEENTH)
  centre, choice = pick(rng, (60, 65, 72, 77)), [int(x) for x in rng.integers(0, 4, size=len(rhythm))]
  tones = []
  for i, (tick, length) in enumerate(frame.repeated(rhythm)):
    tones_here = voicing(frame.chord(tick), centre)
    tones.append(Tone(tick, length, tones_here[choice[i % len(rhythm)] % len(tones_here)], 82 if frame.on_beat(tick) else 74, program))
  return tones


KEY_TEXTURES = {'pad': pad, 'comp': comp, 'broken': broken, 'ostinato': ostinato}


def melody(rng: np.random.Generator, frame: Frame, program: int, centre: int, notes_per_beat: float) -> list[Tone]:
  """A tune in phrases of two bars: a rhythm that repeats with another ending, chord tones on the beats, steps between, rests."""
  meter = frame.meter
  scale = {(frame.key.tonic + step) % 12 for step in pick(rng, RIFF_SCALES[frame.key.mode])}
  bars = [draw_rhythm(rng, meter, notes_per_beat, frame.finest == SIXTEENTH) for _ in range(3)]
  form = pick(rng, ((0, 1, 0, 2), (0, 0, 1, 2), (0, 1, 2, 1)))
  breath = meter.beats[-1] if rng.random() < 0.7 else meter.bar
  position, tones = centre, []
  ladder = [pitch for pitch in range(centre - 12, centre + 17) if pitch % 12 in scale]
  for bar in range(frame.bars):
    for tick, length in bars[form[bar % 4]]:
      if bar % 2 == 1 and tick >= breath:
        continue
      at = bar * meter.bar + tick
      chord = frame.chord(at)
      position += int(rng.normal(0, 2.5)) + (centre - position) // 6
      if frame.on_beat(at) or length > EIGHTH:
        position = pitch_near(pick(rng, chord.pitch_classes), position)
      else:
        position = min(ladder, key=lambda pitch: abs(pitch - position))
      tones.append(Tone(at, length, position, 96 if frame.on_beat(at) else 88, program))
  return tones
