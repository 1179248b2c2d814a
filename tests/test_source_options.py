"""Options of sources from the command line: typed, named in errors, recorded, and never silently ignored."""

import bad_songs
import numpy as np
import pytest
import soundfile

from bassnet_jax.config import DataConfig
from bassnet_jax.inputs import corpus as corpora
from data_pipeline import build, catalogue, extraction, rendering, source_options
from data_pipeline.source_options import SourceOptionError

STEMS = 'bassnet_pop_rock/stems'


def test_every_source_s_options_are_reached_and_found_again():
  """What `chosen` says of a source with every option changed makes the same source of the plain one."""
  for name in catalogue.names():
    plain = catalogue.source(name, 'folder')
    options = source_options.known(plain)
    assert not {'folder', 'name', 'part', 'version'} & set(options), name
    changes = {
      bool: lambda value: str(not value).lower(),
      str: lambda _: 'x,y=z',
      int: lambda value: value + 1,
      float: lambda value: value + 0.5,
      tuple[str, ...]: lambda _: rendering.default_soundfont(),
    }
    assignments = sorted(f'{option}={changes[kind](value)}' for option, (kind, value) in options.items())
    changed = catalogue.source(name, 'folder', assignments)
    assert source_options.chosen(plain, changed) == assignments, name
    assert catalogue.source(name, 'folder', source_options.chosen(plain, changed)) == changed
  assert 'rule.fewest_bass' in source_options.known(catalogue.source('bassnet_pop_rock/midi', 'folder'))
  assert 'seed' in source_options.known(catalogue.source('bassnet_pop_rock/open_harm'))


@pytest.mark.parametrize(
  ('assignment', 'message'),
  [
    ('bass', r"expected option=value, for example bass='\*low\*'"),
    ('bas=x', r"stems has no option bas\. Did you mean bass\? Its options are:\n  bass \(text; default '\*bass\*'\)\n"),
    ('folder=x', 'has no option folder'),
    ('shortest=long', "shortest=long: expected a number, found 'long'"),
  ],
)
def test_mistakes_are_named_with_what_there_is(assignment, message):
  with pytest.raises(SourceOptionError, match=message):
    catalogue.source(STEMS, 'folder', [assignment])
  with pytest.raises(SourceOptionError, match='bleed=yes: expected true or false'):
    catalogue.source('bassnet_pop_rock/moisesdb', 'folder', ['bleed=yes'])


def test_of_several_datasets_an_option_says_whose_it_is():
  both = ('bassnet_pop_rock/stems', 'bassnet_pop_rock/midi')
  assert source_options.for_dataset(['stems.bass=*low*', 'midi.rule.fewest_bass=3'], both[0], both) == ['bass=*low*']
  assert source_options.for_dataset(['midi.rule.fewest_bass=3'], both[1], both) == ['rule.fewest_bass=3']
  assert source_options.for_dataset(['rule.fewest_bass=3'], both[1], both[1:]) == ['rule.fewest_bass=3']
  with pytest.raises(SourceOptionError, match=r'for which of stems, midi\? Write for example stems\.bass='):
    source_options.for_dataset(['bass=*low*'], both[0], both)


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> str:
  """Songs whose bass is called `low end`."""
  root = tmp_path_factory.mktemp('corpus')
  for split in ('train', 'test'):
    bad_songs.good_song(root / split / 'song', seconds=2.5)
    (root / split / 'song' / 'bass.wav').rename(root / split / 'song' / 'low end.wav')
    noise = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    soundfile.write(root / split / 'song' / 'guitar.wav', noise, bad_songs.RATE)
  return str(root)


def test_a_build_uses_them_records_them_and_does_not_take_another_s_features(tree, tmp_path):
  options = ['bass=*low*', 'shortest=2']
  with pytest.raises(ValueError, match='no bass stem'):
    build.build(STEMS, str(tmp_path / 'plain'), tree, 1, tfds_files=False, options=['shortest=2'])
  summary = build.build(STEMS, str(tmp_path), tree, 1, tfds_files=False, options=options)
  assert sorted(summary.songs) == ['test__song', 'train__song'] and summary.options == ['bass=*low*', 'shortest=2.0']
  again = extraction.load_summary(extraction.folder(str(tmp_path), *STEMS.split('/')))
  assert again == summary
  assert build.build(STEMS, str(tmp_path), None, tfds_files=False, options=['shortest=2.0', 'bass=*low*']) == summary
  assert build.build(STEMS, str(tmp_path), None, tfds_files=False) == summary  # training takes what is there
  for other in ([], ['bass=*low*'], [*options, 'ignore=guitar']):
    with pytest.raises(ValueError, match=r'built with other options of its source:\n  there: bass=\*low\* shortest=2\.0\n  now: '):
      build.build(STEMS, str(tmp_path), tree, tfds_files=False, options=other)
  with pytest.raises(ValueError, match='built with other options'):
    corpora.open_corpus(DataConfig(datasets=(STEMS,), backend='resident'), str(tmp_path), tree, options=['bass=*sub*'])


def test_training_says_with_which_options_a_dataset_was_built(tree, tmp_path, capsys):
  build.build(STEMS, str(tmp_path), tree, 1, tfds_files=False, options=['bass=*low*', 'shortest=2'])
  corpus = corpora.open_corpus(DataConfig(datasets=(STEMS,), backend='resident'), str(tmp_path))
  assert f'dataset {STEMS} was built with bass=*low* shortest=2.0' in capsys.readouterr().out
  assert corpus.source_options() == {STEMS: ['bass=*low*', 'shortest=2.0']}


def test_no_folder_of_a_builder_s_machine_is_told():
  assert source_options.without_folders('soundfonts=/home/me/a.sf2,b.sf2') == 'soundfonts=a.sf2,b.sf2'
  assert source_options.without_folders('bass=*low*,*sub*') == 'bass=*low*,*sub*'


def test_tfds_metadata_has_them(tree, tmp_path):
  import tensorflow_datasets as tfds

  build.build(STEMS, str(tmp_path), tree, 1, options=['bass=*low*', 'shortest=2'])
  metadata = tfds.builder_from_directory(build.tfds_folder(STEMS, str(tmp_path))).info.metadata
  assert list(metadata['source_options']) == ['bass=*low*', 'shortest=2.0']


def test_songs_of_an_older_version_of_the_band_are_not_taken_for_today_s(tmp_path, capsys):
  from data_pipeline.sources.open_band import OpenBand

  name = 'bassnet_pop_rock/open'
  directory = extraction.folder(str(tmp_path), *name.split('/'))
  summary = extraction.extract(OpenBand(song_count=1), directory, workers=1)
  assert not build.outdated(name, summary)
  path = f'{directory}/summary.json'
  with open(path) as file:
    text = file.read()
  with open(path, 'w') as file:
    file.write(text.replace(', version=2', ''))
  with pytest.raises(ValueError, match=r'made by another version of its source \(OpenBand\(song_count=1, seed=0\)\)'):
    build.build(name, str(tmp_path), tfds_files=False, options=[])
  corpora.open_corpus(DataConfig(datasets=(name,), backend='resident'), str(tmp_path))
  assert 'note: bassnet_pop_rock/open was made by another version' in capsys.readouterr().out
