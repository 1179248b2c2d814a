"""The objective: reconstruction, KL, and the stability of the latent trajectory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from bassnet_jax import model as networks
from bassnet_jax.batch import Batch, Statistics, augment
from bassnet_jax.config import Experiment
from data_pipeline import features as ft


@struct.dataclass
class Terms:
  """Loss terms of a batch, unweighted scalars, and the weighted total."""

  total: jax.Array
  cqt: jax.Array
  pitch: jax.Array
  onset: jax.Array
  level: jax.Array
  kl: jax.Array
  latent_smoothness: jax.Array
  latent_l2: jax.Array
  kl_lag: jax.Array
  pitch_accuracy: jax.Array  # not a loss: share of frames whose pitch class wins


def loss(params, batch: Batch, key: jax.Array, experiment: Experiment, statistics: Statistics) -> tuple[jax.Array, Terms]:
  """The loss of a batch of pairs.

  Args:
    params: of `BassNet`.
    batch: raw windows; they are augmented and standardised here.
    key: for augmentation, noise and the rolling of z.

  Returns:
    the weighted total and all terms.
  """
  cfg, net = experiment.loss, networks.BassNet(experiment.model)
  augment_key, noise_key, roll_key = jax.random.split(key, 3)
  batch = augment(batch, augment_key, experiment.data)
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)  # [windows, frames, ...]; partners are neighbours
  window = flat.pitch.shape[1]
  mix, bass = statistics.standardise_mix(flat.mix), statistics.standardise_bass(flat.bass)

  code = net.apply(params, mix, method='encode_mix')
  posterior = net.apply(params, code, bass, method='encode')
  posterior = jax.tree.map(lambda x: networks.crop(x, window), posterior)
  z = posterior.mu
  if experiment.model.variational:
    z = z + jnp.exp(posterior.logvar / 2) * jax.random.normal(noise_key, z.shape)
  z = decoded_latent(z, cfg.exchange, networks.decoder_reach(experiment.model), roll_key)
  outputs = net.apply(params, networks.crop_code(code, z.shape[1]), z, method='decode')

  target = networks.crop(bass, window)
  terms = {
    'cqt': _mean(jnp.square(outputs.cqt - target).mean(axis=-1), flat.valid),
    'pitch': _pitch_loss(outputs.pitch, flat.pitch, flat.valid),
    'onset': _onset_loss(outputs.onset, flat.onset, flat.valid, cfg.onset_positive),
    'level': _mean(jnp.abs(outputs.level - flat.level), flat.valid),
    'kl': kl_divergence(posterior, flat.valid, cfg.free_bits) if experiment.model.variational else jnp.zeros(()),
    'latent_smoothness': latent_smoothness(posterior.mu, cfg.smoothness_lag, flat.valid),
    'latent_l2': latent_l2(posterior.mu, flat.valid),
    'kl_lag': kl_lag(posterior, cfg.smoothness_lag, flat.valid),
  }
  total = sum(getattr(cfg, name) * term for name, term in terms.items() if getattr(cfg, name))
  labelled = flat.valid & (flat.pitch != ft.UNLABELLED)
  accuracy = _mean(outputs.pitch.argmax(axis=-1) == flat.pitch, labelled)
  return total, Terms(total=total, pitch_accuracy=accuracy, **terms)


def decoded_latent(z: jax.Array, form: str, reach: int, key: jax.Array) -> jax.Array:
  """The z that the decoder is given, for the window and `reach` frames on both sides.

  Args:
    z: [windows, frames, 2]; windows 2i and 2i + 1 are a pair.
    form: 'exchange': the partner's, rolled in time; 'rolled': its own, rolled; 'window_mean'; 'none': its own.
    reach: frames of the decoder's own context.
    key: of the rolling.

  Returns:
    [windows, frames + 2 * reach, 2].
  """
  windows, frames, _ = z.shape
  if form == 'window_mean':
    return jnp.broadcast_to(z.mean(axis=1, keepdims=True), (windows, frames + 2 * reach, z.shape[-1]))
  if form == 'none':
    return jnp.pad(z, ((0, 0), (reach, reach), (0, 0)), mode='edge')
  if form == 'exchange':
    z = z.reshape(-1, 2, *z.shape[1:])[:, ::-1].reshape(z.shape)
  start = jax.random.randint(key, (windows,), 0, frames)
  around = jnp.concatenate([z, z, z[:, : 2 * reach]], axis=1)
  return jax.vmap(lambda x, s: jax.lax.dynamic_slice_in_dim(x, s, frames + 2 * reach))(around, start)


def latent_smoothness(mu: jax.Array, lag: int, valid: jax.Array) -> jax.Array:
  """Mean over t of |mu(t + lag) - mu(t)|^2, divided by the variance of mu over the batch: no scale of mu escapes it.

  Args:
    mu: [windows, frames, 2].
    valid: [windows, frames]; frames beyond a song's end count nowhere.
  """
  change = _mean(jnp.square(mu[:, lag:] - mu[:, :-lag]).sum(axis=-1), valid[:, lag:] & valid[:, :-lag])
  mean = (mu * valid[..., None]).sum(axis=(0, 1)) / jnp.maximum(valid.sum(), 1)
  return change / (_mean(jnp.square(mu - mean).sum(axis=-1), valid) + 1e-6)


def latent_l2(mu: jax.Array, valid: jax.Array) -> jax.Array:
  """Mean square of mu around its window mean, summed over dimensions."""
  count = jnp.maximum(valid.sum(axis=1), 1)[:, None, None]
  mean = (mu * valid[..., None]).sum(axis=1, keepdims=True) / count
  return _mean(jnp.square(mu - mean).sum(axis=-1), valid)


def kl_divergence(posterior: networks.Posterior, valid: jax.Array, free_bits: float = 0.0) -> jax.Array:
  """KL(q || N(0, I)), mean over frames, summed over dimensions, of which each counts `free_bits` nats at least.

  Below `free_bits` a dimension's gradient is zero: it costs nothing to carry that much (Kingma et al. 2016, section 2.2 and appendix C).
  """
  mu, logvar = posterior.mu, posterior.logvar
  divergence = 0.5 * (jnp.square(mu) + jnp.exp(logvar) - 1 - logvar)
  dimensions = [_mean(divergence[..., i], valid) for i in range(divergence.shape[-1])]
  return sum(jnp.maximum(dimension, free_bits) for dimension in dimensions)


def kl_lag(posterior: networks.Posterior, lag: int, valid: jax.Array) -> jax.Array:
  """KL(q_t || q_{t + lag}), summed over dimensions, mean over frames."""
  mu, logvar = posterior.mu, posterior.logvar
  mu_a, mu_b, logvar_a, logvar_b = mu[:, :-lag], mu[:, lag:], logvar[:, :-lag], logvar[:, lag:]
  ratio = jnp.exp(logvar_a - logvar_b)
  divergence = 0.5 * (ratio + jnp.square(mu_a - mu_b) * jnp.exp(-logvar_b) - 1 + logvar_b - logvar_a).sum(axis=-1)
  return _mean(divergence, valid[:, lag:] & valid[:, :-lag])


def _mean(x: jax.Array, weight: jax.Array) -> jax.Array:
  weight = weight.astype(jnp.float32)
  return (x.astype(jnp.float32) * weight).sum() / jnp.maximum(weight.sum(), 1)


def _pitch_loss(logits: jax.Array, pitch: jax.Array, valid: jax.Array) -> jax.Array:
  labelled = valid & (pitch != ft.UNLABELLED)
  target = jnp.where(labelled, pitch, 0).astype(jnp.int32)
  # One-hot and not take_along_axis, whose derivative is a scatter.
  likelihood = (jax.nn.log_softmax(logits.astype(jnp.float32)) * jax.nn.one_hot(target, logits.shape[-1])).sum(axis=-1)
  return _mean(-likelihood, labelled)


def _onset_loss(logit: jax.Array, onset: jax.Array, valid: jax.Array, positive: float) -> jax.Array:
  """Binary cross-entropy; the neighbours of an onset count half, so that a frame's error is not a miss."""
  onset = onset.astype(jnp.float32)
  neighbours = jnp.maximum(jnp.pad(onset, ((0, 0), (1, 0)))[:, :-1], jnp.pad(onset, ((0, 0), (0, 1)))[:, 1:])
  target = jnp.maximum(onset, 0.5 * neighbours)
  logit = logit.astype(jnp.float32)
  entropy = -(positive * target * jax.nn.log_sigmoid(logit) + (1 - target) * jax.nn.log_sigmoid(-logit))
  return _mean(entropy, valid)
