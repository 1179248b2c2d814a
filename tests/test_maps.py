"""Maps of the plane, on models whose bass is known at every position."""

import dataclasses
import json

import matplotlib.image
import numpy as np
import pytest

from bassnet_jax.decoding import Prediction
from bassnet_jax.evaluation import map_plots, map_tests, maps, metrics_check
from data_pipeline import features as ft
from data_pipeline.notes import Notes

SECONDS = 10
FRAMES = SECONDS * ft.FRAME_RATE
MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])


def song(key: int, seconds: int = SECONDS, mix_notes: bool = True, modulation: int = 0) -> ft.Features:
  """A scale over and over in a major key, its tonic in the bass once a second; `modulation` semitones up from the middle."""
  frames, rows = seconds * ft.FRAME_RATE, []
  for i, onset in enumerate(np.arange(0, seconds, 0.25)):
    moved = modulation if onset >= seconds / 2 else 0
    rows.append((onset, onset + 0.25, 60 + key + moved + MAJOR[i % 7], 90, 0))
  bass = Notes.from_rows([(t, t + 0.5, 36 + key, 90, 33) for t in np.arange(seconds)])
  pitch, onset = ft.frame_targets(bass, frames)
  mix = np.zeros((frames, ft.MIX_BINS), np.float16)
  mix[:, 2 * (60 + key + MAJOR - ft.LOWEST_BIN_PITCH)] = 3.0
  mix[0, 0] = key  # so that a model may know the key
  return ft.Features(
    id=f'song{key}',
    split='test',
    licence='CC0-1.0',
    credit='',
    mix=mix,
    bass=np.zeros((frames, ft.BASS_BINS), np.float16),
    pitch=pitch,
    onset=onset,
    level=np.full(frames, 0.75, np.float16),
    gain=1.0,
    tuning=0.0,
    notes=bass,
    mix_notes=Notes.from_rows(rows) if mix_notes else None,
  )


class Listening:
  """Right of the middle it plays the key's tonic, left of it a semitone higher; upwards it plays more, and louder."""

  def encode_mix(self, mix):
    return int(mix[0, 0]), len(mix)

  def tonic(self, key):
    return key

  def decode(self, code, z):
    key, frames = code
    every = {-3: 160, 0: 80, 3: 40}[int(z[1])]
    onsets = np.arange(0, frames, every)
    pitch = 36 + self.tonic(key) + (z[0] < 0)
    rows = [(t / 80, (t + every / 2) / 80, pitch, 90, 33) for t in onsets]
    classes, onset = ft.frame_targets(Notes.from_rows(rows), frames)
    logits = 30 * np.eye(ft.PITCHES + 1, dtype=np.float32)[classes]
    level = np.full(frames, 0.5 + z[1] / 12, np.float32)
    return Prediction(np.zeros((frames, ft.BASS_BINS), np.float32), logits, 0.9 * onset.astype(np.float32), level)


class Deaf(Listening):
  """Plays in C, whatever it hears."""

  def tonic(self, key):
    return 0


@pytest.fixture(scope='module')
def measured():
  return maps.evaluate(Listening(), maps.parts_of([song(key) for key in range(8)], False), 0.3, side=3)


def test_maps_show_what_the_model_plays(measured):
  assert measured.axis.tolist() == [-3, 0, 3]
  np.testing.assert_allclose(measured.mean('diatonic'), [[0] * 3, [1] * 3, [1] * 3], atol=1e-9)
  np.testing.assert_allclose(measured.mean('onset_density'), [[0.5, 1, 2]] * 3)
  np.testing.assert_allclose(measured.mean('level'), [[-45, -30, -15]] * 3, atol=1e-5)
  np.testing.assert_allclose(measured.mean('register')[:, 0], [40.5, 39.5, 39.5])
  # A scale of seven notes sounds the tonic in a seventh of the time, and never the semitone above it.
  np.testing.assert_allclose(measured.mean('chord_tones')[0], 0, atol=1e-9)
  np.testing.assert_allclose(measured.mean('chord_tones')[1:], 1 / 7, atol=0.1)


def test_the_truth_stands_beside(measured):
  assert measured.true_mean('diatonic') == 1 and measured.true_mean('onset_density') == 1
  assert measured.true_mean('level') == pytest.approx(-15) and measured.true_mean('register') == pytest.approx(39.5)
  np.testing.assert_allclose(measured.truth_by_degree, np.eye(12)[0])


def test_histograms_relative_to_key_and_mix(measured):
  np.testing.assert_allclose(measured.by_degree[1, 1], np.eye(12)[0], atol=1e-9)
  np.testing.assert_allclose(measured.by_degree[0, 1], np.eye(12)[1], atol=1e-9)
  # From the notes of a major scale up to its tonic: no minor second's complement is missing, no tritone is there.
  assert set(np.flatnonzero(measured.by_interval[1, 1] > 0.02)) == {(-step) % 12 for step in MAJOR}
  np.testing.assert_allclose(measured.by_interval.sum(axis=2), 1)


def test_intervals_by_hand():
  part = maps.part_of(song(0))
  chroma = np.zeros((FRAMES, 12))
  chroma[:, [0, 7]] = 1  # C and G
  part = maps.Part(part.features, chroma, part.collections, True)
  bass = np.zeros((FRAMES, 12))
  bass[:, 0] = 2
  found = maps.intervals(bass, part)
  np.testing.assert_allclose(found, FRAMES * (np.eye(12)[0] + np.eye(12)[5]))


def test_the_variation_is_tied_to_the_mix_only_where_the_model_listens(measured):
  test = map_tests.permutation_test(measured, permutations=999)
  assert test.p < 0.01 and test.deviation > test.null_high > test.null_mean > 0
  deaf = maps.evaluate(Deaf(), maps.parts_of([song(key) for key in range(8)], False), 0.3, side=3)
  # Its mean map varies as much, but equally under every pairing.
  assert deaf.mean('diatonic').std() > 0.05
  assert map_tests.permutation_test(deaf, permutations=199).p == 1


def test_p_is_uniform_without_a_tie():
  """Maps that are noise: about a tenth of the tests has p <= 0.1."""
  rng, empty = np.random.default_rng(0), np.zeros(0)
  values = []
  for _ in range(200):
    pairs = rng.normal(size=(3, 3, 6, 6))
    noise = maps.PlaneMaps(empty, tuple('abcdef'), 0.0, {}, pairs, empty, empty, {}, empty, empty)
    values.append(map_tests.permutation_test(noise, permutations=99).p)
  assert 0.04 <= np.mean(np.array(values) <= 0.1) <= 0.17


def test_places_stand_out_song_for_song_only_where_the_model_listens(measured):
  tests = map_tests.location_tests(measured)
  # Eight songs have 128 combinations of signs; left of the middle it plays beside the key, upwards it plays more.
  assert tests['diatonic'].p == tests[map_tests.TIED].p == tests['onset_density'].p == 1 / 128
  assert tests[map_tests.TIED].above.tolist() == [[False] * 3, [True] * 3, [True] * 3]
  assert (tests[map_tests.TIED].below == ~tests[map_tests.TIED].above).all()
  assert tests['onset_density'].above.tolist() == [[False, False, True]] * 3
  assert (tests['onset_density'].lowest, tests['onset_density'].highest) == pytest.approx((0.5, 2))
  deaf = map_tests.location_tests(maps.evaluate(Deaf(), maps.parts_of([song(key) for key in range(8)], False), 0.3, side=3))
  assert deaf['onset_density'].p == 1 / 128 and deaf[map_tests.TIED].p > 0.05


def test_far_from_the_origin_is_compared_song_for_song(measured):
  rings = map_tests.ring_differences(measured)
  # Of nine positions only the origin is near; of the eight others three are left of the middle, where all is beside the key.
  assert (rings['diatonic'].songs, rings['diatonic'].near, rings['diatonic'].far) == pytest.approx((8, 1, 5 / 8))
  assert rings['diatonic'].ci95 == pytest.approx((-3 / 8, -3 / 8))
  assert rings['onset_density'].difference == pytest.approx((3 * 0.5 + 2 * 1 + 3 * 2) / 8 - 1)
  values = np.full((3, 3, 3), np.nan)
  values[1, 1] = 1
  values[0, 0, :2] = 3, 5
  ring = map_tests.ring_difference(values, measured.axis)
  assert (ring.songs, ring.difference) == (2, 3) and ring.ci95 == (2, 4), 'the third song has no figure far away'
  assert map_tests.ring_difference(values[:, :, 1:], measured.axis) is None


@pytest.mark.parametrize('songs', [10, 24])
def test_p_of_places_is_uniform_where_none_is_another(songs):
  """Smooth maps of noise, each song about a mean and with a spread of its own: about a tenth of the tests has p <= 0.1."""
  rng, found = np.random.default_rng(1), []
  for _ in range(200):
    coarse = rng.normal(size=(3, 3, songs)) * rng.uniform(0.2, 3, songs) + rng.normal(0, 9, songs)
    found.append(map_tests.location_test(np.kron(coarse, np.ones((2, 2, 1))), permutations=99))
  assert 0.04 <= np.mean([test.p <= 0.1 for test in found]) <= 0.17
  assert np.mean([test.above.any() or test.below.any() for test in found]) <= 0.04


def test_places_without_a_figure_are_left_out():
  rng = np.random.default_rng(2)
  values = rng.normal(size=(3, 3, 12))
  values[2, 2] += 9
  values[0, 0, 3] = np.nan
  test = map_tests.location_test(values)
  assert test.p <= 1 / 2048 and test.above.tolist() == [[False] * 3, [False] * 3, [False, False, True]]
  assert not test.below[0, 0] and test.songs == 12
  assert map_tests.location_test(np.full((3, 3, 12), np.nan)) is None
  assert map_tests.location_test(np.ones((3, 3, 12))).p == 1, 'nothing varies'


def test_few_songs_are_not_tested():
  few = maps.evaluate(Listening(), maps.parts_of([song(key) for key in range(4)], False), 0.3, side=3)
  assert map_tests.permutation_test(few) is None
  assert map_tests.location_test(few.maps['diatonic']) is None
  with pytest.raises(ValueError, match='one excerpt at least'):
    maps.evaluate(Listening(), [], 0.3)


def test_excerpts_hear_what_lies_beside_them():
  long = song(0, seconds=60, modulation=6)
  long = dataclasses.replace(long, notes=long.notes.where(long.notes.onset >= 40))
  part = maps.part_of(long, 20.0)
  assert part.features.seconds == 20 and part.features.notes.onset[0] == 0
  assert (part.collections == maps.metrics.DIATONIC[6]).all()
  assert maps.part_of(long).features.seconds == 60
  chosen = maps.parts_of([song(i) for i in range(30)], False)
  assert len(chosen) == maps.MOST_EXCERPTS and len({part.features.id for part in chosen}) == maps.MOST_EXCERPTS
  assert len(maps.parts_of([song(i) for i in range(30)], True)) == 30


def test_without_notes_of_the_mix_its_sound_tells_the_key():
  part = maps.part_of(song(3, mix_notes=False))
  assert (part.collections == maps.metrics.DIATONIC[3]).all()
  blind = maps.evaluate(Listening(), [part], 0.3, side=3)
  np.testing.assert_allclose(blind.mean('diatonic'), [[0] * 3, [1] * 3, [1] * 3], atol=1e-9)
  assert np.isnan(blind.mean('chord_tones')).all()
  assert maps.figures(blind)['maps']['chord_tones'] == [[None] * 3] * 3


def test_mass_of_predictions_and_notes():
  prediction = Listening().decode((5, FRAMES), np.array([3.0, 0.0]))
  mass, played = maps.predicted_mass(prediction), maps.played_mass(song(5).notes, FRAMES)
  np.testing.assert_allclose(mass, played, atol=1e-9)
  even = maps.predicted_mass(dataclasses.replace(prediction, pitch_logits=np.zeros_like(prediction.pitch_logits)))
  np.testing.assert_allclose(even.sum(axis=1), ft.PITCHES / (ft.PITCHES + 1))


def test_figures_are_json_and_pictures_are_drawn(measured, tmp_path):
  locations = map_tests.location_tests(measured)
  found = maps.figures(measured) | map_tests.figures(
    map_tests.permutation_test(measured, permutations=99), locations, map_tests.ring_differences(measured)
  )
  assert metrics_check.fault({'plane': found}) is None
  for broken in ({'by_degree': [[1]]}, {'truth': {}}, {'by_interval': [[['x'] * 12] * 3] * 3}, {'by_interval': None}):
    assert 'twelve numbers' in metrics_check.fault({'plane': found | broken})
  for diatonic in ({}, {'diatonic': [[None] * 3] * 3}):
    without = {name: values for name, values in found['maps'].items() if name != 'diatonic'} | diatonic
    assert 'diatonic has no number' in metrics_check.fault({'plane': found | {'maps': without}})
  assert json.loads(json.dumps(found)) == found
  assert np.shape(found['maps']['diatonic']) == (3, 3) and np.shape(found['by_degree']) == (3, 3, 12)
  low, high = found['truth']['register_ci95']
  assert low <= found['truth']['register'] <= high
  points = np.random.default_rng(0).normal(size=(200, 2))
  map_plots.maps(measured, str(tmp_path / 'maps.png'), points, np.array([1.0, 1.0]), locations)
  degrees, intervals = (measured.by_degree, measured.truth_by_degree), (measured.by_interval, measured.truth_by_interval)
  map_plots.histograms(measured.axis, measured.mean('diatonic'), degrees, intervals, str(tmp_path / 'histograms.png'))
  for name in ('maps.png', 'histograms.png'):
    picture = matplotlib.image.imread(tmp_path / name)
    assert picture.shape[1] > 1000 and len(np.unique(picture[::9, ::9, :3].reshape(-1, 3), axis=0)) > 20
  extremes = map_plots.extremes(measured.axis, measured.mean('diatonic'))
  assert extremes['centre'] == (1, 1) and extremes['least'][0] == 0
