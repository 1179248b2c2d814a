"""Stage 1 on Apache Beam's DirectRunner: the files of an ordinary build, byte for byte."""

import importlib.util
import os
import sys

import bad_songs
import pytest

from data_pipeline import beam_extraction, build, extraction
from data_pipeline.sources.stems import Stems

needs_beam = pytest.mark.skipif(importlib.util.find_spec('apache_beam') is None, reason=beam_extraction.HOW_TO_GET)
OPTIONS = ['--runner=DirectRunner', '--direct_num_workers=2', '--direct_running_mode=multi_threading']


def contents(directory: str) -> dict[str, bytes]:
  """Relative path -> bytes of every file."""
  found = {}
  for parent, _, files in os.walk(directory):
    for file in files:
      with open(os.path.join(parent, file), 'rb') as stream:
        found[os.path.relpath(os.path.join(parent, file), directory)] = stream.read()
  return found


@pytest.fixture(scope='module')
def corpus(tmp_path_factory) -> str:
  """Three good songs and the ten bad ones."""
  root = tmp_path_factory.mktemp('corpus')
  bad_songs.tree(root, good=2)
  return str(root)


@pytest.fixture(scope='module')
def ordinary(corpus, tmp_path_factory) -> str:
  directory = str(tmp_path_factory.mktemp('ordinary'))
  extraction.extract(Stems(corpus, shortest=2.0), directory, workers=1)
  return directory


@needs_beam
def test_the_files_are_those_of_an_ordinary_build_and_the_same_songs_are_skipped(corpus, ordinary, tmp_path):
  summary = beam_extraction.extract(Stems(corpus, shortest=2.0), str(tmp_path), OPTIONS)
  bad_songs.check_reasons(summary.skipped)
  assert len(summary.songs) == 3
  assert contents(str(tmp_path)) == contents(ordinary)


@needs_beam
def test_goes_on_after_a_kill_and_does_not_make_again_what_is_there(corpus, ordinary, tmp_path):
  """What a killed pipeline leaves: some songs, half-written files, no summary."""
  source, directory = Stems(corpus, shortest=2.0), str(tmp_path)
  extraction.begin(source, directory)
  names = sorted(os.listdir(os.path.join(ordinary, 'songs')))
  for name in names[:2]:
    os.link(os.path.join(ordinary, 'songs', name), os.path.join(directory, 'songs', name))
  (tmp_path / 'songs' / 'killed.tmp').write_bytes(b'half')
  there = os.stat(os.path.join(directory, 'songs', names[0])).st_ino
  beam_extraction.extract(source, directory, OPTIONS)
  assert os.stat(os.path.join(directory, 'songs', names[0])).st_ino == there
  assert contents(directory) == contents(ordinary)
  assert beam_extraction.extract(source, directory, ['--runner=NoSuchRunner']) == extraction.load_summary(ordinary)  # nothing to do


@needs_beam
def test_nothing_to_train_on_is_said_as_in_an_ordinary_build(tmp_path):
  bad_songs.bad_song(tmp_path / 'corpus' / 'train' / 'silent')
  with pytest.raises(ValueError, match=r'gives no song to train on; skipped 1:\n  train__silent: .*silence'):
    beam_extraction.extract(Stems(str(tmp_path / 'corpus'), shortest=2.0), str(tmp_path / 'features'), OPTIONS)
  assert sorted(os.listdir(tmp_path / 'features')) == ['songs', 'source.txt']


@needs_beam
def test_what_a_worker_raises_is_told_in_one_line(corpus, ordinary, tmp_path):
  """A damaged feature file, of a disk that failed: the worker's process says so, not a traceback."""
  source = Stems(corpus, shortest=2.0)
  extraction.begin(source, str(tmp_path))
  (tmp_path / 'songs' / sorted(os.listdir(os.path.join(ordinary, 'songs')))[0]).write_bytes(b'not a feature file')
  with pytest.raises(ValueError, match='not a readable feature file'):
    beam_extraction.extract(
      source, str(tmp_path), ['--runner=DirectRunner', '--direct_num_workers=2', '--direct_running_mode=multi_processing']
    )


@needs_beam
def test_another_corpus_does_not_get_into_the_folder(corpus, tmp_path):
  extraction.begin(Stems(corpus, shortest=2.0), str(tmp_path))
  with pytest.raises(ValueError, match='was begun with other settings'):
    beam_extraction.extract(Stems(corpus, shortest=1.0), str(tmp_path), OPTIONS)


def test_without_beam_the_build_says_how_to_get_it(corpus, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'apache_beam', None)
  with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[beam\]'"):
    build.build('bassnet_pop_rock/stems', str(tmp_path / 'data'), corpus, tfds_files=False, beam_options=OPTIONS)
