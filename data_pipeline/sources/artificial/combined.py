"""a4: harmony, timbre and rhythm at once: root or fifth, of the piano's or the guitar's chord, with the kick or off the beat."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from data_pipeline.notes import Notes
from data_pipeline.sources.artificial import chords, drums, instruments
from data_pipeline.sources.artificial.score import ArtificialScore

_TONES = {'root': 0, 'fifth': 2}  # index in a triad
_PLAYERS = {'piano': 0, 'guitar': 1}
_ROLES = {'kick': drums.KICK, 'off-beat': drums.OFF_BEAT}
PATTERNS = tuple(f'{tone}, {player}, {role}' for tone, player, role in itertools.product(_TONES, _PLAYERS, _ROLES))
_CHANGES = 4  # eighths from one chord of a player to its next
_SOUNDING = 0.95  # share of the time to the player's next attack for which a chord sounds


@dataclasses.dataclass
class _Player:
  """An instrument while its part is made: its chord at every eighth, and its attacks."""

  programs: tuple[int, ...]
  phase: int  # eighth of every `_CHANGES` on which its chord changes
  chords: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
  attacks: list[tuple[int, tuple[int, ...], int, int]] = dataclasses.field(default_factory=list)  # eighth, voices, velocity, program
  voices: tuple[int, ...] = ()
  loudness: int = 0
  program: int = 0
  density: float = 0.0

  def change(self, rng: np.random.Generator, tonic: int, other: tuple[int, ...]) -> None:
    """A new chord that shares nothing with the other player's and has another root; register, loudness and program are drawn anew."""
    previous = self.chords[-1][0] if self.chords else None
    while True:
      chord = chords.triad(*chords.draw_chord(rng, tonic))
      if chord[0] != previous and not set(chord) & set(other):
        break
    self.chords.append(chord)
    self.voices = chords.voicing(rng, chord, doubling=0.0)
    self.program, self.loudness = int(rng.choice(self.programs)), int(rng.integers(80, 111))
    self.density = rng.choice([0.15, 0.3, 0.5])

  def attack(self, step: int) -> None:
    self.attacks.append((step, self.voices, instruments.equal_velocity(self.loudness, self.program), self.program))

  def rows(self, times: np.ndarray) -> list[tuple[float, float, int, int, int]]:
    steps = [step for step, *_ in self.attacks] + [len(times) - 1]
    return [
      (times[step], times[step] + _SOUNDING * (times[following] - times[step]), voice, velocity, program)
      for (step, voices, velocity, program), following in zip(self.attacks, steps[1:], strict=True)
      for voice in voices
    ]


def compose(rng: np.random.Generator, held_out: bool) -> ArtificialScore:
  """Two progressions of triads that never share a pitch class at one time and change in turn, over drums."""
  # A kick on every second beat at least: without one in sight the bass of half of the patterns would be silent and say nothing.
  groove = drums.groove(rng, held_out, longest_runs=(2, 1))
  phases = rng.permutation([0, _CHANGES // 2])
  piano = _Player(instruments.HELD_OUT_PIANOS if held_out else instruments.PIANOS, int(phases[0]))
  guitar = _Player(instruments.HELD_OUT_GUITARS if held_out else instruments.GUITARS, int(phases[1]))
  tonic = int(rng.integers(12))
  for step in range(len(groove.roles)):
    for player, other in ((piano, guitar), (guitar, piano)):
      if step == 0 or step % _CHANGES == player.phase:
        player.change(rng, tonic, other.chords[-1] if other.chords else ())
        player.attack(step)
      else:
        player.chords.append(player.chords[-1])
        if rng.random() < player.density:
          player.attack(step)
  patterns = tuple(
    drums.bass_line(groove, _ROLES[role], np.asarray((piano, guitar)[_PLAYERS[player]].chords)[:, _TONES[tone]])
    for tone, player, role in itertools.product(_TONES, _PLAYERS, _ROLES)
  )
  rows = groove.rows + piano.rows(groove.times) + guitar.rows(groove.times)
  return ArtificialScore(Notes.from_rows(rows), patterns, groove.beats)
