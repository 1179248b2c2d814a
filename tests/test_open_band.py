"""The open band: deterministic, playable, in tune with itself, and what it says of itself is true."""

import collections
import itertools

import librosa
import numpy as np
import pytest

from data_pipeline.notes import DRUMS, Notes, merge
from data_pipeline.rendering import events_from_notes, render
from data_pipeline.sources.open_band import OpenBand, compose, render_score, split_of
from data_pipeline.sources.open_band.bass import IDIOMS
from data_pipeline.sources.open_band.grid import METERS, Clock
from data_pipeline.sources.open_band.harmony import Key, lay_out, parse_chord

SONGS = 60


@pytest.fixture(scope='module')
def scores():
  return [compose(0, index) for index in range(SONGS)]


@pytest.fixture(scope='module')
def songs():
  source = OpenBand(song_count=12)
  return [source.load(source.songs()[index]) for index in (4, 6)]


def _same(one: Notes, other: Notes) -> bool:
  return np.array_equal(one.rows(), other.rows())


def test_a_key_gives_the_same_song_bit_by_bit(songs):
  source = OpenBand(song_count=7)
  again = source.load(source.songs()[6])
  assert np.array_equal(again.mix, songs[1].mix)
  assert np.array_equal(again.bass, songs[1].bass)
  assert _same(again.notes, songs[1].notes)
  assert _same(again.mix_notes, songs[1].mix_notes)
  assert np.array_equal(again.beats, songs[1].beats)


def test_seeds_and_indices_give_different_songs(scores):
  assert not _same(scores[0].mix_notes, scores[1].mix_notes)
  assert not _same(scores[0].mix_notes, compose(1, 0).mix_notes)


def test_splits_depend_on_the_index_alone():
  large, small = OpenBand(320).songs(), OpenBand(40).songs()
  assert small == large[:40]
  count = collections.Counter(key.split for key in large)
  assert count['train'] / 320 == pytest.approx(0.8, abs=0.01)
  assert count['validation'] / 320 == pytest.approx(0.08, abs=0.01)
  assert count['test'] / 320 == pytest.approx(0.12, abs=0.01)
  assert [split_of(index) for index in range(25)].count('train') == 20
  assert len({key.id for key in large}) == 320


def test_a_foreign_key_is_refused_in_plain_words():
  from data_pipeline.song import SongKey

  with pytest.raises(ValueError, match='open-00000'):
    OpenBand().load(SongKey('freedoom-d_runnin', 'test'))


def test_bass_is_monophonic_and_in_range(scores):
  for score in scores:
    notes = score.notes
    assert len(notes) > 10
    assert np.all(notes.offset[:-1] <= notes.onset[1:] + 1e-9)
    assert np.all(notes.offset > notes.onset)
    assert notes.pitch.min() >= 23
    assert notes.pitch.max() <= 60
    assert len(set(notes.program.tolist())) == 1
    assert 32 <= notes.program[0] <= 39
  pitches = np.concatenate([score.notes.pitch for score in scores])
  assert np.mean((pitches >= 28) & (pitches <= 55)) > 0.9


def test_mix_has_drums_and_no_bass_and_no_overlapping_keys(scores):
  for score in scores:
    mix = score.mix_notes
    assert not np.any((mix.program >= 32) & (mix.program < 40))
    assert len(mix.drums) > 50
    assert len(mix.pitched) > 50
    assert mix.onset.min() >= 0
    assert mix.velocity.min() >= 1
    assert mix.velocity.max() <= 127
    for program in set(mix.program.tolist()):
      for pitch in set(mix.pitch[mix.program == program].tolist()):
        voice = mix.where((mix.program == program) & (mix.pitch == pitch))
        assert np.all(voice.offset[:-1] <= voice.onset[1:] + 1e-9)


def test_songs_last_about_a_minute(scores):
  for score in scores:
    assert 45 < score.seconds < 95
    assert score.notes.offset.max() < score.seconds
    assert np.all(np.diff(score.beats) > 0)
    assert score.beats[-1] < score.seconds


def test_every_idiom_is_played(scores):
  played = collections.Counter(section.idiom for score in scores for section in score.sections)
  assert set(IDIOMS) <= set(played)
  # The bass of rock and metal mostly follows the guitar; the corpus must not be about anything else.
  assert 0.25 < played['riff_doubled'] / sum(played.values()) < 0.55


def test_songs_vary(scores):
  assert len({score.key.tonic for score in scores}) == 12
  assert len({score.key.mode for score in scores}) >= 6
  assert len({score.style for score in scores}) >= 10
  assert len({score.meter for score in scores}) >= 4
  assert min(score.tempo for score in scores) < 80
  assert max(score.tempo for score in scores) > 170
  assert np.mean([np.isin((29, 30), score.mix_notes.program).any() for score in scores]) > 0.6


def test_idioms_hold_for_four_bars_at_least(scores):
  for score in scores:
    for section in score.sections[:-1]:
      assert np.sum((score.downbeats >= section.start - 0.02) & (score.downbeats < section.end - 0.02)) >= 4


def test_strong_beats_carry_chord_tones_or_the_guitar(scores):
  good = total = 0
  for score in scores:
    for chord in score.chords:
      near = np.flatnonzero(np.abs(score.notes.onset - chord.start) < 0.03)
      total += len(near)
      sounding = score.mix_notes.pitched
      for i in near:
        now = sounding.pitch[(sounding.onset < chord.start + 0.03) & (sounding.offset > chord.start + 0.03)] % 12
        pitch_class = score.notes.pitch[i] % 12
        good += pitch_class in chord.pitch_classes or pitch_class in now
  assert total > 1000
  assert good / total > 0.9


def test_bass_lies_on_the_grid(scores):
  for score in scores:
    # Every sixth and every fourth of a beat (a group of two or three eighths) is a place for a note.
    beats = np.append(score.beats, 2 * score.beats[-1] - score.beats[-2])
    if score.swung:
      continue
    grid = np.unique(np.concatenate([beats[:-1] + np.diff(beats) * part / 12 for part in range(12)]))
    nearest = np.abs(score.notes.onset[:, None] - grid[None, :]).min(axis=1)
    assert np.percentile(nearest, 99) < 0.025


def test_mix_and_bass_add_up_to_the_whole_band(scores):
  score = scores[6]
  mix, bass = render_score(score)
  both = render(events_from_notes(merge([score.mix_notes, score.notes]), dict(score.volumes)), score.seconds)
  assert np.abs(both - (mix + bass)).max() < 1e-5 * np.abs(both).max()


def test_song_is_what_the_interface_promises(songs):
  for song in songs:
    assert song.mix.dtype == song.bass.dtype == np.float32
    assert song.mix.shape == song.bass.shape
    assert np.abs(song.mix + song.bass).max() <= 0.951
    assert song.licence == 'CC0-1.0'
    assert song.credit
    assert np.any(song.mix_notes.program == DRUMS)
    assert -15 < 20 * np.log10(np.std(song.bass) / np.std(song.mix)) < 6


def test_rendered_bass_has_the_pitches_of_its_notes(songs):
  for song in songs:
    lowest = 21
    cqt = np.abs(librosa.cqt(song.bass, sr=16000, hop_length=256, fmin=librosa.midi_to_hz(lowest), n_bins=60, filter_scale=0.6))
    right = []
    for onset, offset, pitch, _, _ in song.notes.rows():
      if offset - onset > 0.1:
        spectrum = cqt[:, int(onset * 62.5) + 1 : int(offset * 62.5)].mean(axis=1)
        chroma = [spectrum[(pitch_class - lowest) % 12 :: 12].sum() for pitch_class in range(12)]
        right.append(int(np.argmax(chroma)) == int(pitch) % 12)
    assert len(right) > 50
    assert np.mean(right) >= 0.9


def test_swing_delays_the_second_eighth_and_nothing_else():
  clock = Clock(np.array([0]), np.array([0.01]), eighth_swing=2 / 3)
  assert clock.seconds(np.array([0, 12, 24, 36])) == pytest.approx([0, 0.16, 0.24, 0.40])


def test_clock_adds_up_sections_of_different_tempo():
  clock = Clock(np.array([0, 96]), np.array([0.01, 0.02]))
  assert clock.seconds(np.array([48, 96, 120])) == pytest.approx([0.48, 0.96, 1.44])


@pytest.mark.parametrize(
  ('name', 'pitch_classes'), [('I', (0, 4, 7)), ('bVII', (10, 2, 5)), ('ii7', (2, 5, 9, 0)), ('bII5', (1, 8)), ('V7', (7, 11, 2, 5))]
)
def test_chord_names(name, pitch_classes):
  assert parse_chord(name, tonic=0).pitch_classes == pitch_classes


@pytest.mark.parametrize('meter', METERS.values(), ids=lambda meter: meter.name)
def test_harmony_has_no_gaps(meter):
  chords = (parse_chord('i', 0), parse_chord('bVI', 0), parse_chord('bVII', 0))
  for bars_each in (0.5, 1, 2):
    spans = lay_out(chords, meter, 8, bars_each)
    assert spans[0].start == 0
    assert spans[-1].end == 8 * meter.bar
    assert all(one.end == two.start for one, two in itertools.pairwise(spans))
  assert Key(0, 'minor').minor
