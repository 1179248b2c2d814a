"""What the fuzzing feeds: every reader of a file or a flag, its real inputs, and the error with which it may refuse."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import pathlib
import struct
from collections.abc import Callable, Sequence

import numpy as np
import soundfile
import yaml
from hypothesis import strategies as st

from . import fuzz_generate, fuzz_saved, mutations
from .fuzzing import Reader, Target

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


def _tempo_map(folder: pathlib.Path) -> Reader:
  """`--tempo_map`: what is taken must give times, beats and a MIDI file that says the same."""
  from bassnet_jax import midi_export, tempo
  from data_pipeline.notes import Notes

  notes = Notes.from_rows([(0.5 * i, 0.5 * i + 0.4, 40 + i % 5, 90, 33) for i in range(8)])
  seeds = []
  for form in ({'beats': np.array([0.1, 0.6, 1.2, 1.7, 2.4, 2.9])}, {'bpm': 97.0}, {'bpm': 4.0}, {'beats': np.array([0.0, 30.0, 30.1])}):
    midi_export.write(str(folder / 'seed.mid'), notes, **form)
    seeds.append((folder / 'seed.mid').read_bytes())

  def read(value: bytes) -> None:
    (folder / 'tempo.mid').write_bytes(value)
    found = tempo.read(str(folder / 'tempo.mid'))
    times = np.linspace(0, 600, 50)
    back = found.seconds_of(found.ticks_of(times))
    if not np.allclose(back, times, atol=1e-6) or (np.diff(found.beats(600)) <= 0).any() or not np.isfinite(found.bpm(600)):
      raise AssertionError('a tempo map whose times do not come back')
    midi_export.write(str(folder / 'written.mid'), notes, tempo_map=found)
    tempo.read(str(folder / 'written.mid'))

  return Reader(mutations.damaged((*seeds, *midi_seeds())), read, (tempo.TempoError,), ('tempo.mid',))


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
    Target('tempo_map', _tempo_map),
    Target('wad', _wad),
    Target('slakh2100', _lazily(_slakh)),
    Target('slakh2100_values', _lazily(_slakh_values)),
    Target('moisesdb', _lazily(_moises)),
    Target('medleydb', _lazily(_medley)),
    Target('aam', _lazily(_aam)),
    Target('rhythm_game', _lazily(_game)),
    Target('trajectory', _trajectory, 2.0),
    Target('z', _position),
    Target('generate_flags', fuzz_generate.command_line, 0.7),
    Target('set', _set, 2.0),
    Target('weights', fuzz_saved.weights, 0.5),
    Target('checkpoint', fuzz_saved.workdir, 0.3),
    Target('latent_density', fuzz_saved.density),
    Target('features', fuzz_saved.features),
    Target('summary', fuzz_saved.summary),
    Target('results', fuzz_saved.results, 0.7),
    Target('results_pictures', fuzz_saved.pictures, 0.07),
    Target('studio_project', _studio('projects'), 0.7),
    Target('studio_http', _studio('routes'), 2.0),
    Target('studio_socket', _studio('messages'), 2.0),
  )
}
"""By name."""
