"""Extreme numbers through the front end, the training step and generation: a finite result, or a refusal in plain words."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
import tiny

from bassnet_jax import config, generate, losses, train, trained
from bassnet_jax import model as networks
from bassnet_jax.inputs import resident
from bassnet_jax.inputs.corpus import pooled_statistics
from data_pipeline import extraction, front_end
from data_pipeline import features as ft
from data_pipeline.song import SkipSong, Song, SongKey

RATE = ft.SAMPLE_RATE
SECONDS = 2.5
DTYPES = ('float32', 'bfloat16')
CONTEXT = networks.context_frames(tiny.MODEL)


def music() -> np.ndarray:
  """Three struck sines, and a little noise."""
  time = np.arange(int(SECONDS * RATE)) / RATE
  tone = sum(np.sin(2 * np.pi * hertz * time) for hertz in (110.0, 220.0, 329.63)) * np.exp(-3 * (time % 0.5))
  return (0.1 * tone + np.random.default_rng(0).normal(0, 1e-3, len(time))).astype(np.float32)


def spoiled(value: float) -> np.ndarray:
  audio = music()
  audio[len(audio) // 2] = value
  return audio


def square(hertz: float) -> np.ndarray:
  return np.where(np.arange(int(SECONDS * RATE)) * hertz / RATE % 1 < 0.5, 1, -1).astype(np.float32)


AUDIBLE = {
  'DC': np.full(int(SECONDS * RATE), 1.0, np.float32),  # a click where it begins
  'square 55 Hz': square(55.0),
  'square 440 Hz': square(440.0),
  'alternating full scale': square(RATE / 2),
  'DC and music': 1.0 + music(),
  'music 1e30': music() * np.float32(1e30),
  'music 1e37': music() * np.float32(1e37),
  'one click': np.eye(1, int(SECONDS * RATE), RATE, dtype=np.float32)[0],
  'white noise': np.random.default_rng(1).uniform(-1, 1, int(SECONDS * RATE)).astype(np.float32),
}
SILENT = {
  'silence': np.zeros(int(SECONDS * RATE), np.float32),
  'music 1e-30': music() * np.float32(1e-30),
  'denormal': np.full(int(SECONDS * RATE), 1e-42, np.float32),
}
NO_NUMBERS = {'NaN': spoiled(np.nan), 'infinity': spoiled(np.inf), 'minus infinity': spoiled(-np.inf)}


@pytest.mark.parametrize('name', AUDIBLE)
def test_features_of_loud_and_strange_audio_are_finite(name):
  found = front_end.analyse(AUDIBLE[name], AUDIBLE[name])
  stored = found.mix.astype(np.float16)
  assert np.isfinite(stored).all() and np.isfinite(found.bass.astype(np.float16)).all() and stored.max() > 0
  assert np.isfinite(found.gain) and found.gain > 0 and -50 <= found.tuning <= 50


@pytest.mark.parametrize('scale', [1e-2, 1e2, 1e10, 1e30])
def test_features_do_not_depend_on_the_scale(scale):
  np.testing.assert_allclose(front_end.analyse(music() * np.float32(scale)).mix, front_end.analyse(music()).mix, atol=2e-3)


@pytest.mark.parametrize('name', SILENT)
def test_a_mix_that_nobody_hears_is_refused(name):
  with pytest.raises(front_end.SilentMixError, match='the mix is silent'):
    front_end.analyse(SILENT[name])


def song(mix: np.ndarray, bass: np.ndarray) -> Song:
  return Song(key=SongKey('song', 'train'), mix=mix, bass=bass, notes=None, licence='none', credit='test')


@pytest.mark.parametrize('name', [*SILENT, *NO_NUMBERS])
def test_a_song_of_such_audio_is_skipped_with_a_reason(name):
  bad = (SILENT | NO_NUMBERS)[name]
  words = 'NaN or infinite' if name in NO_NUMBERS else 'silent'
  with pytest.raises(SkipSong, match=words):
    extraction.features_of(song(bad, bad if name in NO_NUMBERS else music()))


@pytest.mark.parametrize('name', ['square 55 Hz', 'alternating full scale', 'music 1e30', 'one click'])
def test_targets_from_such_a_bass_are_in_range(name):
  found = extraction.features_of(song(music() if name != 'music 1e30' else AUDIBLE[name], AUDIBLE[name]))
  assert np.isfinite(found.level.astype(np.float32)).all() and found.level.min() >= 0 and found.level.max() <= 1
  assert set(np.unique(found.pitch)) <= {*range(ft.NO_PITCH + 1), ft.UNLABELLED}
  assert np.isfinite(found.notes.rows()).all()


# Training


@functools.cache
def stepper(dtype: str, pairs: int, window: int, transposition: int):
  experiment = tiny.experiment(
    model={'dtype': dtype}, data={'window': window, 'batch_size': 2 * pairs, 'transposition': transposition}, loss={'free_bits': 0.5}
  )
  optimizer = train.make_optimizer(experiment, 8)
  state = jax.jit(lambda: train.init_state(experiment, 0, optimizer))()

  @jax.jit
  def step(state, batch, statistics):
    statistics = dataclasses.replace(tiny.statistics(), **statistics)
    return train.train_step(state, batch, jax.random.key(1), experiment, statistics, optimizer)

  return state, step


def batches() -> dict:
  """Name -> what of a batch of noise is replaced."""
  usual = tiny.batch(2, 32, CONTEXT)
  zeros = {name: np.zeros_like(getattr(usual, name)) for name in ('mix', 'bass', 'onset', 'level')}
  full = {name: np.full_like(getattr(usual, name), 12.5) for name in ('mix', 'bass')}  # log1p(30 |C|) of 100 dB above the usual
  return {
    'noise': usual,
    'silence': usual.replace(**zeros, pitch=np.full_like(usual.pitch, ft.NO_PITCH)),
    'full scale': usual.replace(**full, level=np.ones_like(usual.level), onset=np.ones_like(usual.onset)),
    'one value in every bin': usual.replace(**{name: np.full_like(getattr(usual, name), 0.25) for name in ('mix', 'bass')}),
    'nothing labelled': usual.replace(pitch=np.full_like(usual.pitch, ft.UNLABELLED)),
    'nothing valid': usual.replace(valid=np.zeros_like(usual.valid)),
    'one valid frame': usual.replace(valid=np.zeros_like(usual.valid) | (np.arange(32) == 0)),
    'twice the same window': usual.replace(**{name: np.repeat(getattr(usual, name)[:, :1], 2, axis=1) for name in ('mix', 'bass')}),
    'denormal': usual.replace(**{name: np.full_like(getattr(usual, name), 6e-8) for name in ('mix', 'bass')}),
  }


@pytest.mark.parametrize('dtype', DTYPES)
def test_a_step_on_any_batch_leaves_finite_parameters(dtype):
  """Two steps each, so that the gradients of the first are in the second."""
  fresh, step = stepper(dtype, 2, 32, 6)
  usual = {field.name: jnp.asarray(getattr(tiny.statistics(), field.name)) for field in dataclasses.fields(tiny.statistics())}
  for name, batch in batches().items():
    state = fresh
    for _ in range(2):
      state, terms = step(state, batch, usual)
      assert all(np.isfinite(np.asarray(term)) for term in jax.tree.leaves(terms)), f'{name}: {terms}'
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(state.params)), name


@dataclasses.dataclass(frozen=True)
class OnlySong:
  """A source of one song, whose features are there."""

  split: str

  def songs(self) -> list[SongKey]:
    return [SongKey('only', self.split)]


def summarised(tmp_path, split: str) -> extraction.Summary:
  source = OnlySong(split)
  (key,) = source.songs()
  return extraction.finish(source, str(tmp_path), [key], [extraction.extract_song(source, key, str(tmp_path))])


def summary(values: np.ndarray, tmp_path) -> extraction.Summary:
  """Statistics of a training split of one song with these mix features in every frame."""
  frames = 400
  features = dataclasses.replace(
    tiny.coordinate_song('short'), id='only', mix=np.broadcast_to(values, (frames, ft.MIX_BINS)).astype(np.float16),
    bass=np.full((frames, ft.BASS_BINS), 0.25, np.float16), pitch=np.zeros(frames, np.uint8), onset=np.zeros(frames, np.uint8),
    level=np.ones(frames, np.float16),
  )  # fmt: skip
  (tmp_path / 'songs').mkdir()
  ft.save(features, extraction.song_path(str(tmp_path), 'only'))
  return summarised(tmp_path, 'train')


def test_features_without_variance_do_not_blow_up(tmp_path):
  """Statistics of constant features, and steps on what training then sees: those features, and others."""
  found = pooled_statistics([summary(np.linspace(0, 12, ft.MIX_BINS), tmp_path)])
  for field in dataclasses.fields(found):
    assert np.isfinite(getattr(found, field.name)).all()
  assert min(found.mix_std.min(), found.bass_std.min()) >= 0.04
  state, step = stepper('float32', 2, 32, 6)
  constant = tiny.batch(2, 32, CONTEXT)
  constant = constant.replace(mix=np.broadcast_to(found.mix_mean, constant.mix.shape).astype(np.float16))
  for batch in (constant, tiny.batch(2, 32, CONTEXT)):
    state, terms = step(state, batch, {field.name: jnp.asarray(getattr(found, field.name)) for field in dataclasses.fields(found)})
    assert all(np.isfinite(np.asarray(term)) for term in jax.tree.leaves(terms)), terms
  assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(state.params))


def test_one_song_shorter_than_the_window(tmp_path):
  """Both inputs fill up what isn't there and mark it; here the resident one, alone with one song of 100 frames."""
  path = str(tmp_path / 'only.npz')
  ft.save(tiny.coordinate_song('shorter'), path)
  data = resident.load([path])
  experiment = tiny.experiment(data={'window': 512, 'batch_size': 4, 'transposition': 0}, loss={'smoothness_lag': 8})
  batch = jax.jit(resident.draw, static_argnums=(2, 3))(data, jax.random.key(0), experiment.data, CONTEXT)
  assert batch.valid.sum(axis=-1).max() <= 100 and batch.valid.any()
  params = networks.init_params(experiment.model, 64, 0)
  total, terms = jax.jit(lambda p: losses.loss(p, batch, jax.random.key(0), experiment, tiny.statistics()))(params)
  assert np.isfinite(float(total)) and all(np.isfinite(float(term)) for term in jax.tree.leaves(terms))


def test_a_dataset_with_one_song_or_with_an_empty_split(tmp_path):
  """One training song is a dataset, none is not; splits without a song are absent, not broken."""
  found = summary(np.linspace(0, 1, ft.MIX_BINS), tmp_path)
  assert found.splits() == {'train': ['only']} and '400' not in found.table() and 'train' in found.table()
  with pytest.raises(ValueError, match='gives no song to train on'):
    summarised(tmp_path, 'test')


# Generation


@functools.cache
def model(dtype: str) -> trained.TrainedModel:
  """An untrained network: its numbers are as good as any."""
  experiment = config.replace(tiny.experiment(), model={'dtype': dtype})
  description = {'experiment': config.to_dict(experiment), 'statistics': tiny.statistics().to_lists(), 'features_version': ft.VERSION}
  return trained.TrainedModel(networks.init_params(experiment.model, 64, 0), description, 1)


@pytest.mark.parametrize(
  ('name', 'dtype'), [('square 55 Hz', 'float32'), ('DC and music', 'float32'), ('one click', 'float32'), ('music 1e30', 'bfloat16')]
)
def test_generation_from_loud_and_strange_audio(name, dtype, tmp_path):
  path = tmp_path / 'mix.wav'
  soundfile.write(path, AUDIBLE[name], RATE, subtype='FLOAT')
  made = generate.generate(model(dtype), str(path), (0.5, -0.5), onset_threshold=0.3)
  assert made.sample_rate == RATE and len(made.bass_audio) == len(made.mix_audio) == len(AUDIBLE[name])
  for audio in (made.bass_audio, made.mix_audio):
    assert np.isfinite(audio).all() and np.abs(audio).max() <= 1
  assert np.isfinite(made.notes.rows()).all()


@pytest.mark.parametrize('name', [*SILENT, *NO_NUMBERS])
def test_generation_from_nothing_or_no_numbers_names_the_file(name, tmp_path):
  path = tmp_path / 'mix.wav'
  soundfile.write(path, (SILENT | NO_NUMBERS)[name], RATE, subtype='FLOAT')
  with pytest.raises(generate.GenerateError, match=r'mix\.wav.*(silen|no numbers)'):
    generate.generate(model('float32'), str(path), (0.0, 0.0))
