"""Rhythms and guitar riffs: bars of strokes relative to a root, which guitars play and the bass may double."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from data_pipeline.sources.open_band.grid import EIGHTH, QUARTER, SIXTEENTH, Meter, choose, pick
from data_pipeline.sources.open_band.harmony import RIFF_SCALES, Key

# Cells of one beat: lengths in ticks; a negative length is a rest.
_BINARY_CELLS = (
  *((24,), (12, 12), (6, 6, 6, 6), (12, 6, 6), (6, 6, 12), (18, 6), (6, 12, 6), (6, 18), (-12, 12), (12, -12), (-6, 6, 12)),
  *((-6, 6, 6, 6), (-12, 6, 6), (6, -6, 6, 6), (6, 6, -6, 6)),
)
_BINARY_EIGHTH_CELLS = ((24,), (12, 12), (-12, 12), (12, -12))
_TERNARY_CELLS = (
  (36,),
  (24, 12),
  (12, 12, 12),
  (12, 24),
  (-12, 12, 12),
  (12, -12, 12),
  (18, 6, 12),
  (12, 12, 6, 6),
  (6, 6, 12, 12),
  (6,) * 6,
)
_BEAT_FORMS = ('AAAA', 'AAAA', 'AABA', 'ABAB', 'AAAB', 'AAAB', 'ABAC', 'AABC')

KINDS = ('pedal', 'pentatonic', 'chromatic', 'power', 'tremolo', 'gallop', 'octave', 'scale')

_CHROMATIC_MOTIFS = (
  *((0, 0, 1, 0), (0, 6, 5, 3), (0, 1, 2, 3), (3, 2, 1, 0), (0, 0, 6, 5), (0, 1, 0, 3), (0, -1, 0, 1), (0, 3, 0, 6), (7, 6, 5, 3)),
  *((0, 0, 3, 1), (0, 10, 9, 8), (0, 1, 4, 1), (0, 5, 6, 5), (0, 11, 10, 7)),
)


class Stroke(NamedTuple):
  """One stroke of a riff: tick within the riff, length, semitones above the root, palm-muted or not, power chord or one note."""

  tick: int
  length: int
  offset: int
  muted: bool
  power: bool


@dataclasses.dataclass(frozen=True)
class Riff:
  """A riff of `bars` bars.

  Attributes:
    kind: one of `KINDS`.
    bars: 1, 2 or 4.
    strokes: sorted by tick.
    moves: transposed with the chords of the section; else it stays on the tonic and is itself the harmony.
  """

  kind: str
  bars: int
  strokes: tuple[Stroke, ...]
  moves: bool


def draw_rhythm(rng: np.random.Generator, meter: Meter, notes_per_beat: float, sixteenths: bool = True) -> list[tuple[int, int]]:
  """One bar of (tick, length): beats from a few cells that repeat, or a figure of threes laid over a binary bar.

  Args:
    notes_per_beat: about how many notes a beat should have.
    sixteenths: whether anything shorter than an eighth may occur.
  """
  if meter.name == '4/4' and rng.random() < 0.2:
    step = 18 if sixteenths and notes_per_beat > 1.2 else 36
    ticks = list(range(0, meter.bar - step // 2, step))
    return [(tick, end - tick) for tick, end in zip(ticks, [*ticks[1:], meter.bar], strict=True)]
  cells: dict[tuple[str, int], tuple[int, ...]] = {}
  rhythm, form = [], pick(rng, _BEAT_FORMS) * 2
  for i, (start, group) in enumerate(zip(meter.beats, meter.groups, strict=True)):
    name = (form[i], group)
    if name not in cells:
      cells[name] = _draw_cell(rng, group, notes_per_beat, sixteenths, first=i == 0)
    tick = start
    for length in cells[name]:
      if length > 0:
        rhythm.append((tick, length))
      tick += abs(length)
  return rhythm


def _draw_cell(rng: np.random.Generator, group: int, notes_per_beat: float, sixteenths: bool, first: bool) -> tuple[int, ...]:
  options = _TERNARY_CELLS if group == 3 else _BINARY_CELLS if sixteenths else _BINARY_EIGHTH_CELLS
  options = [cell for cell in options if (sixteenths or min(map(abs, cell)) >= EIGHTH) and not (first and cell[0] < 0)]
  target = notes_per_beat * group / 2 if group == 3 else notes_per_beat
  even = {cell: 2.0 if len(set(cell)) == 1 else 1.0 for cell in options}  # most riffs run in even notes
  return choose(rng, {cell: even[cell] * np.exp(-(((sum(x > 0 for x in cell) - target) / 0.7) ** 2)) + 1e-6 for cell in options})


def draw_riff(rng: np.random.Generator, meter: Meter, key: Key, kind: str, notes_per_beat: float, moves: bool) -> Riff:
  """A new riff: a bar or two, then repeated with another ending (A A A B, or A B)."""
  sixteenths = notes_per_beat > 1.4
  scale = pick(rng, RIFF_SCALES[key.mode])
  first = _bar(rng, meter, kind, notes_per_beat, sixteenths, scale)
  form = pick(rng, ('A', 'AB', 'AB', 'AB', 'AB', 'ABAC', 'ABAC', 'ABAC'))
  bars = {'A': first, 'B': _varied(rng, first, meter, scale, kind), 'C': _varied(rng, first, meter, scale, kind)}
  strokes = tuple(stroke._replace(tick=stroke.tick + i * meter.bar) for i, name in enumerate(form) for stroke in bars[name])
  return Riff(kind, len(form), strokes, moves)


def _bar(rng: np.random.Generator, meter: Meter, kind: str, notes_per_beat: float, sixteenths: bool, scale) -> list[Stroke]:
  if kind == 'gallop':
    rhythm = _repeat_cell(meter, {2: (12, 6, 6) if rng.random() < 0.7 else (6, 6, 12), 3: (12, 12, 12)})
  elif kind == 'tremolo':
    step = SIXTEENTH if sixteenths else EIGHTH
    rhythm = [(tick, step) for tick in range(0, meter.bar, step)]
  else:
    rhythm = draw_rhythm(rng, meter, notes_per_beat, sixteenths)
  offsets, accents = _pitches(rng, meter, kind, rhythm, scale)
  single = kind in ('pentatonic', 'chromatic', 'scale', 'octave', 'tremolo')
  powered = kind in ('power', 'gallop') or (single and rng.random() < 0.25) or (kind == 'pedal' and rng.random() < 0.6)
  mutes = kind in ('pedal', 'gallop', 'power', 'chromatic') and rng.random() < 0.85
  return [
    Stroke(tick, length, offset, mutes and not accent and length <= EIGHTH, powered and (accent or not single or kind == 'gallop'))
    for (tick, length), offset, accent in zip(rhythm, offsets, accents, strict=True)
  ]


def _repeat_cell(meter: Meter, cells: dict[int, tuple[int, ...]]) -> list[tuple[int, int]]:
  rhythm = []
  for start, group in zip(meter.beats, meter.groups, strict=True):
    tick = start
    for length in cells[group]:
      rhythm.append((tick, length))
      tick += length
  return rhythm


def _pitches(rng: np.random.Generator, meter: Meter, kind: str, rhythm, scale) -> tuple[list[int], list[bool]]:
  """Semitones above the root, and accents, of every note of a bar."""
  count = len(rhythm)
  on_beat = [tick in meter.beats for tick, _ in rhythm]
  if kind == 'pedal':
    pool = [step for step in scale if step] + [12]
    late = np.array([length / QUARTER + tick / meter.bar for tick, length in rhythm]) + 0.5 * rng.random(count)
    late[0] = -1
    chosen = set(np.argsort(-late)[: max(1, min(count - 1, int(rng.integers(1, 4))))].tolist()) if count > 1 else set()
    return [pick(rng, pool) if i in chosen else 0 for i in range(count)], [i in chosen for i in range(count)]
  if kind in ('power', 'gallop'):
    # A new root on some beats only: chugs in between stay on it.
    root, offsets, accents = 0, [], []
    for i, beat in enumerate(on_beat):
      change = i > 0 and beat and rng.random() < (0.3 if kind == 'gallop' else 0.5)
      root = pick(rng, scale) if change else root
      offsets.append(root)
      accents.append(change or i == 0)
    return offsets, accents
  if kind == 'chromatic':
    motif = pick(rng, _CHROMATIC_MOTIFS)
    if rng.random() < 0.5:
      return [motif[i % 4] for i in range(count)], on_beat
    beats = np.searchsorted(meter.beats, [tick for tick, _ in rhythm], side='right') - 1
    return [motif[int(beat) % 4] for beat in beats], on_beat
  if kind == 'octave':
    return [12 * (i % 2) if i < count - 2 or rng.random() < 0.5 else pick(rng, scale) for i in range(count)], on_beat
  if kind == 'tremolo':
    step = meter.beat * pick(rng, (1, 2, 2, 4))
    walk = _walk(rng, scale, 1 + meter.bar // step, low=0, high=len(scale) + 2, home=0.15)
    return [walk[min(tick // step, len(walk) - 1)] for tick, _ in rhythm], on_beat
  return _walk(rng, scale, count, low=-2, high=len(scale), home=0.3), on_beat


def _walk(rng: np.random.Generator, scale, count: int, low: int, high: int, home: float) -> list[int]:
  """A walk over scale steps that starts on the root and comes home to it with probability `home` at each note."""
  position, offsets = 0, []
  for i in range(count):
    if i:
      position = 0 if rng.random() < home else int(np.clip(position + pick(rng, (-2, -1, -1, 0, 1, 1, 2)), low, high))
    octave, degree = divmod(position, len(scale))
    offsets.append(12 * octave + scale[degree])
  return offsets


def _varied(rng: np.random.Generator, bar: list[Stroke], meter: Meter, scale, kind: str) -> list[Stroke]:
  """The bar with another ending: the pitches of its last beats change, or their rhythm becomes a held note or a run."""
  turn = meter.beats[-pick(rng, (1, 1, 2))]
  kept = [stroke for stroke in bar if stroke.tick < turn]
  if kept:
    kept[-1] = kept[-1]._replace(length=min(kept[-1].length, turn - kept[-1].tick))
  ending = [stroke for stroke in bar if stroke.tick >= turn]
  power = kind in ('power', 'gallop', 'pedal')
  choice = rng.random()
  if choice < 0.5 and ending:
    walk = _walk(rng, scale, len(ending), low=-1, high=len(scale), home=0.1)
    return kept + [stroke._replace(offset=offset, muted=False) for stroke, offset in zip(ending, walk, strict=True)]
  if choice < 0.75:
    return [*kept, Stroke(turn, meter.bar - turn, pick(rng, scale), False, power)]
  step = EIGHTH if meter.ternary or rng.random() < 0.7 else SIXTEENTH
  ticks = range(turn, meter.bar, step)
  walk = _walk(rng, scale, len(ticks) + 1, low=-2, high=len(scale), home=0.1)[1:]
  return kept + [Stroke(tick, step, offset, False, power and step == EIGHTH) for tick, offset in zip(ticks, walk, strict=True)]
