"""Evaluation over pieces: public keys, intervals, comparisons, controls of the input, choice of z."""

import json

import numpy as np
import pytest

from bassnet_jax import decoding
from bassnet_jax.evaluation import metrics, music, pop_rock
from data_pipeline.features import Features, frame_targets
from data_pipeline.notes import DRUMS, Notes

RUNGS = ('silence', 'tonic_eighths', 'other_song', 'root_on_kick', 'follow_lowest', 'truth')


def piece_of(name, root=0, frames=640, interval=0.5, beats=True, mix_notes=True):
  """8 s at 120 beats a minute: root chords, a kick on every beat, bass notes every `interval` seconds."""
  seconds = frames / 80
  bass = Notes.from_rows([(t, t + 0.9 * interval, 33 + root, 100, 33) for t in np.arange(0, seconds, interval)])
  chords = [(t, t + 2, 57 + root + step, 80, 27) for t in np.arange(0, seconds, 2) for step in (0, 3, 7)]
  kicks = [(t, t + 0.1, 36, 100, DRUMS) for t in np.arange(0, seconds, 0.5)]
  pitch, onset = frame_targets(bass, frames)
  rng = np.random.default_rng(root)
  features = Features(
    id=name,
    split='test',
    licence='CC0-1.0',
    credit='nobody',
    mix=rng.random((frames, 192)).astype(np.float16),
    bass=np.zeros((frames, 144), dtype=np.float16),
    pitch=pitch,
    onset=onset,
    level=np.zeros(frames, dtype=np.float16),
    gain=1.0,
    tuning=0.0,
    notes=bass,
    mix_notes=Notes.from_rows(chords + kicks) if mix_notes else None,
    beats=np.arange(0, seconds, 0.5) if beats else None,
  )
  return music.Piece(name, features)


PIECES = [piece_of(f'song{i}', root=i, frames=640 + 80 * i) for i in range(4)]


def test_public_keys_and_values_of_the_ladder():
  result = music.evaluate_pieces(PIECES, music.baseline_lines(PIECES))
  assert set(result['music']) == set(RUNGS)
  for rung in RUNGS:
    assert set(result['music'][rung]) == {name for metric in music.METRICS for name in (metric, f'{metric}_ci95')}
    for metric in music.METRICS:
      low, high = result['music'][rung][f'{metric}_ci95']
      assert 0 <= low <= result['music'][rung][metric] <= high <= 1
      assert len(result['per_piece'][rung][metric]) == len(PIECES)
  truth, silence = result['music']['truth'], result['music']['silence']
  assert truth['note_pc_f1'] == truth['pitch_accuracy'] == truth['voicing_f1'] == truth['chord_tone_rate'] == 1
  assert silence['note_pc_f1'] == silence['chord_tone_rate'] == 0
  assert result['music']['root_on_kick']['note_pc_f1'] == 1  # the bass plays the root with every kick
  assert result['music']['other_song']['note_pc_f1'] == 0  # the right places, another key
  assert result['music']['other_song']['onset_f1'] == 1
  assert result['pieces'] == [piece.id for piece in PIECES]
  assert json.loads(json.dumps(result)) == result


def test_a_piece_without_mix_notes_is_left_out_of_what_needs_them():
  pieces = [PIECES[0], piece_of('audio_only', root=5, mix_notes=False)]
  assert set(music.baseline_lines(pieces)) == {'silence', 'other_song', 'truth'}
  result = music.evaluate_pieces(pieces, {'truth': [piece.features.notes for piece in pieces]})
  assert result['per_piece']['truth']['chord_tone_rate'] == [1, None]
  assert result['music']['truth']['chord_tone_rate'] == 1
  nothing_known = music.evaluate_pieces(pieces[1:], {'truth': [pieces[1].features.notes]})
  assert 'diatonic_rate' not in nothing_known['music']['truth']


def test_refusals():
  with pytest.raises(ValueError, match='no piece'):
    music.evaluate_pieces([], {})
  with pytest.raises(ValueError, match='1 lines for 4 pieces'):
    music.evaluate_pieces(PIECES, {'mine': [Notes.empty()]})
  with pytest.raises(ValueError, match='another song is needed'):
    music.other_mix(PIECES[:1], 0)
  with pytest.raises(KeyError, match='no rung'):
    music.compare({'a': {'note_pc_f1': [1.0]}}, 'a', ['b'])


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
  rng = np.random.default_rng(0)
  covered = []
  for trial in range(200):
    low, high = music.bootstrap_interval(rng.normal(0.5, 0.1, 40), resamples=500, seed=trial)
    covered.append(low <= 0.5 <= high)
  assert 0.9 <= np.mean(covered) <= 0.98
  assert music.bootstrap_interval(np.array([0.3])) == (pytest.approx(0.3), pytest.approx(0.3))
  assert music.bootstrap_interval(np.arange(9.0)) == music.bootstrap_interval(np.arange(9.0))


def test_a_paired_difference_sees_what_unpaired_intervals_hide():
  rng = np.random.default_rng(1)
  difficulty = rng.uniform(0, 1, 30)
  better = difficulty + 0.02 + rng.normal(0, 0.01, 30)
  per_piece = {'ours': {'note_pc_f1': better.tolist()}, 'base': {'note_pc_f1': difficulty.tolist()}}
  difference = music.compare(per_piece, 'ours', ['base'])['base']
  assert difference.ci95[0] > 0 and difference.mean == pytest.approx(0.02, abs=0.01)
  assert difference.wins > 0.9 and difference.pieces == 30
  assert music.compare(per_piece, 'base', ['ours'])['ours'].mean == pytest.approx(-difference.mean)
  assert music.paired_difference([0.5, None, 0.5], [0.5, 0.1, 0.5]) == music.Difference(0.0, (0.0, 0.0), 0.5, 2)


@pytest.mark.parametrize(
  ('interval', 'beats', 'frames'),
  [(0.5, True, 10), (0.25, True, 10), (0.125, True, 5), (0.25, False, 10), (0.125, False, 5), (2.0, False, 20)],
)
def test_the_shift_falls_between_the_bass_notes(interval, beats, frames):
  # At 120 a minute a quarter beat is 125 ms = 10 frames, an eighth of a beat 62.5 ms = 5 frames.
  features = piece_of('x', interval=interval, beats=beats).features
  assert music.shift_of(features) == frames
  shifted = music.shifted_mix(features)
  assert np.array_equal(shifted[frames:], features.mix[:-frames]) and np.array_equal(shifted[:frames], features.mix[-frames:])


def test_other_mix_is_of_another_song_and_fits():
  assert np.array_equal(music.other_mix(PIECES, 0), PIECES[1].features.mix[:640])
  repeated = music.other_mix(PIECES, 3)
  assert repeated.shape == (880, 192)
  assert np.array_equal(repeated[640:], PIECES[0].features.mix[:240])
  excerpts = [PIECES[0], music.Piece('song0_b', PIECES[0].features), PIECES[2]]
  assert music.partner(excerpts, 0) == 2


def test_silent_mix():
  silent = music.silent_mix(PIECES[0].features)
  assert silent.shape == PIECES[0].features.mix.shape and silent.dtype == np.float16 and not silent.any()


def test_candidates_hold_grid_mean_and_centres():
  rng = np.random.default_rng(0)
  means = np.concatenate([rng.normal((1.1, -0.7), 0.01, (20, 2)), rng.normal((-0.9, 2.1), 0.01, (20, 2))])
  candidates = music.z_candidates(means)
  assert candidates.shape == (81 + 1 + 8, 2)
  assert np.abs(candidates).max() == 3 and (candidates == 0).all(axis=1).any()
  assert np.allclose(candidates[81], means.mean(axis=0))
  assert np.linalg.norm(candidates - (1.1, -0.7), axis=1).min() < 0.05
  assert music.z_candidates(np.zeros((3, 2))).shape == (81 + 1 + 1, 2)
  assert music.z_candidates(np.empty((0, 2))).shape == (81, 2)


def test_the_one_z_for_all_songs_plays_in_the_register_of_a_bass(monkeypatch):
  """Right of the middle every note is right but an octave too high; left of it one of sixteen is missing."""

  class Model:
    def encode_mix(self, mix):
      return mix

    def posterior(self, mix, bass, code):
      return np.zeros((len(mix), 2)), np.zeros((len(mix), 2))

    def decode(self, code, z):
      return z

  song = PIECES[0].features
  high, low = song.notes.transposed(12), song.notes.where(np.arange(len(song.notes)) > 0)
  monkeypatch.setattr(decoding, 'notes_from_prediction', lambda z, threshold: high if z[0] > 0 else low)
  found = pop_rock.choose(Model(), [song])
  assert found.z[0] <= 0
  assert found.score == pytest.approx(metrics.note_pc_f1(low, song.notes))
  assert found.score < metrics.note_pc_f1(high, song.notes), 'the headline figure alone would have chosen the other'
