"""The page of examples: choice of fragments, files, and the naming of failures."""

import dataclasses
import json
import os

import mido
import numpy as np
import pytest
import soundfile

from bassnet_jax import examples
from bassnet_jax.decoding import Prediction
from bassnet_jax.evaluation import failures
from data_pipeline import features as ft
from data_pipeline.notes import DRUMS, Notes
from data_pipeline.song import SkipSong, Song, SongKey

SAMPLES = 40 * ft.SAMPLE_RATE


def song_of(name: str, split: str = 'test', every: float = 0.5, skip: bool = False) -> Song:
  """40 s of a C major chord as sines; its bass plays C from 20 s on, a note every `every` seconds."""
  time = np.arange(SAMPLES) / ft.SAMPLE_RATE
  mix = sum(np.sin(2 * np.pi * f * time) for f in (261.6, 329.6, 392.0)).astype(np.float32) * 0.1
  bass = Notes.from_rows([(t, t + 0.8 * every, 36, 90, 33) for t in np.arange(20, 40, every)])
  chord = [(0, 40, pitch, 80, 0) for pitch in (60, 64, 67)]
  hats = [(t, t + 0.1, 42, 80, DRUMS) for t in np.arange(0, 40, every)]
  key = SongKey(name, split)
  return Song(key, mix, 0.1 * mix, 'CC0-1.0', 'nobody', notes=bass, mix_notes=Notes.from_rows(chord + hats), beats=np.arange(0, 40, 0.5))


class Source:
  def __init__(self, songs, skipped=()):
    self.all, self.skipped = {song.key.id: song for song in songs}, skipped

  def songs(self):
    return [song.key for song in self.all.values()]

  def load(self, key):
    if key.id in self.skipped:
      raise SkipSong('no bass part')
    return self.all[key.id]


SOURCE = Source([song_of(f'piece{i}', every=every) for i, every in enumerate((0.25, 0.26, 0.5, 1.0))] + [song_of('seen', 'train')])


class Model:
  """Right half of the plane: eighths on C; left half: nothing; below, on C sharp."""

  onset_threshold = 0.3
  default_z = (1.0, 0.5)
  describe = {'experiment': {'name': 'made_up'}, 'step': 7, 'commit': 'abc'}

  def encode_mix(self, mix):
    return len(mix)

  def decode(self, frames, z):
    z = np.broadcast_to(z, (frames, 2))
    onsets = [t for t in range(0, frames - 20, 20) if z[t, 0] >= 0]
    rows = [(t / 80, (t + 16) / 80, 36 + (z[t, 1] < 0), 90, 33) for t in onsets]
    classes, onset = ft.frame_targets(Notes.from_rows(rows), frames)
    logits = 20 * np.eye(ft.PITCHES + 1, dtype=np.float32)[classes]
    bass = np.full((frames, ft.BASS_BINS), 0.5, np.float32)
    return Prediction(bass, logits, 0.9 * onset.astype(np.float32), np.full(frames, 0.7, np.float32))


def test_a_fragment_is_where_the_bass_plays():
  fragment = examples.fragment_of(song_of('x'))
  assert 20 <= fragment.start <= 25 and fragment.seconds == examples.SECONDS
  assert len(fragment.notes) == 30 and fragment.notes.onset[0] == 0
  # The chord began long before and sounds on.
  chord = fragment.mix_notes.pitched
  assert chord.pitch.tolist() == [60, 64, 67] and chord.onset.tolist() == [0] * 3 and chord.offset.tolist() == [15] * 3
  assert examples.fragment_of(dataclasses.replace(song_of('x'), mix_notes=None)) is None
  assert examples.fragment_of(dataclasses.replace(song_of('x'), notes=Notes.empty())) is None


def test_pieces_that_differ_most_are_chosen():
  assert [fragment.song for fragment in examples.choose(SOURCE)][-2:] == ['piece2', 'piece3']
  assert [fragment.song for fragment in examples.choose(SOURCE, ('piece1',))] == ['piece1']
  styles = np.array([[0.0, 0], [0.1, 0], [5, 0], [5, 4.0], [5.1, 4]])
  assert examples.most_different(styles, 3) in ([0, 2, 4], [0, 2, 3])
  assert examples.most_different(styles[:2], 3) == [0, 1] and examples.most_different(styles[:1], 3) == [0]


def test_refusals():
  with pytest.raises(examples.ExamplesError, match='seen not among the test pieces; there are piece0'):
    examples.choose(SOURCE, ('seen',))
  with pytest.raises(examples.ExamplesError, match='2 test pieces can be used'):
    examples.choose(Source(list(SOURCE.all.values()), skipped=('piece0', 'piece1')))


def test_positions_are_six_and_a_path():
  places = examples.positions((1.0, 0.5))
  assert len(places) == 7
  path = places['path'][1].at(int(examples.SECONDS * ft.FRAME_RATE))
  assert path[0] == pytest.approx(examples.CORNERS[0]) and path[-1] == pytest.approx(examples.CORNERS[0], abs=0.02)
  assert np.abs(path).max() == pytest.approx(2)


def test_the_page_with_all_its_files(tmp_path):
  folder = str(tmp_path / 'examples')
  found = examples.write(Model(), examples.choose(SOURCE), folder, 'python -m bassnet_jax.examples')
  assert [item['piece'] for item in found['fragments']] == [name for name in sorted(os.listdir(folder)) if name.startswith('piece')]
  with open(os.path.join(folder, 'examples.json')) as file:
    assert json.load(file) == found
  with open(os.path.join(folder, 'index.html')) as file:
    page = file.read()
  for item in found['fragments']:
    place = os.path.join(folder, item['piece'])
    for name in ('mix', 'true_bass', *item['renditions']):
      audio, rate = soundfile.read(os.path.join(place, f'{name}.ogg'))
      assert rate == ft.SAMPLE_RATE and abs(len(audio) / rate - examples.SECONDS) < 0.1 and np.abs(audio).max() > 0.05
      assert f'src="{item["piece"]}/{name}.ogg"' in page
    for name, figures in item['renditions'].items():
      notes = [m for m in mido.MidiFile(os.path.join(place, f'{name}.mid')) if m.type == 'note_on' and m.velocity]
      assert len(notes) == figures['notes'] and os.path.getsize(os.path.join(place, f'{name}.png')) > 5000
    right, left, low = (item['renditions'][name] for name in ('upper_right', 'upper_left', 'lower_right'))
    assert right['diatonic'] == 1 and low['diatonic'] == 0 and left['notes'] == 0
    assert any('out of key' in text for text in low['wrong'])
    assert [text for text in left['wrong'] if text.startswith('hardly plays: 0 notes')]
    assert any(text == 'chosen and origin give the same line (agreement 1.00)' for text in item['wrong'])
    # The path passes all four quarters: it plays for half of the time.
    assert item['renditions']['path']['notes'] == pytest.approx(right['notes'] / 2, abs=2)
  assert 'All that fails, as measured' in page and 'hardly plays: 0 notes' in page
  assert not [name for _, _, names in os.walk(folder) for name in names if name.endswith('.tmp')]


def figures_of(**changes) -> failures.Figures:
  good = failures.Figures(
    notes=30, density=2.0, register=38.0, note_pc_f1=0.9, onset_f1=0.9, onset_f1_chance=0.3, diatonic=1.0, chord_tones=0.9
  )
  return dataclasses.replace(good, **changes)


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({}, []),
    ({'notes': 2}, ['hardly plays: 2 notes, the true bass 30']),
    ({'onset_f1': 0.34}, ['its onsets are placed no better than by chance: F1 0.34, chance 0.30']),
    ({'diatonic': 0.7}, ['plays out of key: 0.70 of its duration is diatonic, of the true bass 1.00']),
    ({'chord_tones': 0.5}, ['misses the harmony: 0.50 on notes of the mix, the true bass 0.90']),
    ({'density': 0.5}, ['sparse: 0.5 notes a second, the true bass 2.0']),
    ({'density': 4.5}, ['too dense: 4.5 notes a second, the true bass 2.0']),
  ],
)
def test_failures_by_rule(changes, said):
  assert failures.of_line(figures_of(**changes), figures_of()) == said


def test_positions_with_one_line_are_named():
  line = examples.fragment_of(song_of('x')).notes
  assert failures.of_positions(['a', 'b', 'c'], [line, line.transposed(1), line]) == ['a and c give the same line (agreement 1.00)']
  assert failures.of_positions(['a', 'b'], [Notes.empty(), Notes.empty()]) == []
