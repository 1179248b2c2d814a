"""Bass idioms: named functions that write a bass line under a section, and what is common to them: articulation and fills."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from data_pipeline.sources.open_band.frame import Frame
from data_pipeline.sources.open_band.grid import EIGHTH, QUARTER, SIXTEENTH, Tone, pick
from data_pipeline.sources.open_band.harmony import RIFF_SCALES, Chord, pitch_from, pitch_near, scale_step
from data_pipeline.sources.open_band.riffs import draw_rhythm


@dataclasses.dataclass(frozen=True)
class Bed:
  """What the bass player hears and how it plays in a section.

  Attributes:
    frame: the section.
    figure: the guitars' low line, sorted.
    kicks: ticks of the kick, sorted.
    lowest: pitch of the lowest string.
    base: roots lie in base..base+11.
    approach: probability of an approach note before a new chord.
    program: 32..39.
  """

  frame: Frame
  figure: tuple[Tone, ...]
  kicks: tuple[int, ...]
  lowest: int
  base: int
  approach: float
  program: int

  def root(self, tick: int) -> int:
    return pitch_from(self.frame.chord(tick).root, self.base)

  def fifth(self, tick: int) -> int:
    """The chord's fifth, below the root where the instrument has it and the root is high."""
    root, above = self.root(tick), self.frame.chord(tick).fifth
    return root + above - 12 if root + above - 12 >= self.lowest and root - self.base > 5 else root + above

  def tone(self, tick: int, length: int, pitch: int, accent: bool | None = None) -> Tone:
    accent = self.frame.on_beat(tick) if accent is None else accent
    return Tone(tick, length, pitch, 102 if accent else 90, self.program)


def _steps(bed: Bed, step: int) -> range:
  return range(0, bed.frame.ticks, step)


def _even(rng: np.random.Generator, bed: Bed, step: int) -> list[Tone]:
  """Even notes on the root; before a new chord now and then a note that leads to it."""
  tones = []
  for tick in _steps(bed, step):
    pitch = bed.root(tick)
    following = bed.root((tick + step) % bed.frame.ticks)
    if following != pitch and rng.random() < bed.approach:
      pitch = _leading(rng, bed, pitch, following)
    tones.append(bed.tone(tick, step, pitch))
  return tones


def _leading(rng: np.random.Generator, bed: Bed, pitch: int, following: int) -> int:
  """A note from `pitch` to `following`: a scale step beside the goal, a semitone, or the goal's fifth."""
  side = 1 if following < pitch else -1
  options = (scale_step(bed.frame.key, following, side), following + side, following + side, following + 7)
  lead = pick(rng, options)
  return lead if lead >= bed.lowest else following + 1


def root_eighths(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  return _even(rng, bed, EIGHTH)


def root_sixteenths(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  return _even(rng, bed, bed.frame.finest)


def root_beats(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  beats = [*bed.frame.beats, bed.frame.ticks]
  return [bed.tone(tick, end - tick, bed.root(tick)) for tick, end in itertools.pairwise(beats)]


def root_whole(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """One note a chord, at most a bar long."""
  rhythm = bed.frame.cut_at_chords([(bar * bed.frame.meter.bar, bed.frame.meter.bar) for bar in range(bed.frame.bars)])
  return [bed.tone(tick, length, bed.root(tick)) for tick, length in rhythm]


def root_halves(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """Two notes a bar; the second is sometimes the fifth."""
  meter, fifths = bed.frame.meter, rng.random() < 0.3
  rhythm = bed.frame.cut_at_chords(bed.frame.repeated([(0, meter.half), (meter.half, meter.bar - meter.half)]))
  return [bed.tone(tick, length, bed.fifth(tick) if fifths and tick % meter.bar else bed.root(tick)) for tick, length in rhythm]


def root_fifth(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """Root and fifth by turns, a beat each or in a dotted figure (root, then fifth on the last eighth of the beat)."""
  dotted, tones = rng.random() < 0.35, []
  for i, tick in enumerate(bed.frame.beats):
    group = bed.frame.meter.groups[i % len(bed.frame.meter.groups)]
    start = any(span.start == tick for span in bed.frame.spans)
    if dotted:
      last = tick + (group - 1) * EIGHTH
      tones += [bed.tone(tick, last - tick, bed.root(tick)), bed.tone(last, EIGHTH, bed.fifth(last))]
    else:
      tones.append(bed.tone(tick, group * EIGHTH, bed.root(tick) if start or i % 2 == 0 else bed.fifth(tick)))
  return tones


def octaves(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """Root on the beat, its octave after it."""
  sixteenths = bed.frame.finest == SIXTEENTH and rng.random() < 0.25
  cell = ((0, 0), (6, 0), (12, 12), (18, 12)) if sixteenths else ((0, 0), (12, 12))
  if bed.frame.meter.ternary:
    cell = ((0, 0), (24, 12))
  tones = []
  for tick in bed.frame.beats:
    for step, up in cell:
      root = bed.root(tick + step)
      # Up to E3 at most where the instrument also has the octave below.
      root -= 12 * (root + 12 > 52 and root - 12 >= bed.lowest)
      tones.append(bed.tone(tick + step, SIXTEENTH if sixteenths else EIGHTH, root + up, accent=not up))
  return tones


def walking(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """A note a beat: the root where a chord begins, chord and scale tones towards the next root, which is approached by step."""
  frame = bed.frame
  beats = [*frame.beats, frame.ticks]
  starts = {span.start for span in frame.spans}
  position, tones = bed.root(0), []
  for i, tick in enumerate(beats[:-1]):
    following = beats[i + 1]
    goal = bed.root(following % frame.ticks)
    if tick in starts or (tick % frame.meter.bar == 0 and rng.random() < 0.6):
      position = bed.root(tick)
    elif following in starts or following == frame.ticks:
      position = _leading(rng, bed, position, goal)
    elif tick % frame.meter.bar == frame.meter.half or rng.random() < 0.5:
      position = pitch_near(pick(rng, frame.chord(tick).pitch_classes[1:]), position + pick(rng, (-3, 3, 4)))
    else:
      position = scale_step(frame.key, position, pick(rng, (1, 1, -1)))
    position = _within(bed, position)
    tones.append(bed.tone(tick, following - tick, position))
  return tones


def _within(bed: Bed, pitch: int) -> int:
  """Back by octaves into about an octave and a half above the lowest string."""
  while pitch < bed.lowest:
    pitch += 12
  while pitch > bed.base + 19:
    pitch -= 12
  return pitch


def kick_locked(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """A note on every stroke of the kick and where a chord begins; off the beat sometimes another chord tone."""
  ticks = sorted({*bed.kicks, *(span.start for span in bed.frame.spans)})
  colour, tones = pick(rng, (0.0, 0.15, 0.4)), []
  for tick, following in zip(ticks, [*ticks[1:], bed.frame.ticks], strict=True):
    pitch = bed.root(tick)
    if not bed.frame.on_beat(tick) and rng.random() < colour:
      pitch = pick(rng, (bed.fifth(tick), pitch + 12, pitch + 12))
    tones.append(bed.tone(tick, min(following - tick, bed.frame.meter.half), pitch))
  return tones


def pedal(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """The tonic under all chords, in even eighths or in a rhythm of its own."""
  tonic = pitch_from(bed.frame.key.tonic, bed.base)
  bar = [(tick, EIGHTH) for tick in range(0, bed.frame.meter.bar, EIGHTH)]
  if rng.random() < 0.3:
    bar = draw_rhythm(rng, bed.frame.meter, 1.5, bed.frame.finest == SIXTEENTH)
  return [bed.tone(tick, length, tonic) for tick, length in bed.frame.repeated(bar)]


def arpeggio(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """Broken chords: root, third, fifth, octave in one order, eighths or beats."""
  frame = bed.frame
  order = pick(rng, ((0, 1, 2, 3), (0, 2, 3, 2), (0, 2, 1, 2), (0, 1, 2, 1), (0, 3, 2, 1)))
  step = frame.meter.beat if rng.random() < 0.25 else EIGHTH
  tones = []
  for span in frame.spans:
    root = pitch_from(span.chord.root, bed.base)
    third = next((i for i in span.chord.intervals if i in (3, 4)), span.chord.fifth)
    ladder = (0, third, span.chord.fifth, 12)
    for i, tick in enumerate(range(span.start, span.end, step)):
      tones.append(bed.tone(tick, min(step, span.end - tick), root + ladder[order[i % 4]]))
  return tones


def melodic(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """A line with a rhythm of its own: chord tones on the beats, steps in between."""
  frame = bed.frame
  bars = [draw_rhythm(rng, frame.meter, pick(rng, (1.0, 1.5, 2.0)), frame.finest == SIXTEENTH) for _ in range(2)]
  starts = {span.start for span in frame.spans}
  position, tones = bed.root(0), []
  for bar in range(frame.bars):
    for tick, length in frame.cut_at_chords([(bar * frame.meter.bar + t, n) for t, n in bars[bar % 2]]):
      chord = frame.chord(tick)
      if tick in starts:
        position = bed.root(tick)
      elif frame.on_beat(tick):
        position = pitch_near(pick(rng, _triad(chord)), position + pick(rng, (-3, 0, 3, 5)))
      else:
        position = scale_step(frame.key, position, pick(rng, (-1, 1, 1, 2, -2)))
      position = _within(bed, position)
      tones.append(bed.tone(tick, length, position))
  return tones


def _triad(chord: Chord) -> tuple[int, ...]:
  return chord.pitch_classes[:3]


def offbeats(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """Silent on the beat, the root after it."""
  tones = []
  for i, beat in enumerate(bed.frame.beats):
    group = bed.frame.meter.groups[i % len(bed.frame.meter.groups)]
    tick = beat + EIGHTH * (group - 1)
    tones.append(bed.tone(tick, EIGHTH, bed.root(tick), accent=True))
  return tones


def gallop(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """Long, short, short on the root (an eighth and two sixteenths; three eighths in ternary beats)."""
  reverse = rng.random() < 0.25
  cell = ((0, 6), (6, 6), (12, 12)) if reverse else ((0, 12), (12, 6), (18, 6))
  if bed.frame.finest > SIXTEENTH:
    cell = ((0, 12), (12, 12))
  tones = []
  for i, beat in enumerate(bed.frame.beats):
    ternary = bed.frame.meter.groups[i % len(bed.frame.meter.groups)] == 3
    for step, length in ((0, 12), (12, 12), (24, 12)) if ternary else cell:
      tones.append(bed.tone(beat + step, length, bed.root(beat + step)))
  return tones


def syncopated(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """Roots in a syncopated figure of one bar (3 + 3 + 2 and its like)."""
  meter = bed.frame.meter
  if meter.name == '4/4':
    lengths = pick(rng, ((36, 36, 24), (36, 12, 24, 24), (18, 18, 12, 18, 18, 12), (36, 60), (24, 36, 36), (18, 6, 24, 18, 6, 24)))
  elif meter.name == '3/4':
    lengths = pick(rng, ((36, 36), (36, 12, 24), (48, 24)))
  elif meter.ternary:
    lengths = pick(rng, ((24, 12), (12, 24), (24, 24, 24))) * (meter.bar // 36)
  else:
    lengths = tuple(EIGHTH * group for group in meter.groups)
  ends = np.cumsum(lengths)
  bar = [(int(end - length), int(length)) for end, length in zip(ends, lengths, strict=True) if end <= meter.bar]
  return [bed.tone(tick, length, bed.root(tick)) for tick, length in bed.frame.cut_at_chords(bed.frame.repeated(bar))]


def funk(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """Sixteenths with holes: the root on one, octaves, flat sevenths and fifths off the beat, one figure of two bars repeated."""
  frame = bed.frame
  step = frame.finest
  slots = range(0, 2 * frame.meter.bar, step)
  density = 0.3 if step == SIXTEENTH else 0.5
  figure = [(slot, pick(rng, (0, 0, 0, 12, 12, 10, 7))) for slot in slots if slot and rng.random() < density]
  figure = [(0, 0), *figure]
  tones = []
  for start in range(0, frame.ticks, 2 * frame.meter.bar):
    for (slot, up), following in zip(figure, [*[s for s, _ in figure[1:]], 2 * frame.meter.bar], strict=True):
      tick = start + slot
      if tick >= frame.ticks:
        break
      up = 0 if frame.on_beat(tick) and up == 10 else up
      tones.append(
        bed.tone(tick, min(following - slot, QUARTER), bed.root(tick) + (12 if up == 10 and 11 in frame.chord(tick).intervals else up))
      )
  return tones


def boogie(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """The walking figure of blues: root, third, fifth, sixth, flat seventh and back, a beat each or in eighths."""
  frame = bed.frame
  eighths = not frame.meter.ternary and rng.random() < 0.5
  step = EIGHTH if eighths else frame.meter.beat
  tones = []
  for span in frame.spans:
    # A power chord leaves the third to the key.
    third = 3 if 3 in span.chord.intervals or (4 not in span.chord.intervals and (span.chord.root + 3) % 12 in frame.key.scale) else 4
    ladder = pick(rng, ((0, third, 7, 9), (0, third, 7, 9, 10, 9, 7, third), (0, 0, 7, 7, 9, 9, 7, 7), (0, 12, 10, 7)))
    root = pitch_from(span.chord.root, bed.base)
    for i, tick in enumerate(range(span.start, span.end, step)):
      tones.append(bed.tone(tick, min(step, span.end - tick), root + ladder[i % len(ladder)]))
  return tones


def riff_doubled(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """The guitars' low line, an octave or two below."""
  if not bed.figure:
    return root_eighths(rng, bed)
  # The whole line moves by the same octaves, so that the riff keeps its shape; only a note below the lowest string goes up.
  shift = 12 * -((int(np.median([tone.pitch for tone in bed.figure])) - bed.base - 4 + 6) // 12)
  return [bed.tone(tone.tick, tone.length, _above_lowest(bed, tone.pitch + shift)) for tone in bed.figure]


def _above_lowest(bed: Bed, pitch: int) -> int:
  return pitch + 12 * max(0, -((pitch - bed.lowest) // 12))


def riff_simplified(rng: np.random.Generator, bed: Bed) -> list[Tone]:
  """What of the guitars' low line falls on beats, or where its pitch changes; each held to the next."""
  kept: list[Tone] = []
  for tone in riff_doubled(rng, bed):
    if not kept or bed.frame.on_beat(tone.tick) or tone.pitch != kept[-1].pitch:
      kept.append(tone)
  following = [*(tone.tick for tone in kept[1:]), bed.frame.ticks]
  return [tone._replace(length=end - tone.tick) for tone, end in zip(kept, following, strict=True)]


IDIOMS: dict[str, Callable[[np.random.Generator, Bed], list[Tone]]] = {
  function.__name__: function
  for function in (
    *(root_eighths, root_sixteenths, root_beats, root_whole, root_halves, root_fifth, octaves, walking, kick_locked, pedal, arpeggio),
    *(melodic, offbeats, gallop, syncopated, funk, boogie, riff_doubled, riff_simplified),
  )
}


_FOLLOWING = frozenset(('riff_doubled', 'riff_simplified'))
"""Idioms that are the guitars' line: it decides what comes again."""
_TURNS = 0.85
_PHRASED = 0.9


def play(rng: np.random.Generator, bed: Bed, idiom: str, legato: float, fills: float) -> list[Tone]:
  """A section's bass line: the idiom, fills at the ends of phrases, articulation.

  Args:
    idiom: a name in `IDIOMS`.
    legato: sounding part of a note's length, 0.35 (staccato) .. 1.
    fills: probability of a fill at the end of every fourth bar.
  """
  tones = sorted(IDIOMS[idiom](rng, bed))
  meter = bed.frame.meter
  follows = idiom in _FOLLOWING
  if not follows and rng.random() < _TURNS:
    tones = _turned(rng, bed, tones)
  for bar in range(3, bed.frame.bars, 4):
    if rng.random() < fills:
      start, end = bar * meter.bar + meter.beats[-pick(rng, (1, 1, 2))], (bar + 1) * meter.bar
      kept = [tone._replace(length=min(tone.length, start - tone.tick)) for tone in tones if tone.tick < start]
      tones = [
        *kept,
        *_fill(rng, bed, start, end, kept[-1].pitch if kept else bed.root(start)),
        *(tone for tone in tones if tone.tick >= end),
      ]
  phrase = bed.frame.phrase
  if phrase is not None and not follows and rng.random() < _PHRASED:
    tones = _repeated(tones, phrase, bed.frame.ticks)
  # A held note keeps its length whatever the articulation: staccato wholes are no idiom.
  return [tone._replace(length=max(2, round(tone.length * (legato if tone.length <= QUARTER else max(legato, 0.8))))) for tone in tones]


def _turned(rng: np.random.Generator, bed: Bed, tones: list[Tone]) -> list[Tone]:
  """Every second bar ends in a scale step towards the root that follows; rhythm and length stay."""
  meter, turned = bed.frame.meter, []
  ends = {
    max((tone.tick for tone in tones if bar * meter.bar <= tone.tick < (bar + 1) * meter.bar), default=-1)
    for bar in range(1, bed.frame.bars, 2)
  }
  side = pick(rng, (-1, 1, 1))
  for tone in tones:
    if tone.tick in ends and tone.tick % meter.bar and tone.length <= QUARTER:
      goal = pitch_near(bed.frame.chord((tone.tick // meter.bar + 1) * meter.bar % bed.frame.ticks).root, tone.pitch)
      tone = tone._replace(pitch=_above_lowest(bed, scale_step(bed.frame.key, goal, side)))
    turned.append(tone)
  return turned


def _repeated(tones: list[Tone], phrase: int, ticks: int) -> list[Tone]:
  """The first phrase over and over."""
  first = [tone._replace(length=min(tone.length, phrase - tone.tick)) for tone in tones if tone.tick < phrase]
  copies = [tone._replace(tick=tone.tick + start) for start in range(0, ticks, phrase) for tone in first]
  return [tone._replace(length=min(tone.length, ticks - tone.tick)) for tone in copies if tone.tick < ticks]


def _fill(rng: np.random.Generator, bed: Bed, start: int, end: int, before: int) -> list[Tone]:
  """A run through a riff scale that ends beside the next downbeat's root, mostly from the side where the line already is.

  Args:
    before: pitch of the note before the fill.
  """
  frame = bed.frame
  step = frame.finest if rng.random() < 0.4 else EIGHTH
  ticks = list(range(start, end, step))[-6:]
  goal = bed.root(end % frame.ticks)
  runs = [_run(rng, bed, goal, direction, len(ticks)) for direction in (-1, 1)]
  runs = [run for run in runs if min(run) >= bed.lowest] or runs[1:]
  runs.sort(key=lambda run: abs(run[0] - before))
  run = runs[-1] if rng.random() < 0.15 else runs[0]
  return [bed.tone(tick, step, pitch) for tick, pitch in zip(ticks, run, strict=True)]


def _run(rng: np.random.Generator, bed: Bed, goal: int, direction: int, count: int) -> list[int]:
  """`count` notes of a riff scale that lead to `goal` from below (direction -1) or from above (1)."""
  key = bed.frame.key
  scale = {(key.tonic + interval) % 12 for interval in pick(rng, RIFF_SCALES[key.mode])}
  pitches, pitch = [], goal
  for _ in range(count):
    pitch += direction
    while pitch % 12 not in scale:
      pitch += direction
    pitches.append(pitch)
  return pitches[::-1]
