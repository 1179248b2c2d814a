"""What the fuzzing feeds: every reader of a file or a flag, its real inputs, and the error with which it may refuse."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import pathlib
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
import soundfile
import yaml
from hypothesis import strategies as st

from . import mutations
from .fuzzing import Reader, Target

_ROOT = pathlib.Path(__file__).resolve().parents[2]


# --- Audio ------------------------------------------------------------------------------------------------------------


@functools.cache
def audio_seeds() -> tuple[bytes, ...]:
  """A fifth of a second in every format that is read."""
  rate = 16_000
  wave = (0.3 * np.sin(np.arange(rate // 5) * 0.1)).astype(np.float32)
  stereo = np.stack([wave, wave[::-1]], axis=1)
  forms = (
    *(('WAV', 'PCM_16', wave), ('WAV', 'FLOAT', stereo), ('WAV', 'PCM_24', wave), ('WAVEX', 'PCM_16', stereo), ('RF64', 'PCM_16', wave)),
    *(
      ('FLAC', 'PCM_16', stereo),
      ('OGG', 'VORBIS', wave),
      ('OGG', 'OPUS', wave),
      ('MP3', 'MPEG_LAYER_III', wave),
      ('AIFF', 'PCM_16', stereo),
    ),
  )
  files = []
  for kind, subtype, samples in forms:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    files.append(file.getvalue())
  return tuple(files)


def _audio(folder: pathlib.Path) -> Reader:
  from data_pipeline import audio

  paths = [folder / f'input{suffix}' for suffix in ('.wav', '.mp3', '.flac')]

  def read(value: tuple[bytes, int]) -> None:
    path = paths[value[1]]
    path.write_bytes(value[0])
    for work in (audio.info, lambda p: audio.load(p, longest=600), lambda p: audio.load_native(p, longest=600)):
      work(path)
    audio.check_usable(audio.load(path, longest=600), path, 0.1)

  return Reader(st.tuples(mutations.damaged(audio_seeds()), st.integers(0, 2)), read, (audio.AudioError,), ('input.',))


def _upload(folder: pathlib.Path) -> Reader:
  from bassnet_jax.studio import decode_worker

  class Refused(Exception):
    pass

  def read(value: bytes) -> None:
    (folder / 'source').write_bytes(value)
    result = decode_worker.decode(str(folder / 'source'), str(folder), 60.0, 3_000_000)
    if 'error' in result:
      if str(folder) in result['error']:
        raise AssertionError(f'the message shows where files lie: {result["error"]}')
      raise Refused(result['error'])

  return Reader(mutations.damaged(audio_seeds()), read, (Refused,))


# --- MIDI and WAD -----------------------------------------------------------------------------------------------------


@functools.cache
def midi_seeds() -> tuple[bytes, ...]:
  import midi_making

  return (
    midi_making.midi_bytes(beats=16),
    midi_making.midi_bytes(beats=16, tempo_track=2, second_bass=True, bank=True),
    midi_making.midi_bytes(beats=4, drums=False),
  )


def _midi(folder: pathlib.Path) -> Reader:
  from data_pipeline import midi_file
  from data_pipeline.song import SkipSong

  rule = midi_file.BassRule(fewest_bass=2, fewest_drums=0, fewest_others=2)

  def read(value: bytes) -> None:
    (folder / 'song.mid').write_bytes(value)
    midi_file.split_bass(midi_file.read_piece(folder / 'song.mid'), rule)

  return Reader(mutations.damaged(midi_seeds()), read, (SkipSong,))


def _our_midi(folder: pathlib.Path) -> Reader:
  from bassnet_jax import midi_export, tempo
  from data_pipeline.notes import Notes

  notes = Notes.from_rows([(0.5 * i, 0.5 * i + 0.4, 40 + i % 5, 90, 33) for i in range(8)])
  midi_export.write(str(folder / 'seed.mid'), notes, beats=np.arange(0, 5, 0.5))
  seed = (folder / 'seed.mid').read_bytes()

  def read(value: bytes) -> None:
    (folder / 'bass.mid').write_bytes(value)
    midi_export.read_notes(str(folder / 'bass.mid'))

  return Reader(mutations.damaged((seed, *midi_seeds())), read, (tempo.TempoError,), ('bass.mid',))


def wad(lumps: Sequence[tuple[bytes, bytes]]) -> bytes:
  """A WAD of (name, content)."""
  content, directory = b'', b''
  for name, data in lumps:
    directory += struct.pack('<ii8s', 12 + len(content), len(data), name)
    content += data
  return struct.pack('<4sii', b'IWAD', len(lumps), 12 + len(content)) + content + directory


def _wad(folder: pathlib.Path) -> Reader:
  from data_pipeline.sources import freedoom

  first, second, third = midi_seeds()
  (folder / 'freedoom2.wad').write_bytes(wad([(b'D_RUNNIN', third)]))
  seeds = [wad([(b'D_E1M1', first), (b'PLAYPAL', b'x' * 64), (b'D_E1M2', second)]), wad([(b'MAP01', b''), (b'D_INTRO', third)])]

  def read(value: bytes) -> None:
    (folder / 'freedoom1.wad').write_bytes(value)
    freedoom.Freedoom(str(folder)).songs()

  return Reader(mutations.damaged(seeds), read, (freedoom.WadError,), ('freedoom1.wad',))


# --- Corpora of stems -------------------------------------------------------------------------------------------------


def _corpus(make: str, kind: Callable, files: Sequence[str], caches: Sequence[Callable] = (), edit: bool = False) -> Callable:
  """A corpus made by `corpora_making`, one of whose describing files is replaced by damaged ones.

  Args:
    make: of `corpora_making`.
    kind: gives the source of a folder.
    files: patterns of the files that are damaged.
    caches: functions that remember what was read.
    edit: also give well-formed JSON (a YAML file holds it as well) with strange values.
  """

  def prepare(folder: pathlib.Path) -> Reader:
    import corpora_making

    from data_pipeline.song import SkipSong

    root = folder / 'corpus'
    root.mkdir()
    getattr(corpora_making, make)(root)
    paths = sorted(path for pattern in files for path in root.rglob(pattern))
    contents = tuple(path.read_bytes() for path in paths)
    inputs = [st.tuples(st.just(i), mutations.damaged((content, *contents))) for i, content in enumerate(contents)]
    if edit:
      values = [mutations.edited([yaml.safe_load(content)]).map(lambda v: json.dumps(v).encode()) for content in contents]
      inputs += [st.tuples(st.just(i), value) for i, value in enumerate(values)]

    def refusals() -> dict[str, SkipSong]:
      for cache in caches:
        cache.cache_clear()
      source = kind(str(root))
      found = {}
      for place in source.places().values():
        try:
          source.check_headers(source.stems(place))
        except SkipSong as error:
          found[place] = error
      return found

    before = set(refusals())  # some songs of these corpora can't be used anyhow

    def read(value: tuple[int, bytes]) -> None:
      path, original = paths[value[0]], contents[value[0]]
      path.write_bytes(value[1])
      try:
        for place, error in refusals().items():
          if place not in before:
            raise error
      finally:
        path.write_bytes(original)

    return Reader(st.one_of(inputs), read, (SkipSong,))

  return prepare


def _slakh() -> Callable:
  from data_pipeline.sources import slakh2100

  return _corpus('slakh2100', slakh2100.Slakh2100, ('metadata.yaml', '*.mid'), (slakh2100._tracks,), edit=False)


def _slakh_values() -> Callable:
  from data_pipeline.sources import slakh2100

  return _corpus('slakh2100', slakh2100.Slakh2100, ('metadata.yaml',), (slakh2100._tracks,), edit=True)


def _moises() -> Callable:
  from data_pipeline.sources import moisesdb

  return _corpus('moisesdb', moisesdb.MoisesDB, ('data.json',), edit=True)


def _medley() -> Callable:
  from data_pipeline.sources import medleydb

  return _corpus('medleydb', medleydb.MedleyDB, ('*_METADATA.yaml',), edit=True)


def _aam() -> Callable:
  from data_pipeline.sources import aam

  return _corpus('aam', aam.Aam, ('*.arff', '*.mid'), (aam._index,))


def _game() -> Callable:
  from data_pipeline.sources import rhythm_game

  return _corpus('rhythm_game', rhythm_game.RhythmGame, ('song.ini', 'notes.mid', 'notes.chart'))


def _lazily(make: Callable[[], Callable]) -> Callable[[pathlib.Path], Reader]:
  return lambda folder: make()(folder)


# --- Trajectories, flags, settings ------------------------------------------------------------------------------------

_PATH = [{'time': 0.0, 'x': 0.0, 'y': 0.0}, {'time': 1.5, 'x': 1.0, 'y': -2.0}, {'time': 3.0, 'x': -1.0, 'y': 0.5}]
_CSV = b'time,x,y\n0,0,0\n1.5,1,-2\n3,-1,0.5\n'


def _trajectory(folder: pathlib.Path) -> Reader:
  from bassnet_jax import trajectory

  def read(value: bytes) -> None:
    (folder / 'path.csv').write_bytes(value)
    found = trajectory.read(str(folder / 'path.csv')).at(400)
    if not np.isfinite(found).all():
      raise AssertionError('positions that are no numbers')

  inputs = mutations.json_files([_PATH]) | mutations.damaged([_CSV, b'\xef\xbb\xbf' + _CSV.replace(b'\n', b'\r\n')])
  return Reader(inputs, read, (trajectory.TrajectoryError,), ('path.csv',))


def _position(folder: pathlib.Path) -> Reader:
  from bassnet_jax import trajectory

  texts = st.text(max_size=20) | mutations.damaged([b'0.5,-1', b'1e1, 2']).map(lambda data: data.decode('utf-8', 'replace'))
  return Reader(texts, lambda text: trajectory.parse_position(text), (trajectory.TrajectoryError,), ('z',))


def _set(folder: pathlib.Path) -> Reader:
  import jax

  import experiments
  from bassnet_jax import checkpoints, train
  from bassnet_jax import config as configs

  base = experiments.get('pr_window64')

  @functools.cache
  def shapes(model, window):
    return checkpoints.param_shapes(configs.replace(base, model=dataclasses.asdict(model), data={'window': window}))

  shapes(base.model, base.data.window)
  fields = configs.known_fields()
  values = (
    st.sampled_from(
      ('0', '-1', '1', '2', '3', 'nan', 'inf', '-inf', '1e308', '1e-320', '9' * 30, '9' * 5000, 'true', 'False', '', ' ', '()', '1,2')
    )
    | st.sampled_from(('none', 'product', 'float32', 'x', '0.5', '64', '1,,2', '(1,', 'a=b', '-1,2', '1e3', '0x10', '1_0', '\x00'))
    | st.integers(-10, 1000).map(str)
    | st.floats().map(str)
    | st.text(max_size=12)
  )
  assignment = st.tuples(st.sampled_from(fields) | st.text(max_size=12), values).map('='.join) | st.text(max_size=20)

  def read(value: list[str]) -> None:
    experiment = configs.override(base, value)
    if configs.from_dict(configs.to_dict(experiment)) != experiment:
      raise AssertionError('settings that change on the way through JSON')
    # What is accepted must make a network and an optimiser, not a traceback an hour later.
    shapes(experiment.model, experiment.data.window)
    jax.eval_shape(lambda: train.make_optimizer(experiment, 1000).init({'w': jax.numpy.zeros(3)}))

  return Reader(st.lists(assignment, min_size=1, max_size=3), read, (configs.ConfigError,), ('--set', 'settings'))


# --- Checkpoints, packaged weights, features, results -----------------------------------------------------------------


def _weights(folder: pathlib.Path) -> Reader:
  from bassnet_jax import checkpoints, fine_tuning, packaged, trained
  from bassnet_jax import config as configs

  shipped = pathlib.Path(packaged.path())
  model = folder / 'model'
  shutil.copytree(shipped, model)
  text = json.loads((model / packaged.DESCRIPTION_FILE).read_text())
  calibration = json.loads((model / trained.CALIBRATION_FILE).read_text())
  small = io.BytesIO()
  with np.load(model / packaged.WEIGHTS_FILE) as stored:
    np.savez(small, **{name: stored[name] for name in stored.files})
  inputs = st.one_of(
    st.tuples(st.just(packaged.DESCRIPTION_FILE), mutations.json_files([text])),
    st.tuples(st.just(trained.CALIBRATION_FILE), mutations.json_files([calibration])),
    st.tuples(st.just(packaged.WEIGHTS_FILE), mutations.damaged([small.getvalue()])),
    st.tuples(st.just(packaged.WEIGHTS_FILE), _zips(small.getvalue())),
  )

  def read(value: tuple[str, bytes]) -> None:
    path = model / value[0]
    original = path.read_bytes()
    path.write_bytes(value[1])
    try:
      checkpoints.load_description(str(model))
      fine_tuning.load(str(model))
      if value[0] != packaged.WEIGHTS_FILE:
        trained.load(str(model))
    finally:
      path.write_bytes(original)

  return Reader(inputs, read, (checkpoints.CheckpointError, configs.ConfigError), ('model',))


def _zips(archive: bytes) -> st.SearchStrategy[bytes]:
  """A ZIP whose members are well kept and hold strange arrays: damage to the file alone seldom gets past its checksums."""
  with zipfile.ZipFile(io.BytesIO(archive)) as opened:
    members = {name: opened.read(name) for name in opened.namelist()}

  def build(drawn: tuple[int, bytes | None, str]) -> bytes:
    name = sorted(members)[drawn[0]]
    changed = dict(members)
    content = changed.pop(name)
    if drawn[1] is not None:
      changed[drawn[2] or name] = content if drawn[2] else drawn[1]
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as opened, warnings.catch_warnings():
      warnings.simplefilter('ignore')
      for key, value in changed.items():
        opened.writestr(key, value)
    return file.getvalue()

  arrays = []
  for array in (np.zeros(0), np.zeros((2, 3)), np.array(['text']), np.array([{'a': 1}], dtype=object), np.full(5, np.nan), np.array(1j)):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    arrays.append(file.getvalue())
  content = st.sampled_from(arrays) | mutations.damaged([*members.values()][:4]) | st.none()
  names = st.sampled_from(('', '', '', 'x.npy', '../x.npy', 'params/../../x.npy', 'a/b/c/d.npy', 'é.npy', 'header', 'header.npy'))
  return st.tuples(st.integers(0, len(members) - 1), content, names).map(build)


def _workdir(folder: pathlib.Path) -> Reader:
  """The description of a checkpoint as training writes it, with a very small network."""
  import jax

  import experiments
  from bassnet_jax import checkpoints, packaged
  from bassnet_jax import config as configs

  _, text, _ = packaged.read(packaged.path())
  experiment = configs.replace(experiments.get('pr_window64'), model={'hidden': 8, 'pitch_channels': 2})
  text = text | {'experiment': configs.to_dict(experiment), 'credits': {}}
  workdir = folder / 'workdir'
  with checkpoints.Checkpoints(str(workdir)) as saved:
    saved.save(3, {'params': {'w': jax.numpy.zeros(2)}}, text, None)
    saved.wait()
  files = sorted(
    path for path in (workdir / 'checkpoints' / '3').rglob('*') if (path.is_file() and 'METADATA' in path.name) or path.name == 'metadata'
  )
  contents = [path.read_bytes() for path in files]

  def read(value: tuple[int, bytes]) -> None:
    files[value[0]].write_bytes(value[1])
    try:
      checkpoints.load_description(str(workdir))
    finally:
      files[value[0]].write_bytes(contents[value[0]])

  named = [index for index, path in enumerate(files) if path.name == 'metadata']
  described = mutations.json_files([json.loads(contents[index]) for index in named[:1]])
  inputs = st.tuples(st.just(named[0]), described) | st.tuples(st.integers(0, len(files) - 1), mutations.damaged(contents))
  return Reader(inputs, read, (checkpoints.CheckpointError, configs.ConfigError), ('workdir',))


def _density(folder: pathlib.Path) -> Reader:
  from bassnet_jax import latent_density

  latent_density.write(str(folder), latent_density.histogram(np.random.default_rng(0).normal(size=(500, 2))), 3)
  content = json.loads((folder / latent_density.FILE).read_text())

  def read(value: bytes) -> None:
    (folder / latent_density.FILE).write_bytes(value)
    json.dumps(latent_density.read(str(folder)).describe(), allow_nan=False)

  return Reader(mutations.json_files([content]), read, (latent_density.DensityError,), (latent_density.FILE,))


def _features(folder: pathlib.Path) -> Reader:
  from data_pipeline import features as ft
  from data_pipeline.notes import Notes

  frames = 6
  notes = Notes.from_rows([(0.0, 0.05, 40, 90, 33)])
  song = ft.Features(
    *('song', 'train', 'CC0-1.0', 'nobody'),
    *(np.zeros((frames, ft.MIX_BINS), np.float16), np.zeros((frames, ft.BASS_BINS), np.float16)),
    *(np.zeros(frames, np.uint8), np.zeros(frames, np.uint8), np.zeros(frames, np.float16)),
    *(1.0, 0.0, notes, notes, np.arange(3.0), (notes,), 0),
  )
  path = folder / 'song.npz'
  ft.save(song, str(path))
  seed = path.read_bytes()

  def read(value: bytes) -> None:
    path.write_bytes(value)
    ft.load(str(path))

  return Reader(mutations.damaged([seed]) | _zips(seed), read, (ft.FeatureFileError,), ('song.npz',))


def _summary(folder: pathlib.Path) -> Reader:
  from data_pipeline import extraction

  content = {
    'version': '1.0.0',
    'source': 'Source()',
    'songs': {f'song_{i}': {'split': 'train', 'seconds': 3.0, 'licence': 'CC0-1.0', 'credit': 'nobody'} for i in range(3)},
    'skipped': {'bad': 'silent'},
    'statistics': {
      'frames': [10.0],
      **{f'{name}_{kind}': [1.0] * bins for name, bins in (('mix', 192), ('bass', 144)) for kind in ('mean', 'std')},
    },
  }

  def read(value: bytes) -> None:
    from bassnet_jax.inputs import corpus

    (folder / 'summary.json').write_bytes(value)
    summary = extraction.load_summary(str(folder))
    summary.table()
    corpus.pooled_statistics([summary])
    found = corpus.Corpus(('bassnet_artificial/a1',), str(folder), (summary,), None)
    found.paths('train')
    found.frames('train')
    found.licences()
    found.credits()

  return Reader(mutations.json_files([content]), read, (extraction.SummaryError,), ('summary.json',))


def _results(folder: pathlib.Path) -> Reader:
  """`sweep --report_only` over the results in this repository, one of which is damaged; without pictures of maps, which are slow."""
  from bassnet_jax.evaluation import results, results_page

  root = folder / 'results'
  stored = sorted((_ROOT / 'results').glob('*/0/metrics.json'))
  seeds = []
  for path in stored:
    metrics = json.loads(path.read_text())
    metrics.pop('plane', None)
    metrics.get('control', {}).pop('matrix', None)
    target = root / path.relative_to(_ROOT / 'results')
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(metrics))
    seeds.append((target, metrics))
  by_name = st.one_of([st.tuples(st.just(i), mutations.json_files([metrics])) for i, (_, metrics) in enumerate(seeds)])

  def read(value: tuple[int, bytes]) -> None:
    path, original = seeds[value[0]]
    path.write_bytes(value[1])
    try:
      results_page.write(str(root), {})
    finally:
      path.write_text(json.dumps(original))

  return Reader(by_name, read, (results.ResultError,), ('metrics.json',))


def _pictures(folder: pathlib.Path) -> Reader:
  """The same with pictures: maps, control matrices and planes."""
  from bassnet_jax.evaluation import planes, results, results_page

  root = folder / 'results'
  square = [[0.1 * (i + j) for j in range(3)] for i in range(3)]
  music = {
    'run': {'experiment': 'pr_window64', 'seed': 0, 'steps': 10, 'preset': 'laptop', 'settings': []},
    'plane': {
      'axis': [-3.0, 0.0, 3.0],
      'maps': dict.fromkeys(('diatonic', 'diatonic_mismatched', 'onset_density', 'register'), square),
      'truth': {'diatonic': 0.9},
      'permutation': {'p': 0.001},
    },
  }
  artificial = {
    'run': {'experiment': 'a1_window64', 'seed': 0, 'steps': 10, 'preset': 'laptop', 'settings': []},
    'latent': {'svm': 0.9, 'knn': 0.9, 'chance': 0.5, 'mix_only': 0.5, 'stability_ratio': 0.1},
    'control': {'note_f1': 0.5, 'pattern': 0.6, 'frame': 0.7, 'switch_seconds': None, 'matrix': [[0.9, 0.1], [0.2, 0.8]]},
  }
  for name, metrics in (('pr_window64', music), ('a1_window64', artificial)):
    (root / name / '0').mkdir(parents=True)
    (root / name / '0' / 'metrics.json').write_text(json.dumps(metrics))
  planes.save(
    planes.sample(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2, ['x', 'y']),
    str(root / 'a1_window64' / '0' / planes.FILE),
  )
  plane = (root / 'a1_window64' / '0' / planes.FILE).read_bytes()
  originals = {
    'pr_window64/0/metrics.json': json.dumps(music).encode(),
    'a1_window64/0/metrics.json': json.dumps(artificial).encode(),
    f'a1_window64/0/{planes.FILE}': plane,
  }
  inputs = st.one_of(
    st.tuples(st.just('pr_window64/0/metrics.json'), mutations.edited([music]).map(lambda v: json.dumps(v).encode())),
    st.tuples(st.just('a1_window64/0/metrics.json'), mutations.edited([artificial]).map(lambda v: json.dumps(v).encode())),
    st.tuples(st.just(f'a1_window64/0/{planes.FILE}'), mutations.damaged([plane]) | _zips(plane)),
  )

  def read(value: tuple[str, bytes]) -> None:
    (root / value[0]).write_bytes(value[1])
    try:
      results_page.write(str(root), {})
    finally:
      (root / value[0]).write_bytes(originals[value[0]])

  return Reader(inputs, read, (results.ResultError,), ('metrics.json', planes.FILE))


def _studio(name: str) -> Callable[[pathlib.Path], Reader]:
  def prepare(folder: pathlib.Path) -> Reader:
    from . import fuzz_studio

    return getattr(fuzz_studio, name)(folder)

  return prepare


TARGETS = {
  target.name: target
  for target in (
    Target('audio', _audio, 2.0),
    Target('upload', _upload, 2.0),
    Target('midi', _midi, 2.0),
    Target('our_midi', _our_midi),
    Target('wad', _wad),
    Target('slakh2100', _lazily(_slakh)),
    Target('slakh2100_values', _lazily(_slakh_values)),
    Target('moisesdb', _lazily(_moises)),
    Target('medleydb', _lazily(_medley)),
    Target('aam', _lazily(_aam)),
    Target('rhythm_game', _lazily(_game)),
    Target('trajectory', _trajectory, 2.0),
    Target('z', _position),
    Target('set', _set, 2.0),
    Target('weights', _weights, 0.5),
    Target('checkpoint', _workdir, 0.3),
    Target('latent_density', _density),
    Target('features', _features),
    Target('summary', _summary),
    Target('results', _results, 0.7),
    Target('results_pictures', _pictures, 0.07),
    Target('studio_project', _studio('projects'), 0.7),
    Target('studio_http', _studio('routes'), 2.0),
    Target('studio_socket', _studio('messages'), 2.0),
  )
}
"""By name."""
