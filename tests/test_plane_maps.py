"""The plane of a packaged model on songs of a dataset that isn't built."""

from __future__ import annotations

import json

import matplotlib.image
import numpy as np
import pytest
from midi_making import midi_bytes

from bassnet_jax import plane_maps
from bassnet_jax.evaluation import maps, metrics_check


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> str:
  root = tmp_path_factory.mktemp('midi')
  for split, count in (('train', 1), ('test', 9)):
    (root / split).mkdir()
    for key in range(count):
      (root / split / f'song{key}.mid').write_bytes(midi_bytes(beats=16, bass_key=40 + key, bass=key != 4))
  return str(root)


def test_the_command_plays_usable_songs_and_tests_places(folder, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(maps, 'SIDE', 3)
  output = tmp_path / 'out'
  arguments = ['plane_maps', '--dataset=bassnet_pop_rock/midi', f'--manual_dir={folder}', '--workers=1', f'--output={output}']
  assert plane_maps.main([*arguments, '--checkpoint=short']) == 0
  printed = capsys.readouterr().out
  found = json.loads((output / 'maps.json').read_text())
  assert metrics_check.fault(found) is None
  assert found['run']['dataset'] == 'bassnet_pop_rock/midi' and found['run']['steps'] > 0
  plane = found['plane']
  assert len(plane['pieces']) == 8 and plane['pieces'] == sorted(plane['pieces']), 'the piece without a bass is left out'
  # Eight songs: of the packaged model's plane, at least density and register differ song for song.
  tests = plane['location']
  assert tests['onset_density']['songs'] == 8 and tests['onset_density']['p'] == pytest.approx(1 / 128)
  assert np.sum(tests['onset_density']['above']) > 0
  assert f'onset_density        {tests["onset_density"]["lowest"]:8.3f}' in printed and f'{output}/index.html' in printed
  page = (output / 'index.html').read_text()
  assert 'signs of the maps of songs flipped' in page and 'places below' in page
  assert matplotlib.image.imread(output / 'maps.png').shape[1] > 1000
  assert plane_maps.main([*arguments, '--checkpoint=short', '--songs=3']) == 0
  few = json.loads((output / 'maps.json').read_text())['plane']
  assert few['pieces'] == plane['pieces'][:3] and few['location']['diatonic'] is None and few['permutation'] is None
  assert 'needs 8 songs, and there are 3' in (output / 'index.html').read_text()


def test_mistakes_are_said(folder, tmp_path, capsys):
  midi = ['--dataset=bassnet_pop_rock/midi', f'--manual_dir={folder}', f'--output={tmp_path / "out"}']
  for arguments, said in (
    (['--checkpoint=nowhere', *midi], 'nowhere'),
    (['--checkpoint=short', '--dataset=bassnet_pop_rock/mydi'], 'mydi'),
    (['--checkpoint=short', *midi, '--split=validation'], "no piece of the split 'validation'"),
    (['--checkpoint=short', '--dataset=bassnet_pop_rock/open_harm', midi[-1]], 'give another --dataset'),
    (['--checkpoint=short', *midi, '--songs=-1'], '--songs'),
  ):
    assert plane_maps.main(['plane_maps', *arguments]) == 2, arguments
    assert said in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()
