"""The rule-made baselines, on pieces whose right answer a person can check."""

import numpy as np
import pytest

from bassnet_jax.evaluation import ladder, metrics
from data_pipeline.notes import DRUMS, Notes

E1, A1 = 28, 33


def mix_of(*rows):
  """Notes from (onset, offset, pitch) rows of a guitar, or (onset, 'kick')."""
  return Notes.from_rows([(row[0], row[0] + 0.1, 36, 100, DRUMS) if row[1] == 'kick' else (*row, 100, 27) for row in rows])


def chord(start, end, *pitches):
  return [(start, end, pitch) for pitch in pitches]


def played(line):
  """(onset, offset, pitch) of every note."""
  return [(round(on, 3), round(off, 3), int(pitch)) for on, off, pitch in zip(line.onset, line.offset, line.pitch, strict=True)]


C_MAJOR = [(i / 2, i / 2 + 0.5, 60 + step) for i, step in enumerate((0, 4, 7, 5, 9, 12, 11, 7, 4, 2, 0, 0))]


def test_silence_has_no_notes():
  assert len(ladder.silence()) == 0


@pytest.mark.parametrize('root', range(12))
def test_tonic(root):
  assert ladder.tonic(mix_of(*C_MAJOR).transposed(root)) == root


def test_tonic_of_minor_and_of_nothing():
  a_minor = [(i / 2, i / 2 + 0.5, 57 + step) for i, step in enumerate((0, 3, 7, 0, 5, 8, 7, 3, 2, 0, 0))]
  assert ladder.tonic(mix_of(*a_minor)) == 9
  assert ladder.tonic(mix_of((0.0, 'kick'))) == 4


def test_eighths_follow_the_beats_through_a_change_of_tempo():
  line = ladder.tonic_eighths(mix_of(*C_MAJOR), np.array([0.0, 0.5, 1.0, 2.0]), 4.0)
  assert line.onset.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5]
  assert line.offset[-1] == 4
  assert set(line.pitch.tolist()) == {36}  # C2: the C of the octave from E1


def test_eighths_without_beats():
  assert len(ladder.tonic_eighths(mix_of(*C_MAJOR), None, 2.0)) == 8


def test_root_on_kick_plays_roots_with_kicks_only():
  mix = mix_of(
    *chord(0, 1, 57, 60, 64),  # A minor
    *chord(1, 2, 55, 60, 64),  # C major over its fifth
    *chord(2, 3, 52, 59),  # E power chord
    *[(time, 'kick') for time in (0.0, 0.5, 1.0, 2.25, 5.0)],
  )
  # At 5 s nothing sounds: the previous root. A note lasts a second at most.
  expected = [(0, 0.5, A1), (0.5, 1, A1), (1, 2, 36), (2.25, 3.25, E1), (5, 6, E1)]
  line = ladder.root_on_kick(mix)
  assert [note[:2] for note in played(line)] == [note[:2] for note in expected]
  assert played(line)[0] == expected[0]
  assert played(line)[3:] == expected[3:]


def test_the_root_of_an_inversion_is_told_by_the_chord_unless_the_lowest_note_insists():
  # First inversion of C major, with the root doubled: the chord says C, its lowest note E fits no triad or fifth as well.
  assert played(ladder.root_on_kick(mix_of(*chord(0, 1, 52, 60, 67, 72), (0, 'kick'))))[0][2] == 36
  # A bare note is its own root.
  assert played(ladder.root_on_kick(mix_of((0, 1, 65), (0, 'kick'))))[0][2] == 29


def test_a_chord_that_ends_as_the_kick_sounds_is_the_previous_chord():
  mix = mix_of(*chord(0, 1.02, 57, 60, 64), *chord(1.0, 2, 53, 60, 69), (1.0, 'kick'))
  assert played(ladder.root_on_kick(mix)) == [(1, 2, 29)]


def test_root_on_kick_without_kicks_or_without_harmony():
  assert played(ladder.root_on_kick(mix_of(*chord(0, 2, 57, 60, 64)), np.array([0.0, 1.0]))) == [(0, 1, A1), (1, 2, A1)]
  assert len(ladder.root_on_kick(mix_of(*chord(0, 2, 57, 60, 64)))) == 0
  assert len(ladder.root_on_kick(mix_of((0, 'kick')))) == 0


def test_two_drums_at_once_are_one_kick():
  mix = Notes.from_rows([(0, 1, 57, 80, 0), (0, 0.1, 35, 100, DRUMS), (0.01, 0.1, 36, 100, DRUMS)])
  assert len(ladder.root_on_kick(mix)) == 1


def test_follow_lowest_doubles_the_lowest_line():
  mix = mix_of(
    (0, 1, 52),  # E3, the lowest line: down to E1, the octave below is where 43 is not exceeded
    (0.5, 1, 64),  # above it: not followed
    (1, 1.5, 53),
    (1.5, 2, 53),  # struck again
    (1, 4, 72),  # rings on alone from 2 s: that's no onset
    (2.5, 3.5, 60),  # lowest sounding when struck
    (3.0, 3.25, 55),
    (0.0, 'kick'),
  )
  # 52 -> 40, 53 -> 41, 60 -> 36, 55 -> 43: down by octaves until G2 or below. The last one cuts the one before.
  assert played(ladder.follow_lowest(mix)) == [(0, 1, 40), (1, 1.5, 41), (1.5, 2, 41), (2.5, 3, 36), (3, 3.25, 43)]


def test_follow_lowest_takes_a_strum_as_one_chord_and_legato_as_a_line():
  strum = mix_of((0, 1, 64), (0.01, 1, 59), (0.02, 1, 52))
  assert [note[2] for note in played(ladder.follow_lowest(strum))] == [40]
  legato = mix_of((0, 1.03, 40), (1, 2, 45), (2, 3, 43))
  assert played(ladder.follow_lowest(legato)) == [(0, 1, 40), (1, 2, 33), (2, 3, 43)]


def test_follow_lowest_stays_in_the_bass_range():
  line = ladder.follow_lowest(mix_of(*[(i, i + 1, 20 + i) for i in range(80)]))
  assert line.pitch.min() >= E1 and line.pitch.max() <= ladder.HIGHEST_FOLLOWED
  assert np.array_equal(line.pitch % 12, (20 + np.arange(80)) % 12)


def test_other_song_is_repeated_and_cut():
  bass = mix_of((0, 1, 40), (1, 2, 43))
  assert played(ladder.other_song(bass, 2.0, 4.5)) == [(0, 1, 40), (1, 2, 43), (2, 3, 40), (3, 4, 43), (4, 4.5, 40)]
  assert played(ladder.other_song(bass, 2.0, 1.0)) == [(0, 1, 40)]
  assert len(ladder.other_song(Notes.empty(), 2.0, 1.0)) == 0


def test_follow_lowest_is_perfect_where_the_bass_doubles_the_guitar():
  rng = np.random.default_rng(0)
  pitch = rng.integers(40, 52, 64)
  guitar = Notes.from_rows([(i / 4, i / 4 + 0.25, p, 90, 30) for i, p in enumerate(pitch)])
  lead = Notes.from_rows([(i / 3, i / 3 + 0.3, 76, 90, 80) for i in range(48)])
  mix = Notes.from_rows(np.concatenate([guitar.rows(), lead.rows()]))
  assert metrics.note_pc_f1(ladder.follow_lowest(mix), guitar.transposed(-12)) == 1


def test_nothing_in_gives_nothing_out():
  nothing = Notes.empty()
  assert len(ladder.follow_lowest(nothing)) == len(ladder.root_on_kick(nothing)) == 0
