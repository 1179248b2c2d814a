"""Latent positions over time: points, files, and what is wrong with them."""

import json

import numpy as np
import pytest

from bassnet_jax import trajectory
from bassnet_jax.trajectory import TrajectoryError


def test_a_point_holds_for_the_whole_song():
  z = trajectory.parse_position(' 0.5, -1.25').at(100)
  assert z.shape == (100, 2) and z.dtype == np.float32
  assert (z == np.array([0.5, -1.25])).all()
  assert (trajectory.constant((1, 2)).at(3) == np.array([1, 2])).all()


@pytest.mark.parametrize('form', ['csv', 'json'])
def test_linear_between_points_and_held_outside(tmp_path, form):
  points = [(1.0, 0.0, -2.0), (2.0, 1.0, 2.0), (2.5, 1.0, 0.0)]
  path = tmp_path / f'path.{form}'
  if form == 'csv':
    path.write_text('time,x,y\n' + '\n'.join(','.join(map(str, point)) for point in points) + '\n\n')
  else:
    path.write_text(json.dumps([dict(zip(('time', 'x', 'y'), point, strict=True)) for point in points]))
  z = trajectory.read(str(path)).at(4 * 80)
  np.testing.assert_allclose(z[0], (0, -2))
  np.testing.assert_allclose(z[80], (0, -2))
  np.testing.assert_allclose(z[120], (0.5, 0.0), atol=1e-6)
  np.testing.assert_allclose(z[160], (1, 2))
  np.testing.assert_allclose(z[180], (1, 1), atol=1e-6)
  np.testing.assert_allclose(z[319], (1, 0))


def test_rows_read_back(tmp_path):
  given = trajectory.from_points([(0, 1, 2), (3.5, -1, 0.25)])
  path = tmp_path / 'path.json'
  path.write_text(json.dumps(given.rows()))
  again = trajectory.read(str(path))
  np.testing.assert_array_equal(again.time, given.time)
  np.testing.assert_array_equal(again.position, given.position)


@pytest.mark.parametrize(
  ('text', 'says'),
  [
    ('', 'two numbers'),
    ('1', 'two numbers'),
    ('1,2,3', 'two numbers'),
    ('a,b', "x is 'a'"),
    ('1,nan', "y is 'nan'"),
    ('inf,0', "x is 'inf'"),
    ('1,50', 'expected -10 to 10'),
  ],
)
def test_wrong_points(text, says):
  with pytest.raises(TrajectoryError, match=says):
    trajectory.parse_position(text)


@pytest.mark.parametrize(
  ('content', 'says'),
  [
    ('', 'is empty'),
    ('t,x,y\n0,0,0\n', 'header time,x,y'),
    ('0,0,0\n1,1,1\n', 'header time,x,y'),
    ('time,x,y\n', 'no points'),
    ('time,x,y\n0,0\n', 'point 1: 2 values'),
    ('time,x,y\n0,0,0\n0,1,1\n', 'not after the point before'),
    ('time,x,y\n-1,0,0\n', 'expected 0 or later'),
    ('time,x,y\n0,zero,0\n', "x is 'zero'"),
    ('[{"time": 0, "x": 0}]', 'point 1: expected'),
    ('[{"time": 0, "x": null, "y": 0}]', "x is 'None'"),
    ('[{"time": true, "x": 0, "y": 0}]', "time is 'True'"),
    ('[]', 'no points'),
    ('{"time": 0}', 'holds no list'),
    ('[{"time": 0,', 'not valid JSON'),
  ],
)
def test_wrong_files(tmp_path, content, says):
  path = tmp_path / 'path.txt'
  path.write_text(content)
  with pytest.raises(TrajectoryError, match=says):
    trajectory.read(str(path))


def test_files_that_are_none(tmp_path):
  binary = tmp_path / 'song.wav'
  binary.write_bytes(b'RIFF\xff\xfe\x80\x81')
  for path, says in ((binary, 'not a text file'), (tmp_path, 'is a folder'), (tmp_path / 'missing.csv', 'no such')):
    with pytest.raises(TrajectoryError, match=says):
      trajectory.read(str(path))
