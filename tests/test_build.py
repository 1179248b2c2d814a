"""Builds of damaged trees, dry runs, checks before a build, and builds that are killed."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

import bad_songs
import numpy as np
import pytest

from data_pipeline import build, extraction, survey
from data_pipeline.song import Song, SongKey
from data_pipeline.sources.stems import Stems

NAME = 'bassnet_pop_rock/stems'


@pytest.fixture(scope='module')
def small_tree(tmp_path_factory):
  root = tmp_path_factory.mktemp('small')
  bad_songs.tree(root, good=2)
  return root


def test_a_dry_run_names_what_is_used_and_what_is_skipped_and_why(small_tree):
  found = survey.examine(Stems(str(small_tree), shortest=2.0), workers=1)
  bad_songs.check_reasons(found.skipped)
  assert sorted(found.songs) == ['test__song_000', 'train__eight_channels', 'train__song_001']
  table = found.table()
  assert 'skipped: 10' in table and '3 songs: unknown, supplied by the user' in table
  assert found.seconds == pytest.approx(6.6, abs=0.01)


def test_headers_alone_show_most_faults_and_the_length(small_tree, capsys):
  source = Stems(str(small_tree), shortest=2.0)
  seconds, wrong = survey.estimate_seconds(source)
  named = {line.partition(':')[0].partition('__')[2] for line in wrong}
  assert {'empty', 'truncated', 'text', 'wrong_rate', 'impossible_rate', 'unreadable'} <= named
  assert not any('song_' in name or 'eight' in name for name in named)
  assert 6.6 <= seconds < 20


def test_a_full_disk_is_said_before_the_build(small_tree, tmp_path, monkeypatch):
  source = Stems(str(small_tree), shortest=2.0)
  seconds, _ = survey.estimate_seconds(source)
  usage = shutil.disk_usage(tmp_path)
  free = survey.bytes_needed(seconds)
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=free))
  with pytest.raises(ValueError, match=r'GB are free, about .* GB are needed\. Make room, or give another --data_dir'):
    survey.check_before(source, str(tmp_path))
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=free + 2 * 10**8))
  survey.check_before(source, str(tmp_path))


def test_the_estimate_is_what_a_build_takes(data_dir):
  """Within a third, above or below: the features of a1 and its TFDS files, of songs of exactly one excerpt."""
  summary = extraction.load_summary(extraction.folder(data_dir, 'bassnet_artificial', 'a1'))
  seconds = sum(entry['seconds'] for entry in summary.songs.values())
  folders = (extraction.folder(data_dir, 'bassnet_artificial', 'a1'), build.tfds_folder('bassnet_artificial/a1', data_dir))
  for folder, tfds_files in zip(folders, (False, True), strict=True):
    taken = sum(os.path.getsize(os.path.join(parent, file)) for parent, _, files in os.walk(folder) for file in files)
    expected = survey.bytes_needed(seconds, tfds_files) - (survey.bytes_needed(seconds, False) if tfds_files else 0)
    assert 0.75 < taken / expected < 1.34, folder


def test_what_hours_of_music_take(capsys):
  assert survey.main(['--hours', '1', '10', '--times_realtime', '20']) == 0
  one, ten = ([float(cell) for cell in line.split()] for line in capsys.readouterr().out.splitlines()[1:])
  assert one[0] == 1 and one[1] == pytest.approx(survey.bytes_needed(3600, False) / 1e9, abs=0.05) and one[3] == 0.05
  assert ten == pytest.approx([10, *survey.sizes(10, 20)], abs=0.06)


def test_only_bad_songs_end_the_build_before_it_begins(tmp_path):
  bad_songs.bad_song(tmp_path / 'corpus' / 'text')
  with pytest.raises(ValueError, match=r'none of the songs can be used:\n  text: .*not audio'):
    build.build(NAME, str(tmp_path / 'data'), str(tmp_path / 'corpus'))


class Strange:
  """A source with a song that fails as nobody foresaw, at the top level so that workers can import it."""

  def __repr__(self):
    return 'Strange()'

  def songs(self):
    return [SongKey('fine', 'train'), SongKey('strange', 'train')]

  def load(self, key: SongKey) -> Song:
    if key.id == 'strange':
      raise ZeroDivisionError('who would have thought')
    mix, bass = np.random.default_rng(0).normal(0, 0.1, (2, 40_000)).astype(np.float32)
    return Song(key, mix, bass, 'CC0-1.0', 'nobody')


class Vanishing(Strange):
  """Its second song is gone after the first listing, as on a disk that is pulled out."""

  calls = 0

  def songs(self):
    Vanishing.calls += 1
    return super().songs()[: 2 if Vanishing.calls == 1 else 1]


def test_an_unforeseen_error_costs_one_song(tmp_path):
  summary = extraction.extract(Strange(), str(tmp_path), workers=1)
  assert list(summary.songs) == ['fine']
  assert summary.skipped == {'strange': 'unforeseen ZeroDivisionError: who would have thought'}


def test_a_corpus_that_vanishes_is_no_finished_dataset(tmp_path):
  with pytest.raises(ValueError, match='changed while they were read'):
    extraction.extract(Vanishing(), str(tmp_path), workers=1)
  assert extraction.load_summary(str(tmp_path), missing_ok=True) is None


@pytest.mark.slow
def test_a_hundred_songs_with_ten_bad_ones(tmp_path):
  """Builds, names all ten, in the summary and in the TFDS metadata."""
  import tensorflow_datasets as tfds

  bad_songs.tree(tmp_path / 'corpus', good=89)
  data = str(tmp_path / 'data')
  source = Stems(str(tmp_path / 'corpus'), shortest=2.0)
  summary = extraction.extract(source, extraction.folder(data, *NAME.split('/')))
  assert len(summary.songs) == 90 and len(summary.skipped) == 10
  bad_songs.check_reasons(summary.skipped)
  build.build(NAME, data)
  metadata = tfds.builder_from_directory(build.tfds_folder(NAME, data)).info.metadata
  assert dict(metadata['skipped']) == summary.skipped


def digests(folder: str) -> dict[str, str]:
  """Relative path -> SHA-256 of every file."""
  found = {}
  for parent, _, files in os.walk(folder):
    for file in files:
      path = os.path.join(parent, file)
      with open(path, 'rb') as stream:
        found[os.path.relpath(path, folder)] = hashlib.sha256(stream.read()).hexdigest()
  return found


def test_what_a_killed_build_has_packed_is_removed(tmp_path):
  """Under the name that TFDS itself gives it."""
  from tensorflow_datasets.core.utils import file_utils

  folder = build.tfds_folder(NAME, str(tmp_path))
  half, others = file_utils._get_incomplete_dir(folder), [folder, os.path.join(os.path.dirname(folder), 'incomplete.ABC123_9.9.9')]
  for path in (half, f'{folder}.incompleteABC123', *others):
    os.makedirs(os.path.join(path, 'x'))
  build.remove_half_packed(NAME, str(tmp_path))
  assert sorted(os.path.join(os.path.dirname(folder), name) for name in os.listdir(os.path.dirname(folder))) == sorted(others)


@pytest.mark.slow
def test_killed_in_both_stages_the_finished_dataset_is_byte_for_byte_the_same(tmp_path):
  """SIGKILL among the songs, SIGKILL while packing, then the same command: no file differs, none is left over."""
  corpus = tmp_path / 'corpus'
  for i in range(12):
    bad_songs.good_song(corpus / ('train' if i % 4 else 'test') / f'song_{i:02d}', seconds=6.0)
  bad_songs.bad_song(corpus / 'train' / 'truncated')
  root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
  environment = os.environ | {'PYTHONPATH': root}

  def start(data: str) -> subprocess.Popen:
    command = [sys.executable, '-m', 'data_pipeline.build', '--dataset=bassnet_pop_rock', '--config=stems', f'--data_dir={data}']
    return subprocess.Popen(
      [*command, f'--manual_dir={corpus}', '--workers=2'],
      cwd=tmp_path,
      env=environment,
      start_new_session=True,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )

  def kill_when(data: str, reached) -> None:
    process = start(data)
    deadline = time.monotonic() + 240
    while process.poll() is None and not reached() and time.monotonic() < deadline:
      time.sleep(0.005)
    assert process.poll() is None, 'the build was over before it was killed'
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

  whole, killed = str(tmp_path / 'whole'), str(tmp_path / 'killed')
  songs = os.path.join(extraction.folder(killed, *NAME.split('/')), 'songs')
  packed = os.path.dirname(build.tfds_folder(NAME, killed))
  kill_when(killed, lambda: os.path.isdir(songs) and sum(name.endswith('.npz') for name in os.listdir(songs)) >= 3)
  assert len(os.listdir(songs)) < 12
  kill_when(killed, lambda: os.path.isdir(packed) and any('incomplete' in name for name in os.listdir(packed)))
  assert extraction.load_summary(os.path.dirname(songs)) is not None and not build.is_built(NAME, killed)
  for data in (killed, whole):
    assert start(data).wait(timeout=240) == 0
  there, here = digests(whole), digests(killed)
  assert sorted(there) == sorted(here)
  assert [name for name in there if there[name] != here[name]] == []
  assert sum(name.endswith('.npz') for name in there) == 12 and any('tfrecord' in name for name in there)
  assert os.listdir(packed) == [os.path.basename(build.tfds_folder(NAME, killed))]
