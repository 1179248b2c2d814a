"""Variants of songs: what changes in the mix, what stays of the bass, and who sees them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from midi_making import midi_bytes

import experiments
from bassnet_jax import latent_density
from bassnet_jax.batch import Statistics
from bassnet_jax.inputs.corpus import Corpus
from data_pipeline import audio_variants, build, catalogue, extraction, front_end, rendering, varied
from data_pipeline import features as ft
from data_pipeline.notes import Notes
from data_pipeline.rendering import Instruments
from data_pipeline.song import RenderedSource, SkipSong, Song, SongKey, Stem, StemSource
from data_pipeline.sources.midi import MidiFolder
from data_pipeline.sources.open_band import OpenBand
from data_pipeline.sources.stems import Stems
from data_pipeline.varied import Varied

RATE = ft.SAMPLE_RATE
SECONDS = 5
TONES = (329.63, 440.0, 739.99, 987.77)
"""Hz of the stems' tones, none of which distortion makes of the others."""


def tone(hertz: float, seconds: float = SECONDS) -> np.ndarray:
  return (0.1 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def plucked() -> tuple[np.ndarray, Notes]:
  """A bass that plays A1 every half second, and its notes."""
  time = np.arange(SECONDS * RATE) / RATE
  audio = 0.3 * np.sin(2 * np.pi * 55 * time) * np.exp(-9 * (time % 0.5))
  rows = [(start, start + 0.4, 33, 90, 33) for start in np.arange(0, SECONDS, 0.5)]
  return audio.astype(np.float32), Notes.from_rows(rows)


@dataclasses.dataclass(frozen=True)
class FourStems:
  """Four tones; the song `quiet` is one whose mix is silent."""

  def songs(self):
    return [SongKey('tones.v9', 'train'), SongKey('quiet', 'train'), SongKey('held', 'validation'), SongKey('out', 'test')]

  def load(self, key):
    return dataclasses.replace(self.load_stems(key), stems=())

  def load_stems(self, key):
    bass, notes = plucked()
    stems = tuple(Stem(tone(hertz) * (key.id != 'quiet'), Notes.from_rows([(0, SECONDS, 64, 90, i)])) for i, hertz in enumerate(TONES))
    mix = sum(stem.audio for stem in stems)
    mix_notes = Notes.from_rows(np.concatenate([stem.notes.rows() for stem in stems]))
    return Song(key, mix, bass, 'CC0-1.0', 'nobody', notes, mix_notes, beats=np.arange(0, SECONDS, 0.5), stems=stems)


def heard(audio: np.ndarray, cents: float) -> set[int]:
  """Which of the stems' tones stand out of a mix that is detuned."""
  spectrum = np.abs(np.fft.rfft(audio[: 4 * RATE] * np.hanning(4 * RATE)))
  places = [round(4 * hertz * 2 ** (cents / 1200)) for hertz in TONES]
  peaks = [spectrum[place - 4 : place + 5].max() for place in places]
  return {i for i, peak in enumerate(peaks) if peak > 0.03 * max(peaks)}


def test_training_songs_alone_have_variants():
  keys = Varied(FourStems(), variants=2).songs()
  assert keys == [SongKey(name, 'train') for name in ('tones.v9.v1', 'tones.v9.v2', 'quiet.v1', 'quiet.v2')]
  assert isinstance(FourStems(), StemSource) and not isinstance(FourStems(), RenderedSource)


def test_the_bass_and_its_notes_stay_but_for_the_tuning():
  plain = FourStems().load(FourStems().songs()[0])
  reference = extraction.features_of(plain)
  tunings = []
  for key in Varied(FourStems(), variants=4).songs()[:4]:
    song = Varied(FourStems(), variants=4).load(key)
    factor = song.notes.onset[-1] / plain.notes.onset[-1]
    cents = -1200 * np.log2(factor)
    tunings.append(cents)
    np.testing.assert_allclose(song.bass, audio_variants.detuned(plain.bass, RATE, cents), atol=1e-4)
    np.testing.assert_allclose(song.beats, plain.beats * factor)
    np.testing.assert_array_equal(song.notes.pitch, plain.notes.pitch)
    assert len(song.mix) == len(song.bass)
    features = extraction.features_of(song)
    assert features.tuning == pytest.approx(cents + reference.tuning, abs=8)
    assert features.gain == pytest.approx(reference.gain, rel=0.01), 'the bass is at the level that it has in the plain song'
    sounding = features.pitch[features.pitch < ft.NO_PITCH]
    assert set(sounding.tolist()) == {33 - ft.LOWEST_PITCH}
    # The strongest bin of the bass is that of A1 in spite of the detuning, and notes begin where its level rises.
    assert int(features.bass.astype(np.float32).mean(axis=0).argmax()) == 2 * (33 - ft.LOWEST_BIN_PITCH)
    rises = np.flatnonzero(np.diff(features.level.astype(np.float32)) > 0.05)
    onsets = np.flatnonzero(features.onset)[1:]
    assert all(np.abs(rises - onset).min() <= 1 for onset in onsets)
  assert max(tunings) - min(tunings) > 10 and all(abs(cents) <= audio_variants.MOST_CENTS for cents in tunings)


def test_stems_are_left_out_and_the_notes_of_the_mix_with_them():
  source = Varied(FourStems(), variants=16)
  counts = set()
  for key in source.songs()[:16]:
    song = source.load(key)
    cents = -1200 * np.log2(song.notes.onset[-1] / plucked()[1].onset[-1])
    playing = set(song.mix_notes.program.tolist())
    assert heard(song.mix, cents) == playing
    counts.add(len(playing))
  assert counts <= {2, 3, 4} and 4 in counts and counts != {4}


def test_gains_differ_and_quiet_choices_are_not_taken():
  stems = FourStems().load_stems(SongKey('a', 'train')).stems
  mixes = [varied._balanced(stems, np.random.default_rng(seed)) for seed in range(60)]
  assert len({float(np.abs(mix).max()) for _, mix in mixes}) == 60
  assert {len(chosen) for chosen, _ in mixes} == {2, 3, 4}
  lonely = (*(Stem(1e-4 * stem.audio) for stem in stems[:3]), stems[3])
  assert all(any(stem is stems[3] for stem in varied._balanced(lonely, np.random.default_rng(seed))[0]) for seed in range(60))
  assert all(len(varied._balanced(stems[:2], np.random.default_rng(seed))[0]) == 2 for seed in range(20)), 'never one alone'


def test_a_variant_depends_on_the_song_and_its_number_alone():
  source, again = Varied(FourStems(), variants=2), Varied(FourStems(), variants=5)
  first, second = (source.load(key).mix for key in source.songs()[:2])
  np.testing.assert_array_equal(first, again.load(again.songs()[0]).mix)
  assert len(first) != len(second) or not np.allclose(first, second)


def test_a_silent_mix_is_skipped():
  source = Varied(FourStems(), variants=1)
  with pytest.raises(SkipSong, match='silent'):
    source.load(source.songs()[1])


@pytest.fixture(scope='module')
def midi_folder(tmp_path_factory) -> MidiFolder:
  folder = tmp_path_factory.mktemp('midi')
  (folder / 'train').mkdir()
  (folder / 'train' / 'piece.mid').write_bytes(midi_bytes(beats=24))
  return MidiFolder(str(folder))


def test_rendered_pieces_come_apart_into_channels(midi_folder):
  (key,) = midi_folder.songs()
  plain, apart = midi_folder.load(key), midi_folder.load_rendered(key, Instruments())
  assert isinstance(midi_folder, RenderedSource) and len(apart.stems) == 2 and plain.stems == ()
  np.testing.assert_array_equal(plain.bass, apart.bass)
  assert np.abs(plain.mix - sum(stem.audio for stem in apart.stems)).max() < 0.05 * np.abs(plain.mix).max()
  assert sorted(len(stem.notes) for stem in apart.stems) == sorted([len(plain.mix_notes.drums), len(plain.mix_notes.pitched)])


def test_other_players_play_the_same_notes(midi_folder):
  (key,) = midi_folder.songs()
  plain = midi_folder.load_rendered(key, Instruments())
  other = midi_folder.load_rendered(key, Instruments(programs=((27, 25),), kit=40))
  np.testing.assert_array_equal(plain.bass, other.bass)
  for before, after in zip(plain.stems, other.stems, strict=True):
    np.testing.assert_array_equal(before.notes.rows(), after.notes.rows())
    assert np.abs(before.audio - after.audio).max() > 0.1 * np.abs(before.audio).max()
  same = midi_folder.load_rendered(key, Instruments(rendering.default_soundfont(), programs=((30, 29),)))
  np.testing.assert_array_equal(same.mix, plain.mix)


def test_the_open_band_comes_apart_too():
  source = OpenBand(song_count=1)
  (key,) = source.songs()
  plain, apart = source.load(key), source.load_rendered(key, Instruments())
  np.testing.assert_array_equal(plain.bass, apart.bass)
  together = apart.mix * np.float32(front_end.loudness_gain(apart.mix) / front_end.loudness_gain(plain.mix)) ** -1
  scale = np.dot(together, plain.mix) / np.dot(together, together)
  assert np.dot(together, plain.mix) / np.linalg.norm(together) / np.linalg.norm(plain.mix) > 0.99 and scale > 0
  assert len(apart.stems) == len(set(plain.mix_notes.program.tolist()))


def test_stems_of_a_folder_add_up_to_its_mix(tmp_path):
  import soundfile

  for name, hertz, seconds in (('bass', 55.0, 6), ('guitar', 330.0, 6), ('keys', 440.0, 4)):
    (tmp_path / 'song').mkdir(exist_ok=True)
    soundfile.write(tmp_path / 'song' / f'{name}.wav', tone(hertz, seconds), RATE)
  source = Stems(str(tmp_path))
  (key,) = source.songs()
  plain, apart = source.load(key), source.load_stems(key)
  np.testing.assert_array_equal(plain.mix, apart.mix)
  np.testing.assert_allclose(sum(stem.audio for stem in apart.stems), plain.mix, atol=1e-6)
  assert len(apart.stems) == 2 and isinstance(source, StemSource) and not isinstance(source, RenderedSource)


def test_players_are_drawn_from_families():
  drawn = [varied.draw_instruments(np.random.default_rng(seed), ('other.sf2',)) for seed in range(100)]
  assert {players.soundfont for players in drawn} == {None, 'other.sf2'} and {players.kit for players in drawn} == set(varied.KITS)
  family = {program: number for number, programs in enumerate(varied.FAMILIES) for program in programs}
  assert all(family[written] == family[played] for players in drawn for written, played in players.programs)
  assert not any(program in range(32, 40) for program in family), 'no bass'


def test_configurations_of_variants():
  source = catalogue.source('bassnet_pop_rock/open_variants', options=['variants=2'])
  assert source == Varied(OpenBand(), 2) and Varied(OpenBand()) == catalogue.source('bassnet_pop_rock/open_variants')
  assert len(source.songs()) == 2 * sum(key.split == 'train' for key in OpenBand().songs())
  for name in catalogue.names():
    assert (catalogue.plain_name(name) == name) == (not name.endswith('_variants')) and catalogue.plain_name(name) in catalogue.names()


def test_settings_of_variants_are_checked(tmp_path):
  with pytest.raises(ValueError, match='bassnet_pop_rock/open has no option variants'):
    catalogue.source('bassnet_pop_rock/open', options=['variants=2'])
  with pytest.raises(ValueError, match='no data; give 1 or more'):
    catalogue.source('bassnet_pop_rock/open_variants', options=['variants=0'])
  with pytest.raises(ValueError, match='no such file; a General MIDI SoundFont'):
    catalogue.source('bassnet_pop_rock/open_variants', options=[f'soundfonts={tmp_path / "none.sf2"}'])
  (tmp_path / 'text.sf2').write_text('not a SoundFont')
  with pytest.raises(ValueError, match='not a SoundFont 2 file'):
    catalogue.source('bassnet_pop_rock/open_variants', options=[f'soundfonts={tmp_path / "text.sf2"}'])


@pytest.fixture(scope='module')
def built(tmp_path_factory, midi_folder) -> str:
  """A data folder with `midi` and one variant of its song, as a user builds them, without the TFDS files."""
  root = str(tmp_path_factory.mktemp('data'))
  for name, settings in (('midi', {}), ('midi_variants', {'options': ['variants=1']})):
    build.build(f'bassnet_pop_rock/{name}', root, midi_folder.folder, workers=1, tfds_files=False, **settings)
  return root


def corpus_of(root: str, *names: str) -> Corpus:
  summaries = tuple(extraction.load_summary(extraction.folder(root, *name.split('/'))) for name in names)
  nothing = np.zeros(1, np.float32)
  return Corpus(names, root, summaries, Statistics(nothing, nothing, nothing, nothing))


def test_training_reads_variants_and_evaluation_does_not(built):
  names = ('bassnet_pop_rock/midi', 'bassnet_pop_rock/midi_variants')
  corpus = corpus_of(built, *names)
  plain, variant = (ft.load(path) for path in corpus.paths('train'))
  assert variant.id == f'{plain.id}.v1' and variant.split == 'train'
  assert corpus.plain.names == names[:1] and len(corpus.plain.paths('train')) == 1
  assert sum(corpus.licences().values()) == 1, 'a song and its variants are one song'
  alone = corpus_of(built, names[1])
  assert alone.plain is alone and sum(alone.licences().values()) == 1
  experiment = experiments.get('pr_freedoom_variants_window64')
  trained_on = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, datasets=names))
  assert latent_density._feature_files(trained_on, built, 10) == corpus.plain.paths('train')


def test_a_built_dataset_of_other_settings_is_said(built, midi_folder):
  with pytest.raises(ValueError, match='was built with other options of its source'):
    build.build('bassnet_pop_rock/midi_variants', built, midi_folder.folder, tfds_files=False, options=['variants=2'])


def test_the_experiment_takes_as_many_steps_on_four_versions_of_each_song():
  with_variants, without = (experiments.get(f'pr_freedoom{name}_window64') for name in ('_variants', ''))
  assert with_variants.data.datasets == (*without.data.datasets, *(f'{name}_variants' for name in without.data.datasets))
  versions = 1 + Varied(OpenBand()).variants
  assert with_variants.train.passes * versions == without.train.passes
  assert with_variants.evaluation == without.evaluation
