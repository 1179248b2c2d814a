"""The terms of the objective, each on inputs whose value is known."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from bassnet_jax import losses
from bassnet_jax import model as networks
from bassnet_jax.batch import augment
from bassnet_jax.config import DataConfig, LossConfig
from data_pipeline import features as ft

CONTEXT = networks.context_frames(tiny.MODEL)
VALID = np.ones((6, 32), bool)


@functools.partial(jax.jit, static_argnums=3)
def loss_of(params, batch, key, experiment):
  return losses.loss(params, batch, key, experiment, tiny.statistics())


@functools.partial(jax.jit, static_argnums=3)
def gradient_of(params, batch, key, experiment):
  return jax.grad(lambda p: losses.loss(p, batch, key, experiment, tiny.statistics())[0])(params)


@pytest.fixture(scope='module')
def params():
  return jax.jit(lambda: networks.init_params(tiny.MODEL, 32, 0))()


@pytest.fixture
def mu():
  return jnp.asarray(np.random.default_rng(0).normal(size=(6, 32, 2)), jnp.float32)


def plain(**loss):
  """Without augmentation, and with the z of each frame, so that nothing is drawn but the noise."""
  return tiny.experiment(loss={'exchange': 'none'} | loss, data={'transposition': 0, 'gain_db': 0.0, 'equaliser_db': 0.0, 'window': 32})


# Stability.


def test_latent_smoothness_is_scale_free(mu):
  value = float(losses.latent_smoothness(mu, 8, VALID))
  assert value == pytest.approx(2.0, rel=0.2), 'white noise: twice its variance'
  for scale in (7.0, 0.05):
    assert float(losses.latent_smoothness(scale * mu, 8, VALID)) == pytest.approx(value, rel=1e-3)
  assert float(losses.latent_smoothness(mu + 100, 8, VALID)) == pytest.approx(value, rel=1e-2)


def test_latent_smoothness_is_zero_where_mu_is_constant_in_each_window(mu):
  constant = jnp.broadcast_to(mu[:, :1], mu.shape)
  assert float(losses.latent_smoothness(constant, 8, VALID)) == 0
  assert float(losses.latent_smoothness(constant + 0.01 * mu, 8, VALID)) < 1e-3


def test_latent_smoothness_has_the_lag_it_is_given():
  """A mu that repeats every four frames is still at a lag of four, and not at two."""
  wave = jnp.broadcast_to(jnp.asarray([0.0, 1.0, 2.0, 1.0])[jnp.arange(32) % 4][None, :, None], (6, 32, 2))
  assert float(losses.latent_smoothness(wave, 4, VALID)) == 0
  assert float(losses.latent_smoothness(wave, 2, VALID)) > 1


def test_latent_smoothness_agrees_with_numpy(mu):
  x = np.asarray(mu, np.float64)
  expected = np.square(x[:, 8:] - x[:, :-8]).sum(axis=-1).mean() / x.var(axis=(0, 1)).sum()
  assert float(losses.latent_smoothness(mu, 8, VALID)) == pytest.approx(expected, rel=1e-4)


def test_latent_l2(mu):
  x = np.asarray(mu, np.float64)
  expected = np.square(x - x.mean(axis=1, keepdims=True)).sum(axis=-1).mean()
  assert float(losses.latent_l2(mu, VALID)) == pytest.approx(expected, rel=1e-4)
  assert float(losses.latent_l2(jnp.broadcast_to(mu[:, :1], mu.shape), VALID)) == pytest.approx(0, abs=1e-10)


def test_kl_of_the_prior_is_zero(mu):
  zeros = jnp.zeros_like(mu)
  assert float(losses.kl_divergence(networks.Posterior(zeros, zeros), VALID)) == 0
  # Two dimensions: mu = 3, sigma^2 = e: (9 + e - 1 - 1) / 2 each.
  found = losses.kl_divergence(networks.Posterior(zeros + 3, zeros + 1), VALID)
  assert float(found) == pytest.approx(9 + np.e - 2, rel=1e-5)


def test_free_bits_cost_nothing_and_pull_nowhere_below_their_number():
  mu = jnp.stack([jnp.full((2, 16), 0.5), jnp.full((2, 16), 3.0)], axis=-1)  # 0.125 and 4.5 nats
  valid = jnp.ones((2, 16), bool)
  cost = lambda x: losses.kl_divergence(networks.Posterior(x, jnp.zeros_like(x)), valid, 0.5)  # noqa: E731
  assert float(cost(mu)) == pytest.approx(0.5 + 4.5)
  pull = jax.grad(cost)(mu)
  assert not np.asarray(pull[..., 0]).any()
  assert (np.asarray(pull[..., 1]) > 0).all()


def test_kl_lag_is_zero_for_a_constant_posterior_and_a_divergence_otherwise(mu):
  constant = networks.Posterior(jnp.broadcast_to(mu[:, :1], mu.shape), jnp.broadcast_to(mu[:, 1:2], mu.shape))
  assert float(losses.kl_lag(constant, 8, VALID)) == pytest.approx(0, abs=1e-6)
  # From N(0, 1) to N(1, e^2) in each of two dimensions: (e^-2 + e^-2 - 1 + 2) / 2 each.
  late = (jnp.arange(32) >= 8)[None, :, None] * jnp.ones_like(mu)
  found = losses.kl_lag(networks.Posterior(late[:, :16], 2 * late[:, :16]), 8, VALID[:, :16])
  assert float(found) == pytest.approx(2 * np.exp(-2) + 1, rel=1e-5)


# Which z is decoded.


def rolls_of(z: np.ndarray, length: int, reach: int) -> list[bytes]:
  around = np.concatenate([z, z, z[: 2 * reach]])
  return [around[s : s + length].tobytes() for s in range(len(z))]


@pytest.mark.parametrize('size', [2, 3, 6])
@pytest.mark.parametrize('form', ['exchange', 'rolled'])
def test_exchange_gives_the_values_of_another_of_the_group_and_rolled_its_own(mu, form, size):
  reach, seen = 2, set()
  for seed in range(4):
    found = np.asarray(losses.decoded_latent(mu, form, size, reach, jax.random.key(seed)))
    assert found.shape == (6, 32 + 2 * reach, 2)
    for i in range(6):
      before = i - i % size + (i - 1) % size
      whose = np.asarray(mu[before if form == 'exchange' else i])
      rolls = rolls_of(whose, 32 + 2 * reach, reach)
      assert found[i].tobytes() in rolls
      seen.add(rolls.index(found[i].tobytes()))
      # A window's own frames are all of the values, each once.
      np.testing.assert_array_equal(np.sort(found[i, reach:-reach], axis=0), np.sort(whose, axis=0))
  assert len(seen) > 10, 'the roll hardly varies'


def test_window_mean_and_own_z(mu):
  mean = losses.decoded_latent(mu, 'window_mean', 2, 2, jax.random.key(0))
  np.testing.assert_allclose(mean, jnp.broadcast_to(mu.mean(axis=1, keepdims=True), (6, 36, 2)))
  own = losses.decoded_latent(mu, 'none', 2, 2, jax.random.key(0))
  np.testing.assert_array_equal(own[:, 2:-2], mu)
  np.testing.assert_array_equal(own[:, :2], jnp.broadcast_to(mu[:, :1], (6, 2, 2)))


def test_without_variation_nothing_is_drawn(params):
  experiment = dataclasses.replace(plain(), model=dataclasses.replace(tiny.MODEL, variational=False))
  batch = tiny.batch(4, 32, CONTEXT)
  a, b = (loss_of(params, batch, jax.random.key(seed), experiment)[1] for seed in range(2))
  assert float(a.total) == float(b.total)
  assert float(a.kl) == 0


# What counts.


def test_unlabelled_frames_give_no_pitch_gradient(params):
  batch = tiny.batch(4, 32, CONTEXT)
  only_pitch = plain(cqt=0.0, onset=0.0, level=0.0, kl=0.0, latent_smoothness=0.0)
  none = batch.replace(pitch=np.full_like(batch.pitch, ft.UNLABELLED))
  assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient_of(params, none, jax.random.key(0), only_pitch))) == 0
  assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient_of(params, batch, jax.random.key(0), only_pitch))) > 1e-3


def outputs(**given):
  """Zeros of the shape of what is given."""
  shape = next(iter(given.values())).shape[:2]
  zeros = {'cqt': jnp.zeros((*shape, ft.BASS_BINS)), 'pitch': jnp.zeros((*shape, ft.PITCHES + 1)), 'onset': jnp.zeros(shape)}
  return networks.Outputs(**(zeros | {'level': jnp.zeros(shape)} | given))


def windows(**given):
  """Silence of the shape of what is given."""
  shape = next(iter(given.values())).shape
  silent = {'mix': jnp.zeros((*shape, ft.MIX_BINS)), 'bass': jnp.zeros((*shape, ft.BASS_BINS)), 'pitch': jnp.zeros(shape, jnp.uint8)}
  silent |= {'onset': jnp.zeros(shape, jnp.uint8), 'level': jnp.zeros(shape), 'valid': jnp.ones(shape, bool)}
  return losses.Windows(**(silent | given))


@pytest.mark.parametrize('size', [2, 4])
def test_the_cost_of_a_group_is_the_weighted_sum_over_its_labelled_frames(size):
  rng = np.random.default_rng(0)
  pitch = rng.integers(0, ft.NO_PITCH, (4, 8)).astype(np.uint8)
  pitch[1, :3] = ft.UNLABELLED
  w = windows(pitch=pitch, level=jnp.asarray(rng.uniform(size=(4, 8)), jnp.float32))
  o = outputs(pitch=jnp.asarray(rng.normal(size=(4, 8, ft.PITCHES + 1)), jnp.float32))
  config = LossConfig(pitch=2.0, level=0.5, cqt=0.0, onset=0.0)
  likelihood = np.asarray(jax.nn.log_softmax(o.pitch))
  nats = np.array([[-likelihood[n, t, p] if p != ft.UNLABELLED else 0 for t, p in enumerate(row)] for n, row in enumerate(pitch)])
  expected = (2 * nats + 0.5 * np.asarray(w.level)).sum(axis=1).reshape(-1, size).sum(axis=1)
  assert np.asarray(losses.group_cost(o, w, config, size)) == pytest.approx(expected, rel=1e-5)


def test_the_pitch_loss_is_a_mean_over_labelled_frames():
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, ft.PITCHES + 1)), jnp.float32)
  pitch = np.array([[3, 3, 45, 255, 255, 0, 44, 7], [255] * 8], np.uint8)
  valid = np.ones((2, 8), bool)
  valid[0, 7] = False
  likelihood = np.asarray(jax.nn.log_softmax(logits))
  expected = -np.mean([likelihood[0, t, pitch[0, t]] for t in (0, 1, 2, 5, 6)])
  terms = losses.reconstruction(outputs(pitch=logits), windows(pitch=pitch, valid=valid), LossConfig())
  assert float(terms['pitch']) == pytest.approx(expected, rel=1e-5)


def test_the_onset_loss_counts_neighbours_half():
  """Without an opinion (logit 0) every frame costs log 2, a positive one `positive` times."""
  onset = np.zeros((1, 8), np.uint8)
  onset[0, 3] = 1
  found = losses.reconstruction(outputs(onset=jnp.zeros((1, 8))), windows(onset=onset), LossConfig(onset_positive=3.0))['onset']
  # Five others; two neighbours: 3 * 0.5 + 0.5 each; one onset: 3.
  assert float(found) == pytest.approx(np.log(2) * (5 + 2 * 2 + 3) / 8, rel=1e-6)


def test_frames_beyond_the_song_have_no_influence(params):
  """Labels, and features that no valid frame's context reaches, in every term: also KL and smoothness."""
  batch = tiny.batch(4, 32, CONTEXT)
  valid = np.array(batch.valid)
  valid[:, :, 12:] = False
  batch = batch.replace(valid=valid)
  beyond = 2 * CONTEXT + 12 + networks.decoder_reach(tiny.MODEL)  # the decoder sees the z of its neighbours, beyond the end too
  changed = {name: np.array(getattr(batch, name)) for name in ('mix', 'bass', 'pitch', 'onset', 'level')}
  changed['mix'][:, :, beyond:] *= 3
  changed['bass'][:, :, beyond:] += 1
  changed['pitch'][:, :, 12:] = 1
  changed['onset'][:, :, 12:] = 1
  changed['level'][:, :, 12:] = 0
  experiment = plain(latent_l2=1.0, kl_lag=1.0, smoothness_lag=4)
  one, other = (dataclasses.asdict(loss_of(params, b, jax.random.key(0), experiment)[1]) for b in (batch, batch.replace(**changed)))
  everywhere = dataclasses.asdict(loss_of(params, batch.replace(valid=np.ones_like(valid)), jax.random.key(0), experiment)[1])
  # The onset before the song's end sees one label beyond it, as a neighbour; hence not that of frame 11.
  for name in set(one) - {'onset', 'search', 'total', 'pitch_accuracy'}:
    assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-5, abs=1e-7), name
    assert float(one[name]) != float(everywhere[name]), f'{name}: this test must see the difference'


def test_the_total_is_the_weighted_sum(params):
  experiment = plain(cqt=0.3, pitch=0.5, onset=0.7, level=1.1, kl=0.2, latent_smoothness=0.9, latent_l2=0.4, kl_lag=0.6)
  total, terms = loss_of(params, tiny.batch(4, 32, CONTEXT), jax.random.key(0), experiment)
  names = ('cqt', 'pitch', 'onset', 'level', 'kl', 'latent_smoothness', 'latent_l2', 'kl_lag')
  assert float(total) == pytest.approx(sum(getattr(experiment.loss, n) * float(getattr(terms, n)) for n in names), rel=1e-5)
  assert float(total) == float(terms.total)


def test_exchange_takes_z_from_the_partner_s_window_alone(params):
  """The decoder of window 0 must not see what window 0's bass says of z: its gradient goes through the partner's bass."""
  batch = tiny.batch(1, 32, CONTEXT)

  def moves(form: str) -> list[bool]:
    experiment = dataclasses.replace(plain(exchange=form), model=dataclasses.replace(tiny.MODEL, variational=False))
    only_first = batch.replace(valid=np.array(batch.valid) & np.array([True, False])[None, :, None])
    terms = []
    for window in (None, 0, 1):
      bass = np.array(batch.bass)
      if window is not None:
        bass[0, window] = bass[0, window, ::-1, ::-1]
      terms.append(float(loss_of(params, only_first.replace(bass=bass), jax.random.key(0), experiment)[1].pitch))
    return [terms[0] != other for other in terms[1:]]

  assert moves('exchange') == [False, True]
  assert moves('rolled') == [True, False]


# Augmentation.


@pytest.fixture
def labelled():
  batch = tiny.batch(64, 16, 2)
  pitch = np.array(batch.pitch)
  pitch[:, :, 3] = ft.NO_PITCH
  pitch[:, :, 4] = ft.UNLABELLED
  return batch.replace(pitch=pitch)


def shifts_of(before, after) -> np.ndarray:
  """Semitones [pairs, 2] by which the labels moved; all of a window by as many."""
  pitched = before.pitch < ft.NO_PITCH
  moved = np.asarray(after.pitch).astype(int) - before.pitch.astype(int)
  np.testing.assert_array_equal(moved[~pitched], 0)
  shift = moved[:, :, 0]
  np.testing.assert_array_equal(np.where(pitched, moved, shift[..., None]), np.broadcast_to(shift[..., None], moved.shape))
  return shift


@pytest.mark.parametrize('independent', [True, False])
def test_transposition_moves_bins_and_labels_together(labelled, independent):
  config = DataConfig(transposition=6, gain_db=0.0, equaliser_db=0.0, independent_transposition=independent)
  after = augment(labelled, jax.random.key(0), config)
  shift = shifts_of(labelled, after)
  assert shift.min() == -6 and shift.max() == 6 and len(set(shift.ravel())) > 9
  assert (shift[:, 0] != shift[:, 1]).any() if independent else (shift[:, 0] == shift[:, 1]).all()
  for name in ('mix', 'bass'):
    before, found = getattr(labelled, name), np.asarray(getattr(after, name))
    for pair, window in np.ndindex(shift.shape):
      by = 2 * shift[pair, window]
      expected = np.roll(before[pair, window], by, axis=-1)
      if by > 0:
        expected[:, :by] = 0
      elif by < 0:
        expected[:, by:] = 0
      np.testing.assert_array_equal(found[pair, window], expected)
  np.testing.assert_array_equal(after.onset, labelled.onset)
  np.testing.assert_array_equal(after.level, labelled.level)


@pytest.mark.parametrize('independent', [True, False])
def test_pitches_stay_in_range(labelled, independent):
  pitch = np.array(labelled.pitch)
  pitch[0, 0, 0], pitch[0, 0, 1] = 0, ft.PITCHES - 1  # no room at all
  pitch[1:30, :, 0] = 2
  pitch[30:, 0, 1] = ft.PITCHES - 2
  batch = labelled.replace(pitch=pitch)
  after = augment(batch, jax.random.key(1), DataConfig(gain_db=0.0, equaliser_db=0.0, independent_transposition=independent))
  shift = shifts_of(batch, after)
  pitched = pitch < ft.NO_PITCH
  assert (np.asarray(after.pitch)[pitched] < ft.PITCHES).all()
  assert shift[0, 0] == 0
  assert shift[1:30].min() >= -2 and shift[30:, 0].max() <= 1
  assert shift[1:30].max() > 3, 'there is room above'
  if not independent:
    assert (shift[:, 0] == shift[:, 1]).all()


def test_gain_moves_features_and_level_alike(labelled):
  batch = labelled.replace(level=np.array(labelled.level) * (np.arange(16) > 0))
  after = augment(batch, jax.random.key(0), DataConfig(transposition=0, gain_db=3.0, equaliser_db=0.0))
  silent, loud = np.asarray(after.level)[..., :1], np.asarray(after.level)[..., 1:]
  assert (silent == 0).all(), 'silence stays silence'
  decibels = (loud - batch.level[..., 1:].astype(np.float32)) * 60
  by = decibels[..., :1]
  np.testing.assert_allclose(decibels, np.broadcast_to(by, decibels.shape), atol=1e-3)
  assert by.min() < -2 and by.max() > 2 and np.abs(by).max() <= 3.001
  for name in ('mix', 'bass'):
    expected = np.log1p(10 ** (by[..., None] / 20) * np.expm1(getattr(batch, name).astype(np.float32)))
    np.testing.assert_allclose(getattr(after, name), expected, rtol=2e-3, atol=1e-4)
  np.testing.assert_array_equal(after.pitch, batch.pitch)


def test_the_equaliser_colours_the_mix_alone(labelled):
  """One smooth curve a window, the same in all of its frames, of about the stated spread in decibels."""
  after = augment(labelled, jax.random.key(0), DataConfig(transposition=0, gain_db=0.0, equaliser_db=4.0))
  for name in ('bass', 'pitch', 'onset', 'level'):
    np.testing.assert_array_equal(getattr(after, name), getattr(labelled, name))
  before = labelled.mix.astype(np.float64)
  curve = 20 * np.log10(np.expm1(np.asarray(after.mix, np.float64)) / np.expm1(np.maximum(before, 1e-3)))
  loud = before > 0.05
  middle = np.nanmedian(np.where(loud, curve, np.nan), axis=2, keepdims=True)
  assert np.abs(np.where(loud, curve - middle, 0)).max() < 0.05
  assert 3 < middle.std() < 5
  assert np.abs(np.diff(middle, axis=-1)).max() < 2, 'smooth'


def test_no_augmentation_changes_nothing(labelled):
  after = augment(labelled, jax.random.key(0), DataConfig(transposition=0, gain_db=0.0, equaliser_db=0.0))
  for field in dataclasses.fields(labelled):
    np.testing.assert_array_equal(getattr(after, field.name), getattr(labelled, field.name))
