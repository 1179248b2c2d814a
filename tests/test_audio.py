"""Audio files of every kind are read alike; every fault has its own plain message."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import soxr

from data_pipeline import audio
from data_pipeline.audio import AudioError


@pytest.fixture(scope='module')
def stereo():
  """[samples, 2] float32, 8.3 s at 44.1 kHz: a tone left, another right."""
  time = np.arange(int(8.3 * 44_100)) / 44_100
  return (0.3 * np.stack([np.sin(2 * np.pi * 110 * time), np.sin(2 * np.pi * 330 * time)], axis=1)).astype(np.float32)


@pytest.mark.parametrize('name', ['a.wav', 'a.flac', 'a.ogg', 'a.mp3', 'a.aiff'])
def test_formats_are_read_as_mono_at_16_khz(tmp_path, stereo, name):
  soundfile.write(tmp_path / name, stereo, 44_100)
  loaded = audio.load(tmp_path / name)
  expected = soxr.resample(stereo.mean(axis=1), 44_100, 16_000)
  assert loaded.dtype == np.float32 and len(loaded) == round(len(stereo) * 16_000 / 44_100)
  assert np.corrcoef(loaded[1000:-1000], expected[1000 : len(loaded) - 1000])[0, 1] > 0.999
  assert np.abs(loaded).max() < 0.5
  native, rate = audio.load_native(tmp_path / name)
  assert native.shape == stereo.shape and rate == 44_100
  assert audio.info(tmp_path / name) == audio.AudioInfo(44_100, 2, len(stereo) / 44_100)


def test_opus_is_read(tmp_path, stereo):
  soundfile.write(tmp_path / 'a.opus', soxr.resample(stereo, 44_100, 48_000), 48_000, format='OGG', subtype='OPUS')
  assert abs(len(audio.load(tmp_path / 'a.opus')) - 16_000 * 8.3) < 200


@pytest.mark.parametrize('rate', [8_000, 16_000, 22_050, 96_000])
def test_block_wise_reading_equals_reading_at_once(tmp_path, rate, monkeypatch):
  monkeypatch.setattr(audio, '_BLOCK', 1000)
  noise = np.random.default_rng(0).normal(size=rate * 2).astype(np.float32) * 0.1
  soundfile.write(tmp_path / 'a.wav', noise, rate, subtype='FLOAT')
  expected = soxr.resample(noise, rate, 16_000) if rate != 16_000 else noise
  np.testing.assert_allclose(audio.load(tmp_path / 'a.wav'), expected, atol=1e-3)


@pytest.mark.parametrize('name', ['a.flac', 'a.ogg', 'a.mp3', 'a.opus'])
def test_compressed_files_read_by_blocks_equal_files_read_at_once(tmp_path, stereo, name, monkeypatch):
  form = {'format': 'OGG', 'subtype': 'OPUS'} if name == 'a.opus' else {}
  soundfile.write(tmp_path / name, stereo[:100_000], 48_000, **form)
  at_once, _ = soundfile.read(tmp_path / name, dtype='float32')
  monkeypatch.setattr(audio, '_BLOCK', 5_000)
  np.testing.assert_allclose(audio.load_native(tmp_path / name)[0], at_once, atol=1e-6)


def broken_files(folder, stereo):
  """(name, words its message must hold)."""
  (folder / 'folder.wav').mkdir()
  (folder / 'empty.wav').write_bytes(b'')
  for name in ('text.wav', 'text.mp3', 'text.flac'):
    (folder / name).write_text('this is no audio, but a shopping list\n' * 50)
  for name in ('cut.wav', 'cut.flac', 'cut.ogg', 'cut.mp3'):
    soundfile.write(folder / name, stereo, 44_100)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
  for name, value in (('nan.wav', np.nan), ('infinite.wav', np.inf)):
    wrong = stereo.copy()
    wrong[44_100, 1] = value
    soundfile.write(folder / name, wrong, 44_100, subtype='FLOAT')
  soundfile.write(folder / 'header.wav', stereo[:0], 44_100)
  return [
    ('missing.wav', 'no such file'),
    ('folder.wav', 'a folder'),
    ('empty.wav', r'empty file \(0 bytes\)'),
    ('text.wav', 'not audio'),
    ('text.mp3', 'not audio'),
    ('text.flac', 'not audio'),
    ('cut.wav', 'cut short'),
    ('cut.flac', 'damaged after|cut short'),
    ('cut.ogg', 'cut short'),
    ('cut.mp3', 'cut short'),
    ('nan.wav', 'no numbers.*at 1 s'),
    ('infinite.wav', 'no numbers.*at 1 s'),
    ('header.wav', 'without a single sample'),
  ]


def test_every_fault_is_named(tmp_path, stereo):
  for name, words in broken_files(tmp_path, stereo):
    for read in (audio.load, audio.load_native):
      with pytest.raises(AudioError, match=words) as caught:
        read(tmp_path / name)
      assert str(tmp_path / name) in str(caught.value)


def test_too_long_is_an_error_before_it_is_read(tmp_path, stereo):
  soundfile.write(tmp_path / 'a.wav', stereo, 44_100)
  with pytest.raises(AudioError, match=r'8\.3 s long; at most 5 s'):
    audio.load(tmp_path / 'a.wav', longest=5.0)


def test_silence_and_shortness_are_reported_only_when_asked(tmp_path):
  soundfile.write(tmp_path / 'silent.wav', np.zeros(32_000), 16_000)
  silent = audio.load(tmp_path / 'silent.wav')
  with pytest.raises(AudioError, match='silence'):
    audio.check_usable(silent, 'silent.wav')
  with pytest.raises(AudioError, match='1 ms of audio; at least 1 s'):
    audio.check_usable(np.ones(16), 'short.wav')
  audio.check_usable(np.full(16_000, 0.1), 'good.wav')


def test_saving_is_whole_or_not_at_all(tmp_path):
  path = tmp_path / 'a.wav'
  tone = np.sin(np.arange(16_000) / 10).astype(np.float32)
  audio.save_wav(path, tone, 16_000, subtype='FLOAT')
  np.testing.assert_array_equal(audio.load(path), tone)
  with pytest.raises(AudioError, match='1 samples are no numbers'):
    audio.save_wav(path, np.where(np.arange(16_000) == 5, np.nan, tone), 16_000)
  np.testing.assert_array_equal(audio.load(path), tone)
  audio.save_wav(path, 2 * tone, 16_000)
  assert soundfile.info(path).subtype == 'PCM_16' and audio.load(path).max() > 0.999
  with pytest.raises(AudioError, match="can't be written"):
    audio.save_wav(tmp_path / 'nowhere' / 'a.wav', tone, 16_000)
  assert [file.name for file in tmp_path.iterdir()] == ['a.wav']
