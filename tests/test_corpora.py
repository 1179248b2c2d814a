"""Corpora that users own: what is the bass, what the mix, and what is skipped and why, on trees in their exact layouts."""

from __future__ import annotations

import json
import subprocess

import corpora_making as made
import numpy as np
import pytest
from corpora_making import content, heard

from data_pipeline import build, catalogue, ffmpeg, note_fit
from data_pipeline.notes import DRUMS, Notes
from data_pipeline.song import SkipSong, Song


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
  """Makes the tree of a corpus once."""
  roots = {}

  def make(name: str):
    if name not in roots:
      roots[name] = tmp_path_factory.mktemp(name)
      getattr(made, name)(roots[name])
    return roots[name]

  return make


@pytest.fixture(scope='module')
def corpus(tree):
  """(songs by id, reasons by id) of a corpus."""
  loaded = {}

  def load(name: str) -> tuple[dict[str, Song], dict[str, str]]:
    if name not in loaded:
      source = catalogue.source(f'bassnet_pop_rock/{name}', str(tree(name)))
      songs, reasons = {}, {}
      keys = source.songs()
      assert len({key.id for key in keys}) == len(keys)
      for key in keys:
        try:
          songs[key.id] = source.load(key)
        except SkipSong as error:
          reasons[key.id] = str(error)
      loaded[name] = songs, reasons
    return loaded[name]

  return load


def by_end(entries: dict, end: str):
  (found,) = [value for key, value in entries.items() if key.partition('-')[0].endswith(end) or key.endswith(end)]
  return found


def test_musdb18hq(corpus):
  songs, reasons = corpus('musdb18hq')
  assert sorted(song.key.split for song in songs.values()) == ['test', 'train', 'validation']
  for song in songs.values():
    assert content(song.bass) == {'bass'}
    assert content(song.mix) == {'drums', 'other', 'vocals'}  # mixture.wav has the bass in it
    assert heard(song.mix, 'drums') == pytest.approx(0.1, abs=0.005)  # summed once
    assert 'academic' in song.licence and song.notes is None
  same = [song for song in songs.values() if song.credit == 'Somebody: A Song']
  assert {song.key.split for song in same} == {'train', 'test'}
  (song,) = [song for song in songs.values() if song.key.split == 'validation']
  assert song.credit == 'ANiMAL: Rockshow'
  assert next(iter(reasons.values())).startswith('vocals.wav missing') and len(reasons) == 1


def test_musdb18_without_ffmpeg_says_what_to_do(tree, monkeypatch):
  monkeypatch.setattr(ffmpeg, 'program', lambda: None)
  with pytest.raises(ValueError, match=r'need ffmpeg.*apt-get install ffmpeg.*musdb18hq'):
    catalogue.source('bassnet_pop_rock/musdb18', str(tree('musdb18hq'))).songs()


@pytest.mark.skipif(ffmpeg.program() is None, reason='no ffmpeg, and no package imageio-ffmpeg')
def test_musdb18_reads_the_streams_of_a_stem_file(tree, tmp_path):
  wavs = tree('musdb18hq') / 'train' / 'Somebody - A Song'
  target = tmp_path / 'test' / 'Somebody - A Song.stem.mp4'
  target.parent.mkdir()
  inputs, maps = [], []
  for i, stem in enumerate(('mixture', 'drums', 'bass', 'other', 'vocals')):
    inputs += ['-i', str(wavs / f'{stem}.wav')]
    maps += ['-map', f'{i}:a']
  subprocess.run([ffmpeg.program(), '-v', 'error', *inputs, *maps, '-c:a', 'aac', '-b:a', '128k', str(target)], check=True)
  (target.parent / 'Broken - Song.stem.mp4').write_bytes(target.read_bytes()[:2000])
  (tmp_path / 'train').mkdir()
  source = catalogue.source('bassnet_pop_rock/musdb18', str(tmp_path))
  broken, whole = source.songs()
  song = source.load(whole)
  assert (song.key.split, song.credit) == ('test', 'Somebody: A Song')
  assert content(song.bass) == {'bass'} and content(song.mix) == {'drums', 'other', 'vocals'}
  assert len(song.bass) == pytest.approx(made.SECONDS * 16_000, abs=2048)
  with pytest.raises(SkipSong, match='can not be read'):
    source.load(broken)


def test_slakh2100(corpus):
  songs, reasons = corpus('slakh2100')
  assert sorted(songs) == ['train__Track00001', 'validation__Track01501']
  first, by_program = by_end(songs, 'Track00001'), by_end(songs, 'Track01501')
  assert (first.key.split, by_program.key.split) == ('train', 'validation')
  assert content(first.bass) == {'bass'} and content(first.mix) == {'drums', 'guitar'}  # mix.flac isn't read
  assert content(by_program.bass) == {'bass'} and content(by_program.mix) == {'keys'}
  assert set(first.notes.pitch) == {made.BASS_KEY}  # written an octave too high
  np.testing.assert_allclose(first.notes.onset, 0.5 * np.arange(10), atol=2e-3)  # the tempo changes in another track
  assert (first.mix_notes.program == DRUMS).sum() == 10 and len(first.mix_notes) == 20
  assert first.licence == 'CC-BY-4.0' and len(first.beats) > 5
  assert 'never rendered (S00' in by_end(reasons, 'Track01876')
  assert 'no bass stem: the classes are Drums, Guitar' in by_end(reasons, 'Track01877')  # drums whose program is a bass's
  assert 'same MIDI file as train/Track00001' in by_end(reasons, 'Track01878')
  assert 'omitted' in by_end(reasons, 'Track00002')


def test_babyslakh_is_wav_without_split_folders(tmp_path):
  stems = {'S00': (made.slakh_stem('Bass', 33), 'bass'), 'S02': (made.slakh_stem('Piano', 0), 'keys')}
  made.slakh_track(tmp_path / 'babyslakh_16k' / 'Track00007', 'f' * 32, stems, extension='wav')
  source = catalogue.source('bassnet_pop_rock/slakh2100', str(tmp_path))
  (key,) = source.songs()
  song = source.load(key)
  assert key.split in ('train', 'validation', 'test')
  assert content(song.bass) == {'bass'} and content(song.mix) == {'keys'} and len(song.notes) == 10
  (tmp_path / 'babyslakh_16k' / 'Track00007' / 'stems' / 'S02.wav').unlink()
  with pytest.raises(SkipSong, match='S02 missing'):
    source.load(key)


def test_moisesdb(corpus):
  songs, reasons = corpus('moisesdb')
  assert len(songs) == 2
  first, second = (songs[key] for key in sorted(songs))
  assert first.key.split == second.key.split and first.credit == second.credit == 'Band: Song (MoisesDB)'
  assert content(first.mix) == {'drums', 'guitar'} and content(second.mix) == {'drums'}
  assert heard(first.bass, 'bass') == pytest.approx(0.4, abs=0.01)  # two tracks, summed
  assert len(first.bass) == len(first.mix) == round((made.SECONDS + 0.3) * 16_000)  # the longest stem's
  assert first.licence == 'CC-BY-NC-SA-4.0'
  assert sorted(reasons.values()) == [
    'bleed in drums (overheads): the bass may be heard in the mix (--source_set bleed=true takes such songs)',
    'no bass stem: the stems are vocals',
  ]


def test_moisesdb_with_damaged_or_missing_parts(tree, tmp_path):
  track = [('bass', 'bass_guitar', 'bass', False), ('drums', 'kick', 'drums', False)]
  for name in ('a', 'b', 'c'):
    made.moises_song(tmp_path / name, 'x', name, track)
  (tmp_path / 'a' / 'data.json').write_text('{"song": ')
  next((tmp_path / 'b' / 'drums').iterdir()).unlink()
  (tmp_path / 'c' / 'data.json').write_text(json.dumps({'stems': ['bass']}))
  source = catalogue.source('bassnet_pop_rock/moisesdb', str(tmp_path))
  for key, words in zip(source.songs(), ('can not be read', r'drums/.*\.wav missing', 'stemName and tracks'), strict=True):
    with pytest.raises(SkipSong, match=words):
      source.load(key)


def test_medleydb(corpus):
  songs, reasons = corpus('medleydb')
  hidden, apart = by_end(songs, 'Hidden'), by_end(songs, 'Apart')
  assert content(hidden.bass) == {'bass'} and content(hidden.mix) == {'other', 'drums'}  # the cello, component: bass, is mix
  assert content(apart.bass) == {'bass'} and content(apart.mix) == {'vocals'}
  assert hidden.key.split == apart.key.split  # one artist
  assert (hidden.licence, hidden.credit) == ('CC-BY-NC-SA-4.0', 'Band: Hidden (MedleyDB)')
  assert by_end(reasons, 'Cello') == 'no bass stem: the instruments are cello, violin (component bass: cello)'
  assert 'has_bleed' in by_end(reasons, 'Bleeding')
  assert 'S02 has the bass and others in one: main system' in by_end(reasons, 'System')


def test_aam(corpus):
  songs, reasons = corpus('aam')
  first, second = songs['0001'], songs['0002']
  assert content(first.bass) == {'bass'} and content(first.mix) == {'drums', 'guitar', 'other'}  # a bassoon is no bass
  assert content(second.bass) == {'bass'} and content(second.mix) == {'keys'}
  for song in (first, second):
    np.testing.assert_allclose(song.notes.onset, 0.5 * np.arange(10), atol=2e-3)
    assert set(song.notes.pitch) == {made.BASS_KEY}
  drums = first.mix_notes.drums
  assert set(drums.pitch) == {36} and len(drums) == 5
  assert set(first.mix_notes.pitched.pitch) == {60, 64}
  np.testing.assert_allclose(first.beats, 0.5 * np.arange(11))
  assert reasons['0003'] == 'no bass stem: the instruments are BassDrum, Violin'
  assert 'only a mix' in reasons['0004']


def test_rhythm_game(corpus):
  songs, reasons = corpus('rhythm_game')
  contents = {key: (content(song.bass), content(song.mix)) for key, song in songs.items()}
  assert {key for key in contents if 'With' in key} == {key for key, song in songs.items() if song.credit == 'Band: With bass'}
  assert by_end(contents, 'Rhythm_is_bass') == ({'bass'}, {'other'})
  assert by_end(contents, 'Ini_says_bass') == ({'bass'}, {'other'})
  several = [contents[key] for key in sorted(contents) if 'With' in key]
  assert sorted(several, key=lambda pair: len(pair[1])) == [({'bass'}, {'drums'}), ({'bass'}, {'guitar', 'other', 'drums'})]
  assert len(songs) == 4
  assert 'second guitar, the chart has a rhythm part' in by_end(reasons, 'Rhythm_is_guitar')
  assert 'second guitar, the chart has a rhythm part' in by_end(reasons, 'Chart_file')
  assert 'may be a second guitar' in by_end(reasons, 'Nobody_says')
  assert 'the bass is heard in the mix too (100% of it' in by_end(reasons, 'Full_mix')
  assert by_end(reasons, 'Metal_madness') == 'no bass stem: neither bass nor rhythm; found guitar.ogg, song.ogg'
  assert 'audio.mogg is a multichannel file' in by_end(reasons, 'Multichannel')
  assert 'unpack it' in by_end(reasons, 'packed.sng')


@pytest.mark.parametrize('name', ['musdb18hq', 'slakh2100', 'moisesdb', 'medleydb', 'aam', 'rhythm_game'])
def test_another_folder_is_said(name, tmp_path):
  with pytest.raises(ValueError, match='manual_dir'):
    catalogue.source(f'bassnet_pop_rock/{name}', None)
  with pytest.raises(ValueError, match='manual_dir'):
    catalogue.source(f'bassnet_pop_rock/{name}', str(tmp_path)).songs()
  with pytest.raises(ValueError, match='is not a folder'):
    catalogue.source(f'bassnet_pop_rock/{name}', str(tmp_path / 'nowhere')).songs()


def test_notes_that_are_not_of_this_sound_are_dropped():
  bass = made.tone('bass', 4.0, 16_000)
  line = [(0.5 * i, 0.5 * i + 0.45, made.BASS_KEY, 90, 33) for i in range(7)]
  np.testing.assert_array_equal(note_fit.fitted(Notes.from_rows(line), bass).pitch, made.BASS_KEY)
  np.testing.assert_array_equal(note_fit.fitted(Notes.from_rows(line).transposed(-24), bass).pitch, made.BASS_KEY)
  assert note_fit.fitted(Notes.from_rows(line).transposed(5), bass) is None
  assert note_fit.fitted(Notes.from_rows(line).shifted(60.0), bass) is None


def test_onsets_without_signs_are_notes_too(tmp_path):
  from data_pipeline.sources.aam import _onset_columns

  path = tmp_path / '0001_onsets.arff'
  path.write_text(
    "@RELATION x\n@ATTRIBUTE 'Onset time in seconds' NUMERIC\n@ATTRIBUTE 'Onset events of SynthBass' STRING\n@DATA\n"
    '0.5,[40]\n1.0,[]\n1.5,[43]\n2.0,[45]\n'
  )
  notes = _onset_columns(str(path))['SynthBass']
  np.testing.assert_allclose(notes.rows()[:, :3], [[0.5, 1.0, 40], [1.5, 2.0, 43], [2.0, 2.5, 45]])


def test_held_notes_last_until_they_are_no_longer_listed(tmp_path):
  from data_pipeline.sources.aam import _onset_columns

  path = tmp_path / '0001_onsets.arff'
  path.write_text(
    "@ATTRIBUTE 'Onset time in seconds' NUMERIC\n@ATTRIBUTE 'Onset events of ElectricBass' STRING\n"
    "0.5,'[+40]'\n1.0,'[40]'\n1.5,'[40]'\n2.0,'[+40]'\n2.5,'[]'\n"
  )
  notes = _onset_columns(str(path))['ElectricBass']
  np.testing.assert_allclose(notes.rows()[:, :3], [[0.5, 2.0, 40], [2.0, 2.5, 40]])


@pytest.mark.slow
@pytest.mark.parametrize('name', ['musdb18hq', 'slakh2100', 'moisesdb', 'medleydb', 'aam', 'rhythm_game'])
def test_builds_into_tfds_files(name, tree, tmp_path):
  """Both stages from a tree in the corpus's layout to examples that tfds reads."""
  import tensorflow_datasets as tfds

  # Where the splits come from a hash, the tree's names must leave a song to train on.
  source = catalogue.source(f'bassnet_pop_rock/{name}', str(tree(name)))
  assert any(key.split == 'train' and _loads(source, key) for key in source.songs())
  summary = build.build(f'bassnet_pop_rock/{name}', str(tmp_path), str(tree(name)), workers=1)
  builder = tfds.builder_from_directory(build.tfds_folder(f'bassnet_pop_rock/{name}', str(tmp_path)))
  example = next(builder.as_dataset(split='train').as_numpy_iterator())
  assert example['licence'].decode() == summary.songs[example['song_id'].decode()]['licence']
  assert dict(builder.info.metadata['skipped']) == summary.skipped and summary.skipped
  labelled = example['pitch'][256 : 256 + 300]
  assert (labelled == made.BASS_KEY - 23).mean() > 0.5, np.unique(labelled, return_counts=True)


def _loads(source, key) -> bool:
  try:
    source.load(key)
  except SkipSong:
    return False
  return True
