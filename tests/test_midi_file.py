"""MIDI files become songs whose notes and audio agree; what can't be used is skipped in plain words."""

from __future__ import annotations

import random

import numpy as np
import pytest
from midi_making import midi_bytes

from data_pipeline.features import frame_targets, level_of
from data_pipeline.midi_file import LENIENT, STRICT, BassRule, read_piece, song_from_midi, split_bass
from data_pipeline.notes import DRUMS
from data_pipeline.song import SkipSong, SongKey
from data_pipeline.song_keys import song_id, split_by_hash
from data_pipeline.sources.midi import MidiFolder

KEY = SongKey('a', 'train')


def song(**options):
  return song_from_midi(KEY, midi_bytes(**options), STRICT, 'CC0-1.0', 'nobody')


def sounding_pitch(audio: np.ndarray, start: float, end: float) -> float:
  """MIDI pitch of the strongest period of a stretch, by autocorrelation."""
  part = audio[int(start * 16_000) : int(end * 16_000)].astype(np.float64)
  spectrum = np.abs(np.fft.rfft(part, 2 * len(part))) ** 2
  correlation = np.fft.irfft(spectrum)[: len(part)] / np.arange(len(part), 0, -1)
  lags = np.arange(40, 600)
  best = correlation[lags].max()
  first = next(lag for lag in lags if correlation[lag] > 0.95 * best and correlation[lag] == correlation[lag - 3 : lag + 4].max())
  return 69 + 12 * np.log2(16_000 / first / 440)


@pytest.mark.parametrize('track', [0, 1, 3])
def test_a_tempo_change_in_any_track_moves_notes_and_audio_alike(track):
  made = song(tempo_track=track)
  expected = [0.5 * beat if beat <= 16 else 8 + (beat - 16) for beat in range(64)]
  np.testing.assert_allclose(made.notes.onset, expected, atol=1e-6)
  np.testing.assert_allclose(made.beats[:64], expected, atol=1e-6)
  level = level_of(made.bass, len(made.bass) // 200)
  for onset in made.notes.onset[[10, 20, 40, 60]]:
    frame = round(onset * 80)
    assert level[frame + 2] > level[frame - 2] + 0.05, f'no attack in the audio at {onset} s'
  right = [abs(sounding_pitch(made.bass, n[0] + 0.05, n[1]) - n[2]) < 0.5 for n in made.notes.rows()[::4]]
  assert np.mean(right) > 0.9


def test_the_bass_leaves_the_mix_and_the_two_add_up():
  made = song()
  without = song_from_midi(KEY, midi_bytes(second_bass=True), STRICT, '', '')
  np.testing.assert_array_equal(made.mix, without.mix)  # the second bass left the mix as well
  assert not ((made.mix_notes.program >= 32) & (made.mix_notes.program < 40)).any()
  assert (made.mix_notes.program == DRUMS).sum() == 128
  assert len(made.mix) == len(made.bass) and made.mix.dtype == made.bass.dtype == np.float32
  assert frame_targets(made.notes, 100)[1].sum() == 3


def test_the_octave_shift_moves_notes_and_audio():
  low, right = song(bass_key=16), song(bass_key=40)
  assert low.notes.pitch.min() == 28
  assert abs(sounding_pitch(low.bass, low.notes.onset[4] + 0.05, low.notes.offset[4]) - low.notes.pitch[4]) < 0.5
  assert abs(sounding_pitch(right.bass, right.notes.onset[4] + 0.05, right.notes.offset[4]) - 40) < 0.5


def test_of_a_channel_with_two_bass_programs_the_part_with_most_notes_is_the_bass():
  piece = read_piece(midi_bytes(programs=(33, 33, 36)))
  split = split_bass(piece, BassRule(fewest_bass=30))
  assert set(split.bass_notes.program.tolist()) == {33} and len(split.bass_notes) == 43
  assert len(split.mix_notes) == 256


def test_bank_selects_change_nothing():
  np.testing.assert_array_equal(song(bank=True).bass, song().bass)


@pytest.mark.parametrize(
  ('options', 'reason'),
  [
    ({'bass': False}, 'no bass part'),
    ({'beats': 32}, '32 bass notes; at least 60'),
    ({'drums': False}, '0 drum notes; at least 50'),
    ({'bass_beats': 1.5}, '100% of the bass notes overlap'),
  ],
)
def test_what_breaks_the_rule_is_skipped_with_the_figures(options, reason):
  with pytest.raises(SkipSong, match=reason):
    split_bass(read_piece(midi_bytes(**options)), STRICT)


def test_too_long_and_out_of_range_are_skipped():
  piece = read_piece(midi_bytes())
  with pytest.raises(SkipSong, match=r'0\.5 minutes long'):
    split_bass(piece, BassRule(longest_minutes=0.5))
  with pytest.raises(SkipSong, match=r'25% of the bass notes lie in MIDI 40\.\.40'):
    split_bass(piece, BassRule(lowest=40, highest=40))


def test_overlaps_that_are_allowed_become_one_note_at_a_time():
  split = split_bass(read_piece(midi_bytes(bass_beats=1.2)), BassRule(most_overlapping=1.0))
  assert (split.bass_notes.offset[:-1] <= split.bass_notes.onset[1:] + 1e-9).all()


def test_damaged_files_are_skipped_never_a_traceback():
  good = midi_bytes()
  generator = random.Random(0)
  for _ in range(150):
    damaged = bytearray(good)
    for _ in range(generator.choice((1, 4, 20))):
      damaged[generator.randrange(len(damaged))] = generator.randrange(256)
    try:
      split_bass(read_piece(bytes(damaged[: generator.choice((len(damaged), generator.randrange(len(damaged))))])), LENIENT)
    except SkipSong as reason:
      assert len(str(reason)) > 10
  for data in (b'', b'no MIDI at all', good[:20], good[:500]):
    with pytest.raises(SkipSong):
      read_piece(data)


def test_a_folder_takes_every_file_once_with_its_licence(tmp_path):
  for folder in ('rock', 'jazz/late'):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / 'same name.mid').write_bytes(midi_bytes())
  (tmp_path / 'rock' / 'same name.MIDI').write_bytes(midi_bytes(beats=8))
  (tmp_path / 'rock' / '._same name.mid').write_bytes(b'resource fork')
  (tmp_path / 'rock' / 'broken.mid').write_bytes(b'MThd')
  (tmp_path / 'licence.txt').write_text('CC-BY-4.0\n')
  (tmp_path / 'rock' / 'credit.txt').write_text('The Rockers\n')
  source = MidiFolder(str(tmp_path))
  keys = source.songs()
  assert len({key.id for key in keys}) == len(keys) == 4
  assert keys == source.songs()
  made = {key.id: source.load(key) for key in keys if 'same' in key.id and 'MIDI' not in key.id}
  assert sorted((s.licence, s.credit) for s in made.values()) == [
    ('CC-BY-4.0', 'The Rockers'),
    ('CC-BY-4.0', 'unknown, supplied by the user'),
  ]
  for key in keys:
    if key.id not in made:
      with pytest.raises(SkipSong):
        source.load(key)


def test_top_folders_are_splits_and_hashes_share_out_the_rest(tmp_path):
  for folder in ('train', 'validation', 'test'):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / 'a.mid').write_bytes(midi_bytes())
  assert {key.id: key.split for key in MidiFolder(str(tmp_path)).songs()} == {
    'train__a': 'train',
    'validation__a': 'validation',
    'test__a': 'test',
  }
  drawn = [split_by_hash(f'song {i}') for i in range(5000)]
  shares = [drawn.count(split) / 5000 for split in ('train', 'validation', 'test')]
  np.testing.assert_allclose(shares, [0.8, 0.08, 0.12], atol=0.02)


def test_ids_are_safe_and_distinct():
  paths = ['a/b', 'a__b', 'a_b', 'a b', 'ä', 'ö', 'a/_b', 'a_/b', '-a', 'x' * 300, 'x' * 301]
  ids = [song_id(path) for path in paths]
  assert len(set(ids)) == len(paths)
  assert all(set(name) <= set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-') and len(name) < 200 for name in ids)


def test_a_folder_that_is_not_there_or_empty_is_said(tmp_path):
  with pytest.raises(ValueError, match='is not a folder'):
    MidiFolder(str(tmp_path / 'nowhere')).songs()
  with pytest.raises(ValueError, match=r'holds no \.mid'):
    MidiFolder(str(tmp_path)).songs()
