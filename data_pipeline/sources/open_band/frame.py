"""What every player knows of the section that it plays: meter, length, key, chords, energy, speed."""

from __future__ import annotations

import dataclasses

from data_pipeline.sources.open_band.grid import EIGHTH, SIXTEENTH, Meter
from data_pipeline.sources.open_band.harmony import Chord, Key, Span, chord_at


@dataclasses.dataclass(frozen=True)
class Frame:
  """A section before anything is played; ticks count from its start.

  Attributes:
    meter: of the whole section.
    bars: its length.
    key: tonic and mode.
    spans: the chords, without gaps.
    energy: 0..1.
    tick_seconds: seconds a tick.
    sixteenths: whether the song's feel has sixteenths (not in a shuffle).
  """

  meter: Meter
  bars: int
  key: Key
  spans: tuple[Span, ...]
  energy: float
  tick_seconds: float
  sixteenths: bool

  @property
  def ticks(self) -> int:
    return self.bars * self.meter.bar

  @property
  def beats(self) -> list[int]:
    """Ticks of all beats."""
    return [bar * self.meter.bar + tick for bar in range(self.bars) for tick in self.meter.beats]

  @property
  def finest(self) -> int:
    """The shortest note that is still comfortable to pick: a sixteenth, or an eighth in fast and shuffled songs."""
    return SIXTEENTH if self.sixteenths and SIXTEENTH * self.tick_seconds > 0.093 else EIGHTH

  def chord(self, tick: int) -> Chord:
    return chord_at(self.spans, tick)

  def span_end(self, tick: int) -> int:
    """End of the chord that sounds at a tick."""
    return next((span.end for span in self.spans if span.start <= tick < span.end), self.ticks)

  @property
  def phrase(self) -> int | None:
    """Ticks after which the harmony comes again: the shortest of 2, 4 and 8 bars that fits; None where it doesn't."""
    step = self.meter.bar // 2
    for bars in (2, 4, 8):
      length = bars * self.meter.bar
      if length < self.ticks and all(self.chord(tick) == self.chord(tick + length) for tick in range(0, self.ticks - length, step)):
        return length
    return None

  def on_beat(self, tick: int) -> bool:
    return tick % self.meter.bar in self.meter.beats

  def repeated(self, bar: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """One bar of (tick, length), repeated over the section."""
    return [(number * self.meter.bar + tick, length) for number in range(self.bars) for tick, length in bar]

  def cut_at_chords(self, rhythm: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The rhythm with an onset where a chord begins inside a note, so that nothing rings into the next chord."""
    cut = []
    for tick, length in rhythm:
      end = self.span_end(tick)
      if tick + length > end:
        cut += [(tick, end - tick), (end, tick + length - end)]
      else:
        cut.append((tick, length))
    return cut
