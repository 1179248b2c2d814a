"""Folders of stems: the bass apart, the rest summed, full mixes never among it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from data_pipeline.song import SkipSong
from data_pipeline.sources.stems import Stems

LEVELS = {'bass': 0.1, 'drums': 0.2, 'guitar': 0.05}


def tone(level: float, seconds: float = 6.0, rate: int = 16_000, hertz: float = 200.0) -> np.ndarray:
  return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write(path, samples, rate=16_000):
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, samples, rate)


def only(folder, **options):
  source = Stems(str(folder), **options)
  (key,) = source.songs()
  return source.load(key)


def peak(samples: np.ndarray) -> float:
  return float(np.abs(samples[2_000:60_000]).max())


def test_full_mixes_never_enter_the_mix(tmp_path):
  for stem, level in LEVELS.items():
    write(tmp_path / 'Song' / f'{stem}.wav', tone(level))
  for name in ('mix.wav', 'Mixture.flac', 'MASTER.ogg', 'Song - mix.wav', 'song_master.wav', 'no_bass.wav', 'preview.ogg'):
    write(tmp_path / 'Song' / name, tone(0.9))
  song = only(tmp_path)
  assert song.notes is None
  assert peak(song.bass) == pytest.approx(0.1, abs=0.002)
  assert peak(song.mix) == pytest.approx(0.25, abs=0.002)


def test_several_bass_stems_are_summed_and_a_bass_drum_is_none(tmp_path):
  write(tmp_path / 'Song' / 'BASS di.wav', tone(0.1))
  write(tmp_path / 'Song' / 'synth_Bass.wav', tone(0.2))
  write(tmp_path / 'Song' / 'bass drum.wav', tone(0.05))
  song = only(tmp_path)
  assert peak(song.bass) == pytest.approx(0.3, abs=0.002)
  assert peak(song.mix) == pytest.approx(0.05, abs=0.002)


def test_stems_of_unequal_length_rate_channels_and_format(tmp_path):
  write(tmp_path / 'Song' / 'bass.ogg', tone(0.1, 5.5, 44_100), 44_100)
  write(tmp_path / 'Song' / 'drums.mp3', tone(0.1, 6, 48_000), 48_000)
  write(tmp_path / 'Song' / 'keys.flac', np.stack([tone(0.1, 7, 22_050)] * 2, axis=1), 22_050)
  song = only(tmp_path)
  assert len(song.mix) == len(song.bass) == 7 * 16_000
  assert np.abs(song.bass[int(5.6 * 16_000) :]).max() == 0
  assert peak(song.mix) == pytest.approx(0.2, abs=0.02)


def test_no_bass_stem_is_skipped_with_the_files_found(tmp_path):
  write(tmp_path / 'Song' / 'guitar.wav', tone(0.1))
  write(tmp_path / 'Song' / 'song.ogg', tone(0.1))
  with pytest.raises(SkipSong, match=r"no bass stem: no file matches '\*bass\*'; found guitar\.wav, song\.ogg"):
    only(tmp_path)
  assert peak(only(tmp_path, bass='*guitar*').bass) == pytest.approx(0.1, abs=0.002)


def test_nothing_but_bass_silence_shortness_and_faults_are_skipped(tmp_path):
  write(tmp_path / 'a' / 'bass.wav', tone(0.1))
  write(tmp_path / 'a' / 'mix.wav', tone(0.1))
  for name, samples in (('b', np.zeros(96_000)), ('c', tone(0.1, 0.5)), ('d', tone(0.1))):
    write(tmp_path / name / 'bass.wav', samples)
    write(tmp_path / name / 'drums.wav', tone(0.1, 0.5 if name == 'c' else 6))
  (tmp_path / 'd' / 'drums.wav').write_text('not audio')
  source = Stems(str(tmp_path))
  for key, words in zip(source.songs(), ('nothing but bass', 'silence', '500 ms of audio', 'not audio'), strict=True):
    with pytest.raises(SkipSong, match=words):
      source.load(key)


def test_credit_licence_splits_and_songs_of_one_name(tmp_path):
  for folder in ('train/One', 'test/One', 'validation/sub/Two words'):
    for stem in ('bass', 'drums'):
      write(tmp_path / folder / f'{stem}.wav', tone(0.1))
  (tmp_path / 'train' / 'One' / 'song.ini').write_text('\ufeff[Song]\nname = 100% Title\nartist = Somebody\ncharter=\n')
  (tmp_path / 'test' / 'One' / 'song.ini').write_bytes(b'\xff\xfe garbage')
  (tmp_path / 'test' / 'licence.txt').write_text('CC0-1.0')
  source = Stems(str(tmp_path))
  keys = source.songs()
  assert len({key.id for key in keys}) == 3
  songs = {key.split: source.load(key) for key in keys}
  assert songs['train'].credit == 'Somebody: 100% Title'
  assert (songs['test'].licence, songs['test'].credit) == ('CC0-1.0', 'unknown, supplied by the user')
  assert songs['validation'].licence == 'unknown, supplied by the user'


def test_a_folder_without_songs_is_said(tmp_path):
  write(tmp_path / 'bass.wav', tone(0.1))
  with pytest.raises(ValueError, match='one folder a song'):
    Stems(str(tmp_path)).songs()
  with pytest.raises(ValueError, match='is not a folder'):
    Stems(str(tmp_path / 'nowhere')).songs()
