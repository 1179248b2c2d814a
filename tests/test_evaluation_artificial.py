"""The figures of the artificial sets, on models that are perfect, blind and random by construction."""

import dataclasses

import numpy as np
import pytest

from bassnet_jax.decoding import Prediction
from bassnet_jax.evaluation import artificial, metrics
from bassnet_jax.evaluation.artificial import WindowMeans
from bassnet_jax.trained import MixCode
from data_pipeline import features as ft
from data_pipeline.sources.artificial import Artificial

SOURCE = Artificial('a1', train=9, validation=3, test=24, test_timbre=3)
CENTROIDS = np.array([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
FRAMES = ft.EXCERPT_FRAMES


def song(key) -> ft.Features:
  """The notes of a song of a1, with noise as its mix: what these tests ask for needs no sound."""
  score, pattern = SOURCE.score(key), SOURCE.pattern(key)
  pitch, onset = ft.frame_targets(score.patterns[pattern], FRAMES)
  rng = np.random.default_rng(int(key.id.rsplit('-', 1)[1]))
  return ft.Features(
    id=key.id,
    split=key.split,
    licence='',
    credit='',
    mix=rng.gamma(1, 0.5, (FRAMES, ft.MIX_BINS)).astype(np.float16),
    bass=np.zeros((FRAMES, ft.BASS_BINS), np.float16),
    pitch=pitch,
    onset=onset,
    level=np.ones(FRAMES, np.float16),
    gain=1.0,
    tuning=0.0,
    notes=score.patterns[pattern],
    mix_notes=score.mix,
    patterns=score.patterns,
    pattern=pattern,
  )


@pytest.fixture(scope='module')
def songs():
  return [song(key) for key in SOURCE.songs() if key.split == 'test']


class Perfect:
  """Has the methods of `TrainedModel`; plays, frame by frame, the pattern whose centroid is nearest to z."""

  def __init__(self, songs):
    self.songs = songs

  def encode_mix(self, mix):
    index = next(i for i, s in enumerate(self.songs) if s.mix is mix)
    return MixCode(np.array([index]), np.zeros(0), len(mix))

  def posterior(self, mix, bass, code):
    pattern = self.songs[int(code.pitch[0])].pattern
    noise = np.random.default_rng(int(code.pitch[0])).normal(0, 0.2, (len(mix), 2))
    return CENTROIDS[pattern] + noise, np.ones((len(mix), 2))

  def choose(self, code, z):
    z = np.broadcast_to(z, (code.frames, 2))
    return np.square(z[:, None] - CENTROIDS).sum(axis=-1).argmin(axis=1)

  def decode(self, code, z):
    song, which = self.songs[int(code.pitch[0])], self.choose(code, z)
    targets = [ft.frame_targets(line, code.frames) for line in song.patterns]
    frames = np.arange(code.frames)
    pitch, onset = (np.stack([t[i] for t in targets])[which, frames] for i in range(2))
    return Prediction(
      bass=np.zeros((code.frames, ft.BASS_BINS), np.float32),
      pitch_logits=20 * np.eye(ft.PITCHES + 1, dtype=np.float32)[pitch],
      onset=0.98 * onset.astype(np.float32),
      level=np.where(pitch < ft.NO_PITCH, 0.8, 0).astype(np.float32),
    )


class Deaf(Perfect):
  """Plays one pattern a song, drawn by lot, whatever z is."""

  def choose(self, code, z):
    return np.full(code.frames, np.random.default_rng(100 + int(code.pitch[0])).integers(3))


class Silent(Perfect):
  def decode(self, code, z):
    prediction = super().decode(code, z)
    logits = np.zeros_like(prediction.pitch_logits)
    logits[:, ft.NO_PITCH] = 20
    return dataclasses.replace(prediction, pitch_logits=logits, onset=np.zeros_like(prediction.onset))


class Slow(Perfect):
  """Follows z 0.5 s late."""

  def choose(self, code, z):
    return np.roll(super().choose(code, z), 40)


@pytest.fixture(scope='module')
def encoded(songs):
  return artificial.encode(Perfect(songs), songs, 'songs')


def test_a_perfect_model_has_perfect_control(songs, encoded):
  figures = artificial.control(Perfect(songs), encoded, CENTROIDS, 0.5, 'control')
  assert figures['note_f1'] == pytest.approx(1.0, abs=1e-9)
  assert figures['pattern'] == pytest.approx(1.0, abs=1e-9)
  assert figures['frame'] > 0.97
  np.testing.assert_allclose(figures['matrix'], np.eye(3), atol=1e-9)
  assert figures['pattern_ci95'] == pytest.approx([1.0, 1.0])
  # The patterns of a1 differ in pitch at every moment, and share all onsets.
  np.testing.assert_allclose(figures['matrix_pitch'], np.eye(3), atol=1e-9)
  np.testing.assert_allclose(figures['matrix_onset'], np.full((3, 3), 1 / 3), atol=1e-9)
  assert figures['pattern_pitch'] == pytest.approx(1.0) and figures['pattern_onset'] == pytest.approx(1 / 3)
  assert figures['pattern_onset_ci95'] == pytest.approx([1 / 3, 1 / 3])


def test_its_blind_twin_is_at_chance(songs, encoded):
  """z at the origin for all: whichever pattern that is, it is asked for once in three."""
  figures = artificial.control(Perfect(songs), encoded, np.zeros((3, 2)), 0.5, 'blind')
  assert figures['pattern'] == pytest.approx(1 / 3, abs=1e-9)
  assert figures['note_f1'] < 0.5
  np.testing.assert_allclose(np.sum(figures['matrix'], axis=1), 1)


def test_a_model_that_does_not_listen_to_z_is_at_chance(songs, encoded):
  figures = artificial.control(Deaf(songs), encoded, CENTROIDS, 0.5, 'deaf')
  assert figures['pattern'] == pytest.approx(1 / 3, abs=1e-9)
  rows = np.asarray(figures['matrix'])
  np.testing.assert_allclose(rows, np.broadcast_to(rows[0], (3, 3)), atol=1e-9)


def test_swapped_centroids_show_in_the_matrix(songs, encoded):
  figures = artificial.control(Perfect(songs), encoded, CENTROIDS[[1, 0, 2]], 0.5, 'swapped')
  np.testing.assert_allclose(figures['matrix'], np.eye(3)[[1, 0, 2]], atol=1e-9)
  assert figures['pattern'] == pytest.approx(1 / 3, abs=1e-9)


def test_silence_is_as_near_to_every_pattern(songs, encoded):
  figures = artificial.control(Silent(songs), encoded, CENTROIDS, 0.5, 'silent')
  assert figures['pattern'] == pytest.approx(1 / 3, abs=1e-9) and figures['note_f1'] == figures['notes'] == 0
  assert artificial.control(Perfect(songs), encoded, CENTROIDS, 0.5, 'perfect')['notes'] == pytest.approx(1, abs=0.02)


def test_silence_never_switches_where_patterns_rest_most_of_the_time(songs):
  """As those of a3 do: three quarters of its frames rest."""
  short = [
    dataclasses.replace(
      song, patterns=[dataclasses.replace(line, offset=line.onset + 0.1 * (line.offset - line.onset)) for line in song.patterns]
    )
    for song in songs
  ]
  sparse = artificial.encode(Silent(short), short, 'songs')
  assert np.mean([metrics.frame_pitch(song.patterns[0], song.frames) == metrics.SILENT for song in short]) > 0.8
  assert np.isinf(artificial.switch_times(Silent(short), sparse, CENTROIDS, 0.5)).all()


def switch_seconds(model, encoded):
  return artificial.switching(artificial.switch_times(model, encoded, CENTROIDS, 0.5))['switch_seconds']


def test_switch_seconds(songs, encoded):
  quick = switch_seconds(Perfect(songs), encoded)
  slow = switch_seconds(Slow(songs), encoded)
  assert quick <= 0.25
  assert 0.25 <= slow - quick <= 0.75
  assert switch_seconds(Silent(songs), encoded) is None


def test_switching_has_an_interval_and_never_is_none():
  times = np.array([0.1] * 8 + [0.3] * 7 + [np.inf])
  found = artificial.switching(times)
  low, high = found['switch_seconds_ci95']
  assert low <= found['switch_seconds'] <= high and {low, high} <= {0.1, 0.2, 0.3}
  assert found['switched'] == pytest.approx(15 / 16)
  never = artificial.switching(np.full(5, np.inf))
  assert never == {'switch_seconds': None, 'switch_seconds_ci95': [None, None], 'switched': 0.0}
  assert artificial.switching(np.array([0.1, 0.1, 0.1, np.inf, np.inf]))['switch_seconds_ci95'] == [0.1, None]


def test_the_plane_of_a_perfect_model_is_separable_and_that_of_noise_is_not(encoded):
  windows = artificial.window_means(encoded, 128)
  assert windows.mu.shape == (24 * 8, 2) and windows.mix.shape == (24 * 8, 2 * ft.MIX_BINS)
  assert (windows.pattern == [encoded[i].features.pattern for i in windows.song]).all()
  good = artificial.separability(windows, 3)
  assert good['svm'] == good['knn'] == 1.0 and good['chance'] == pytest.approx(1 / 3)
  assert good['svm_ci95'] == [1.0, 1.0] and good['mix_only_ci95'][0] <= good['mix_only'] <= good['mix_only_ci95'][1]
  noise = dataclasses.replace(windows, mu=np.random.default_rng(0).normal(size=windows.mu.shape))
  bad = artificial.separability(noise, 3)
  assert abs(bad['svm'] - 1 / 3) < 0.1 and abs(bad['knn'] - 1 / 3) < 0.1
  assert abs(bad['mix_only'] - 1 / 3) < 0.15


def test_songs_are_not_on_both_sides_of_a_fold():
  """A mu that names the song and nothing else must not score: windows of a song are in one fold."""
  rng = np.random.default_rng(0)
  song = np.repeat(np.arange(60), 10)
  places = rng.normal(0, 10, (60, 2))
  windows = WindowMeans(
    mu=places[song] + rng.normal(0, 0.01, (600, 2)),
    mix=rng.normal(size=(600, 40)),
    pattern=rng.permutation(np.arange(60) % 3)[song],
    song=song,
  )
  assert artificial.separability(windows, 3)['knn'] < 0.55


def test_centroids(encoded):
  np.testing.assert_allclose(artificial.centroids(artificial.window_means(encoded, 64), 3), CENTROIDS, atol=0.05)


def test_the_threshold_is_chosen_where_the_notes_are_best(songs, encoded):
  class Hesitant(Perfect):
    """True onsets at 0.45, false ones at 0.25 between them."""

    def decode(self, code, z):
      prediction = super().decode(code, z)
      false = np.roll(prediction.onset, 8) > 0
      return dataclasses.replace(prediction, onset=np.where(prediction.onset > 0, 0.45, np.where(false, 0.25, 0)).astype(np.float32))

  assert artificial.choose_threshold(Hesitant(songs), encoded[:6], CENTROIDS) in (0.3, 0.4)


def test_intervals_over_songs_are_as_wide_as_songs_differ():
  """Windows of a song are right or wrong together: ten times as many of them tell no more."""
  rng = np.random.default_rng(0)
  right = rng.random(60) < 0.7
  widths = []
  for windows in (1, 10):
    song = np.repeat(np.arange(60), windows)
    table = WindowMeans(np.zeros((len(song), 2)), np.zeros((len(song), 2)), song % 3, song)
    low, high = artificial._balanced_interval(right[song], table, 3)
    assert low < right.mean() < high
    widths.append(high - low)
  assert widths[0] == pytest.approx(widths[1], rel=0.1) and widths[0] == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / 60), rel=0.2)


@pytest.mark.parametrize('songs', [2, 3])
def test_a_few_songs_are_told_apart_in_fewer_folds(songs):
  rng = np.random.default_rng(0)
  song = np.repeat(np.arange(songs), 16)
  found = artificial.separability(
    artificial.WindowMeans(rng.normal(size=(len(song), 2)), rng.normal(size=(len(song), 384)), song % 2, song), patterns=2
  )
  assert all(0 <= found[name] <= 1 for name in ('svm', 'knn', 'mix_only'))


@pytest.mark.parametrize(('songs', 'windows', 'patterns'), [(4, 16, 8), (5, 2, 8), (3, 1, 2), (2, 1, 2)])
def test_fewer_songs_than_patterns_and_a_window_a_song_still_give_figures(songs, windows, patterns):
  rng = np.random.default_rng(0)
  song = np.repeat(np.arange(songs), windows)
  table = artificial.WindowMeans(rng.normal(size=(len(song), 2)), rng.normal(size=(len(song), 384)), song % patterns, song)
  found = artificial.separability(table, patterns)
  assert np.isfinite(np.concatenate([np.atleast_1d(value) for value in found.values()])).all()


def test_one_song_cannot_be_told_apart():
  windows = artificial.WindowMeans(np.zeros((16, 2)), np.zeros((16, 384)), np.zeros(16, int), np.zeros(16, int))
  with pytest.raises(ValueError, match='expected 2 test songs'):
    artificial.separability(windows, patterns=2)
