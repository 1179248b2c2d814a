"""Drum grooves, fills and crashes, in every meter."""

from __future__ import annotations

import numpy as np

from data_pipeline.notes import DRUMS
from data_pipeline.sources.open_band.grid import EIGHTH, SIXTEENTH, Meter, Tone, pick

KICK, SNARE, RIM, CLAP = 36, 38, 37, 39
HAT, PEDAL_HAT, OPEN_HAT = 42, 44, 46
CRASHES, CHINA, RIDE, BELL = (49, 57), 52, 51, 53
TOMS = (50, 48, 47, 45, 43, 41)
TAMBOURINE, SHAKER = 54, 70

GROOVES = (*('rock', 'rock16', 'four', 'half', 'punk', 'double', 'locked', 'blast', 'funk', 'shuffle', 'ballad', 'tom', 'hats', 'none'),)
"""Names of the grooves; 'hats' keeps time without snare, 'none' is silence."""

_STROKE_LENGTH = 5


def play(
  rng: np.random.Generator, meter: Meter, bars: int, groove: str, energy: float, figure: list[int], crash: bool, fill: bool
) -> list[Tone]:
  """The drums of a section, ticks from its start.

  Args:
    groove: one of `GROOVES`.
    energy: 0..1: cymbals and velocities follow it.
    figure: ticks of the guitars' low line over the section; the kick of 'locked' plays with it.
    crash: a crash on the first beat.
    fill: a fill at the end.
  """
  if groove == 'none':
    return []
  accent = rng.random() < 0.6
  patterns = [_bar(rng, meter, groove, energy) for _ in range(2)]
  patterns[1] = [hit for hit in patterns[1] if hit[1] == KICK] + [hit for hit in patterns[0] if hit[1] != KICK]
  form = pick(rng, ((0, 0, 0, 0), (0, 1, 0, 1), (0, 0, 0, 1)))
  phrase = pick(rng, (4, 4, 8))
  tones: list[Tone] = []
  for bar in range(bars):
    start = bar * meter.bar
    hits = patterns[form[bar % 4]]
    if groove == 'locked':
      kicks = {tick - start for tick in figure if start <= tick < start + meter.bar} or {0, meter.half}
      hits = [hit for hit in hits if hit[1] != KICK] + [(tick, KICK, 104) for tick in sorted(kicks)]
    if (fill and bar == bars - 1) or (bar % phrase == phrase - 1 and bar < bars - 1 and rng.random() < 0.5):
      hits = _with_fill(rng, meter, hits, small=bar < bars - 1 or energy < 0.4)
    if (crash and bar == 0) or (accent and energy > 0.6 and bar and bar % phrase == 0):
      hits = [hit for hit in hits if hit[0] or hit[1] not in (HAT, OPEN_HAT, RIDE)] + [(0, pick(rng, CRASHES), 112)]
    tones += [Tone(start + tick, _STROKE_LENGTH, key, velocity, DRUMS) for tick, key, velocity in hits]
  loud = 0.72 + 0.28 * energy
  return [tone._replace(velocity=int(np.clip(tone.velocity * loud, 1, 127))) for tone in tones]


def kicks_of(tones: list[Tone]) -> list[int]:
  """Sorted ticks of the kick."""
  return sorted({tone.tick for tone in tones if tone.pitch == KICK})


def _bar(rng: np.random.Generator, meter: Meter, groove: str, energy: float) -> list[tuple[int, int, int]]:
  """One bar of (tick, key, velocity)."""
  snares = [meter.beats[i] for i in (meter.half_backbeats if groove == 'half' else meter.backbeats)]
  snare = RIM if groove == 'ballad' and energy < 0.5 else SNARE
  hits = [(tick, snare, 108) for tick in snares]
  hits += [(tick, KICK, 106) for tick in _kicks(rng, meter, groove, snares)]
  if groove == 'punk' and not meter.ternary:
    hits = [hit for hit in hits if hit[1] == KICK]
    hits += [(tick, SNARE, 108) for tick in range(EIGHTH, meter.bar, 2 * EIGHTH)]
    return hits + _cymbal(meter, OPEN_HAT if energy > 0.6 else HAT, 2 * EIGHTH, 92)
  if groove == 'blast':
    hits = [(tick, KICK, 104) for tick in range(0, meter.bar, EIGHTH)]
    hits += [(tick + SIXTEENTH, SNARE, 98) for tick in range(0, meter.bar, EIGHTH)]
    return hits + _cymbal(meter, RIDE, EIGHTH, 92)
  if groove == 'tom':
    hits = [(tick, KICK, 104) for tick in meter.beats]
    step = SIXTEENTH if rng.random() < 0.3 else EIGHTH
    toms = (43, 43, 43, 45, 43, 43, 47, 45)
    return hits + [(tick, toms[tick // step % 8], 104 if tick in meter.beats else 78) for tick in range(0, meter.bar, step)]
  if groove == 'hats':
    return [hit for hit in hits if hit[1] == KICK and hit[0] == 0] + _cymbal(meter, HAT, EIGHTH, 84)
  if groove == 'four':
    hits += [(tick + EIGHTH, OPEN_HAT, 88) for tick in meter.beats] + _cymbal(meter, HAT, EIGHTH if rng.random() < 0.5 else SIXTEENTH, 72)
    return hits + [(tick, CLAP, 84) for tick in snares if energy > 0.6]
  if groove == 'funk':
    ghosts = [tick for tick in range(SIXTEENTH, meter.bar, SIXTEENTH) if tick % EIGHTH and rng.random() < 0.22]
    hits += [(tick, SNARE, 42) for tick in ghosts if tick not in snares]
    return hits + _cymbal(meter, HAT, SIXTEENTH, 82) + [(meter.bar - EIGHTH, OPEN_HAT, 86)]
  if groove == 'shuffle' and meter.ternary:
    key = RIDE if energy > 0.55 else HAT
    return hits + [(beat + step, key, 90 if step == 0 else 74) for beat in meter.beats for step in (0, 2 * EIGHTH)]
  return hits + _timekeeper(rng, meter, groove, energy)


def _timekeeper(rng: np.random.Generator, meter: Meter, groove: str, energy: float) -> list[tuple[int, int, int]]:
  if groove in ('double', 'locked', 'half') and energy > 0.5:
    key = pick(rng, (RIDE, CHINA, OPEN_HAT, OPEN_HAT, HAT, CRASHES[0]))
    return [(tick, key, 88 if key == CRASHES[0] else 94) for tick in meter.beats]
  key = OPEN_HAT if energy > 0.8 and rng.random() < 0.5 else RIDE if energy > 0.55 and rng.random() < 0.35 else HAT
  hits = _cymbal(meter, key, SIXTEENTH if groove == 'rock16' else EIGHTH, 90)
  if energy > 0.6 and rng.random() < 0.2:
    hits += [(tick, TAMBOURINE, 70) for tick in range(0, meter.bar, EIGHTH)]
  if groove == 'ballad' and rng.random() < 0.3:
    hits += [(tick, SHAKER, 60) for tick in range(0, meter.bar, SIXTEENTH)]
  return hits


def _cymbal(meter: Meter, key: int, step: int, velocity: int) -> list[tuple[int, int, int]]:
  return [(tick, key, velocity if tick in meter.beats else int(velocity * 0.78)) for tick in range(0, meter.bar, step)]


def _kicks(rng: np.random.Generator, meter: Meter, groove: str, snares: list[int]) -> list[int]:
  """Ticks of the kick in one bar; the first beat always has one."""
  if groove == 'four':
    return list(meter.beats)
  if groove == 'punk' and not meter.ternary:
    return list(range(0, meter.bar, 2 * EIGHTH))
  if groove == 'double':
    step = EIGHTH if meter.ternary else SIXTEENTH
    if rng.random() < 0.5:
      return list(range(0, meter.bar, step))
    # Bursts: whole beats of double kick, others with one stroke.
    return [tick for beat, group in zip(meter.beats, meter.groups, strict=True)
            for tick in (range(beat, beat + group * EIGHTH, step) if rng.random() < 0.6 else (beat,))]  # fmt: skip
  if groove in ('ballad', 'hats'):
    return sorted({0, pick(rng, (meter.half, meter.half, meter.bar - EIGHTH))} - set(snares) | {0})
  step = SIXTEENTH if groove in ('funk', 'rock16') else EIGHTH
  pool = [tick for tick in range(step, meter.bar, step) if tick not in snares]
  # The strokes around the middle of the bar are what makes rock patterns differ; a sixteenth alone is rarer.
  weights = np.array([(3.0 if tick == meter.half or tick == meter.half + EIGHTH else 1.5) if tick % EIGHTH == 0 else 0.8 for tick in pool])
  count = int(rng.integers(1, 3 if groove in ('half', 'shuffle') else 5 if groove == 'funk' else 4))
  chosen = rng.choice(len(pool), size=min(count, len(pool)), replace=False, p=weights / weights.sum())
  return sorted({0, *(pool[int(i)] for i in chosen)})


def _with_fill(rng: np.random.Generator, meter: Meter, hits: list[tuple[int, int, int]], small: bool) -> list[tuple[int, int, int]]:
  """The bar with a fill over its last beat (small), its second half, or all of it."""
  start = meter.beats[-1] if small else pick(rng, (meter.half, meter.half, meter.beats[-1], 0))
  step = pick(rng, (EIGHTH, SIXTEENTH, SIXTEENTH)) if not meter.ternary else EIGHTH
  ticks = [tick for tick in range(start, meter.bar, step) if rng.random() < 0.88]
  kind = rng.random()
  fill = []
  for i, tick in enumerate(ticks):
    along = i / max(len(ticks) - 1, 1)
    key = SNARE if kind < 0.3 else TOMS[int(along * 5.99)] if kind < 0.7 else pick(rng, (SNARE, *TOMS))
    fill.append((tick, key, int(82 + 30 * along)))
  kept = [hit for hit in hits if hit[0] < start or (hit[1] == KICK and hit[0] in meter.beats)]
  return kept + fill
