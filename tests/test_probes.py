"""The two probes of why a pattern isn't learned: the decoder alone, and both halves with labels."""

import types

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import labelled_probe, packaged, plane_probe
from bassnet_jax import model as networks
from bassnet_jax.decoding import Prediction
from bassnet_jax.inputs import resident
from data_pipeline import extraction
from data_pipeline import features as ft
from data_pipeline.notes import Notes

FRAMES = 160
LOW = Notes.from_rows([(0.1, 0.5, 40, 90, 33), (1.0, 1.5, 43, 90, 33)])
HIGH = LOW.transposed(7)


def prediction(line: Notes, certainty: float) -> Prediction:
  """What a network would say that is so sure of a line."""
  classes, onset = ft.frame_targets(line, FRAMES)
  logits = np.zeros((FRAMES, ft.PITCHES + 1), np.float32)
  logits[np.arange(FRAMES), classes] = certainty
  return Prediction(np.zeros((FRAMES, ft.BASS_BINS), np.float32), logits, 0.9 * onset + 0.05, np.full(FRAMES, 0.5, np.float32))


class TwoPlaces:
  """Plays the low line where x is positive, and the high one elsewhere, the surer the further from the middle."""

  def decode(self, code, z):
    return prediction(LOW if z[0] > 0 else HIGH, 5 * abs(z[0]))


def test_the_line_that_is_played_is_the_least_surprising():
  said = prediction(LOW, 5.0)
  own, other = plane_probe.surprise(said, LOW, FRAMES), plane_probe.surprise(said, HIGH, FRAMES)
  assert own < 0.5 < other
  late = Notes.from_rows(
    [(onset + 0.1, offset, pitch, velocity, program) for onset, offset, pitch, velocity, program in LOW.rows().tolist()]
  )
  assert own < plane_probe.surprise(said, late, FRAMES)


def test_every_pattern_is_found_where_the_decoder_plays_it():
  song = types.SimpleNamespace(code=None, features=types.SimpleNamespace(patterns=(LOW, HIGH), frames=FRAMES))
  axis = np.linspace(-1, 1, 5)
  costs = plane_probe.surprises(TwoPlaces(), [song, song], axis)
  assert costs.shape == (2, 2, 5, 5)
  np.testing.assert_array_equal(plane_probe.best_places(costs, axis)[:, 0], [1, -1])


def test_every_value_of_every_aspect_is_a_dimension():
  corners = labelled_probe.corners(np.array([[0, 0], [0, 1], [1, 2]]))
  np.testing.assert_array_equal(corners, [[1, -1, 1, -1, -1], [1, -1, -1, 1, -1], [-1, 1, -1, -1, 1]])


def test_aspects_are_the_parts_of_a_name():
  names = ['root, piano, kick', 'root, guitar, kick', 'fifth, piano, off-beat']
  np.testing.assert_array_equal(labelled_probe.aspects(names), [[0, 0, 0], [0, 1, 0], [1, 0, 1]])
  np.testing.assert_array_equal(labelled_probe.aspects(['root', 'third']), [[0], [1]])


def test_groups_are_windows_of_one_song_with_its_pattern(coordinates_dir):
  folder = extraction.folder(coordinates_dir, 'bassnet_artificial', 'a1')
  summary = extraction.load_summary(folder)
  paths = [extraction.song_path(folder, song) for song in summary.songs]
  numbers = np.array([list(tiny.LENGTHS).index(song) + 1 for song in summary.songs])  # every frame of a song says its own
  experiment = tiny.experiment(data={'window': 64, 'batch_size': 64})
  batch, drawn = labelled_probe.draw(resident.load(paths), 10 * numbers, jax.random.key(0), experiment)
  context = (batch.mix.shape[2] - 64) // 2
  said = np.asarray(batch.mix[:, :, context : context + 64, 0]).astype(int)
  valid = np.asarray(batch.valid)
  assert (said == np.asarray(drawn)[:, None, None] // 10)[valid].all()
  assert len(set(np.asarray(drawn).tolist())) > 1


def test_the_labelled_probe_tells_the_share_that_is_read_right_of_each_aspect(data_dir, capsys):
  small = ['model.pitch_channels=4', 'model.hidden=16', 'data.batch_size=8', 'train.warmup_steps=2']
  flags = ['--experiment=a1_window64', f'--data_dir={data_dir}', '--steps=4', '--every=2', *(f'--set={change}' for change in small)]
  assert labelled_probe.main(['probe', *flags, '--splits=validation,test_timbre']) == 0
  head, *rows = capsys.readouterr().out.splitlines()
  assert 'root or third or fifth' in head
  assert [tuple(row.split()[1:3]) for row in rows] == [(step, f'{split}:') for step in '24' for split in ('validation', 'test_timbre')]
  assert all(0 <= float(share) <= 1 for row in rows for share in (row.split()[4], row.split()[7]))


def test_features_of_the_mix_that_are_given_stay_as_they_are(coordinates_dir):
  folder = extraction.folder(coordinates_dir, 'bassnet_artificial', 'a1')
  data = resident.load([extraction.song_path(folder, song) for song in extraction.load_summary(folder).songs])
  experiment = tiny.experiment(data={'window': 64, 'batch_size': 4})
  given = jax.tree.map(np.asarray, networks.init_params(experiment.model, 64, 7)['params']['mix_encoder'])
  probe = labelled_probe.Probe(experiment, tiny.statistics(), np.array([[0], [1]]), 4, 0, mix_encoder=given)
  before = jax.tree.map(np.asarray, probe.params['params'])
  for number in range(2):
    probe.step(number, data, np.arange(len(data.frames)) % 2)
  after = probe.params['params']
  assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(after['mix_encoder']), strict=True))
  for part in ('latent_encoder', 'decoder'):
    assert any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(before[part]), jax.tree.leaves(after[part]), strict=True))


@pytest.mark.parametrize(
  ('main', 'flags', 'words'),
  [
    (labelled_probe.main, ['--experiment=pr_window64'], 'expected one on an artificial set'),
    (labelled_probe.main, ['--steps=0'], 'steps'),
    (labelled_probe.main, ['--experiment=a1_window64', '--splits=tset', '--data_dir=DATA'], "no songs in 'tset'; it has test, test_timbre"),
    (
      labelled_probe.main,
      ['--experiment=a1_window64', '--set=model.hidden=32', f'--checkpoint={packaged.path()}', '--data_dir=DATA'],
      'expected the network of --experiment=a1_window64',
    ),
    (plane_probe.main, [], '--checkpoint'),
    (plane_probe.main, ['--checkpoint=nowhere'], 'nowhere'),
  ],
)
def test_refusals(main, flags, words, data_dir, capsys):
  assert main(['probe', *(flag.replace('DATA', data_dir) for flag in flags)]) == 2
  assert words in capsys.readouterr().err
