"""Three hours of audio, given to everything that takes audio: refused in words, at once, with nothing left behind."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from bassnet_jax import song_input
from bassnet_jax.studio.limits import Limits
from data_pipeline import extraction
from data_pipeline.sources.stems import Stems

SECONDS, RATE = 3 * 3600, 4_000


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A song of two stems: silence with a click every minute, which FLAC makes small."""
  place = tmp_path_factory.mktemp('songs') / 'train' / 'long'
  place.mkdir(parents=True)
  minute = np.zeros(60 * RATE, dtype=np.int16)
  minute[0] = 20_000
  with soundfile.SoundFile(place / 'keys.flac', 'w', RATE, 1) as file:
    for _ in range(SECONDS // 60):
      file.write(minute)
  shutil.copy(place / 'keys.flac', place / 'bass.flac')
  return place


def test_generate_refuses_it(folder, tmp_path, capsys):
  from bassnet_jax import generate

  path = folder / 'keys.flac'
  assert generate.main(['generate', f'--input={path}', f'--output={tmp_path / "out"}']) == 2
  expected = f'error: {path}: 180.0 min long; at most {song_input.LONGEST_SECONDS / 60:.1f} min are taken. Cut it into pieces.'
  assert expected in capsys.readouterr().err
  assert os.listdir(tmp_path) == []


def test_a_build_skips_it_and_says_so(folder, tmp_path):
  source = Stems(str(folder.parents[1]))
  (key,) = source.songs()
  outcome = extraction.extract_song(source, key, str(tmp_path))
  assert '180.0 min long; at most 60.0 min are taken. Cut it into pieces.' in outcome.skipped
  assert 'unforeseen' not in outcome.skipped and os.listdir(tmp_path) == []


def test_the_studio_refuses_it(folder, tmp_path):
  import studio_model
  from starlette.testclient import TestClient

  with TestClient(studio_model.application(tmp_path), base_url='http://127.0.0.1:8020') as client:
    session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
    answer = client.post(f'{session}/tracks', content=(folder / 'keys.flac').read_bytes(), headers={'x-file-name': 'long.flac'})
    assert answer.status_code == 400
    assert f'180.0 min long; at most {Limits().track_seconds / 60:.1f} min are taken' in answer.json()['error']
    assert [files for _, _, files in os.walk(tmp_path) if files] == []
