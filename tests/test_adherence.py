"""Adherence without weights: does it tell lines that listen from lines that don't, and only by what it says it measures?"""

import dataclasses

import numpy as np
import pytest
import scipy.linalg

from bassnet_jax.evaluation import adherence, ladder, music
from data_pipeline.features import Features, frame_targets
from data_pipeline.notes import DRUMS, Notes
from data_pipeline.sources.open_band import compose


def piece_of(score, name):
  """A piece with notes and without sound."""
  frames = int(score.seconds * 80)
  pitch, onset = frame_targets(score.notes, frames)
  nothing = np.zeros((frames, 0), dtype=np.float16)
  level = np.zeros(frames, dtype=np.float16)
  return music.Piece(
    name,
    Features(name, 'test', 'CC0-1.0', '', nothing, nothing, pitch, onset, level, 1.0, 0.0, score.notes, score.mix_notes, score.beats),
  )


def random_notes(line, seconds, rng):
  """As many notes as `line` has, anywhere, of any pitch."""
  onset = np.sort(rng.uniform(0, seconds, len(line)))
  columns = [onset, onset + 0.3, rng.integers(28, 52, len(line)), np.full(len(line), 90), np.full(len(line), 33)]
  return Notes.from_rows(np.stack(columns, axis=1))


@pytest.fixture(scope='module')
def scores():
  """Adherence of lines whose worth is known, over 60 songs, by 60 others."""
  pieces = [piece_of(compose(0, i), f'song{i}') for i in range(120)]
  judged, reference = pieces[:60], pieces[60:]
  truth = [piece.features.notes for piece in judged]
  rng = np.random.default_rng(0)
  lines = {
    'truth': truth,
    'other_song': music.baseline_lines(judged)['other_song'],
    'silence': [Notes.empty()] * 60,
    'uniform': [random_notes(line, piece.features.seconds, rng) for line, piece in zip(truth, judged, strict=True)],
    'semitone_up': [line.transposed(1) for line in truth],
    'late': [line.shifted(0.06) for line in truth],
    'loud': [dataclasses.replace(line, velocity=np.full(len(line), 127)) for line in truth],
    'octave_up': [line.transposed(12) for line in truth],
    'follow_lowest': [ladder.follow_lowest(piece.features.mix_notes) for piece in judged],
  }
  result = adherence.evaluate_adherence(judged, lines, reference)
  for rung, found in result.items():
    print(rung.ljust(14), {name: np.round(value, 3).tolist() for name, value in found.items()})
  return result


def test_truth_scores_high(scores):
  for aspect in ('harmony', 'rhythm'):
    assert scores['truth'][f'adherence_{aspect}'] >= 0.8
    low, high = scores['truth'][f'adherence_{aspect}_ci95']
    assert low <= scores['truth'][f'adherence_{aspect}'] <= high
    assert scores['truth'][f'adherence_{aspect}_published'] >= 0.85


@pytest.mark.parametrize('rung', ['other_song', 'silence', 'uniform'])
def test_what_did_not_listen_scores_nothing(scores, rung):
  assert scores[rung]['adherence_harmony'] <= 0.1
  assert scores[rung]['adherence_rhythm'] <= 0.1


def test_a_semitone_is_a_fault_of_harmony_alone(scores):
  assert scores['semitone_up']['adherence_harmony'] <= 0.1
  assert scores['semitone_up']['adherence_rhythm'] == pytest.approx(scores['truth']['adherence_rhythm'], abs=0.05)


def test_60_ms_are_a_fault_of_rhythm_alone(scores):
  assert scores['late']['adherence_rhythm'] <= 0.1
  assert scores['late']['adherence_harmony'] == pytest.approx(scores['truth']['adherence_harmony'], abs=0.05)


@pytest.mark.parametrize('rung', ['loud', 'octave_up'])
def test_loudness_and_octave_change_nothing(scores, rung):
  assert scores[rung] == scores['truth']


def test_a_good_baseline_lies_above_chance(scores):
  assert scores['follow_lowest']['adherence_harmony'] > 0.2


def excerpt_of(bass, mix):
  return adherence.Excerpt(
    'x', Notes.from_rows([(*row, 90, 33) for row in bass]), Notes.from_rows([(*row, 90, 0) if len(row) == 3 else row for row in mix])
  )


def test_harmony_by_hand():
  # C under C and G for equal times: intervals 0 and 5 (from G up to C); each gives a quarter to the fifths around it.
  embedding = adherence.harmony_embedding(excerpt_of([(0, 4, 36)], [(0, 8, 60), (0, 8, 67)]))
  expected = np.zeros(12)
  expected[[0, 5]] += 0.25
  expected[[7, 5, 0, 10]] += 0.125
  assert embedding == pytest.approx(expected)
  moved = adherence.harmony_embedding(excerpt_of([(0, 4, 41)], [(0, 8, 65), (0, 8, 72)]))
  assert moved == pytest.approx(embedding)


def test_rhythm_by_hand():
  kicks = [(t, t + 0.1, 36, 100, DRUMS) for t in range(8)]
  together = adherence.rhythm_embedding(excerpt_of([(t, t + 0.5, 36) for t in range(8)], kicks))
  late = adherence.rhythm_embedding(excerpt_of([(t + 0.05, t + 0.5, 36) for t in range(7)], kicks))
  assert np.argmax(together) == 20 and np.argmax(late) in (22, 23, 24)
  assert np.allclose(together, together[::-1])


def test_excerpts_without_bass_are_uniform():
  silent = excerpt_of([], [(0, 8, 60)])
  assert adherence.harmony_embedding(silent) == pytest.approx(np.full(12, 1 / 12))
  assert adherence.rhythm_embedding(silent) == pytest.approx(adherence._TAPER / 41)


def test_frechet_root_is_that_of_scipy_and_of_the_formula():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(500, 6)), rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + 1
  covariance_a, covariance_b = np.cov(a.T), np.cov(b.T)
  root = scipy.linalg.sqrtm(covariance_a @ covariance_b).real
  distance = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(covariance_a + covariance_b - 2 * root)
  assert adherence.frechet_root(a, b) == pytest.approx(np.sqrt(distance), rel=1e-4)
  assert adherence.frechet_root(a, a) == pytest.approx(0, abs=1e-4)
  assert adherence.frechet_root(a, a + 3.0) == pytest.approx(3.0 * np.sqrt(6))


def test_refusals():
  pieces = [piece_of(compose(0, i), f'song{i}') for i in range(2)]
  lines = {'truth': [piece.features.notes for piece in pieces]}
  with pytest.raises(ValueError, match='must be other songs'):
    adherence.evaluate_adherence(pieces, lines, pieces)
  with pytest.raises(ValueError, match='200 each are needed'):
    adherence.evaluate_adherence(pieces[:1], {'truth': lines['truth'][:1]}, pieces[1:])
  with pytest.raises(ValueError, match='two songs'):
    adherence.mismatched(adherence.excerpts_of(pieces[:1]))
