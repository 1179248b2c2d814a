"""Which sampled instruments the artificial sets use, which are held out for `test_timbre`, and how to make them equally loud."""

from __future__ import annotations

# General MIDI programs that are in tune in the SoundFont and speak within 35 ms.
PIANOS = (0, 1, 4, 5)
GUITARS = (24, 25, 27, 28)
SUSTAINED = (19, 20, 48, 62, 63, 88)  # organs, strings, synthesizers: they sound for as long as a chord is held
HELD_OUT_PIANOS = (2,)
HELD_OUT_GUITARS = (26,)
HELD_OUT_SUSTAINED = (22, 90)

# General MIDI percussion keys.
KICKS = (36,)
SNARES = (37, 38)
TIMEKEEPERS = (42, 51, 69, 82)  # closed hi-hat, ride, cabasa, shaker
HELD_OUT_KICKS = (35,)
HELD_OUT_SNARES = (40,)
HELD_OUT_TIMEKEEPERS = (44, 70)

# RMS of the first 200 ms of a note at velocity 90, as rendered, in ten-thousandths, mean over C3, F#3, C4, F#4, C5.
_LOUDNESS = {
  **{0: 73, 1: 72, 2: 67, 4: 110, 5: 93, 24: 199, 25: 127, 26: 271, 27: 111, 28: 208},
  **{19: 81, 20: 114, 22: 114, 48: 60, 62: 145, 63: 248, 88: 289, 90: 114},
}
_REFERENCE = 70


def equal_velocity(velocity: float, program: int) -> int:
  """The velocity that makes a program as loud as the others: else 'the louder one' would name the family.

  The synthesizer's amplitude is proportional to the velocity.
  """
  return int(min(max(round(velocity * _REFERENCE / _LOUDNESS[program]), 1), 127))
