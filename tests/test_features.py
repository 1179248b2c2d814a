"""Feature files and frame targets."""

import dataclasses
import os

import numpy as np
import pytest
import tiny

from data_pipeline import features as ft
from data_pipeline.notes import Notes


@pytest.fixture
def song():
  return tiny.coordinate_song('short')


def assert_same(a: ft.Features, b: ft.Features) -> None:
  for field in dataclasses.fields(ft.Features):
    one, other = getattr(a, field.name), getattr(b, field.name)
    if isinstance(one, Notes):
      np.testing.assert_array_equal(one.rows(), other.rows(), err_msg=field.name)
    elif isinstance(one, np.ndarray):
      assert one.dtype == other.dtype
      np.testing.assert_array_equal(one, other, err_msg=field.name)
    elif field.name == 'patterns':
      assert len(one) == len(other)
      for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x.rows(), y.rows())
    else:
      assert one == other, field.name


def test_save_and_load_give_back_everything(song, tmp_path):
  song = dataclasses.replace(song, beats=np.arange(0, 3.5, 0.5), credit='Björk & Łukasz')
  ft.save(song, str(tmp_path / 'a.npz'))
  assert_same(song, ft.load(str(tmp_path / 'a.npz')))
  assert os.listdir(tmp_path) == ['a.npz']


def test_what_is_not_known_stays_unknown(song, tmp_path):
  song = dataclasses.replace(song, mix_notes=None, beats=None, patterns=(), pattern=-1, notes=Notes.empty())
  ft.save(song, str(tmp_path / 'a.npz'))
  found = ft.load(str(tmp_path / 'a.npz'))
  assert found.mix_notes is None and found.beats is None
  assert_same(song, found)


@pytest.mark.parametrize('share', [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_named_with_what_to_do(song, tmp_path, share):
  path = str(tmp_path / 'a.npz')
  ft.save(song, path)
  os.truncate(path, int(share * os.path.getsize(path)))
  with pytest.raises(ft.FeatureFileError, match=r'a\.npz.*Delete it'):
    ft.load(path)


def test_flipped_bytes_are_found(song, tmp_path):
  path = tmp_path / 'a.npz'
  ft.save(song, str(path))
  data = bytearray(path.read_bytes())
  data[len(data) // 3] ^= 0xFF
  path.write_bytes(bytes(data))
  with pytest.raises(ft.FeatureFileError):
    ft.load(str(path))


def test_another_archive_or_text_is_no_feature_file(tmp_path):
  np.savez(tmp_path / 'other.npz', something=np.zeros(3))
  (tmp_path / 'text.npz').write_text('not an archive')
  for name in ('other.npz', 'text.npz'):
    with pytest.raises(ft.FeatureFileError, match=name):
      ft.load(str(tmp_path / name))
  with pytest.raises(FileNotFoundError):
    ft.load(str(tmp_path / 'missing.npz'))


def test_another_version_is_refused(song, tmp_path, monkeypatch):
  monkeypatch.setattr(ft, 'VERSION', '0.0.1')
  ft.save(song, str(tmp_path / 'a.npz'))
  monkeypatch.undo()
  with pytest.raises(ft.FeatureFileError, match=r'version 0\.0\.1.*Delete its dataset and build it anew'):
    ft.load(str(tmp_path / 'a.npz'))


def test_a_failed_save_leaves_the_old_file_and_no_other(song, tmp_path, monkeypatch):
  path = str(tmp_path / 'a.npz')
  ft.save(song, path)

  def full_disk(file, **_):
    file.write(b'half')
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(np, 'savez', full_disk)
  with pytest.raises(OSError, match='No space'):
    ft.save(dataclasses.replace(song, credit='new'), path)
  assert os.listdir(tmp_path) == ['a.npz']
  assert ft.load(path).credit == song.credit


def test_frame_targets():
  # (onset, offset, pitch): frames 0-8, 8-16 (short note), a rest, one far too low, one that lasts beyond the end.
  notes = Notes.from_rows([(0.0, 0.1, 28, 90, 33), (0.1, 0.105, 67, 90, 33), (0.5, 0.6, 11, 90, 33), (1.0, 9.0, 23, 90, 33)])
  pitch, onset = ft.frame_targets(notes, 100)
  expected = np.full(100, ft.NO_PITCH)
  expected[0:8] = 28 - 23
  expected[8:9] = 67 - 23  # a note lasts a frame at least
  expected[40:48] = 0  # MIDI 11 an octave up
  expected[80:] = 0
  np.testing.assert_array_equal(pitch, expected)
  np.testing.assert_array_equal(np.flatnonzero(onset), [0, 8, 40, 80])
  assert pitch.dtype == onset.dtype == np.uint8


def test_frame_targets_round_to_the_nearest_frame_and_ignore_what_begins_later():
  notes = Notes.from_rows([(0.0176, 0.1, 40, 90, 33), (2.0, 3.0, 41, 90, 33)])
  pitch, onset = ft.frame_targets(notes, 10)
  assert np.flatnonzero(onset).tolist() == [1]
  assert pitch.tolist() == [ft.NO_PITCH] + [17] * 7 + [ft.NO_PITCH] * 2
  pitch, onset = ft.frame_targets(Notes.empty(), 5)
  assert (pitch == ft.NO_PITCH).all() and not onset.any()


def test_into_range_moves_by_octaves_only():
  pitches = np.arange(0, 128)
  for lowest, highest in ((23, 67), (28, 55), (28, 39)):
    moved = ft.into_range(pitches, lowest, highest)
    assert (moved >= lowest).all() and (moved <= highest).all()
    assert ((moved - pitches) % 12 == 0).all()
    inside = (pitches >= lowest) & (pitches <= highest)
    np.testing.assert_array_equal(moved[inside], pitches[inside])
    # Never farther than needed.
    assert (moved[pitches < lowest] < lowest + 12).all() and (moved[pitches > highest] > highest - 12).all()


@pytest.mark.parametrize('amplitude', [1.0, 0.1, 0.004])
def test_level_of_a_sine(amplitude):
  time = np.arange(ft.SAMPLE_RATE) / ft.SAMPLE_RATE
  level = ft.level_of(amplitude * np.sin(2 * np.pi * 200 * time), 81)
  decibels = 20 * np.log10(amplitude / np.sqrt(2))
  np.testing.assert_allclose(level[1:-2], 1 + decibels / 60, atol=1e-3)


def test_level_of_silence_and_of_frames_beyond_the_audio_is_0():
  assert (ft.level_of(np.zeros(1000), 20) == 0).all()
  assert (ft.level_of(np.ones(400), 20)[4:] == 0).all()
  assert ft.level_of(np.full(4000, 4.0), 10).max() == 1
