"""What a bass player hears in a line: figures on lines whose faults are known, and the command that prints them."""

import os

import numpy as np
import pytest

from bassnet_jax import decoding, musicians_check
from bassnet_jax.evaluation import playing
from data_pipeline import features as ft
from data_pipeline.notes import DRUMS, Notes

SECONDS = 20.0
BEATS = np.arange(0, SECONDS, 0.5)


def line(onsets, pitches, length=0.2) -> Notes:
  return Notes.from_rows([(onset, onset + length, pitch, 100, 33) for onset, pitch in zip(onsets, pitches, strict=True)])


def piece_with(bass: Notes) -> ft.Features:
  """A piece of a chord on every beat and a kick on every other one."""
  frames = int(SECONDS * ft.FRAME_RATE)
  chords = [(beat, beat + 0.45, pitch, 90, 0) for beat in BEATS for pitch in (60, 64, 67)]
  kicks = [(beat, beat + 0.1, 36, 100, DRUMS) for beat in BEATS[::2]]
  pitch, onset = ft.frame_targets(bass, frames)
  return ft.Features(
    id='piece', split='validation', licence='CC0-1.0', credit='', gain=1.0, tuning=0.0,
    mix=np.zeros((frames, ft.MIX_BINS), np.float16), bass=np.zeros((frames, ft.BASS_BINS), np.float16), pitch=pitch, onset=onset,
    level=np.zeros(frames, np.float16), notes=bass, mix_notes=Notes.from_rows(chords + kicks), beats=BEATS,
  )  # fmt: skip


TRUTH = line(BEATS[:20], [36, 40, 36, 36] * 5)


def test_the_true_bass_has_no_fault():
  found = playing.measure(TRUTH, piece_with(TRUTH))
  assert found.note_pc_f1 == found.note_f1 == found.voicing_f1 == found.together == found.diatonic == found.chord_tones == 1.0
  assert found.with_kick == 0.5 and found.grid_ms == 0.0
  assert found.in_rests == found.stubs == found.stutters == found.octave_flips == found.leaps == 0.0


@pytest.mark.parametrize(
  ('bass', 'expected'),
  [
    (line(BEATS[:20] + 0.06, [36] * 20), {'together': 0.0, 'grid_ms': 60.0}),
    (line(BEATS[:20], [37] * 20), {'chord_tones': 0.0, 'diatonic': 0.0, 'note_pc_f1': 0.0, 'onset_f1': 1.0}),
    (line(BEATS[:20], [36, 48] * 10), {'octave_flips': 0.9, 'leaps': 0.95, 'note_pc_f1': 0.75}),
    (line(BEATS[:20], [36] * 20, length=0.05), {'stubs': 1.0}),
    (line(np.arange(0, 10, 0.1), [36] * 100, length=0.1), {'stutters': 0.99, 'density': 5.0}),
    (line(BEATS, [36] * 40, length=0.5), {'in_rests': 1.0}),
    (Notes.empty(), {'density': 0.0, 'register': 0.0, 'note_pc_f1': 0.0, 'in_rests': 0.0}),
  ],
)
def test_faults_are_measured(bass, expected):
  found = playing.measure(bass, piece_with(TRUTH))
  for name, value in expected.items():
    assert getattr(found, name) == pytest.approx(value, abs=0.011), name


def test_variety():
  assert playing.variety([TRUTH, TRUTH]) == 0.0
  assert playing.variety([TRUTH, TRUTH.transposed(1)]) == 1.0
  assert playing.variety([TRUTH]) == 0.0


class Knows:
  """Plays the true bass, with an octave that it is unsure of, wherever z is; above y = 1 nothing."""

  default_z = (0.0, 0.0)
  onset_threshold = 0.5

  def encode_mix(self, mix):
    return len(mix)

  def decode(self, frames, z):
    pitch, onset = ft.frame_targets(TRUTH, frames)
    logits = np.zeros((frames, ft.PITCHES + 1), np.float32)
    logits[np.arange(frames), pitch] = 8.0
    high = np.flatnonzero((np.arange(frames) // 40 % 4 == 1) & (pitch < ft.NO_PITCH))
    logits[high, pitch[high] + 12] = 8.05
    onset = 0.9 * onset * (np.asarray(z)[:, 1] < 1)
    return decoding.Prediction(np.zeros((frames, ft.BASS_BINS)), logits, onset, np.full(frames, 0.5))


def test_the_check_shows_what_decoding_mends(tmp_path):
  checked = musicians_check.check(Knows(), [piece_with(TRUTH)], ['0,2', '1,0'])
  before, after = (playing.measure(lines['chosen'], checked[0].piece) for lines in (checked[0].before, checked[0].after))
  assert before.octave_flips == pytest.approx(0.25, abs=0.01) and after.octave_flips == 0.0
  assert before.note_pc_f1 == after.note_pc_f1 == 1.0 and before.note_f1 < after.note_f1 == 1.0
  assert len(checked[0].after['0,2']) == 0
  text = musicians_check.table(checked)
  assert 'piece: true bass' in text and 'chosen: before' in text and '0,2: before' in text and 'variety' in text
  for path in musicians_check.draw(checked, str(tmp_path / 'rolls')):
    assert os.path.getsize(path) > 5_000


def test_only_validation_pieces(data_dir, capsys):
  assert musicians_check.main(['check', f'--data_dir={data_dir}', '--dataset=bassnet_artificial/a1', '--pieces=nothing']) == 2
  assert 'not in the validation split' in capsys.readouterr().err
  assert musicians_check.main(['check', f'--data_dir={data_dir}', '--dataset=bassnet_pop_rock/open']) == 2
  assert 'is not in' in capsys.readouterr().err
