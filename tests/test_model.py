"""The network: its context, its gates, its size, and whole songs against windows."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import experiments
from bassnet_jax import model as networks
from bassnet_jax import trained
from bassnet_jax.batch import Statistics
from bassnet_jax.config import Experiment, ModelConfig, to_dict
from data_pipeline import features as ft

CONTEXT = networks.context_frames(tiny.MODEL)
SEEN = 300  # frames of the song of these tests
NET = networks.BassNet(tiny.MODEL)


@functools.partial(jax.jit, static_argnums=0, static_argnames='method')
def apply(net, params, *arguments, method=None):
  """Compiled at once: op by op it takes many times as long."""
  return net.apply(params, *arguments, method=method)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def init(config, window, seed):
  return networks.init_params(config, window, seed)


@pytest.fixture(scope='module')
def params():
  """None is zero, as some are to begin with: blocks that are the identity see no context."""
  leaves, structure = jax.tree.flatten(init(tiny.MODEL, 64, 0))
  rng = np.random.default_rng(7)
  return jax.tree.unflatten(structure, [leaf + rng.normal(0, 0.03, leaf.shape).astype(np.float32) for leaf in leaves])


@pytest.fixture(scope='module')
def statistics():
  rng = np.random.default_rng(5)
  mix, bass = (rng.uniform(0.2, 1.0, (2, bins)).astype(np.float32) for bins in (ft.MIX_BINS, ft.BASS_BINS))
  return Statistics(*mix, *bass)


@pytest.fixture(scope='module')
def song():
  """Mix and bass features [frames, bins]."""
  rng = np.random.default_rng(0)
  return rng.gamma(1, 0.5, (SEEN, ft.MIX_BINS)).astype(np.float16), rng.gamma(1, 0.5, (SEEN, ft.BASS_BINS)).astype(np.float16)


def whole(params, statistics) -> trained.TrainedModel:
  description = {'experiment': to_dict(Experiment(name='tiny', model=tiny.MODEL)), 'statistics': statistics.to_lists()}
  return trained.TrainedModel(params, description, 0)


def window_of(values: np.ndarray, start: int, frames: int, reach: int) -> np.ndarray:
  """Raw frames with context [1, frames + 2 * reach, bins]; silence beyond the song."""
  t = np.arange(start - reach, start + frames + reach)
  cut = np.where(((t >= 0) & (t < len(values)))[:, None], values[np.clip(t, 0, len(values) - 1)], 0)
  return cut[None].astype(np.float32)


@pytest.mark.parametrize('start', [0, 2, 100, SEEN - 64])
def test_a_window_s_interior_equals_the_same_frames_of_the_whole_song(params, statistics, song, start):
  """Also at both ends, where silence stands in for context."""
  mix, bass = song
  model = whole(params, statistics)
  z = np.random.default_rng(1).normal(size=(SEEN, 2)).astype(np.float32)
  code = model.encode_mix(mix)
  mu, sigma = model.posterior(mix, bass, code)
  prediction = model.decode(code, z)

  window_mix = statistics.standardise_mix(window_of(mix, start, 64, CONTEXT))
  window_bass = statistics.standardise_bass(window_of(bass, start, 64, CONTEXT))
  window_code = apply(NET, params, window_mix, method='encode_mix')
  posterior = jax.tree.map(lambda x: networks.crop(x, 64), apply(NET, params, window_code, window_bass, method='encode'))
  reach = networks.decoder_reach(tiny.MODEL)
  window_z = np.pad(z, ((reach, reach), (0, 0)), mode='edge')[None, start : start + 64 + 2 * reach]
  outputs = apply(NET, params, networks.crop_code(window_code, window_z.shape[1]), window_z, method='decode')

  # The song's pitch features are kept in float16, 11 bits: hence not closer.
  close = {'atol': 2e-3, 'rtol': 2e-3}
  span = slice(start, start + 64)
  np.testing.assert_allclose(mu[span], posterior.mu[0], **close)
  np.testing.assert_allclose(sigma[span], np.exp(posterior.logvar[0] / 2), **close)
  np.testing.assert_allclose(prediction.pitch_logits[span], outputs.pitch[0], **close)
  np.testing.assert_allclose(prediction.bass[span], statistics.restore_bass(np.asarray(outputs.cqt[0])), **close)
  np.testing.assert_allclose(prediction.onset[span], jax.nn.sigmoid(outputs.onset[0]), **close)
  np.testing.assert_allclose(prediction.level[span], outputs.level[0], **close)


def test_the_network_itself_sees_no_more_than_its_context(params, song):
  """In float32, a window and a longer one agree to rounding; one frame less of context is refused by the shapes."""
  mix, bass = (x.astype(np.float32) for x in song)
  long = apply(NET, params, mix[None, :200], bass[None, :200])
  short = apply(NET, params, mix[None, 60 - CONTEXT : 124 + CONTEXT], bass[None, 60 - CONTEXT : 124 + CONTEXT])
  for name in ('cqt', 'pitch', 'onset', 'level'):
    a, b = np.asarray(getattr(long, name)[0]), np.asarray(getattr(short, name)[0])
    middle = (200 - len(a)) // 2
    begin = 60 - CONTEXT + (64 + 2 * CONTEXT - len(b)) // 2 - middle
    np.testing.assert_allclose(a[begin : begin + len(b)], b, atol=1e-4)


def test_context_is_used_to_its_end_and_not_beyond(params, song):
  """The output of a frame depends on frames up to `context_frames` away: gradients say so."""
  mix, bass = (jnp.asarray(x[None, :120], jnp.float32) for x in song)

  @jax.grad
  def middle(mix, bass):
    code = apply(NET, params, mix, method='encode_mix')
    return apply(NET, params, code, bass, method='encode').mu[0].reshape(-1, 2)[54 - CONTEXT : 56 - CONTEXT].sum()

  reached = np.flatnonzero(np.abs(jax.jit(middle)(mix, bass)[0]).sum(axis=1))
  assert reached.min() >= 54 - CONTEXT and reached.max() <= 55 + CONTEXT
  assert reached.max() - reached.min() > CONTEXT


@pytest.mark.parametrize('name', experiments.names())
def test_size_and_context_of_the_real_networks(name):
  config = experiments.get(name).model
  shapes = jax.eval_shape(lambda: networks.init_params(config, 64, 0))
  assert 50_000 < sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) < 5_000_000
  assert networks.context_frames(config) <= ft.CONTEXT_FRAMES
  assert networks.context_frames(config) % 2 == 0


def test_parameters_are_a_function_of_the_seed():
  first, same, other = (init(tiny.MODEL, 64, seed) for seed in (0, 0, 1))
  assert all((a == b).all() for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(same), strict=True))
  assert any((a != b).any() for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True))


def test_logvar_is_bounded(params):
  huge = 1e4 * jax.random.normal(jax.random.key(0), (1, 40, ft.MIX_BINS))
  code = apply(NET, params, huge, method='encode_mix')
  posterior = apply(NET, params, code, 1e4 * jnp.ones((1, 40, ft.BASS_BINS)), method='encode')
  assert np.isfinite(posterior.mu).all()
  assert np.abs(posterior.logvar).max() <= networks.LOGVAR_LIMIT
  assert np.abs(posterior.logvar).max() > 1, 'this input must reach the bound'


def _without_gates(params: dict) -> dict:
  """Parameters with the layers that make gates from z (64 inputs) set to zero."""

  def zeroed(layer):
    if isinstance(layer, dict) and 'kernel' in layer:
      kernel = layer['kernel']
      return jax.tree.map(jnp.zeros_like, layer) if kernel.shape[0] == 64 and kernel.shape[1] != 64 else layer
    return {name: zeroed(value) for name, value in layer.items()} if isinstance(layer, dict) else layer

  return {'params': params['params'] | {'decoder': zeroed(params['params']['decoder'])}}


@pytest.mark.parametrize('gating', ['product', 'concatenation'])
def test_z_gates_mix_features_by_multiplication(song, gating):
  """With all gates at zero nothing of the mix passes; where z is added, the mix passes all the same."""
  config = dataclasses.replace(tiny.MODEL, gating=gating)
  net, params = networks.BassNet(config), _without_gates(init(config, 64, 0))
  mix = jnp.asarray(song[0][None, :80], jnp.float32)
  decoded = []
  for features in (mix, 2 * mix[:, ::-1]):
    code = apply(net, params, features, method='encode_mix')
    decoded.append(apply(net, params, code, jnp.ones((1, code.frame.shape[1], 2)), method='decode'))
  difference = max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(decoded[0]), jax.tree.leaves(decoded[1]), strict=True))
  assert difference == 0 if gating == 'product' else difference > 1e-3


@pytest.mark.parametrize('gating', ['product', 'concatenation'])
def test_the_latent_code_is_read_from_products(song, gating):
  """Without mix features the bass says nothing of z; where they are concatenated, it does."""
  config = dataclasses.replace(tiny.MODEL, gating=gating)
  net, params = networks.BassNet(config), init(config, 64, 0)
  code = networks.MixCode(pitch=jnp.zeros((1, 36, 60, 4)), frame=jnp.zeros((1, 72, 16)))
  bass = jnp.asarray(song[1][None, : 72 + 2 * networks.mix_reach(config)], jnp.float32)
  difference = float(
    np.abs(apply(net, params, code, bass, method='encode').mu - apply(net, params, code, 2 * bass, method='encode').mu).max()
  )
  assert difference == 0 if gating == 'product' else difference > 1e-3


def test_z_matters_and_the_mix_matters(params, song):
  mix = jnp.asarray(song[0][None, :80], jnp.float32)
  code = apply(NET, params, mix, method='encode_mix')
  other = apply(NET, params, mix[:, ::-1], method='encode_mix')
  frames = code.frame.shape[1]
  at = lambda code, z: np.asarray(apply(NET, params, code, jnp.full((1, frames, 2), z), method='decode').pitch)  # noqa: E731
  assert np.abs(at(code, 0.0) - at(code, 2.0)).max() > 1e-3
  assert np.abs(at(code, 0.0) - at(other, 0.0)).max() > 1e-3


def test_pitch_features_move_with_the_pitch():
  """Transposing the mix by a semitone (two bins) moves the pitch features by one, away from the ends."""
  cqt = jax.random.uniform(jax.random.key(0), (1, 4, ft.MIX_BINS))
  stack = networks.channels_last(networks.harmonic_stack(cqt, 48, 48, (0.5, 1, 2, 3)), 48)
  moved = networks.channels_last(networks.harmonic_stack(jnp.roll(cqt, 2, axis=-1), 48, 48, (0.5, 1, 2, 3)), 48)
  assert stack.shape == (1, 4, 48, 12)
  np.testing.assert_allclose(moved[:, :, 1:40], stack[:, :, :39], atol=1e-6)


def test_the_harmonic_stack_reads_the_harmonics():
  cqt = np.zeros((1, 1, ft.MIX_BINS), np.float32)
  for number, bin_ in enumerate((0, 24, 38, 48), start=1):  # harmonics 1 to 4 of A0: 0, 12, 19 and 24 semitones above
    cqt[0, 0, bin_] = number
  stack = np.asarray(networks.channels_last(networks.harmonic_stack(jnp.asarray(cqt), 12, 0, (1, 2, 3, 4)), 12))[0, 0]
  assert stack[0].reshape(4, 3)[:, 1].tolist() == [1, 2, 3, 4]
  assert stack[0].reshape(4, 3)[0, 0] == 0, 'below the lowest bin there is nothing'


def test_a_convolution_over_semitones_is_that_of_each_semitone():
  """Channels first or last, the same parameters give the same numbers and derivatives."""
  x = jax.random.normal(jax.random.key(0), (2, 9, 5, 3))
  flat = x.transpose(0, 3, 1, 2).reshape(2, 3, -1)
  last, first = networks.ResidualBlock(2), networks.ResidualBlock(2, semitones=5)
  params = last.init(jax.random.key(1), x)
  drawn = first.init(jax.random.key(1), flat)
  assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, drawn)), 'checkpoints and seeds stay valid'
  np.testing.assert_allclose(networks.channels_last(first.apply(params, flat), 5), last.apply(params, x), atol=1e-5)
  one = jax.grad(lambda p: jnp.sin(last.apply(p, x)).sum())(params)
  other = jax.grad(lambda p: jnp.sin(first.apply(p, flat)).sum())(params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), one, other)


def test_pitch_classes_are_read_on_a_circle():
  """The correlation, its derivatives and the circulant product against the twelve rotations written out."""
  x, y = jax.random.normal(jax.random.key(0), (2, 2, 3, 12, 4))
  rotated = lambda x: jnp.stack([jnp.roll(x, -k, axis=2) for k in range(12)], axis=2)  # noqa: E731
  plain = lambda x, y: jnp.einsum('btkpc,btpc->btkc', rotated(x), y)  # noqa: E731
  np.testing.assert_allclose(networks.correlate_classes(x, y), plain(x, y), atol=1e-5)
  for wanted, found in zip(
    *(jax.grad(lambda x, y, f=f: jnp.sin(f(x, y)).sum(), argnums=(0, 1))(x, y) for f in (plain, networks.correlate_classes)), strict=True
  ):
    np.testing.assert_allclose(found, wanted, atol=1e-4)
  kernel = jax.random.normal(jax.random.key(1), (48, 5))
  around = rotated(x).transpose(0, 1, 3, 2, 4).reshape(2, 3, 12, 48)  # of class p: those p, p + 1, ... above
  found = (x.reshape(2, 3, 48) @ networks.circulant(kernel)).reshape(2, 3, 12, 5)
  np.testing.assert_allclose(found, around @ kernel, atol=1e-4)


@pytest.mark.parametrize('chunk', [64, 100])
def test_a_song_in_chunks_equals_the_song_at_once(params, statistics, song, monkeypatch, chunk):
  mix, bass = song
  z = np.random.default_rng(1).normal(size=(SEEN, 2)).astype(np.float32)
  results = []
  for frames in (1024, chunk):
    monkeypatch.setattr(trained, '_CHUNK', frames)
    model = whole(params, statistics)
    code = model.encode_mix(mix)
    prediction = model.decode(code, z)
    results.append((*model.posterior(mix, bass), prediction.bass, prediction.pitch_logits, prediction.onset, prediction.level))
  for one, other in zip(*results, strict=True):
    assert one.shape == other.shape and len(one) == SEEN
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_bfloat16_runs_and_stays_near(params, song):
  config = dataclasses.replace(tiny.MODEL, dtype='bfloat16')
  mix, bass = (jnp.asarray(x[None, :80], jnp.float32) for x in song)
  low, full = apply(networks.BassNet(config), params, mix, bass), apply(NET, params, mix, bass)
  assert low.pitch.dtype == low.cqt.dtype == jnp.float32
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(init(config, 64, 0)))
  np.testing.assert_allclose(low.pitch, full.pitch, rtol=0.03, atol=0.1)
  assert (np.asarray(low.pitch) != np.asarray(full.pitch)).any()


def test_reaches_follow_from_the_dilations():
  config = ModelConfig(pitch_dilations=(1, 4), trunk_dilations=(1, 2), decoder_dilations=(1, 2), latent_dilations=(4, 4))
  assert networks.mix_reach(config) == 12
  assert networks.decoder_reach(config) == 4
  assert networks.latent_reach(config) == 8
  assert networks.context_frames(config) == 20


def test_the_deepest_network_begins_with_small_outputs():
  """Each block that adds to the variance is multiplied by the next gate: begun at random, they are far beyond this bound."""
  config = dataclasses.replace(experiments.get('pr_window512').model, pitch_channels=8, hidden=32)
  window = 128
  net, frames = networks.BassNet(config), window + 2 * networks.context_frames(config)
  rng = np.random.default_rng(0)
  mix, bass = (jnp.asarray(rng.normal(size=(1, frames, bins)), jnp.float32) for bins in (ft.MIX_BINS, ft.BASS_BINS))
  outputs = apply(net, init(config, window, 0), mix, bass)
  for name, values in dataclasses.asdict(outputs).items():
    assert np.abs(values).max() < 100, name
