"""The same pieces in other sounds: renderings keep time, losses are paired, the command says what it found."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
from midi_making import midi_bytes

from bassnet_jax import robustness as command
from bassnet_jax import trained
from bassnet_jax.decoding import Prediction
from bassnet_jax.evaluation import robustness
from data_pipeline import features as ft
from data_pipeline import rendering
from data_pipeline.notes import Notes
from data_pipeline.sources.midi import MidiFolder


class Listener:
  """Stands in for a trained model: plays E1 where a bin of the mix is loud, so that what it plays shows what it was given."""

  def __init__(self, threshold: float = 0.5):
    self.onset_threshold, self.default_z = threshold, (0.0, 0.75)
    self.experiment, self.describe = types.SimpleNamespace(name='listener'), {'seed': 3}

  def encode_mix(self, mix):
    return np.asarray(mix, dtype=np.float32)

  def decode(self, code, z):
    assert tuple(z) == self.default_z
    frames = len(code)
    sounding = code[:, 0] > 0.5
    logits = np.zeros((frames, ft.PITCHES + 1), np.float32)
    logits[np.arange(frames), np.where(sounding, 28 - ft.LOWEST_PITCH, ft.NO_PITCH)] = 9
    onset = np.zeros(frames, np.float32)
    onset[1:] = sounding[1:] & ~sounding[:-1]
    return Prediction(np.zeros((frames, ft.BASS_BINS), np.float32), logits, onset, np.full(frames, 0.9, np.float32))


def piece(name: str, heard: float) -> robustness.Renderings:
  """Ten E1 in five seconds; mastered, the first `heard` of them are in the mix."""
  frames = 5 * ft.FRAME_RATE
  notes = Notes.from_rows([(0.1 + i / 2, 0.4 + i / 2, 28, 90, 33) for i in range(10)])
  pitch, onset = ft.frame_targets(notes, frames)
  mix = np.zeros((frames, ft.MIX_BINS), np.float16)
  mix[pitch != ft.NO_PITCH, 0] = 1
  mastered = mix * (np.arange(frames) < heard * frames)[:, None]
  features = ft.Features(
    name, 'test', 'CC0-1.0', 'nobody', mix, np.zeros((frames, ft.BASS_BINS), np.float16), pitch, onset, onset * 0.9, 1.0, 0.0, notes
  )
  return robustness.Renderings(features, {'plain': mix, 'mastered': mastered.astype(np.float16)}, {'plain': 0.0, 'mastered': 1.0})


def test_losses_are_paired_by_piece():
  found = robustness.evaluate(Listener(), [piece('a', 0.5), piece('b', 0.7)])
  plain, mastered = found['conditions']['plain'], found['conditions']['mastered']
  assert plain['note_pc_f1'] == 1 and 'note_pc_f1_loss' not in plain
  scores = [2 * played / (played + 10) for played in (5, 7)]
  assert found['per_piece']['mastered']['note_pc_f1'] == pytest.approx(scores)
  assert mastered['note_pc_f1_loss'] == pytest.approx(1 - np.mean(scores))
  assert mastered['note_pc_f1_loss_ci95'] == pytest.approx([1 - max(scores), 1 - min(scores)])
  assert mastered['pitch_class_accuracy_loss'] == pytest.approx(0.4)
  assert 0 < mastered['onset_above_chance'] < plain['onset_above_chance'] < 1


def test_the_table_has_a_row_a_rendering_and_model():
  one = robustness.evaluate(Listener(), [piece('a', 0.5), piece('b', 0.5)])
  lines = robustness.table({'first': one, 'second': one}).splitlines()
  assert len(lines) == 2 + 4 and len({line.count('|') for line in lines}) == 1
  assert lines[2].startswith('| first | plain | 1.000 [1.000, 1.000] |')
  assert lines[5].startswith('| second | mastered | ') and '0.667; loss +0.333 [+0.333, +0.333]' in lines[5]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> str:
  root = tmp_path_factory.mktemp('midi')
  for split, names in (('train', ['a']), ('test', ['b', 'c', 'd'])):
    (root / split).mkdir()
    for key, name in enumerate(names):
      (root / split / f'{name}.mid').write_bytes(midi_bytes(beats=20, bass_key=40 + key, bass=name != 'c'))
  return str(root)


def test_renderings_differ_in_sound_and_not_in_time(folder):
  source = MidiFolder(folder)
  key = next(key for key in source.songs() if key.id.endswith('b'))
  found = robustness.render(source, key, rendering.default_soundfont())
  assert list(found.mixes) == ['plain', 'soundfont', 'mastered', 'both']
  plain = found.mixes['plain'].astype(np.float32)
  assert {mix.shape for mix in found.mixes.values()} == {plain.shape} and {mix.dtype for mix in found.mixes.values()} == {
    np.dtype(np.float16)
  }
  # Here the other SoundFont is the same one, played channel by channel.
  assert np.abs(found.mixes['soundfont'] - plain).mean() < 0.02 < np.abs(found.mixes['mastered'] - plain).mean()
  rise = lambda mix: np.maximum(np.diff(mix.astype(np.float32), axis=0), 0).sum(axis=1)  # noqa: E731
  likeness = {lag: float(np.dot(rise(plain)[10:-10], np.roll(rise(found.mixes['both']), -lag)[10:-10])) for lag in range(-4, 5)}
  assert max(likeness, key=likeness.get) == 0
  assert set(robustness.render(source, key, None).mixes) == {'plain', 'mastered'}
  silent = next(key for key in source.songs() if key.id.endswith('c'))
  assert robustness.render(source, silent, None) is None, 'no bass part'


def test_the_command_writes_text_and_numbers(folder, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(trained, 'load', lambda path: Listener(0.5 if path == 'one' else 0.99))
  arguments = ['robustness', '--checkpoint=one,other', '--dataset=bassnet_pop_rock/midi', f'--manual_dir={folder}', '--workers=1']
  assert command.main([*arguments, '--songs=1', f'--output={tmp_path}']) == 0
  printed = capsys.readouterr().out
  text = (tmp_path / 'robustness.md').read_text()
  assert text in printed and '1 test pieces of bassnet_pop_rock/midi. ' in text
  assert '| listener, seed 3 (one) | plain |' in text and '| listener, seed 3 (other) | mastered |' in text
  found = json.loads((tmp_path / 'robustness.json').read_text())
  assert (
    len(found['pieces']) == 1
    and found['soundfont'] is None
    and set(found['models']) == {f'listener, seed 3 ({n})' for n in ('one', 'other')}
  )


def test_mistakes_are_said(folder, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(trained, 'load', lambda path: Listener())
  output = f'--output={tmp_path}'
  midi = ['--checkpoint=one', '--dataset=bassnet_pop_rock/midi', f'--manual_dir={folder}', output]
  for arguments, said in (
    ([], 'give --checkpoint=WORKDIR'),
    ([*midi, '--soundfont=nowhere.sf2'], 'nowhere.sf2: no such file'),
    ([*midi, '--split=validation'], "no piece of the split 'validation'"),
    ([*midi, '--split=tast'], 'value should be one of'),
    (
      [*midi[:1], '--dataset=bassnet_pop_rock/stems', f'--manual_dir={folder}', output, f'--soundfont={rendering.default_soundfont()}'],
      'no SoundFont can play',
    ),
  ):
    assert command.main(['robustness', *arguments]) == 2
    assert said in capsys.readouterr().err
