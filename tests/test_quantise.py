"""Notes on a grid: nearest lines, lengths, notes that meet, and a grid that drifts."""

import numpy as np
import pytest

from bassnet_jax import quantise, tempo
from data_pipeline.notes import Notes

STEADY = tempo.constant(120.0)  # a sixteenth is 0.125 s


def line(*rows) -> Notes:
  return Notes.from_rows([(onset, offset, pitch, velocity, 33) for onset, offset, pitch, velocity in rows])


def test_notes_begin_on_the_nearest_line_and_keep_their_length():
  played = line((0.02, 0.2, 40, 90), (0.49, 0.74, 41, 90), (1.07, 1.2, 42, 90))
  found = quantise.quantise(played, STEADY, '1/16', 10.0)
  np.testing.assert_allclose(found.notes.onset, [0.0, 0.5, 1.125])
  np.testing.assert_allclose(found.notes.offset, [0.18, 0.75, 1.255])
  np.testing.assert_allclose(found.moved, [-0.02, 0.01, 0.055])
  assert found.notes.pitch.tolist() == [40, 41, 42] and found.left_out == 0
  np.testing.assert_allclose(played.onset, [0.02, 0.49, 1.07])


@pytest.mark.parametrize(('grid', 'expected'), [('1/4', 0.5), ('1/8', 0.25), ('1/8t', 1 / 3), ('1/16t', 1 / 3), ('1/32', 0.3125)])
def test_grids(grid, expected):
  assert quantise.quantise(line((0.3, 0.4, 40, 90)), STEADY, grid, 10.0).notes.onset.tolist() == pytest.approx([expected])


def test_a_note_ends_where_the_next_begins():
  found = quantise.quantise(line((0.06, 0.19, 40, 90), (0.19, 0.4, 41, 90)), STEADY, '1/16', 10.0)
  np.testing.assert_allclose(found.notes.onset, [0.0, 0.25])
  found = quantise.quantise(line((0.07, 0.5, 40, 90), (0.26, 0.5, 41, 90)), STEADY, '1/16', 10.0)
  np.testing.assert_allclose(found.notes.offset, [0.25, 0.49])


def test_of_notes_on_one_line_the_loudest_stays():
  found = quantise.quantise(line((0.47, 0.49, 40, 60), (0.5, 0.7, 41, 90), (0.55, 0.8, 42, 90)), STEADY, '1/16', 10.0)
  assert found.notes.pitch.tolist() == [42] and found.left_out == 2
  np.testing.assert_allclose(found.moved, [-0.05])


def test_a_note_at_the_end_stays_inside_the_song():
  found = quantise.quantise(line((0.97, 1.0, 40, 90)), STEADY, '1/4', 1.0)
  assert found.notes.onset.tolist() == [0.5] and found.notes.offset[0] <= 1.0


def test_random_lines_over_a_drifting_grid():
  random = np.random.default_rng(0)
  beats = np.cumsum(np.linspace(0.6, 0.5, 120))
  tempo_map = tempo.from_beats(beats)
  onset = np.cumsum(random.uniform(0.05, 0.5, 200))
  rows = zip(onset, onset + 0.05, random.integers(28, 50, 200), random.integers(1, 128, 200), strict=True)
  played = line(*rows)
  for grid in quantise.GRIDS:
    notes = quantise.quantise(played, tempo_map, grid, 60.0).notes
    lines = tempo_map.ticks_of(notes.onset) / tempo_map.ticks_per_beat / float(quantise.GRIDS[grid])
    assert np.abs(lines - np.round(lines)).max() < 1e-6
    assert (np.diff(notes.onset) > 0).all()
    assert (notes.offset > notes.onset).all() and (notes.offset[:-1] <= notes.onset[1:] + 1e-9).all()


def test_nothing_and_an_unknown_grid():
  assert len(quantise.quantise(Notes.empty(), STEADY, '1/8', 1.0).notes) == 0
  with pytest.raises(ValueError, match='1/16t'):
    quantise.quantise(line((0.0, 1.0, 40, 90)), STEADY, '1/5', 1.0)
