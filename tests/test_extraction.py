"""Stage 1: resumable, whole or absent, and every song that can't be used is named with its reason."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_pipeline import build, extraction
from data_pipeline import features as ft
from data_pipeline.notes import Notes
from data_pipeline.song import SkipSong, Song, SongKey
from data_pipeline.sources.artificial import Artificial

FAULTS = {
  'good': '',
  'silent_bass': 'the bass is silent',
  'silent_mix': 'the mix is silent',
  'nan': 'NaN or infinite',
  'infinite': 'NaN or infinite',
  'lengths': 'mix and bass differ in length: 48000 and 47999',
  'short': '1.00 s long',
  'millisecond': '0.00 s long',
  'unreadable': 'not an audio file',
}


@dataclasses.dataclass(frozen=True)
class Faulty:
  """A source of songs with one fault each, and of `good` ones; at the top level, so that workers can import it."""

  good: int = 3
  slow_seconds: float = 0.0

  def songs(self):
    faulty = [SongKey(name, 'train') for name in FAULTS if name != 'good']
    return [*faulty, *(SongKey(f'good{i}', 'train' if i % 3 else 'test') for i in range(self.good))]

  def load(self, key: SongKey) -> Song:
    time.sleep(self.slow_seconds)
    if key.id == 'unreadable':
      raise SkipSong('not an audio file')
    rng = np.random.default_rng(sum(key.id.encode()))
    samples = {'short': 16_000, 'millisecond': 16}.get(key.id, 48_000)
    mix, bass = rng.normal(0, 0.1, (2, samples)).astype(np.float32)
    if key.id == 'silent_bass':
      bass[:] = 0
    elif key.id == 'silent_mix':
      mix[:] = 0
    elif key.id == 'nan':
      mix[100] = np.nan
    elif key.id == 'infinite':
      bass[100] = np.inf
    elif key.id == 'lengths':
      bass = bass[:-1]
    return Song(key, mix, bass, 'CC0-1.0', 'nobody', notes=Notes.from_rows([(0.5, 1.0, 30, 90, 33)]))


@dataclasses.dataclass(frozen=True)
class Twice(Faulty):
  def songs(self):
    return [SongKey('a', 'train'), SongKey('a', 'test')]


@dataclasses.dataclass(frozen=True)
class Useless(Faulty):
  def songs(self):
    return [SongKey('silent_bass', 'train'), SongKey('good1', 'test')]


@pytest.fixture(scope='module')
def faulty_dir(tmp_path_factory):
  directory = str(tmp_path_factory.mktemp('faulty'))
  extraction.extract(Faulty(), directory, workers=1)
  return directory


def test_unusable_songs_are_skipped_with_reasons_and_the_build_goes_on(faulty_dir):
  summary = extraction.load_summary(faulty_dir)
  assert sorted(summary.songs) == ['good0', 'good1', 'good2']
  assert sorted(summary.skipped) == sorted(set(FAULTS) - {'good'})
  for name, reason in summary.skipped.items():
    assert FAULTS[name] in reason, name
  assert sorted(os.listdir(os.path.join(faulty_dir, 'songs'))) == ['good0.npz', 'good1.npz', 'good2.npz']
  table = summary.table()
  assert 'skipped: 8' in table and 'lengths: mix and bass differ in length' in table


def test_statistics_are_numpy_s_over_the_training_split(data_dir):
  directory = extraction.folder(data_dir, 'bassnet_artificial', 'a1')
  summary = extraction.load_summary(directory)
  for name in ('mix', 'bass'):
    frames = [getattr(ft.load(extraction.song_path(directory, song)), name) for song in summary.splits()['train']]
    values = np.concatenate(frames).astype(np.float64)
    np.testing.assert_allclose(summary.statistics[f'{name}_mean'], values.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(summary.statistics[f'{name}_std'], np.maximum(values.std(axis=0), 0.05), rtol=1e-6)
  assert summary.statistics['frames'] == [6 * 1024]


def test_a_song_s_features_are_its_own(data_dir):
  """The file holds what the front end makes of this song, whichever worker made it."""
  directory = extraction.folder(data_dir, 'bassnet_artificial', 'a1')
  source = Artificial('a1', train=6, validation=3, test=6, test_timbre=3)
  key = source.songs()[4]
  expected, found = extraction.features_of(source.load(key)), ft.load(extraction.song_path(directory, key.id))
  np.testing.assert_array_equal(found.mix, expected.mix)
  np.testing.assert_array_equal(found.pitch, expected.pitch)
  assert (found.id, found.split, found.pattern, found.licence) == (key.id, 'train', source.pattern(key), 'CC0-1.0')
  assert found.frames == ft.EXCERPT_FRAMES


def test_goes_on_where_it_was_stopped(faulty_dir, tmp_path):
  """Without the summary the folder is unfinished: what is there stays, what is missing is made, byte for byte the same."""
  directory = str(tmp_path)
  subprocess.run(['cp', '-r', f'{faulty_dir}/.', directory], check=True)
  os.remove(os.path.join(directory, 'summary.json'))
  missing, kept = (extraction.song_path(directory, name) for name in ('good1', 'good2'))
  with open(missing, 'rb') as file:
    before = file.read()
  os.remove(missing)
  made_at = os.stat(kept).st_mtime_ns, os.stat(kept).st_ino
  extraction.extract(Faulty(), directory, workers=1)
  with open(missing, 'rb') as file:
    assert file.read() == before
  assert (os.stat(kept).st_mtime_ns, os.stat(kept).st_ino) == made_at
  with open(os.path.join(directory, 'summary.json')) as a, open(os.path.join(faulty_dir, 'summary.json')) as b:
    assert json.load(a) == json.load(b)


def test_a_finished_folder_is_not_touched(faulty_dir):
  before = sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(os.path.join(faulty_dir, 'songs')))
  assert extraction.extract(Faulty(), faulty_dir) == extraction.load_summary(faulty_dir)
  assert before == sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(os.path.join(faulty_dir, 'songs')))


def test_another_source_is_refused(faulty_dir, tmp_path):
  with pytest.raises(ValueError, match=r'other settings:\n.*Faulty\(good=3.*\n.*Faulty\(good=4'):
    extraction.extract(Faulty(good=4), faulty_dir)
  subprocess.run(['cp', '-r', f'{faulty_dir}/.', str(tmp_path)], check=True)
  os.remove(tmp_path / 'summary.json')
  with pytest.raises(ValueError, match='begun with other settings'):
    extraction.extract(Faulty(good=4), str(tmp_path))


def test_two_songs_of_one_id_are_refused(tmp_path):
  with pytest.raises(ValueError, match='one id to several songs: a'):
    extraction.extract(Twice(), str(tmp_path / 'new'))


def test_nothing_to_train_on_is_an_error_with_the_reasons(tmp_path):
  with pytest.raises(ValueError, match=r'no song to train on; skipped 1:\n  silent_bass: the bass is silent'):
    extraction.extract(Useless(), str(tmp_path), workers=1)
  assert not os.path.exists(tmp_path / 'summary.json')


def test_killed_at_any_moment_nothing_half_written_counts(tmp_path):
  """SIGKILL in mid-build; every file that counts as done is whole, and the same call finishes the folder."""
  directory = str(tmp_path / 'songs_of_a_killed_build')
  program = (
    'import test_extraction\nfrom data_pipeline import extraction\n'
    f'if __name__ == "__main__":\n  extraction.extract(test_extraction.Faulty(12, 0.05), {directory!r}, workers=1)\n'
  )
  script = tmp_path / 'build.py'
  script.write_text(program)
  here = os.path.dirname(os.path.abspath(__file__))
  environment = os.environ | {'PYTHONPATH': os.pathsep.join([here, os.path.dirname(here)])}
  process = subprocess.Popen(
    [sys.executable, str(script)], env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
  )
  songs = os.path.join(directory, 'songs')
  deadline = time.monotonic() + 120
  while process.poll() is None and time.monotonic() < deadline:
    if os.path.isdir(songs) and sum(name.endswith('.npz') for name in os.listdir(songs)) >= 4:
      break
    time.sleep(0.01)
  os.killpg(process.pid, signal.SIGKILL)
  process.wait()
  assert process.returncode == -signal.SIGKILL, 'the build was over before it was killed'
  done = [name for name in os.listdir(songs) if name.endswith('.npz')]
  assert 4 <= len(done) < 12
  for name in done:
    ft.load(os.path.join(songs, name))
  assert extraction.load_summary(directory, missing_ok=True) is None
  summary = extraction.extract(Faulty(12, 0.05), directory, workers=1)
  assert len(summary.songs) == 12


def test_a_dataset_without_its_summary_is_not_built(tmp_path):
  assert not build.is_built('bassnet_artificial/a1', str(tmp_path))
  with pytest.raises(FileNotFoundError, match=r'data_pipeline\.build'):
    extraction.load_summary(str(tmp_path))
