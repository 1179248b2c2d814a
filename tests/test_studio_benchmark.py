"""The measurement of the studio: its figures beside the aims, and the exit code that says whether one is missed."""

import json

import pytest

from bassnet_jax import aims, studio_benchmark, studio_browser

GOOD = {
  'studio.opens.seconds': 5.0,
  'studio.4min.upload.seconds': 999.0,
  'studio.4min.analysis.seconds': 12.0,
  'studio.4min.whole_song.seconds': 1.5,
  'studio.move_to_sound.p50_ms': 50.0,
  'studio.move_to_sound.p95_ms': 120.0,
}


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
  """Runs the command with given figures: exit code, lines that it printed, and what it wrote."""

  def run(figures):
    monkeypatch.setattr(studio_benchmark, 'measure', lambda *_: figures)
    code = studio_benchmark.main(['benchmark', '--chromium=chromium', f'--json={tmp_path}/figures.json'])
    return code, capsys.readouterr().out.splitlines(), json.loads((tmp_path / 'figures.json').read_text())

  return run


def test_figures_stand_beside_their_aims(run):
  code, lines, written = run(GOOD)
  assert code == 0 and written == GOOD
  assert [line.split() for line in lines[:2]] == [
    ['studio.opens.seconds', '5.00', 'aim:', 'at', 'most', '5'],
    ['studio.4min.upload.seconds', '999.00'],
  ]
  assert set(studio_benchmark.AIMS) <= set(GOOD)


@pytest.mark.parametrize('name', studio_benchmark.AIMS)
def test_a_missed_aim_is_said_and_ends_with_one(run, name):
  code, lines, _ = run(GOOD | {name: GOOD[name] + 0.01})
  assert code == 1
  assert [line.split()[0] for line in lines if 'MISSED' in line] == [name]


def test_other_lengths_have_no_aim(run):
  assert run({'studio.20min.analysis.seconds': 60.0})[0] == 0


def test_aims_from_below():
  assert 'MISSED' in aims.table({'speed': 1.0}, {'speed': (aims.AT_LEAST, 2.0)})
  assert 'MISSED' not in aims.table({'speed': 2.0}, {'speed': (aims.AT_LEAST, 2.0)})


@pytest.mark.parametrize('path', ['nowhere', 'no_browser'])
def test_a_browser_that_does_not_start_is_named(path, tmp_path):
  pytest.importorskip('playwright')
  (tmp_path / 'no_browser').write_text('not a program')
  chromium = str(tmp_path / path)
  with pytest.raises(studio_browser.BrowserError, match=f'{path} does not start as a browser'), studio_browser.new_page(chromium):
    pass
