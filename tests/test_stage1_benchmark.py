"""The benchmark of stage 1 measures what it says: a corpus without notes, one with notes, one that is rendered."""

import json

import numpy as np
import pytest

from data_pipeline import benchmark, extraction
from data_pipeline.sources.slakh2100 import Slakh2100
from data_pipeline.sources.stems import Stems


@pytest.fixture(scope='module')
def corpora(tmp_path_factory) -> tuple[str, str]:
  root = tmp_path_factory.mktemp('corpora')
  benchmark.write_song(str(root / 'stems'), str(root / 'slakh'), 0, 20.0)
  return str(root / 'stems'), str(root / 'slakh')


def test_both_corpora_are_the_same_music_and_one_has_notes(corpora):
  plain, noted = Stems(corpora[0]), Slakh2100(corpora[1])
  songs = [source.load(source.songs()[0]) for source in (plain, noted)]
  assert songs[0].notes is None and len(songs[1].notes) > 5  # that fit the sound: else they would have been dropped
  np.testing.assert_allclose(songs[0].bass, songs[1].bass, atol=1e-3)
  assert len(songs[0].mix) == pytest.approx(20 * 16_000, abs=2)


def test_a_table_and_its_figures(tmp_path, capsys):
  path = tmp_path / 'speed.json'
  assert benchmark.main(['--songs=1', '--seconds=20', '--workers=1', f'--json={path}']) == 0
  rows = json.loads(path.read_text())
  assert [row['songs'] for row in rows] == [1, 1, 1] and rows[0]['minutes'] == pytest.approx(1 / 3, rel=0.01)
  printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith(tuple(row['corpus'] for row in rows))]
  for row, line in zip(rows, printed, strict=True):
    assert row['times_realtime'] == pytest.approx(60 * row['minutes'] / row['seconds'])
    assert line.split()[-3:-1] == [f'{row["times_realtime"]:.1f}', f'{row["minutes_a_core_minute"]:.1f}']
    assert 0 < row['cpu_seconds'] < 8 * row['seconds']


def test_a_skipped_song_is_no_figure(corpora, tmp_path):
  (tmp_path / 'song').mkdir()
  (tmp_path / 'song' / 'bass.wav').write_bytes(b'')
  (tmp_path / 'song' / 'drums.wav').write_bytes(b'')
  with pytest.raises(ValueError):
    benchmark.measure('broken', Stems(str(tmp_path)), 1)
  assert extraction.load_summary(str(tmp_path), missing_ok=True) is None
