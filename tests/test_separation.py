"""The harmonic and the percussive part of a mix, and the datasets made of them."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest

import experiments
from bassnet_jax import hearing
from data_pipeline import catalogue, separation
from data_pipeline.notes import DRUMS, Notes
from data_pipeline.song import Song, SongKey

RATE = 16_000


def chord(seconds: float) -> np.ndarray:
  t = np.arange(int(seconds * RATE)) / RATE
  return sum(0.1 * np.sin(2 * np.pi * hertz * t) for hertz in (220.0, 277.2, 329.6)).astype(np.float32)


def hits(seconds: float) -> np.ndarray:
  t = np.arange(int(seconds * RATE)) / RATE
  noise = np.random.default_rng(0).normal(size=len(t))
  return (0.4 * noise * np.exp(-150 * (t % 0.5))).astype(np.float32)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
  return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


def test_what_lasts_and_what_is_struck_come_apart():
  mix = chord(4) + hits(4)
  harm, perc = (separation.separate(mix, part) for part in separation.PARTS)
  inner = slice(RATE // 4, -RATE // 4)
  assert likeness(harm[inner], chord(4)[inner]) > 0.97 > 0.5 > abs(likeness(harm[inner], hits(4)[inner]))
  assert likeness(perc[inner], hits(4)[inner]) > 0.9 > 0.3 > abs(likeness(perc[inner], chord(4)[inner]))
  np.testing.assert_allclose(harm + perc, mix, atol=1e-4)


def test_blocks_leave_no_seam(monkeypatch):
  mix = chord(6) + hits(6)
  whole = separation.separate(mix, 'perc')
  monkeypatch.setattr(separation, '_BLOCK', 2 * RATE)
  monkeypatch.setattr(separation, '_OVERLAP', RATE // 256 * 256)
  pieces = separation.separate(mix, 'perc')
  assert len(pieces) == len(mix)
  assert np.abs(pieces - whole).max() < 0.02


@dataclasses.dataclass(frozen=True)
class OneSong:
  def songs(self):
    return [SongKey('song', 'train')]

  def load(self, key):
    notes = Notes.from_rows([(0.0, 1.0, 60, 90, 0), (0.5, 0.6, 36, 90, DRUMS)])
    return Song(key, chord(2) + hits(2), chord(2), 'CC0-1.0', 'nobody', mix_notes=notes)


@pytest.mark.parametrize(('part', 'program'), [('harm', 0), ('perc', DRUMS)])
def test_a_separated_source_changes_the_mix_alone(part, program):
  source = separation.Separated(OneSong(), part)
  (key,) = source.songs()
  song, original = source.load(key), OneSong().load(key)
  np.testing.assert_array_equal(song.bass, original.bass)
  np.testing.assert_array_equal(song.mix, separation.separate(original.mix, part))
  assert song.mix_notes.program.tolist() == [program]
  assert 'OneSong' in repr(source) and part in repr(source)  # another source, another dataset


@pytest.mark.parametrize('part', separation.PARTS)
def test_datasets_and_experiments_of_a_part(part):
  source = catalogue.source(f'bassnet_pop_rock/open_{part}')
  assert source.part == part and source.songs() == catalogue.source('bassnet_pop_rock/open').songs()
  experiment = experiments.get(f'pr_{part}_window512')
  assert experiment.data.datasets == (f'bassnet_pop_rock/open_{part}',) and experiment.data.window == 512
  assert separation.part_of(experiment.data.datasets) == part
  assert separation.part_of(('bassnet_pop_rock/open',)) is None


def test_a_model_of_a_part_is_not_measured_on_other_mixes():
  separation.check_same_part(('bassnet_pop_rock/open_harm',), 'bassnet_pop_rock/open_harm')
  separation.check_same_part(('bassnet_pop_rock/open', 'bassnet_pop_rock/freedoom'), 'bassnet_pop_rock/freedoom')
  with pytest.raises(ValueError, match='trained on the harmonic part of mixes, and the mixes of bassnet_pop_rock/freedoom are whole mixes'):
    separation.check_same_part(('bassnet_pop_rock/open_harm',), 'bassnet_pop_rock/freedoom')
  with pytest.raises(ValueError, match='trained on whole mixes'):
    separation.check_same_part((), 'bassnet_pop_rock/open_perc')


def test_a_model_of_a_part_is_given_that_part():
  mix = chord(2) + hits(2)
  for name, expected in (('open_perc', separation.separate(mix, 'perc')), ('open', mix)):
    model = types.SimpleNamespace(describe={'datasets': [f'bassnet_pop_rock/{name}']})
    np.testing.assert_array_equal(hearing.heard(hearing.part_heard(model), mix), expected)
