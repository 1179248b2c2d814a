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

# RMS of the first 200 ms of a middle C at velocity 90, in thousandths, as rendered.
_LOUDNESS = {
  **{0: 7, 1: 7, 2: 7, 4: 7, 5: 9, 24: 18, 25: 12, 26: 25, 27: 11, 28: 20},
  **{19: 8, 20: 11, 22: 11, 48: 6, 62: 14, 63: 23, 88: 25, 90: 11},
}
_REFERENCE = 8


def equal_velocity(velocity: float, program: int) -> int:
  """The velocity that makes a program about as loud as others: else 'the louder one' would name the family.

  A General MIDI synthesizer's amplitude goes with the square of the velocity.
  """
  return int(min(max(round(velocity * (_REFERENCE / _LOUDNESS[program]) ** 0.5), 1), 127))
