"""The objective: reconstruction, KL, and the stability of the latent trajectory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from bassnet_jax import model as networks
from bassnet_jax.batch import Batch, Statistics, augment
from bassnet_jax.config import Experiment, LossConfig
from data_pipeline import features as ft

RECONSTRUCTION = ('cqt', 'pitch', 'onset', 'level')
_LATENT = ('kl', 'latent_smoothness', 'latent_l2', 'kl_lag')


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
  search: jax.Array  # -log q of the z that was found, while z is searched for (`latent_search`); else 0
  pitch_accuracy: jax.Array  # not a loss: share of frames whose pitch class wins


@struct.dataclass
class Windows:
  """A batch as the network and the loss take it, the windows of a group side by side.

  Attributes:
    mix: [windows, frames + 2 * context, 192], standardised.
    bass: [windows, frames + 2 * context, 144], standardised.
    pitch, onset, level, valid: [windows, frames], as of `Batch`.
  """

  mix: jax.Array
  bass: jax.Array
  pitch: jax.Array
  onset: jax.Array
  level: jax.Array
  valid: jax.Array

  @property
  def frames(self) -> int:
    return self.pitch.shape[1]

  @property
  def labelled(self) -> jax.Array:
    return self.valid & (self.pitch != ft.UNLABELLED)


def loss(params, batch: Batch, key: jax.Array, experiment: Experiment, statistics: Statistics) -> tuple[jax.Array, Terms]:
  """The loss of a batch.

  Args:
    params: of `BassNet`.
    batch: raw windows; they are augmented and standardised here.
    key: for augmentation, noise and the rolling of z.

  Returns:
    the weighted total and all terms.
  """
  cfg, net = experiment.loss, networks.BassNet(experiment.model)
  augment_key, noise_key, roll_key = jax.random.split(key, 3)
  windows = prepare(batch, augment_key, experiment, statistics)
  code = net.apply(params, windows.mix, method='encode_mix')
  q = posterior(net, params, code, windows)
  z = q.mu
  if experiment.model.variational:
    z = z + jnp.exp(q.logvar / 2) * jax.random.normal(noise_key, z.shape)
  z = decoded_latent(z, cfg.exchange, experiment.data.group_size, networks.decoder_reach(experiment.model), roll_key)
  outputs = net.apply(params, networks.crop_code(code, z.shape[1]), z, method='decode')
  terms = reconstruction(outputs, windows, cfg) | latent_terms(q, windows, experiment)
  weighted = (*RECONSTRUCTION, *_LATENT)
  total = sum(getattr(cfg, name) * terms[name] for name in weighted if getattr(cfg, name))
  return total, Terms(total=total, search=jnp.zeros(()), **terms)


def prepare(batch: Batch, key: jax.Array, experiment: Experiment, statistics: Statistics) -> Windows:
  """Augments and standardises a batch."""
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), augment(batch, key, experiment.data))
  return Windows(
    mix=statistics.standardise_mix(flat.mix),
    bass=statistics.standardise_bass(flat.bass),
    pitch=flat.pitch,
    onset=flat.onset,
    level=flat.level,
    valid=flat.valid,
  )


def posterior(net: networks.BassNet, params, code: networks.MixCode, windows: Windows) -> networks.Posterior:
  """q(z | mix, bass) of every frame of the windows."""
  found = net.apply(params, code, windows.bass, method='encode')
  return jax.tree.map(lambda x: networks.crop(x, windows.frames), found)


def reconstruction(outputs: networks.Outputs, windows: Windows, config: LossConfig) -> dict[str, jax.Array]:
  """The terms of `RECONSTRUCTION`, means over frames, and the pitch accuracy."""
  terms = {name: mean(values, weight) for name, (values, weight) in _frame_losses(outputs, windows, config).items()}
  return terms | {'pitch_accuracy': mean(outputs.pitch.argmax(axis=-1) == windows.pitch, windows.labelled)}


def group_cost(outputs: networks.Outputs, windows: Windows, config: LossConfig, group_size: int) -> jax.Array:
  """[groups]: the weighted reconstruction of every group, summed over its frames."""
  parts = _frame_losses(outputs, windows, config)
  cost = sum(getattr(config, name) * (values * weight.astype(values.dtype)).sum(axis=1) for name, (values, weight) in parts.items())
  return cost.reshape(-1, group_size).sum(axis=1)


def _frame_losses(outputs: networks.Outputs, windows: Windows, config: LossConfig) -> dict[str, tuple[jax.Array, jax.Array]]:
  """name -> (loss of every frame, which frames count), each [windows, frames]."""
  target = networks.crop(windows.bass, windows.frames)
  return {
    'cqt': (jnp.square(outputs.cqt - target).mean(axis=-1), windows.valid),
    'pitch': (_pitch_loss(outputs.pitch, windows), windows.labelled),
    'onset': (_onset_loss(outputs.onset, windows.onset, config.onset_positive), windows.valid),
    'level': (jnp.abs(outputs.level - windows.level), windows.valid),
  }


def latent_terms(q: networks.Posterior, windows: Windows, experiment: Experiment) -> dict[str, jax.Array]:
  """The terms of the latent code, unweighted."""
  cfg = experiment.loss
  return {
    'kl': kl_divergence(q, windows.valid, cfg.free_bits) if experiment.model.variational else jnp.zeros(()),
    'latent_smoothness': latent_smoothness(q.mu, cfg.smoothness_lag, windows.valid),
    'latent_l2': latent_l2(q.mu, windows.valid),
    'kl_lag': kl_lag(q, cfg.smoothness_lag, windows.valid),
  }


def decoded_latent(z: jax.Array, form: str, group_size: int, reach: int, key: jax.Array) -> jax.Array:
  """The z that the decoder is given, for the window and `reach` frames on both sides.

  Args:
    z: [windows, frames, 2], the windows of a group one after the other.
    form: 'exchange': that of the window before it in the group (of a pair, the other), rolled in time; 'rolled': its own, rolled;
      'window_mean'; 'none': its own.
    group_size: windows of a group.
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
    z = jnp.roll(z.reshape(-1, group_size, *z.shape[1:]), 1, axis=1).reshape(z.shape)
  start = jax.random.randint(key, (windows,), 0, frames)
  around = jnp.concatenate([z, z, z[:, : 2 * reach]], axis=1)
  return jax.vmap(lambda x, s: jax.lax.dynamic_slice_in_dim(x, s, frames + 2 * reach))(around, start)


def latent_smoothness(mu: jax.Array, lag: int, valid: jax.Array) -> jax.Array:
  """Mean over t of |mu(t + lag) - mu(t)|^2, divided by the variance of mu over the batch: no scale of mu escapes it.

  Args:
    mu: [windows, frames, 2].
    valid: [windows, frames]; frames beyond a song's end count nowhere.
  """
  change = mean(jnp.square(mu[:, lag:] - mu[:, :-lag]).sum(axis=-1), valid[:, lag:] & valid[:, :-lag])
  centre = (mu * valid[..., None]).sum(axis=(0, 1)) / jnp.maximum(valid.sum(), 1)
  return change / (mean(jnp.square(mu - centre).sum(axis=-1), valid) + 1e-6)


def latent_l2(mu: jax.Array, valid: jax.Array) -> jax.Array:
  """Mean square of mu around its window mean, summed over dimensions."""
  count = jnp.maximum(valid.sum(axis=1), 1)[:, None, None]
  centre = (mu * valid[..., None]).sum(axis=1, keepdims=True) / count
  return mean(jnp.square(mu - centre).sum(axis=-1), valid)


def kl_divergence(posterior: networks.Posterior, valid: jax.Array, free_bits: float = 0.0) -> jax.Array:
  """KL(q || N(0, I)), mean over frames, summed over dimensions, of which each counts `free_bits` nats at least.

  Below `free_bits` a dimension's gradient is zero: it costs nothing to carry that much (Kingma et al. 2016, section 2.2 and appendix C).
  """
  mu, logvar = posterior.mu, posterior.logvar
  divergence = 0.5 * (jnp.square(mu) + jnp.exp(logvar) - 1 - logvar)
  dimensions = [mean(divergence[..., i], valid) for i in range(divergence.shape[-1])]
  return sum(jnp.maximum(dimension, free_bits) for dimension in dimensions)


def kl_lag(posterior: networks.Posterior, lag: int, valid: jax.Array) -> jax.Array:
  """KL(q_t || q_{t + lag}), summed over dimensions, mean over frames."""
  mu, logvar = posterior.mu, posterior.logvar
  mu_a, mu_b, logvar_a, logvar_b = mu[:, :-lag], mu[:, lag:], logvar[:, :-lag], logvar[:, lag:]
  ratio = jnp.exp(logvar_a - logvar_b)
  divergence = 0.5 * (ratio + jnp.square(mu_a - mu_b) * jnp.exp(-logvar_b) - 1 + logvar_b - logvar_a).sum(axis=-1)
  return mean(divergence, valid[:, lag:] & valid[:, :-lag])


def mean(x: jax.Array, weight: jax.Array) -> jax.Array:
  """Mean of x over the places where `weight`, of the same shape, is True; 0 where it is nowhere. A float32 scalar."""
  weight = weight.astype(jnp.float32)
  return (x.astype(jnp.float32) * weight).sum() / jnp.maximum(weight.sum(), 1)


def _pitch_loss(logits: jax.Array, windows: Windows) -> jax.Array:
  target = jnp.where(windows.labelled, windows.pitch, 0).astype(jnp.int32)
  # One-hot and not take_along_axis, whose derivative is a scatter.
  return -(jax.nn.log_softmax(logits.astype(jnp.float32)) * jax.nn.one_hot(target, logits.shape[-1])).sum(axis=-1)


def _onset_loss(logit: jax.Array, onset: jax.Array, positive: float) -> jax.Array:
  """Binary cross-entropy; the neighbours of an onset count half, so that a frame's error is not a miss."""
  onset = onset.astype(jnp.float32)
  neighbours = jnp.maximum(jnp.pad(onset, ((0, 0), (1, 0)))[:, :-1], jnp.pad(onset, ((0, 0), (0, 1)))[:, 1:])
  target = jnp.maximum(onset, 0.5 * neighbours)
  logit = logit.astype(jnp.float32)
  return -(positive * target * jax.nn.log_sigmoid(logit) + (1 - target) * jax.nn.log_sigmoid(-logit))
