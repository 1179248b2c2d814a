"""Pitch and onsets estimated from audio: right where they are given, `UNLABELLED` where they can't be known."""

from __future__ import annotations

import numpy as np
import pytest

from data_pipeline import rendering
from data_pipeline.audio_targets import measure, targets_from_audio
from data_pipeline.features import LOWEST_PITCH, NO_PITCH, UNLABELLED
from data_pipeline.notes import Notes

KEYS = (40, 43, 45, 45, 33, 35, 28, 52)
LINE = Notes.from_rows([(0.5 + 0.4 * i, 0.5 + 0.4 * i + 0.35, KEYS[i % 8], 100, 33) for i in range(24)])


@pytest.fixture(scope='module')
def bass():
  return rendering.render(rendering.events_from_notes(LINE), 12.0)


def test_a_rendered_bass_is_heard_right(bass):
  accuracy = measure(bass, LINE)
  assert accuracy.pitch > 0.95
  assert accuracy.onset_f1 > 0.9
  assert accuracy.note_f1 > 0.85
  assert accuracy.unlabelled < 0.3


def test_shapes_clock_and_silence(bass):
  notes, pitch, onset = targets_from_audio(bass, 1000)
  assert pitch.dtype == onset.dtype == np.uint8 and len(pitch) == len(onset) == 1000
  assert (pitch[:36] == NO_PITCH).all() and not onset[:36].any()
  assert (pitch[965:] == NO_PITCH).all()  # past the audio's end
  assert onset[38:43].any()
  assert (notes.offset[:-1] <= notes.onset[1:] + 1e-9).all()
  silent = targets_from_audio(np.zeros(16_000, dtype=np.float32), 80)
  assert len(silent[0]) == 0 and (silent[1] == NO_PITCH).all() and not silent[2].any()


def test_a_frame_is_centred_on_its_time():
  time = np.arange(3 * 16_000) / 16_000
  hertz = np.where(time < 1.5, 55.0, 82.41)
  tone = sum(np.sin(2 * np.pi * k * np.cumsum(hertz) / 16_000) / k for k in (1, 2, 3, 4)) * 0.2
  notes, pitch, onset = targets_from_audio(tone.astype(np.float32), 240)
  assert set(pitch[10:110].tolist()) == {33 - LOWEST_PITCH}
  assert set(pitch[130:230].tolist()) == {40 - LOWEST_PITCH}
  assert onset[115:126].sum() == 1
  assert notes.pitch.tolist() == [33, 40]


def test_a_bass_that_sounds_from_the_first_sample_begins_there(bass):
  notes, _, onset = targets_from_audio(bass[int(0.6 * 16_000) :], 200)
  assert onset[0] == 1 and notes.pitch[0] == 40
  for noise in np.random.default_rng(0).normal(size=(5, 16_000)).astype(np.float32):
    assert len(targets_from_audio(noise, 80)[1]) == 80


def test_what_has_no_pitch_is_unlabelled():
  noise = np.random.default_rng(0).normal(size=32_000).astype(np.float32) * 0.1
  _, pitch, _ = targets_from_audio(noise, 160)
  assert np.mean(pitch == UNLABELLED) > 0.7


def test_another_tuning_gives_the_same_semitones():
  time = np.arange(2 * 16_000) / 16_000
  hertz = 55.0 * 2 ** (0.4 / 12)
  tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in (1, 2, 3, 4)) * 0.2
  for tuning in (None, 40.0):
    _, pitch, _ = targets_from_audio(tone.astype(np.float32), 160, tuning)
    assert np.mean(pitch[10:150] == 33 - LOWEST_PITCH) > 0.95


def test_samples_that_are_no_numbers_are_refused():
  with pytest.raises(ValueError, match='no numbers'):
    targets_from_audio(np.full(16_000, np.nan, dtype=np.float32), 80)
