"""The network: a variational gated autoencoder whose features of pitch move with the pitch.

Mix, bass and z meet by multiplication only (a gated autoencoder: Memisevic 2013; for music, Lattner and Grachten 2019):
the latent code is read from products of mix and bass features, and z scales mix features before they become a bass.
Pitch features share their weights over all semitones, and harmony is read on the circle of twelve pitch classes, so that
what is learned in one key holds in all.

Temporal convolutions are unpadded: every output frame has seen real context only. Input windows therefore carry
`context_frames(config)` more frames on each side than comes out.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bassnet_jax.config import ModelConfig
from data_pipeline import features as ft

MIX_SEMITONES = 60  # MIDI 21..80; harmonics are read above
PITCH_STRIDE = 2
"""Pitch features have half the frame rate; windows and their context begin on even frames."""
LOGVAR_LIMIT = 8.0
_MIX_HARMONICS = (0.5, 1, 2, 3, 4, 5, 6, 8)
_BASS_HARMONICS = (1, 2, 3, 4)


@struct.dataclass
class MixCode:
  """What the decoder needs of a mix; it doesn't depend on z.

  Attributes:
    pitch: [batch, frames / 2, 60, channels], a vector for each semitone from MIDI 21 up.
    frame: [batch, frames, hidden].
  """

  pitch: jax.Array
  frame: jax.Array


@struct.dataclass
class Posterior:
  """q(z_t | mix, bass), a diagonal Gaussian a frame.

  Attributes:
    mu: [batch, frames, 2] float32.
    logvar: [batch, frames, 2] float32, bounded by +-`LOGVAR_LIMIT`.
  """

  mu: jax.Array
  logvar: jax.Array


@struct.dataclass
class Outputs:
  """What the decoder predicts.

  Attributes:
    cqt: [batch, frames, 144], standardised bass CQT.
    pitch: [batch, frames, 46], logits of MIDI 23..67 and "no pitch".
    onset: [batch, frames], logit.
    level: [batch, frames], 0..1 for -60..0 dB.
  """

  cqt: jax.Array
  pitch: jax.Array
  onset: jax.Array
  level: jax.Array


def mix_reach(config: ModelConfig) -> int:
  """Frames on each side that an output frame of the mix encoder sees."""
  return _even(max(PITCH_STRIDE * (1 + sum(config.pitch_dilations)), 1 + sum(config.trunk_dilations)))


def _even(frames: int) -> int:
  return frames + frames % PITCH_STRIDE


def decoder_reach(config: ModelConfig) -> int:
  return _even(sum(config.decoder_dilations))


def latent_reach(config: ModelConfig) -> int:
  return _even(sum(config.latent_dilations))


def context_frames(config: ModelConfig) -> int:
  """Frames of context on each side of a window: half of the receptive field."""
  return mix_reach(config) + max(decoder_reach(config), latent_reach(config))


def crop(x: jax.Array, frames: int) -> jax.Array:
  """The middle `frames` of [batch, time, ...]."""
  start = (x.shape[1] - frames) // 2
  return x[:, start : start + frames]


def crop_code(code: MixCode, frames: int) -> MixCode:
  """The middle `frames` (even) of a code."""
  return MixCode(pitch=crop(code.pitch, frames // PITCH_STRIDE), frame=crop(code.frame, frames))


def harmonic_stack(cqt: jax.Array, semitones: int, first_bin: int, harmonics: tuple[float, ...]) -> jax.Array:
  """Gathers, for every semitone, the bins at its harmonics, each with its two neighbours.

  Args:
    cqt: [batch, frames, bins].
    semitones: how many, upwards from the one centred on `first_bin`.
    first_bin: bin of the lowest semitone.
    harmonics: frequency ratios.

  Returns:
    [batch, frames, semitones, 3 * harmonics]; zeros beyond the ends of the transform.
  """
  offsets = [int(round(ft.BINS_PER_OCTAVE * np.log2(h))) + n for h in harmonics for n in (-1, 0, 1)]
  index = first_bin + 2 * np.arange(semitones)[:, None] + np.asarray(offsets)[None, :]
  inside = (index >= 0) & (index < cqt.shape[-1])
  return jnp.where(inside, cqt[..., np.clip(index, 0, cqt.shape[-1] - 1)], 0)


def fold_octaves(x: jax.Array) -> jax.Array:
  """Sums [batch, frames, 12 * octaves, channels] over octaves to [batch, frames, 12, channels]."""
  return x.reshape(*x.shape[:2], -1, 12, x.shape[-1]).sum(axis=2)


class TemporalConvolution(nn.Module):
  """Three taps `dilation` frames apart, over axis 1 of [batch, frames, ..., channels], unpadded, as one matrix product."""

  features: int
  dilation: int = 1
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    length = x.shape[1] - 2 * self.dilation
    taps = [jax.lax.slice_in_dim(x, i * self.dilation, i * self.dilation + length, axis=1) for i in range(3)]
    return nn.Dense(self.features, dtype=self.dtype)(jnp.concatenate(taps, axis=-1))


class ResidualBlock(nn.Module):
  """x + temporal convolution(relu(x)), cropped to the frames that the convolution leaves."""

  dilation: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    change = TemporalConvolution(x.shape[-1], self.dilation, self.dtype)(nn.relu(x))
    return crop(x, change.shape[1]) + change


def halve(x: jax.Array) -> jax.Array:
  """Means of two frames each: [batch, frames, ...] to [batch, frames / 2, ...]."""
  return x.reshape(x.shape[0], -1, PITCH_STRIDE, *x.shape[2:]).mean(axis=2)


def double(x: jax.Array) -> jax.Array:
  """Each frame twice: the way back from `halve`."""
  # Not jnp.repeat, whose derivative is a scatter.
  shape = (x.shape[0], x.shape[1], PITCH_STRIDE, *x.shape[2:])
  return jnp.broadcast_to(x[:, :, None], shape).reshape(x.shape[0], -1, *x.shape[2:])


class MixEncoder(nn.Module):
  """Mix features that z and the bass are multiplied with."""

  config: ModelConfig

  @nn.compact
  def __call__(self, mix: jax.Array) -> MixCode:
    """mix: [batch, frames + 2 * mix_reach, 192], standardised. Returns codes of `frames`."""
    cfg, dtype = self.config, jnp.dtype(self.config.dtype)
    mix = mix.astype(dtype)
    frames = mix.shape[1] - 2 * mix_reach(cfg)
    pitch = harmonic_stack(halve(mix), MIX_SEMITONES, 0, _MIX_HARMONICS)
    pitch = TemporalConvolution(cfg.pitch_channels, 1, dtype)(pitch)
    for dilation in cfg.pitch_dilations:
      pitch = ResidualBlock(dilation, dtype)(pitch)
    pitch = nn.relu(crop(pitch, frames // PITCH_STRIDE))

    frame = TemporalConvolution(cfg.hidden, 1, dtype)(mix)
    for dilation in cfg.trunk_dilations:
      frame = ResidualBlock(dilation, dtype)(frame)
    frame = nn.relu(crop(frame, frames))

    # Each half learns of the other: drums and density reach the pitches, the strongest pitch features reach the frame.
    pooled = jnp.concatenate([pitch.max(axis=2), pitch.mean(axis=2)], axis=-1)
    context = nn.Dense(cfg.pitch_channels, dtype=dtype)(halve(frame))[:, :, None, :]
    pitch = nn.relu(nn.Dense(cfg.pitch_channels, dtype=dtype)(pitch) + context)
    frame = nn.relu(nn.Dense(cfg.hidden, dtype=dtype)(jnp.concatenate([frame, double(pooled)], axis=-1)))
    return MixCode(pitch=pitch, frame=frame)


class LatentEncoder(nn.Module):
  """q(z_t) from the product of mix and bass features."""

  config: ModelConfig

  @nn.compact
  def __call__(self, code: MixCode, bass: jax.Array) -> Posterior:
    """code: of `frames`; bass: [batch, frames + 2 * mix_reach, 144], standardised.

    Returns a posterior of frames - 2 * latent_reach.
    """
    cfg, dtype = self.config, jnp.dtype(self.config.dtype)
    frames = code.frame.shape[1]
    bass = bass.astype(dtype)
    first = ft.LOWEST_PITCH - ft.LOWEST_BIN_PITCH
    # 48 semitones from B0 up: four whole octaves, so that they fold onto pitch classes.
    pitch = harmonic_stack(halve(crop(bass, frames + 2 * PITCH_STRIDE)), 48, 2 * first, _BASS_HARMONICS)
    pitch = nn.relu(TemporalConvolution(cfg.pitch_channels, 1, dtype)(pitch))
    pitch = nn.Dense(cfg.pitch_channels, dtype=dtype)(pitch)
    frame = TemporalConvolution(cfg.hidden, 1, dtype)(bass)
    for dilation in cfg.trunk_dilations:
      frame = ResidualBlock(dilation, dtype)(frame)
    frame = nn.relu(crop(frame, frames))

    # Which pitch class the bass plays, as a distribution; counted from B, as the fold of MIDI 23 up has it.
    bass_class = nn.softmax(fold_octaves(pitch).astype(jnp.float32), axis=2).astype(dtype)
    mix_class = fold_octaves(code.pitch)  # counted from A, as MIDI 21 up has it
    mix_class = jnp.roll(mix_class, -first, axis=2)
    if cfg.gating == 'product':
      # [batch, frames, 12 intervals, channels]: the mix's features at each interval above the bass.
      rotated = jnp.stack([jnp.roll(mix_class, -k, axis=2) for k in range(12)], axis=2)
      intervals = jnp.einsum('btkpc,btpc->btkc', rotated, bass_class)
      harmony = [intervals]
      rhythm = [nn.Dense(cfg.hidden, dtype=dtype)(code.frame) * frame]
    else:
      harmony, rhythm = [mix_class, bass_class], [code.frame, frame]
    harmony = [double(x.reshape(*x.shape[:2], -1)) for x in harmony]
    hidden = nn.Dense(cfg.hidden, dtype=dtype)(jnp.concatenate([*harmony, *rhythm], axis=-1))
    for dilation in cfg.latent_dilations:
      hidden = ResidualBlock(dilation, dtype)(hidden)
    hidden = nn.relu(crop(hidden, frames - 2 * latent_reach(cfg)))
    mu, logvar = jnp.split(nn.Dense(2 * cfg.latent_size, dtype=jnp.float32)(hidden.astype(jnp.float32)), 2, axis=-1)
    return Posterior(mu=mu, logvar=LOGVAR_LIMIT * jnp.tanh(logvar / LOGVAR_LIMIT))


class Decoder(nn.Module):
  """A bass from mix features gated by z."""

  config: ModelConfig

  @nn.compact
  def __call__(self, code: MixCode, z: jax.Array) -> Outputs:
    """code: of `frames`; z: [batch, frames, 2]. Returns outputs of frames - 2 * decoder_reach."""
    cfg, dtype = self.config, jnp.dtype(self.config.dtype)
    width = cfg.pitch_channels
    z = z.astype(dtype)
    style = nn.relu(nn.Dense(64, dtype=dtype)(z))
    style = nn.relu(nn.Dense(64, dtype=dtype)(style))

    def gated(x: jax.Array) -> jax.Array:
      """Mix features [batch, frames, features] or [batch, frames / 2, semitones, features] meet z."""
      product = cfg.gating == 'product'
      bias = nn.initializers.ones if product else nn.initializers.zeros
      gate = nn.Dense(x.shape[-1], dtype=dtype, bias_init=bias)(style)
      gate = crop(gate, x.shape[1]) if x.ndim == 3 else halve(gate)[:, :, None, :]
      return x * gate if product else x + gate

    # Harmony: every pitch class sees the twelve around it, from itself up.
    mix_class = jnp.roll(fold_octaves(code.pitch), -(ft.LOWEST_PITCH - ft.LOWEST_BIN_PITCH), axis=2)
    around = jnp.concatenate([jnp.roll(mix_class, -k, axis=2) for k in range(12)], axis=-1)
    harmony = jnp.tile(nn.Dense(2 * width, dtype=dtype)(around), (1, 1, 4, 1))[:, :, : ft.PITCHES]
    # The mix's own notes at the bass's pitch and one and two octaves above it.
    first = ft.LOWEST_PITCH - ft.LOWEST_BIN_PITCH
    padded = jnp.pad(code.pitch, ((0, 0), (0, 0), (0, first + 24 + ft.PITCHES - MIX_SEMITONES), (0, 0)))
    octaves = [padded[:, :, first + shift : first + shift + ft.PITCHES] for shift in (0, 12, 24)]
    here = nn.Dense(2 * width, dtype=dtype)(jnp.concatenate(octaves, axis=-1))
    place = self.param('register', nn.initializers.normal(0.1), (ft.PITCHES, 2 * width)).astype(dtype)
    general = nn.Dense(2 * width, dtype=dtype)(halve(code.frame))[:, :, None, :]

    pitch = nn.relu(gated(harmony + here + general + place))
    pitch = nn.relu(gated(nn.Dense(2 * width, dtype=dtype)(pitch)))
    pitch_logits = nn.Dense(1, dtype=jnp.float32)(pitch.astype(jnp.float32))[..., 0]
    attention = nn.softmax(pitch_logits, axis=-1).astype(dtype)
    chosen = jnp.einsum('btp,btpc->btc', attention, pitch)

    frame = gated(nn.Dense(cfg.hidden, dtype=dtype)(jnp.concatenate([code.frame, double(chosen)], axis=-1)))
    for dilation in cfg.decoder_dilations:
      frame = gated(ResidualBlock(dilation, dtype)(frame))
    frames = code.frame.shape[1] - 2 * decoder_reach(cfg)
    frame = nn.relu(crop(frame, frames))
    attention, pitch_logits = crop(double(attention), frames), crop(double(pitch_logits), frames)
    scalars = nn.Dense(3, dtype=jnp.float32)(frame.astype(jnp.float32))
    # The spectrum: a template a pitch, scaled by features of the frame, and what no pitch explains.
    spectrum = nn.relu(nn.Dense(cfg.hidden, dtype=dtype)(attention)) * nn.Dense(cfg.hidden, dtype=dtype)(frame)
    cqt = nn.Dense(ft.BASS_BINS, dtype=jnp.float32)(jnp.concatenate([spectrum, frame], axis=-1).astype(jnp.float32))
    return Outputs(
      cqt=cqt,
      pitch=jnp.concatenate([pitch_logits, scalars[..., :1]], axis=-1),
      onset=scalars[..., 1],
      level=nn.sigmoid(scalars[..., 2]),
    )


class BassNet(nn.Module):
  """Encoder and decoder; the mix is encoded once and serves both."""

  config: ModelConfig

  def setup(self):
    self.mix_encoder = MixEncoder(self.config)
    self.latent_encoder = LatentEncoder(self.config)
    self.decoder = Decoder(self.config)

  def encode_mix(self, mix: jax.Array) -> MixCode:
    return self.mix_encoder(mix)

  def encode(self, code: MixCode, bass: jax.Array) -> Posterior:
    return self.latent_encoder(code, bass)

  def decode(self, code: MixCode, z: jax.Array) -> Outputs:
    return self.decoder(code, z)

  def __call__(self, mix: jax.Array, bass: jax.Array) -> Outputs:
    """Makes all parameters; training and inference call the methods."""
    code = self.encode_mix(mix)
    posterior = self.encode(code, bass)
    return self.decode(crop_code(code, posterior.mu.shape[1]), posterior.mu)


def init_params(config: ModelConfig, window: int, seed: int) -> dict:
  """New parameters, a function of the seed."""
  frames = window + 2 * context_frames(config)
  mix, bass = jnp.zeros((1, frames, ft.MIX_BINS)), jnp.zeros((1, frames, ft.BASS_BINS))
  return BassNet(config).init(jax.random.key(seed), mix, bass)
