"""The fuzzing in small: some inputs for every reader; and each finding of the long runs once, as it was found."""

import io
import json
import os
import shutil
import struct
import zipfile

import numpy as np
import pytest
from campaign import fuzz_targets, fuzzing

from bassnet_jax import checkpoints, description, latent_density, packaged, trained, trajectory
from bassnet_jax import config as configs
from bassnet_jax.evaluation import planes, results
from bassnet_jax.studio import requests
from bassnet_jax.studio.limits import Limits, StudioError
from data_pipeline import extraction, npz_file
from data_pipeline import features as ft
from data_pipeline.song import SkipSong
from data_pipeline.sources import aam, slakh2100

INPUTS = {
  'audio': 25,
  'upload': 25,
  'midi': 30,
  'our_midi': 20,
  'tempo_map': 30,
  'wad': 20,
  'moisesdb': 12,
  'medleydb': 12,
  'aam': 8,
  'slakh2100': 6,
  'slakh2100_values': 8,
  'rhythm_game': 8,
  'trajectory': 40,
  'z': 40,
  'generate_flags': 40,
  'set': 40,
  'weights': 4,
  'checkpoint': 4,
  'latent_density': 10,
  'features': 20,
  'summary': 20,
  'results': 10,
  'results_pictures': 2,
  'studio_project': 15,
  'studio_http': 60,
  'studio_socket': 20,
}
"""Readers and how many inputs; those that take half a second an input get few."""


def test_no_reader_is_left_out():
  assert set(INPUTS) == set(fuzz_targets.TARGETS)


def test_every_flag_of_generate_is_fed():
  from campaign import fuzz_generate

  assert {'input', 'tempo_map', 'strings', 'quantize', 'soundfont', 'overwrite'} < set(fuzz_generate.names()) == set(fuzz_generate._SOUND)


@pytest.mark.parametrize('name', INPUTS)
def test_only_refusals_in_words(name, tmp_path):
  report = fuzzing.explore(fuzz_targets.TARGETS[name], INPUTS[name], 1, tmp_path)
  assert not report.findings, report.findings
  assert report.inputs >= INPUTS[name] // 2 and report.taken + report.refused == report.inputs


def test_the_fuzzing_finds_what_it_looks_for(tmp_path):
  from hypothesis import strategies as st

  outside = tmp_path / 'outside'

  def read(value: int) -> None:
    if value > 100:
      outside.write_text('lost')
    if value < -100:
      raise KeyError(value)
    if value == 0:
      raise ValueError('bad')

  folder = tmp_path / 'inside'
  folder.mkdir()
  reader = fuzzing.Reader(st.integers(-1000, 1000), read, (ValueError,), ('input',))
  report = fuzzing.explore(fuzzing.Target('x', lambda _: reader), 400, 0, folder)
  found = {finding['what'].split(':')[0]: finding['input'] for finding in report.findings}
  assert found == {'outside its folder': '101', 'KeyError': '-101', 'a bare ValueError': '0'}  # shrunk to the smallest


# --- What was found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  'assignment, words',
  [
    ('data.window=0', 'expected 2 to 1024'),
    ('data.batch_size=-4', 'expected 2 to'),
    ('train.learning_rate=nan', 'found nan'),
    ('loss.kl=inf', 'found inf'),
    ('model.latent_size=3', 'expected 2'),
    ('model.hidden=999999999999', 'expected 1 to 8192'),
    ('model.trunk_dilations=1,-8', 'found -8'),
    ('data.datasets=', 'the list is empty'),
    ('train.checkpoint_every=0', 'expected 1 to'),
    ('train.steps=' + '9' * 5000, 'expected a whole number'),
  ],
)
def test_setting_out_of_its_range(assignment, words):
  import experiments

  with pytest.raises(configs.ConfigError, match=words) as caught:
    configs.override(experiments.get('pr_window64'), [assignment])
  assert assignment.split('=')[0] in str(caught.value) and len(str(caught.value)) < 400


def test_every_experiment_is_within_the_limits():
  import experiments

  for name in experiments.names():
    assert configs.from_dict(configs.to_dict(experiments.get(name))) == experiments.get(name)


class Bomb:
  """Writes a file when it is unpickled."""

  def __init__(self, path):
    self.path = str(path)

  def __reduce__(self):
    return open, (self.path, 'w')


def _model(tmp_path) -> str:
  return shutil.copytree(packaged.path(), tmp_path / 'model')


def _pickled(path, fired) -> None:
  """A file of arrays, one of which is a pickle that leaves a trace when it is read."""
  array = np.empty(1, dtype=object)
  array[0] = Bomb(fired)
  with open(path, 'wb') as file:
    np.savez(file, header=array, points=array, kernel=array)


def test_no_pickle_is_ever_read(tmp_path):
  fired = tmp_path / 'fired'
  model = _model(tmp_path)
  files = [model / packaged.WEIGHTS_FILE, tmp_path / 'song.npz', tmp_path / planes.FILE]
  for path in files:
    _pickled(path, fired)
  with np.load(files[1], allow_pickle=True) as stored:  # the bomb works
    stored['header']
  assert fired.exists()
  fired.unlink()
  for read, error in (
    (lambda: trained.load(str(model)), checkpoints.CheckpointError),
    (lambda: checkpoints.load_description(str(model)), checkpoints.CheckpointError),
    (lambda: ft.load(str(files[1])), ft.FeatureFileError),
    (lambda: planes.load(str(files[2])), planes.PlaneError),
  ):
    with pytest.raises(error, match=r'[Oo]bject arrays|damaged'):
      read()
  assert not fired.exists()


def test_a_bare_pickle_is_no_file_of_arrays(tmp_path):
  import pickle

  fired, path = tmp_path / 'fired', tmp_path / 'x.npz'
  path.write_bytes(pickle.dumps(Bomb(fired)))
  with pytest.raises(npz_file.ArrayFileError, match=r'x\.npz'):
    npz_file.read(str(path))
  assert not fired.exists()


def test_file_that_would_fill_the_memory(tmp_path):
  path = tmp_path / 'x.npz'
  np.savez_compressed(path, zeros=np.zeros(100 << 20, np.uint8))
  assert os.path.getsize(path) < 200_000
  with pytest.raises(npz_file.ArrayFileError, match='100 MB packed into'):
    npz_file.read(str(path))


@pytest.mark.parametrize(
  'change, words',
  [
    (lambda d: d.pop('experiment'), 'experiment is missing'),
    (lambda d: d['experiment'].update(data=None), 'data: found None'),
    (lambda d: d['experiment']['model'].update(hidden=10**400), 'found a number|expected 1 to'),
    (lambda d: d['statistics'].update(mix_std=[0.0] * ft.MIX_BINS), 'mix_std is not positive'),
    (lambda d: d['statistics'].update(bass_mean=['x' * 3000] * ft.BASS_BINS), 'bass_mean is not 144 numbers'),
    (lambda d: d.update(licences=[1]), 'licences is of another form'),
    (lambda d: d.update(datasets=[None]), 'datasets holds'),
  ],
)
def test_damaged_description(tmp_path, change, words):
  model = _model(tmp_path)
  path = model / packaged.DESCRIPTION_FILE
  content = json.loads(path.read_text())
  change(content)
  path.write_text(json.dumps(content))
  with pytest.raises(checkpoints.CheckpointError, match=words) as caught:
    checkpoints.load_params(str(model))
  assert str(model) in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
  'text', ['z', 'true', '[]', '{"onset_threshold": "x"}', '{"default_z": [0, NaN]}', '{"onset_threshold": 7}', '[' * 9000]
)
def test_damaged_calibration(tmp_path, text):
  (tmp_path / description.CALIBRATION_FILE).write_text(text)
  with pytest.raises(description.DescriptionError, match=r'calibration\.json') as caught:
    description.read_calibration(str(tmp_path))
  assert 'delete it' in str(caught.value)


def test_weights_of_another_network(tmp_path):
  model = _model(tmp_path)
  arrays = npz_file.read(str(model / packaged.WEIGHTS_FILE))
  name = next(name for name in arrays if arrays[name].ndim == 2)
  with open(model / packaged.WEIGHTS_FILE, 'wb') as file:
    np.savez(file, **(arrays | {name: arrays[name][:-1]}))
  with pytest.raises(checkpoints.CheckpointError, match='do not fit the network'):
    trained.load(str(model)).warm_up()


@pytest.mark.parametrize('counts', [[float('nan')] * 4900, [-1] * 4900, [10**400] * 4900, ['x' * 4000] * 4900, [1e308] * 4900])
def test_damaged_latent_density(tmp_path, counts):
  (tmp_path / latent_density.FILE).write_text(json.dumps({'counts': counts, 'songs': 1, 'frames': 1}))
  with pytest.raises(latent_density.DensityError, match=r'latent_density\.json') as caught:
    latent_density.read(str(tmp_path))
  assert len(str(caught.value)) < 500


@pytest.mark.parametrize('text', ['{}', '[]', '{'])
def test_damaged_summary_under_a_latent_density(tmp_path, text):
  folder = extraction.folder(str(tmp_path), 'bassnet_pop_rock', 'open')
  os.makedirs(folder)
  with open(os.path.join(folder, 'summary.json'), 'w') as file:
    file.write(text)
  with pytest.raises(extraction.SummaryError, match=r'summary\.json is damaged .* Delete it'):
    latent_density._feature_files(configs.Experiment('x'), str(tmp_path), 1)


@pytest.mark.parametrize(
  'program, notes',
  [(33, 33), ('1e+308', 0), (float('inf'), 0), ([1], 0), (True, 0), (-1, 0), (10**400, 0), (None, 0)],
)
def test_strange_programs_of_slakh(tmp_path, program, notes):
  import midi_making

  (tmp_path / 'S00.mid').write_bytes(midi_making.midi_bytes(beats=16))
  stem = {'program_num': program, 'inst_class': 'Piano'}
  assert slakh2100._is_bass(stem) == (program == 33)
  found, _ = slakh2100._notes(str(tmp_path), {'S00': stem})
  assert len(found) > 0 and set(found.program.tolist()) == {notes}


@pytest.mark.parametrize('strings', [[], {}, [{'': None}], 4, None, '6'])
def test_strange_strings_in_a_message_of_the_studio(strings):
  message = {'z': [0.5, -1], 'threshold': 0.25, 'articulation': 0.5, 'playhead': 0.0, 'strings': strings}
  with pytest.raises(StudioError, match='expected one of'):
    requests.parse_line(message, Limits())


@pytest.mark.parametrize('value', [10**400, float('nan'), float('inf'), -1e-9, True, '0.5', None])
def test_strange_numbers_in_a_message_of_the_studio(value):
  message = {'z': [0.5, -1], 'threshold': 0.25, 'articulation': value}
  with pytest.raises(StudioError, match=r'The articulation is .{1,31}; expected 0 to 1'):
    requests.parse_line(message, Limits())


def test_long_text_in_place_of_a_position_is_told_in_short():
  with pytest.raises(trajectory.TrajectoryError, match='expected two numbers') as caught:
    trajectory.parse_position('9' * 5000)
  assert len(str(caught.value)) < 200


@pytest.mark.parametrize('value', ['0.5', 10**400, None])
def test_statistics_of_a_summary_are_numbers(tmp_path, value):
  content = {'version': ft.VERSION, 'source': '', 'songs': {}, 'skipped': {}, 'statistics': {'frames': [1.0]}}
  for name, bins in (('mix', ft.MIX_BINS), ('bass', ft.BASS_BINS)):
    content['statistics'] |= {f'{name}_mean': [1.0] * bins, f'{name}_std': [1.0] * (bins - 1) + [value]}
  (tmp_path / 'summary.json').write_text(json.dumps(content))
  with pytest.raises(extraction.SummaryError, match='hold what is no number'):
    extraction.load_summary(str(tmp_path))


@pytest.mark.parametrize('text', ['{', '[]', '{"version": 1}', '[' * 9000])
def test_damaged_summary_of_a_dataset(tmp_path, text):
  (tmp_path / 'summary.json').write_text(text)
  with pytest.raises(extraction.SummaryError, match=r'summary\.json is damaged .* what is built is kept'):
    extraction.load_summary(str(tmp_path))


@pytest.mark.parametrize(
  'version, words',
  [('', r"damaged \('' is no version"), ('x' * 5000, 'damaged'), ('0.9.0', f'version 0.9.0; this .* {ft.VERSION}')],
)
def test_summary_of_another_version_is_named(tmp_path, version, words):
  content = {'version': version, 'source': '', 'songs': {}, 'skipped': {}, 'statistics': {}}
  content['statistics'] = {'frames': [1.0]} | {
    f'{name}_{kind}': [1.0] * bins for name, bins in (('mix', ft.MIX_BINS), ('bass', ft.BASS_BINS)) for kind in ('mean', 'std')
  }
  (tmp_path / 'summary.json').write_text(json.dumps(content))
  with pytest.raises(extraction.SummaryError, match=words) as caught:
    extraction.load_summary(str(tmp_path))
  assert 'summary.json' in str(caught.value) and len(str(caught.value)) < 500


ARFF = "@ATTRIBUTE 'Onset time in seconds' NUMERIC\n@ATTRIBUTE 'Onset events of Bass' STRING\n"


def test_strange_cells_of_arff_tables(tmp_path):
  beats, onsets = tmp_path / '1_beatinfo.arff', tmp_path / '1_onsets.arff'
  beats.write_text("@ATTRIBUTE 'Start time in seconds' NUMERIC\n2.0,1\n0.5,2\n")  # as in the corpus's first release
  assert aam._beats(str(beats)) is None
  onsets.write_text(ARFF + f"0.0,'[+33,{'9' * 5000}]'\n0.5,'[]'\n")
  assert aam._onset_columns(str(onsets))['Bass'].pitch.tolist() == [33]


@pytest.mark.parametrize(
  'text, words',
  [
    ('', '0 lines with @ATTRIBUTE and 0 that begin with a time; an ARFF table is expected'),
    ('\0' * 400, 'an ARFF table is expected'),
    (ARFF, '2 lines with @ATTRIBUTE and 0 that begin'),
    (ARFF + "4.5-3,'[+33]'\n", "line 3 begins with '4.5-3'; seconds are expected"),
    (ARFF + f"{'9' * 400},'[+33]'\n", 'seconds are expected'),
    (ARFF.replace('Onset events', 'Onxet events') + "0.0,'[+33]'\n", "no column is called 'Onset events of"),
  ],
)
def test_damaged_arff_tables(tmp_path, text, words):
  path = tmp_path / '1_onsets.arff'
  path.write_text(text)
  with pytest.raises(SkipSong, match=words) as caught:
    aam._onset_columns(str(path))
  assert str(caught.value).startswith(f'{path} is damaged: ') and 'Get it anew; or delete it' in str(caught.value)


def test_damaged_notes_of_aam_are_told_by_the_build(tmp_path):
  """They were taken for no notes; now the summary says which file is damaged, and without the file the song is taken as audio alone."""
  import corpora_making
  import midi_making

  corpora_making.aam(tmp_path)
  source = aam.Aam(str(tmp_path), shortest=1.0)
  keys = {key.id: key for key in source.songs()}
  midi, beats = tmp_path / 'midis' / '0002_DoubleBassPizz.mid', tmp_path / 'annotations' / '0001_beatinfo.arff'
  midi.write_bytes(midi.read_bytes()[:-20])
  beats.write_text('nothing')
  for number, path in (('0001', beats), ('0002', midi)):
    outcome = extraction.extract_song(source, keys[number], str(tmp_path))
    assert outcome.skipped.startswith(f'{path} is damaged: ') and not outcome.entry
  beats.unlink()
  midi.unlink()
  aam._index.cache_clear()
  assert source.stems('0001').beats is None and source.stems('0002').notes is None
  silent = tmp_path / 'midis' / '0002_GrandPiano.mid'
  silent.write_bytes(midi_making.midi_bytes(bass=False, drums=False, beats=0))
  assert source.stems('0002').mix_notes is None, 'an instrument that plays nothing is no damage'


@pytest.mark.parametrize(
  'metrics, words',
  [
    ([], 'no table'),
    ({'run': 'x'}, 'run is no table'),
    ({'run': {'preset': '../../x'}}, r'run\.preset'),
    ({'run': {'steps': 'many'}}, r'run\.steps'),
    ({'run': {'settings': [1]}}, r'run\.settings'),
    ({'latent': {'svm': 0.5}}, r'latent\.chance'),
    ({'latent': {'svm': 'x', 'chance': 0.5}}, r'latent\.svm is no number'),
    ({'control': {'matrix': [[1]] * 3}}, r'control\.matrix'),
    ({'plane': {'axis': [0, 1], 'maps': {'diatonic': [[1, 2], [3]]}}}, r'plane\.maps\.diatonic'),
    ({'plane': {'axis': [0, 1], 'maps': {'diatonic': [[1, 2], [3, 4]]}, 'location': {'level': None}}}, r'plane\.maps\.onset_density'),
    ({'pieces': {'ids': 'ab'}}, r'pieces\.ids'),
    ({'pieces': {'ids': ['a'], 'per_piece': {'z_fixed': 1}}}, r'pieces\.per_piece is no table'),
    ({'pieces': {'ids': ['a', 'b'], 'per_piece': {'z_fixed': {'note_pc_f1': [0.1]}}}}, r'z_fixed\.note_pc_f1 is no list of 2 numbers'),
  ],
)
def test_damaged_result(tmp_path, metrics, words):
  from bassnet_jax.evaluation import results_page

  folder = tmp_path / 'results' / 'a1_window64' / '0'
  folder.mkdir(parents=True)
  (folder / results.METRICS_FILE).write_text(json.dumps(metrics))
  with pytest.raises(results.ResultError, match=words) as caught:
    results_page.write(str(tmp_path / 'results'), {})
  assert 'metrics.json' in str(caught.value)
  assert os.listdir(tmp_path) == ['results']


def test_project_whose_compressed_track_is_damaged(tmp_path):
  import studio_model
  from starlette.testclient import TestClient

  settings = {'format': 'bassnet_jax studio project', 'version': 1, 'tracks': [{'file': 'tracks/00', 'name': 'x', 'id': 1}], 'state': {}}
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('project.json', json.dumps(settings))
    archive.writestr('tracks/00', bytes(range(256)) * 40)
  content = bytearray(file.getvalue())
  name = content.index(b'tracks/00') + len(b'tracks/00')
  content[name : name + 8] = struct.pack('<Q', 2**64 - 1)  # no block of Deflate begins so
  with TestClient(studio_model.application(tmp_path), base_url='http://127.0.0.1:8020') as client:
    session = f'/api/sessions/{client.post("/api/sessions").json()["id"]}'
    answer = client.post(f'{session}/project', content=bytes(content))
    assert answer.status_code == 400 and 'damaged' in answer.json()['error']
