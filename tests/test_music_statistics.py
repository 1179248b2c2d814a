"""The statistics by which the procedural band is compared with people's music: on lines whose values are known."""

import numpy as np
import pytest

from data_pipeline import extraction, music_statistics
from data_pipeline import features as ft
from data_pipeline.music_statistics import Piece, Row, compare, pieces, statistics
from data_pipeline.notes import DRUMS, Notes, merge

BEATS = np.arange(0, 60, 0.5)


def piece(onsets, pitches, length: float = 0.2, mix: Notes | None = None) -> Piece:
  """A bass line at 120 beats a minute for a minute."""
  bass = Notes.from_rows([(onset, onset + length, pitch, 90, 33) for onset, pitch in zip(onsets, pitches, strict=True)])
  kicks = Notes.from_rows([(beat, beat + 0.1, 36, 90, DRUMS) for beat in BEATS[::2]])
  organ = Notes.from_rows([(beat, beat + 2.0, 60, 90, 17) for beat in BEATS[::4]])
  return Piece(bass, merge([kicks, organ]) if mix is None else mix, BEATS, 60.0)


def test_a_line_of_even_eighths():
  found = statistics(piece(np.arange(0, 60, 0.25), np.full(240, 36)))
  expected = {
    'tempo, beats a minute': 120,
    'bass notes a second': 4,
    'bass notes a beat': 2,
    'bass register, median MIDI pitch': 36,
    'bass range, semitones (10-90 %)': 0,
    'bass pitch classes in 8 s': 1,
    'onsets off the beat, share': 0.5,
    'onsets off the eighths, share': 0,
    'evenness of onsets, share of commonest gap': 1,
    'repeated pitches, share': 1,
    'leaps of 5 and more, share': 0,
    'note length, median s': 0.2,
    'legato, median length / gap': 0.8,
    'silence of the bass, share': 0.2,
    'bars heard before within a minute, share': 29 / 30,
    'mix, pitched notes a second': 0.5,
    'mix, voices at once': 1,
    'drum notes a second': 1,
    'bass with kick, share of bass onsets': 0.25,
    'bass doubled in the mix, share': 30 / 240,
    'key changes a minute': 0,
  }
  for name, value in expected.items():
    assert found[name] == pytest.approx(value, abs=0.02), name


def test_a_kick_of_long_ago_is_not_beside_a_note():
  kicks = Notes.from_rows([(beat, beat + 0.1, 36, 90, DRUMS) for beat in (0.0, 1.0)])
  found = statistics(piece(np.arange(0, 60, 0.5), np.full(120, 36), mix=kicks))
  assert found['bass with kick, share of bass onsets'] == pytest.approx(2 / 120)


def test_intervals_and_repetition():
  onsets, pitches = np.arange(0, 60, 0.5), np.tile([36, 48, 38, 43], 30)
  found = statistics(piece(onsets, pitches))
  assert found['octave leaps, share'] == pytest.approx(0.25, abs=0.02)
  assert found['leaps of 5 and more, share'] == pytest.approx(1.0) and found['repeated pitches, share'] == 0
  assert found['bars like the one before, share'] == pytest.approx(29 / 30)
  never = statistics(piece(onsets, np.random.default_rng(0).integers(28, 60, 120)))
  assert never['bars heard before within a minute, share'] == 0


def test_a_change_of_key_is_counted_and_a_near_one_half():
  scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])

  def after(semitones: int) -> float:
    line = np.concatenate([np.resize(40 + scale, 120), np.resize(40 + semitones + scale, 120)])
    return statistics(piece(np.arange(0, 60, 0.25), line, mix=piece([0], [36]).mix.drums))['key changes a minute']

  assert after(0) == 0 < after(7) < after(6)


def test_distances_are_nothing_for_the_same_and_grow_with_the_difference():
  values = np.random.default_rng(0).normal(size=200)
  same, moved, far = (Row('x', values + by, values) for by in (0.0, 0.5, 3.0))
  assert same.kolmogorov_smirnov == same.wasserstein == 0
  assert 0.1 < moved.kolmogorov_smirnov < far.kolmogorov_smirnov and moved.wasserstein == pytest.approx(0.5 / np.std(values))


def test_only_training_songs_are_opened(tmp_path, monkeypatch, capsys):
  """Songs of other splits are not even read."""
  directory = extraction.folder(str(tmp_path), 'bassnet_pop_rock', 'freedoom')
  opened = []

  def load(path: str):
    opened.append(path)
    song = piece(np.arange(0, 60, 0.25), np.resize([36, 38, 40], 240))
    zeros = np.zeros((10, 1), np.float16)
    return ft.Features('a', 'train', '', '', zeros, zeros, *(zeros[:, 0],) * 3, 1.0, 0.0, song.bass, song.mix, BEATS)

  monkeypatch.setattr(music_statistics.ft, 'load', load)
  entry = {'seconds': 60.0, 'licence': '', 'credit': ''}
  songs = {name: {**entry, 'split': split} for name, split in (('a', 'train'), ('b', 'test'), ('c', 'validation'), ('d', 'train'))}
  summary = extraction.Summary(ft.VERSION, '', songs, {}, {})
  monkeypatch.setattr(music_statistics.extraction, 'load_summary', lambda folder: summary)
  rows = compare(pieces('bassnet_pop_rock/open', '', songs=6), pieces('bassnet_pop_rock/freedoom', str(tmp_path)))
  assert opened == [extraction.song_path(directory, song) for song in ('a', 'd')]
  assert [len(row.left) for row in rows] == [6] * len(rows) and {len(row.right) for row in rows} == {2}
  text = music_statistics.table(rows, 'open', 'freedoom')
  assert text.count('\n') == len(rows) + 2 and text.splitlines()[-1].startswith('mean')


def test_a_missing_dataset_is_said_plainly(tmp_path, capsys):
  assert music_statistics.main([f'--data_dir={tmp_path}']) == 2
  assert 'run python -m data_pipeline.build' in capsys.readouterr().err.lower()
