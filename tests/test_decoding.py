"""Notes from predictions: onsets, ends, pitches, articulation, ranges."""

import time

import numpy as np
import pytest

from bassnet_jax import decoding
from data_pipeline import features
from data_pipeline.notes import Notes


def predicted(notes: Notes, seconds: float = 4.0, level: float = 0.7, certainty: float = 6.0) -> decoding.Prediction:
  """What a network that knows the notes would say."""
  frames = int(seconds * features.FRAME_RATE)
  pitch, onset = features.frame_targets(notes, frames)
  logits = np.zeros((frames, features.PITCHES + 1), dtype=np.float32)
  logits[np.arange(frames), pitch] = certainty
  levels = np.where(pitch == features.NO_PITCH, 0.0, level).astype(np.float32)
  bass = np.zeros((frames, features.BASS_BINS), dtype=np.float32)
  return decoding.Prediction(bass, logits, 0.9 * onset.astype(np.float32), levels)


def line(*rows) -> Notes:
  return Notes.from_rows([(onset, offset, pitch, 100, decoding.BASS_PROGRAM) for onset, offset, pitch in rows])


LINE = line((0.5, 0.9, 28), (1.0, 1.5, 40), (1.5, 1.7, 40), (2.0, 3.0, 55))


def test_perfect_prediction_gives_its_notes():
  found = decoding.notes_from_prediction(predicted(LINE))
  np.testing.assert_allclose(found.onset, LINE.onset, atol=1e-6)
  np.testing.assert_allclose(found.offset, LINE.offset, atol=1e-6)
  assert found.pitch.tolist() == LINE.pitch.tolist()
  assert set(found.program.tolist()) == {33}


def test_threshold_leaves_out_weak_onsets():
  prediction = predicted(LINE)
  prediction.onset[80] = 0.2
  assert len(decoding.notes_from_prediction(prediction, onset_threshold=0.1)) == 4
  found = decoding.notes_from_prediction(prediction, onset_threshold=0.3)
  assert len(found) == 3
  assert decoding.notes_from_prediction(prediction, onset_threshold=1.0).onset.tolist() == []


def test_plateaus_and_near_peaks_are_one_onset():
  onset = np.zeros(100, dtype=np.float32)
  onset[10:13] = 0.8
  onset[50], onset[53] = 0.8, 0.9
  onset[80], onset[84] = 0.8, 0.8
  assert decoding.onset_peaks(onset, 0.3).tolist() == [10, 53, 80, 84]


def test_peak_between_two_frames():
  prediction = predicted(LINE)
  prediction.onset[79:82] = (0.5, 0.9, 0.7)
  found = decoding.notes_from_prediction(prediction)
  assert 1.0 < found.onset[1] < 1.00625


def test_pitch_change_begins_a_note():
  held = predicted(line((0.5, 1.5, 30), (1.5, 2.5, 35)))
  held.onset[120] = 0.0
  found = decoding.notes_from_prediction(held, pitch_changes=True)
  assert found.pitch.tolist() == [30, 35]
  np.testing.assert_allclose(found.onset, [0.5, 1.5])
  assert decoding.notes_from_prediction(held).pitch.tolist() == [30]


def test_flicker_is_no_note():
  prediction = predicted(line((0.5, 2.5, 30)))
  prediction.pitch_logits[80:84] = np.roll(prediction.pitch_logits[80:84], 12, axis=1)  # four frames of another pitch
  prediction.pitch_logits[120:122, features.NO_PITCH] = 9.0  # two frames of silence
  found = decoding.notes_from_prediction(prediction, pitch_changes=True)
  assert found.pitch.tolist() == [30]
  np.testing.assert_allclose([found.onset[0], found.offset[0]], [0.5, 2.5])


def test_steady_change_that_the_sum_overrules_is_no_note():
  prediction = predicted(line((0.5, 2.5, 30)))
  prediction.pitch_logits[80:87, 31 - features.LOWEST_PITCH] = 6.1  # narrowly preferred for seven frames, impossible afterwards
  flickering = [frame for frame in range(87, 200) if frame // 3 % 2]
  prediction.pitch_logits[flickering, 35 - features.LOWEST_PITCH] = 6.1
  assert decoding.notes_from_prediction(prediction, pitch_changes=True).pitch.tolist() == [30]


def test_onset_a_little_before_its_pitch():
  prediction = predicted(line((0.5, 1.0, 30)))
  prediction.onset[:] = np.roll(prediction.onset, -3)
  found = decoding.notes_from_prediction(prediction, pitch_changes=True)
  assert len(found) == 1
  np.testing.assert_allclose(found.onset, 0.5 - 3 / 80)


def test_onset_in_silence_is_no_note():
  prediction = predicted(LINE)
  prediction.onset[10] = 0.9
  assert len(decoding.notes_from_prediction(prediction)) == len(LINE)


@pytest.mark.parametrize(
  ('articulation', 'offsets'), [(0.0, (0.66, 1.2, 1.58, 2.4)), (0.25, (0.78, 1.35, 1.64, 2.7)), (1.0, (1.0, 1.5, 2.0, 3.0))]
)
def test_articulation(articulation, offsets):
  found = decoding.notes_from_prediction(predicted(LINE), articulation=articulation)
  np.testing.assert_allclose(found.offset, offsets, atol=1e-6)
  assert (found.offset[:-1] <= found.onset[1:] + 1e-9).all()


def test_legato_keeps_a_long_rest():
  found = decoding.notes_from_prediction(predicted(line((0.5, 1.0, 30), (9.0, 9.5, 30)), seconds=10), articulation=1.0)
  np.testing.assert_allclose(found.offset[0], 1.0 + decoding.LONGEST_TIE)


def test_range_presets_move_by_octaves():
  wide = line((0.5, 1.0, 23), (1.0, 1.5, 67), (1.5, 2.0, 40))
  for name, expected in {'4-string': [35, 55, 40], '5-string': [23, 55, 40], 'full': [23, 67, 40]}.items():
    lowest, highest = decoding.RANGES[name]
    assert decoding.notes_from_prediction(predicted(wide), lowest=lowest, highest=highest).pitch.tolist() == expected


def unsure(notes: Notes, higher: list[int], margin: float) -> decoding.Prediction:
  """The notes, but those in `higher` are by `margin` nats a frame rather an octave higher."""
  prediction = predicted(notes)
  for i in higher:
    frames = slice(int(notes.onset[i] * 80), int(notes.offset[i] * 80))
    prediction.pitch_logits[frames, notes.pitch[i] + 12 - features.LOWEST_PITCH] = 6.0 + margin
  return prediction


WALK = line((0.5, 0.75, 33), (0.75, 1.0, 35), (1.0, 1.25, 36), (1.25, 1.5, 38), (1.5, 1.75, 40))


def test_an_octave_that_the_network_is_unsure_of_is_the_line_s():
  found = decoding.notes_from_prediction(unsure(WALK, [1, 3], 0.05))
  assert found.pitch.tolist() == WALK.pitch.tolist()
  apart = decoding.notes_from_prediction(unsure(WALK, [1, 3], 0.05), jump_cost=0.0)
  assert apart.pitch.tolist() == [33, 47, 36, 50, 40]
  np.testing.assert_array_equal(found.onset, apart.onset)


def test_an_octave_that_it_is_sure_of_is_played():
  found = decoding.notes_from_prediction(unsure(WALK, [1, 3], 2.0))
  assert found.pitch.tolist() == [33, 47, 36, 50, 40]


def test_after_a_rest_a_line_begins_anywhere():
  apart = line((0.5, 0.75, 33), (2.5, 2.75, 33), (2.75, 3.0, 35))
  assert decoding.notes_from_prediction(unsure(apart, [1, 2], 0.05)).pitch.tolist() == [33, 45, 47]
  near = line((0.5, 0.75, 33), (1.5, 1.75, 33), (1.75, 2.0, 35))
  assert decoding.notes_from_prediction(unsure(near, [1, 2], 0.05)).pitch.tolist() == [33, 33, 35]


def test_octaves_of_random_lines_keep_their_pitch_classes():
  random = np.random.default_rng(2)
  logits = np.repeat(random.normal(0, 1, (400, 46)), 10, axis=0).astype(np.float32)
  logits[:, features.NO_PITCH] = -9
  prediction = decoding.Prediction(np.zeros((4000, 144)), logits, random.random(4000) ** 4, random.random(4000))
  before, after = (
    decoding.notes_from_prediction(prediction, 0.2, jump_cost=cost, restrike_doubt=0.0) for cost in (0.0, decoding.JUMP_COST)
  )
  np.testing.assert_array_equal(before.pitch % 12, after.pitch % 12)
  np.testing.assert_array_equal(before.onset, after.onset)
  jumps = lambda notes: int((np.abs(np.diff(notes.pitch)) > decoding.JUMP).sum())  # noqa: E731
  assert jumps(after) < jumps(before)
  assert after.pitch.min() >= features.LOWEST_PITCH and after.pitch.max() <= features.HIGHEST_PITCH


def test_a_note_rings_while_the_network_is_torn_between_pitches():
  prediction = predicted(line((0.5, 1.0, 40)))
  torn = slice(60, 76)  # silence is the likeliest of all, the pitches together are likelier
  prediction.pitch_logits[torn] = -5.0
  prediction.pitch_logits[torn, features.NO_PITCH] = 1.0
  prediction.pitch_logits[torn, [15, 17, 19]] = 0.5
  cut = decoding.notes_from_prediction(prediction, longest_ring=0)
  np.testing.assert_allclose(cut.offset, 60 / 80)
  np.testing.assert_allclose(decoding.notes_from_prediction(prediction).offset, (60 + decoding.LONGEST_RING) / 80)
  prediction.pitch_logits[torn, features.NO_PITCH] = 3.0
  np.testing.assert_allclose(decoding.notes_from_prediction(prediction).offset, 60 / 80)


@pytest.mark.parametrize(
  ('pitches', 'probability', 'kept'),
  [
    (
      (40, 40, 40, 40, 40),
      0.4,
      [0.5, 0.75, 1.0],
    ),  # doubtful sixteenths of one pitch: every second one is left, 0.16 s from the last strike
    ((40, 40, 40, 40, 40), 0.55, [0.5, 0.625, 0.75, 0.875, 1.0]),
    ((40, 41, 41, 40, 40), 0.4, [0.5, 0.625, 0.875]),
  ],
)
def test_a_doubtful_restrike_is_no_new_note(pitches, probability, kept):
  rows = [(0.5 + 0.125 * i, 0.625 + 0.125 * i, pitch) for i, pitch in enumerate(pitches)]
  prediction = predicted(line(*rows))
  prediction.onset[prediction.onset > 0] = probability
  found = decoding.notes_from_prediction(prediction, 0.3)
  np.testing.assert_allclose(found.onset, kept, atol=1e-6)
  np.testing.assert_allclose(found.offset, [*kept[1:], 1.125], atol=1e-6)
  every = decoding.notes_from_prediction(prediction, 0.3, restrike_doubt=0.0)
  np.testing.assert_allclose(every.onset, [row[0] for row in rows], atol=1e-6)


def test_after_a_rest_a_doubtful_onset_is_a_note():
  prediction = predicted(line((0.5, 0.55, 40), (0.625, 0.75, 40)))
  prediction.onset[prediction.onset > 0] = 0.4
  assert len(decoding.notes_from_prediction(prediction, 0.3, longest_ring=0)) == 2


def test_velocity_follows_level():
  quiet = decoding.notes_from_prediction(predicted(LINE, level=0.5)).velocity
  loud = decoding.notes_from_prediction(predicted(LINE, level=0.8)).velocity
  assert (loud > quiet).all()
  assert decoding.velocity_of(np.array([0.0, 1.0])).tolist() == [7, 127]


def test_short_notes_are_left_out():
  short = line((0.5, 0.525, 30), (1.0, 1.5, 40))
  assert decoding.notes_from_prediction(predicted(short)).pitch.tolist() == [40]


@pytest.mark.parametrize('frames', [0, 1, 2, 7])
def test_tiny_and_random_predictions(frames):
  random = np.random.default_rng(0)
  for _ in range(20):
    logits = random.normal(0, 3, (frames, 46)).astype(np.float32)
    prediction = decoding.Prediction(np.zeros((frames, 144)), logits, random.random(frames), random.random(frames))
    found = decoding.notes_from_prediction(prediction, 0.0, random.random())
    assert (found.offset > found.onset).all()


def test_random_predictions_give_a_monophonic_line_in_range():
  random = np.random.default_rng(1)
  for articulation in (0.0, 0.3, 0.5, 0.8, 1.0):
    logits = np.repeat(random.normal(0, 3, (500, 46)), 8, axis=0).astype(np.float32)
    prediction = decoding.Prediction(np.zeros((4000, 144)), logits, random.random(4000) ** 4, random.random(4000))
    found = decoding.notes_from_prediction(prediction, 0.2, articulation, 28, 55)
    assert len(found) > 100
    assert (found.offset > found.onset).all() and (found.offset[:-1] <= found.onset[1:] + 1e-9).all()
    assert found.pitch.min() >= 28 and found.pitch.max() <= 55


def test_wrong_arguments_say_so():
  prediction = predicted(LINE)
  for arguments in ({'onset_threshold': 1.5}, {'articulation': -0.1}, {'lowest': 40, 'highest': 45}):
    with pytest.raises(ValueError, match=r'expected|narrower'):
      decoding.notes_from_prediction(prediction, **arguments)
  with pytest.raises(ValueError, match=r'pitch_logits has shape'):
    decoding.Prediction(np.zeros((5, 144)), np.zeros((5, 45)), np.zeros(5), np.zeros(5))


def test_ten_minutes_are_quick():
  times = 0.5 + 0.25 * np.arange(2300)
  prediction = predicted(line(*((t, t + 0.2, 30 + i % 12) for i, t in enumerate(times))), seconds=600)
  begin = time.process_time()
  found = decoding.notes_from_prediction(prediction)
  assert len(found) == 2300
  assert time.process_time() - begin < 0.5
