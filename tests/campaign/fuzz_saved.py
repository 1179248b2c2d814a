"""What the program itself has saved, as readers for the fuzzing: checkpoints, weights, features, summaries, results."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
import warnings
import zipfile

import numpy as np
from hypothesis import strategies as st

from . import mutations
from .fuzzing import Reader

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def weights(folder: pathlib.Path) -> Reader:
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


def workdir(folder: pathlib.Path) -> Reader:
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


def density(folder: pathlib.Path) -> Reader:
  from bassnet_jax import latent_density

  latent_density.write(str(folder), latent_density.histogram(np.random.default_rng(0).normal(size=(500, 2))), 3)
  content = json.loads((folder / latent_density.FILE).read_text())

  def read(value: bytes) -> None:
    (folder / latent_density.FILE).write_bytes(value)
    json.dumps(latent_density.read(str(folder)).describe(), allow_nan=False)

  return Reader(mutations.json_files([content]), read, (latent_density.DensityError,), (latent_density.FILE,))


def features(folder: pathlib.Path) -> Reader:
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


def summary(folder: pathlib.Path) -> Reader:
  from data_pipeline import extraction, features

  content = {
    'version': features.VERSION,
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


def results(folder: pathlib.Path) -> Reader:
  """`sweep --report_only` over the results in this repository, one of which is damaged; without pictures of maps, which are slow."""
  from bassnet_jax.evaluation import results as stored_results
  from bassnet_jax.evaluation import results_page

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

  return Reader(by_name, read, (stored_results.ResultError,), ('metrics.json',))


def pictures(folder: pathlib.Path) -> Reader:
  """The same with pictures: maps, control matrices and planes."""
  from bassnet_jax.evaluation import planes, results_page
  from bassnet_jax.evaluation import results as stored_results

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

  return Reader(inputs, read, (stored_results.ResultError,), ('metrics.json', planes.FILE))
