"""Figures are written, show something, and survive the data that a short or failed run gives."""

import matplotlib.image
import numpy as np
import pytest

from bassnet_jax.evaluation import plots
from data_pipeline.notes import DRUMS, Notes


def looks_drawn(path):
  """A picture of sensible size that has more than one colour."""
  picture = matplotlib.image.imread(path)
  height, width = picture.shape[:2]
  return 300 <= width <= 4000 and 250 <= height <= 4000 and len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 20


def figures(value):
  names = ('note_pc_f1', 'onset_f1', 'chord_tone_rate')
  row = {name: value for name in names} | {f'{name}_ci95': [max(value - 0.05, 0), min(value + 0.05, 1)] for name in names}
  return row | {'onset_f1_chance': 0.3}


@pytest.mark.parametrize('rungs', [['silence', 'follow_lowest', 'z_fixed', 'control_shifted', 'truth'], ['truth'], ['my_own_rung']])
def test_ladder(tmp_path, rungs):
  path = str(tmp_path / 'ladder.png')
  plots.ladder_bars({rung: figures(0.1 * i) for i, rung in enumerate(rungs)}, path)
  assert looks_drawn(path)


def test_ladder_without_notes_of_the_mix_or_intervals(tmp_path):
  path = str(tmp_path / 'ladder.png')
  plots.ladder_bars({'z_fixed': {'note_pc_f1': 0.4, 'onset_f1': 0.6}, 'truth': {}}, path)
  assert looks_drawn(path)


@pytest.mark.parametrize('count', [0, 1, 3000])
def test_latent_scatter(tmp_path, count):
  rng = np.random.default_rng(0)
  path = str(tmp_path / 'scatter.png')
  plots.latent_scatter(rng.normal(size=(count, 2)), rng.integers(0, 9, count), [f'pattern {i}' for i in range(9)], path)
  assert looks_drawn(path)


@pytest.mark.parametrize('count', [1, 5, 100_000])
def test_latent_density(tmp_path, count):
  path = str(tmp_path / 'density.png')
  plots.latent_density(np.random.default_rng(0).normal(size=(count, 2)), path)
  assert looks_drawn(path)


def test_density_of_a_collapsed_plane_and_of_nothing(tmp_path):
  path = str(tmp_path / 'density.png')
  plots.latent_density(np.zeros((50, 2)), path)
  assert looks_drawn(path)
  with pytest.raises(ValueError, match='there is none'):
    plots.latent_density(np.empty((0, 2)), path)


def test_piano_roll(tmp_path):
  bass = Notes.from_rows([(i / 2, i / 2 + 0.4, 28 + i, 90, 33) for i in range(16)])
  mix = Notes.from_rows([(i, i + 1, 60 + i, 90, 0) for i in range(8)] + [(i / 2, i / 2 + 0.1, 36, 90, DRUMS) for i in range(16)])
  for name, arguments in {
    'all': (bass, mix, bass.transposed(12)),
    'bass_only': (bass, None, None),
    'nothing': (Notes.empty(), Notes.empty(), Notes.empty()),
  }.items():
    path = str(tmp_path / f'{name}.png')
    plots.piano_roll(path, *arguments, 2.0, 8.0)
    assert looks_drawn(path)
  with pytest.raises(ValueError, match='later than the start'):
    plots.piano_roll(path, bass, None, None, 5.0, 5.0)


@pytest.mark.parametrize('count', [2, 8])
def test_confusion(tmp_path, count):
  matrix = np.eye(count) * 10 + 1
  matrix[0] = 0  # a pattern that was never asked for
  path = str(tmp_path / 'confusion.png')
  plots.confusion(matrix, [f'pattern {i}' for i in range(count)], path)
  assert looks_drawn(path)


def test_loss_curves(tmp_path):
  rows = [{'step': i, 'train/loss': 3 / (i + 1), 'kl': 0.1, 'wall_time': 9.0, 'note': 'text', 'ok': True} for i in range(200)]
  rows += [{'step': 100, 'validation/loss': 1.0}, {'step': 150, 'train/loss': float('nan')}]
  path = str(tmp_path / 'loss.png')
  plots.loss_curves(rows, path)
  assert looks_drawn(path)
  plots.loss_curves(rows[:1], path)
  assert looks_drawn(path)
  with pytest.raises(ValueError, match='no curve'):
    plots.loss_curves([{'step': 1, 'wall_time': 2.0}], path)
