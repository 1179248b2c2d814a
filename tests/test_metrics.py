"""The line metrics against mir_eval and against answers that a person can check."""

import time
import warnings

import mir_eval
import numpy as np
import pytest

from bassnet_jax.evaluation import metrics
from data_pipeline.notes import DRUMS, Notes


def line(*rows):
  """Notes from (onset, offset, pitch) rows."""
  return Notes.from_rows([(*row, 100, 33) for row in rows])


def random_line(rng, count, seconds=20.0, grid=None):
  onset = np.sort(rng.uniform(0, seconds, count))
  if grid is not None:
    onset = np.round(onset / grid) * grid
  pitch = rng.integers(28, 44, count)
  return Notes.from_rows(np.stack([onset, onset + rng.uniform(0.05, 0.5, count), pitch, np.full(count, 90), np.full(count, 33)], axis=1))


def transcription_f1(estimate, reference, fold):
  """The same figure by mir_eval."""
  intervals = [np.stack([notes.onset, notes.offset], axis=1) for notes in (reference, estimate)]
  pitches = [notes.pitch % 12 + 60 if fold else notes.pitch for notes in (reference, estimate)]
  hertz = [440.0 * 2.0 ** ((pitch - 69) / 12) for pitch in pitches]
  scores = mir_eval.transcription.precision_recall_f1_overlap(intervals[0], hertz[0], intervals[1], hertz[1], offset_ratio=None)
  return scores[2]


@pytest.mark.parametrize('grid', [None, 0.0125])
@pytest.mark.parametrize('seed', range(12))
def test_notes_agree_with_mir_eval(seed, grid):
  rng = np.random.default_rng(seed)
  # Dense lines: up to 20 notes a second, so that a note has several possible partners and a careless matching would lose pairs.
  estimate, reference = (random_line(rng, rng.integers(50, 400), grid=grid) for _ in range(2))
  assert metrics.note_f1(estimate, reference) == pytest.approx(transcription_f1(estimate, reference, fold=False))
  assert metrics.note_pc_f1(estimate, reference) == pytest.approx(transcription_f1(estimate, reference, fold=True))


@pytest.mark.parametrize('window', [0.05, 0.025])
@pytest.mark.parametrize('seed', range(12))
def test_onsets_agree_with_mir_eval(seed, window):
  rng = np.random.default_rng(100 + seed)
  # Rounded to 1 ms off the tolerance's edge, where mir_eval.onset decides by floating-point noise.
  estimate, reference = random_line(rng, 300, grid=0.01), random_line(rng, 250, grid=0.01).shifted(0.003)
  expected = mir_eval.onset.f_measure(reference.onset, estimate.onset, window=window)[0]
  assert metrics.onset_f1(estimate, reference, window) == pytest.approx(expected)


def test_notes_by_hand():
  reference = line((0, 0.5, 40), (0.5, 1, 43), (1, 1.5, 45), (1.5, 2, 40))
  estimate = line((0.04, 0.5, 40), (0.5, 1, 31), (1.06, 1.5, 45))
  assert metrics.onset_f1(estimate, reference) == pytest.approx(2 * 2 / 7)
  assert metrics.onset_f1(estimate, reference, window=0.025) == pytest.approx(2 * 1 / 7)
  assert metrics.note_f1(estimate, reference) == pytest.approx(2 * 1 / 7)
  assert metrics.note_pc_f1(estimate, reference) == pytest.approx(2 * 2 / 7)


def test_four_frames_are_within_50_ms_everywhere():
  for frame in range(0, 8000, 37):
    assert metrics.onset_f1(line(((frame + 4) / 80, 200, 40)), line((frame / 80, 200, 40))) == 1


def test_chance_of_an_even_line_is_high_and_of_a_sparse_one_low():
  sixteenths = line(*[(0.12 * i, 0.12 * i + 0.1, 40) for i in range(100)])
  sparse = line(*[(2.0 * i, 2.0 * i + 0.1, 40) for i in range(6)])
  # +-50 ms of every 120 ms is 0.83 of all places.
  assert metrics.onset_f1_chance(sixteenths, sixteenths, 12.0) == pytest.approx(0.83, abs=0.17)
  assert metrics.onset_f1_chance(sparse, sparse, 12.0) < 0.2
  assert metrics.onset_f1_chance(sparse, sparse, 12.0) == metrics.onset_f1_chance(sparse, sparse, 12.0)


def test_frames_by_hand():
  reference = line((0, 1, 40), (1, 2, 45))  # silent from 2 to 4 s
  estimate = line((0, 0.5, 40), (0.5, 1, 52), (1.5, 3, 45))
  assert metrics.pitch_accuracy(estimate, reference, 320) == pytest.approx(0.5)
  assert metrics.pitch_class_accuracy(estimate, reference, 320) == pytest.approx(0.75)
  assert metrics.voicing_f1(estimate, reference, 320) == pytest.approx(2 * 1.5 / (2.5 + 2))
  assert metrics.frame_accuracy(estimate, reference, 320) == pytest.approx(2 / 4)


def test_silence_is_wrong_even_where_its_class_would_fold_to_a_pitch():
  assert metrics.pitch_class_accuracy(Notes.empty(), line((0, 1, 47)), 80) == 0  # -1 % 12 == 47 % 12


def test_notes_before_the_start_and_after_the_end():
  assert metrics.frame_pitch(line((-2, -1, 40), (-0.5, 0.0125, 41), (0.05, 9, 42)), 6).tolist() == [41, -1, -1, -1, 42, 42]


def test_diatonic_rate_of_a_c_major_mix():
  mix = Notes.from_rows([(0, 10, pitch, 80, 0) for pitch in (60, 62, 64, 65, 67, 69, 71)] + [(0, 10, 37, 127, DRUMS)])
  collections = metrics.diatonic_collections(mix, 800)
  assert np.array_equal(collections, np.tile(metrics.DIATONIC[0], (11, 1)))
  assert metrics.diatonic_rate(line((0, 3, 36), (3, 4, 37)), collections) == pytest.approx(0.75)


def test_diatonic_collection_follows_a_modulation():
  def scale(root, start):
    return [(start + i / 2, start + i / 2 + 0.5, 60 + root + step, 80, 0) for i, step in enumerate((0, 2, 4, 5, 7, 9, 11) * 8)]

  collections = metrics.diatonic_collections(Notes.from_rows(scale(0, 0.0) + scale(6, 28.0)), 80 * 56)
  assert np.array_equal(collections[5], metrics.DIATONIC[0])
  assert np.array_equal(collections[50], metrics.DIATONIC[6])


def test_a_tie_of_collections_is_decided_by_the_whole_piece():
  # A bare fifth E-B for 30 s, then the scale of E major: the fifth alone also fits C major and five others.
  fifth = [(0, 30, 64, 80, 0), (0, 30, 71, 80, 0)]
  scale = [(40, 45, 64 + step, 80, 0) for step in (0, 2, 4, 5, 7, 9, 11)]
  collections = metrics.diatonic_collections(Notes.from_rows(fifth + scale), 80 * 45)
  assert np.array_equal(collections[3], metrics.DIATONIC[4])


def test_chord_tones():
  mix = Notes.from_rows([(0, 2, 60, 80, 0), (0, 1, 64, 80, 0), (0, 2, 38, 100, DRUMS)])
  assert metrics.chord_tone_rate(line((0, 2, 40)), mix, 160) == pytest.approx(0.5)
  assert metrics.chord_tone_rate(line((0, 2, 38)), mix, 160) == 0


def test_nothing_is_defined_and_does_not_warn():
  note, nothing = line((0, 1, 40)), Notes.empty()
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    for metric in (metrics.note_f1, metrics.note_pc_f1, metrics.onset_f1):
      assert metric(nothing, nothing) == 1
      assert metric(nothing, note) == metric(note, nothing) == 0
    assert metrics.onset_f1_chance(nothing, nothing, 4.0) == 1
    assert metrics.onset_f1_chance(nothing, note, 4.0) == 0
    for metric in (metrics.pitch_accuracy, metrics.pitch_class_accuracy, metrics.voicing_f1):
      assert metric(nothing, nothing, 80) == 1
      assert metric(nothing, note, 80) == metric(note, nothing, 80) == 0
    assert metrics.frame_accuracy(nothing, nothing, 80) == metrics.frame_accuracy(nothing, nothing, 0) == 1
    assert metrics.frame_accuracy(nothing, note, 80) == 0
    collections = metrics.diatonic_collections(nothing, 80)
    assert metrics.diatonic_rate(note, collections) == metrics.diatonic_rate(nothing, collections) == 0
    assert metrics.chord_tone_rate(note, nothing, 80) == metrics.chord_tone_rate(nothing, note, 80) == 0


def test_a_song_of_four_minutes_is_fast():
  rng = np.random.default_rng(0)
  estimate, reference, mix = (random_line(rng, count, 240.0) for count in (1500, 1500, 6000))
  frames = 240 * 80
  calls = [
    lambda: metrics.note_f1(estimate, reference),
    lambda: metrics.note_pc_f1(estimate, reference),
    lambda: metrics.onset_f1_chance(estimate, reference, 240.0),
    lambda: metrics.frame_accuracy(estimate, reference, frames),
    lambda: metrics.diatonic_rate(estimate, metrics.diatonic_collections(mix, frames)),
    lambda: metrics.chord_tone_rate(estimate, mix, frames),
  ]
  for call in calls:
    seconds = []
    for _ in range(3):
      start = time.process_time()
      call()
      seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2, seconds
