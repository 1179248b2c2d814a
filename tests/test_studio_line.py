"""What the studio decodes piece by piece is what the whole song says; and the distribution behind the dot."""

import json

import numpy as np
import pytest
import tiny

from bassnet_jax import config, latent_density, sonification
from bassnet_jax import model as networks
from bassnet_jax.decoding import Prediction
from bassnet_jax.studio import line, maps, requests, song
from bassnet_jax.studio.limits import Limits, StudioError
from bassnet_jax.studio.network import TOGETHER
from bassnet_jax.trained import TrainedModel
from bassnet_jax.trajectory import constant, from_points
from data_pipeline import features
from data_pipeline.notes import Notes

FRAMES = 1500


@pytest.fixture(scope='module')
def model():
  experiment = tiny.experiment()
  params = networks.init_params(experiment.model, experiment.data.window, 0)
  statistics = {name: value.tolist() for name, value in vars(tiny.statistics()).items()}
  return TrainedModel(params, {'experiment': config.to_dict(experiment), 'statistics': statistics}, 0)


@pytest.fixture(scope='module')
def mix():
  return np.random.default_rng(0).gamma(1, 0.5, (FRAMES, features.MIX_BINS)).astype(np.float32)


@pytest.fixture(scope='module')
def code(model, mix):
  return model.encode_mix(mix)


def request_of(position, playhead=0.0, **changes) -> requests.LineRequest:
  return requests.LineRequest(
    1, '0', position, **{'threshold': 0.3, 'articulation': 0.5, 'strings': 'full', 'playhead': playhead} | changes
  )


def song_of(mix, beats=()) -> song.Song:
  return song.Song('key', (), mix, 1.0, 0.0, np.asarray(beats, dtype=np.float64), 120.0, 16_000, FRAMES * 200)


def fields(prediction: Prediction):
  return (prediction.bass, prediction.pitch_logits, prediction.onset, prediction.level)


@pytest.mark.parametrize('start, frames', [(0, 256), (700, 256), (1024, 512), (1400, 256)])
def test_piece_is_that_part_of_the_whole(model, code, start, frames):
  path = from_points([(0, -1, 1), (10, 2, 0), (18, 0, -2)])
  for z in (np.array([0.5, -1.0]), path.at(FRAMES)):
    whole, piece = model.decode(code, z), model.decode_piece(code, z, start, frames)
    assert piece.frames == min(frames, FRAMES - start)
    for ours, theirs in zip(fields(piece), fields(whole), strict=True):
      np.testing.assert_allclose(ours, theirs[start : start + frames], atol=2e-3)
  here, there = (model.decode_piece(code, np.full(2, x), 0, 256).pitch_logits for x in (0.0, 2.0))
  assert np.abs(here - there).max() > 0.01


def test_steps_cover_the_song_once_from_the_playhead_on(model, code, mix):
  whole = song_of(mix)
  for playhead in (0.0, 9.0, 1e6):
    starts = line.steps(whole, playhead)
    assert sorted(starts) == list(range(0, FRAMES, line.CHUNK))
    assert starts[0] == min(int(playhead * 80) // line.CHUNK, len(starts) - 1) * line.CHUNK
  joined = line.joined({start: model.decode_piece(code, np.zeros(2), start, line.CHUNK) for start in starts})
  assert joined.frames == FRAMES


def prediction_of(rows, frames=FRAMES) -> Prediction:
  """A clean prediction of notes (onset, offset, pitch)."""
  classes, _ = features.frame_targets(Notes.from_rows([(*row, 90, 33) for row in rows]), frames)
  onset = np.zeros(frames, np.float32)
  onset[[round(row[0] * 80) for row in rows]] = 0.9
  logits = np.zeros((frames, features.PITCHES + 1), np.float32)
  logits[np.arange(frames), classes] = 8
  bass = np.full((frames, features.BASS_BINS), 0.2, np.float32)
  return Prediction(bass, logits, onset, np.full(frames, 0.7, np.float32))


class Fixed:
  """A model whose prediction is given."""

  def __init__(self, prediction):
    self._prediction = prediction

  def decode_piece(self, code, z, start, frames):
    return Prediction(*(part[start : start + frames] for part in fields(self._prediction)))


def near(model, song, request) -> bytes:
  item = (None, song, request)
  return line.near(line.decode_near(model, [item])[0], item)


def test_pieces_of_several_pages_are_what_each_gets_alone(model, code, mix):
  asked = [(code, np.full(2, 0.5 * i), 64 * i) for i in range(3)]
  for (_, z, start), together in zip(asked, model.decode_pieces(asked, 256, 4), strict=True):
    for ours, theirs in zip(fields(together), fields(model.decode_piece(code, z, start, 256)), strict=True):
      np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_where_many_wait_each_gets_less_at_a_time(model, code, mix):
  """The notes of a brief piece are those of a long one that begin within it; each says how far it reaches."""
  whole, asked = song_of(mix), request_of(constant((0.5, -0.5)), 5.0, threshold=0.05)
  items = [(code, whole, asked)] * (TOGETHER + 1)
  (few, *_), (many, *_) = (line.decode_near(model, items[:count]) for count in (TOGETHER, TOGETHER + 1))
  assert (few[1], many[1]) == (line.NEAR, line.BRIEF)
  (long, _), (brief, _) = (line.unpack(line.near(piece, items[0])) for piece in (few, many))
  assert brief['span'][0] == long['span'][0] and brief['span'][1] - brief['span'][0] == pytest.approx(0.65, abs=0.05)
  begin_within = [note[:1] + note[2:3] for note in long['notes'] if note[0] < brief['span'][1]]
  assert begin_within == [note[:1] + note[2:3] for note in brief['notes']] and begin_within


def test_note_that_sounds_goes_on_to_its_end_or_the_next_onset(mix):
  rows = [(1.0, 1.5, 30), (2.0, 3.0, 31), (3.0, 3.2, 33), (5.0, 9.0, 35)]
  model, whole = Fixed(prediction_of(rows)), song_of(mix)
  for playhead, hold in ((1.25, 1.5), (1.75, 1.75), (2.5, 3.0), (3.1, 3.2), (0.5, 0.5)):
    header, _ = line.unpack(near(model, whole, request_of(constant((0, 0)), playhead)))
    assert header['hold'] == pytest.approx(hold, abs=0.02), playhead
  header, codes = line.unpack(near(model, whole, request_of(constant((0, 0)), 4.5)))
  assert [note[2] for note in header['notes']] == [35] and header['notes'][0][-1] == 1  # its end lies beyond the piece
  assert len(codes) == sonification.HARMONICS * sum(note[6] for note in header['notes'])
  header, _ = line.unpack(near(model, whole, request_of(constant((0, 0)), 1.9)))
  assert [(note[2], note[-1]) for note in header['notes']] == [(31, 0), (33, 0)]


def test_tables_are_what_the_wav_is_made_of(mix):
  prediction, whole = prediction_of([(1.0, 1.5, 30), (2.0, 3.0, 31)]), song_of(mix)
  made, message = line.whole(prediction, whole, request_of(constant((0, 0))))
  header, codes = line.unpack(message)
  note = header['notes'][1]
  table = line.code_amplitudes(codes.reshape(-1, sonification.HARMONICS))[-note[6] :]
  voice = sonification.voice(made.notes, prediction, 48_000 * 19, 48_000)
  expected = voice.amplitudes(1, np.arange(note[5], note[5] + note[6]))
  audible = expected > 1e-3
  assert audible.any() and note[4] == pytest.approx(voice.frequency(1), abs=1e-3)
  np.testing.assert_allclose(20 * np.log10(table[audible] / expected[audible]), 0, atol=0.25)


def test_measures_of_a_line_that_is_known(mix):
  beats = np.arange(0, 18, 0.5)
  whole = song_of(mix, beats)
  c_major = np.isin(np.arange(12), [0, 2, 4, 5, 7, 9, 11])
  on = Notes.from_rows([(t, t + 0.2, 36, 90, 33) for t in (0.0, 0.5, 1.0, 1.5)])
  off = Notes.from_rows([(t + 0.25, t + 0.45, pitch, 90, 33) for t, pitch in ((0.0, 36), (0.5, 37), (1.0, 48), (1.5, 37))])
  assert maps.measures(on, 80, 160, whole, c_major) == pytest.approx(
    {'density': 2.0, 'register': 36.0, 'diatonic': 1.0, 'syncopation': 0.0}
  )
  found = maps.measures(off, 80, 160, whole, c_major)
  assert found == {'density': 2.0, 'register': pytest.approx(39.5), 'diatonic': pytest.approx(0.5), 'syncopation': 1.0}
  assert maps.measures(on, 0, 160, song_of(mix), c_major)['syncopation'] is None
  assert sorted(maps.order()) == [(row, column) for row in range(maps.SIZE) for column in range(maps.SIZE)]


def test_key_of_the_mix_is_found():
  mix = np.full((800, features.MIX_BINS), 0.01, np.float32)
  for pitch in (50, 52, 54, 55, 57, 59, 61, 62):  # D major
    mix[:, 2 * (pitch - features.LOWEST_BIN_PITCH)] = 1.0
  assert set(np.flatnonzero(maps.collection(song_of(mix), 0))) == {2, 4, 6, 7, 9, 11, 1}


def test_density_is_read_where_it_lies_and_is_the_prior_elsewhere(tmp_path):
  prior = latent_density.read(str(tmp_path))
  assert prior.source == 'prior'
  cells = np.asarray(prior.describe()['cells']).reshape(latent_density.CELLS, -1)
  assert cells.max() == 255 and cells[0, 0] < 5
  # The contour that holds half of N(0, I) has the radius sqrt(2 ln 2).
  assert prior.levels[1] == pytest.approx(0.5, abs=0.03)
  points = np.random.default_rng(0).normal((1.5, -2.0), 0.2, (5000, 2))
  latent_density.write(str(tmp_path), latent_density.histogram(points), songs=3)
  density = latent_density.read(str(tmp_path))
  row, column = np.unravel_index(np.argmax(density.cells), density.cells.shape)
  centre = (np.array([column, row]) + 0.5) / latent_density.CELLS * 2 * latent_density.REACH - latent_density.REACH
  np.testing.assert_allclose(centre, (1.5, -2.0), atol=0.15)
  assert density.source == 'training' and '3 training songs' in density.note
  for damage in ('{', json.dumps({'counts': [1]}), json.dumps({'counts': [0] * 4900, 'songs': 1, 'frames': 0})):
    (tmp_path / latent_density.FILE).write_text(damage)
    with pytest.raises(latent_density.DensityError, match='Make it again'):
      latent_density.read(str(tmp_path))


def test_mixer_is_checked():
  for value in (
    None,
    [],
    [{'id': 1}],
    'all',
    [{'id': 0, 'gain': 9}],
    [{'id': 0, 'gain': float('nan')}],
    [{'id': 0}, {'id': 0}],
    [{'id': 0, 'mute': True}],
  ):
    with pytest.raises(StudioError):
      song.parse_channels(value, {0: None})
  assert song.parse_channels([{'id': 0, 'gain': 0.5}], {0: None}) == (song.Channel(0, 0.5),)


def test_long_path_is_refused():
  with pytest.raises(StudioError, match='at most 3'):
    requests.parse_position({'path': [[t, 0, 0] for t in range(4)]}, Limits(path_points=3))
