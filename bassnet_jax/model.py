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
  """Frames on each side, of a code and of z, that an output frame of the decoder sees."""
  return _even(sum(config.decoder_dilations))


def latent_reach(config: ModelConfig) -> int:
  """Frames on each side, of a code and of the bass's features, that a frame of the posterior sees."""
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


def crop_semitones(x: jax.Array, frames: int, semitones: int) -> jax.Array:
  """The middle `frames` of [batch, features, time * semitones]."""
  start = (x.shape[2] // semitones - frames) // 2
  return x[:, :, start * semitones : (start + frames) * semitones]


def harmonic_stack(cqt: jax.Array, semitones: int, first_bin: int, harmonics: tuple[float, ...]) -> jax.Array:
  """Gathers, for every semitone, the bins at its harmonics, each with its two neighbours.

  Args:
    cqt: [batch, frames, bins].
    semitones: how many, upwards from the one centred on `first_bin`.
    first_bin: bin of the lowest semitone.
    harmonics: frequency ratios.

  Returns:
    [batch, 3 * harmonics, frames * semitones]; zeros beyond the ends of the transform.
  """
  offsets = [int(round(ft.BINS_PER_OCTAVE * np.log2(h))) + n for h in harmonics for n in (-1, 0, 1)]
  index = first_bin + 2 * np.arange(semitones)[None, :] + np.asarray(offsets)[:, None]
  inside = (index >= 0) & (index < cqt.shape[-1])
  stack = jnp.where(inside, cqt[..., np.clip(index, 0, cqt.shape[-1] - 1)], 0).transpose(0, 2, 1, 3)
  return stack.reshape(*stack.shape[:2], -1)


def channels_last(x: jax.Array, semitones: int) -> jax.Array:
  """[batch, channels, frames * semitones] to [batch, frames, semitones, channels]."""
  return x.reshape(*x.shape[:2], -1, semitones).transpose(0, 2, 3, 1)


def fold_octaves(x: jax.Array) -> jax.Array:
  """Sums [batch, frames, 12 * octaves, channels] over octaves to [batch, frames, 12, channels]."""
  return x.reshape(*x.shape[:2], -1, 12, x.shape[-1]).sum(axis=2)


@jax.custom_vjp
def correlate_classes(x: jax.Array, y: jax.Array) -> jax.Array:
  """Sum over pitch classes p of x[p + k] y[p], for every interval k upwards on the circle of twelve: all [batch, frames, 12, channels].

  Its derivatives are correlations too; left to themselves they would be copies of all twelve rotations.
  """
  circle = jnp.concatenate([x, x[:, :, :11]], axis=2).astype(jnp.float32)
  return sum(circle[:, :, p : p + 12] * y[:, :, p : p + 1] for p in range(12)).astype(x.dtype)


def _correlate_forward(x: jax.Array, y: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return correlate_classes(x, y), (x, y)


def _correlate_backward(saved: tuple[jax.Array, jax.Array], change: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, y = saved
  mirrored = jnp.roll(y[:, :, ::-1], 1, axis=2)  # y[-p]
  return correlate_classes(change, mirrored), correlate_classes(x, change)


correlate_classes.defvjp(_correlate_forward, _correlate_backward)


def circulant(kernel: jax.Array) -> jax.Array:
  """The matrix by which all twelve pitch classes are multiplied at once, each of which sees the others from itself up.

  Args:
    kernel: [12 * inputs, features], of one pitch class.

  Returns:
    [12 * inputs, 12 * features].
  """
  kernel = kernel.reshape(12, -1, kernel.shape[-1])
  return jnp.stack([jnp.roll(kernel, p, axis=0) for p in range(12)], axis=2).reshape(12 * kernel.shape[1], -1)


class Dense(nn.Module):
  """The parameters of an `nn.Dense`, under the same names, for products of other forms; they are returned in `dtype`."""

  inputs: int
  features: int
  dtype: jnp.dtype = jnp.float32
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self) -> tuple[jax.Array, jax.Array]:
    kernel = self.param('kernel', self.kernel_init, (self.inputs, self.features))
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    return kernel.astype(self.dtype), bias.astype(self.dtype)


class TemporalConvolution(nn.Module):
  """Three taps `dilation` frames apart, unpadded, as one matrix product.

  Over axis 1 of [batch, frames, channels]; or, where `semitones` are given, over the frames of [batch, channels, frames * semitones]
  with the same weights for every semitone. There the taps are long runs of memory: side by side they would be a few numbers each,
  which takes longer to copy than to multiply.
  """

  features: int
  dilation: int = 1
  dtype: jnp.dtype = jnp.float32
  semitones: int = 0
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    axis, channels, unit = (2, 1, self.semitones) if self.semitones else (1, -1, 1)
    step = self.dilation * unit
    length = x.shape[axis] - 2 * step
    taps = jnp.concatenate([jax.lax.slice_in_dim(x, i * step, i * step + length, axis=axis) for i in range(3)], axis=channels)
    if not self.semitones:
      return nn.Dense(self.features, dtype=self.dtype, kernel_init=self.kernel_init)(taps)
    kernel, bias = Dense(taps.shape[1], self.features, self.dtype, self.kernel_init)()
    # A product for each window: one of all windows would need them side by side, which is a copy.
    kernels = jnp.broadcast_to(kernel.T, (taps.shape[0], *kernel.T.shape))
    return jnp.einsum('bck,bkn->bcn', kernels, taps) + bias[:, None]


class ResidualBlock(nn.Module):
  """x + temporal convolution(relu(x)), cropped to the frames that the convolution leaves.

  It begins as x alone. Otherwise every block would double the variance, and the products of the network multiply that: the losses of the
  deepest networks would begin beyond all bounds.
  """

  dilation: int
  dtype: jnp.dtype = jnp.float32
  semitones: int = 0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    width = x.shape[1] if self.semitones else x.shape[-1]
    change = TemporalConvolution(width, self.dilation, self.dtype, self.semitones, nn.initializers.zeros)(nn.relu(x))
    if self.semitones:
      return crop_semitones(x, change.shape[2] // self.semitones, self.semitones) + change
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
    pitch = TemporalConvolution(cfg.pitch_channels, 1, dtype, MIX_SEMITONES)(pitch)
    for dilation in cfg.pitch_dilations:
      pitch = ResidualBlock(dilation, dtype, MIX_SEMITONES)(pitch)
    pitch = channels_last(nn.relu(crop_semitones(pitch, frames // PITCH_STRIDE, MIX_SEMITONES)), MIX_SEMITONES)

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
    pitch = channels_last(nn.relu(TemporalConvolution(cfg.pitch_channels, 1, dtype, 48)(pitch)), 48)
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
      harmony = [correlate_classes(mix_class, bass_class)]
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
      # Small, since what is gated is gated again and again: each gate begins near 1, and does depend on z.
      small = nn.initializers.variance_scaling(0.25, 'fan_in', 'truncated_normal')
      gate = nn.Dense(x.shape[-1], dtype=dtype, bias_init=bias, kernel_init=small)(style)
      gate = crop(gate, x.shape[1]) if x.ndim == 3 else halve(gate)[:, :, None, :]
      return x * gate if product else x + gate

    # Harmony: every pitch class sees the twelve around it, from itself up.
    mix_class = jnp.roll(fold_octaves(code.pitch), -(ft.LOWEST_PITCH - ft.LOWEST_BIN_PITCH), axis=2)
    kernel, bias = Dense(12 * width, 2 * width, dtype)()
    harmony = mix_class.reshape(*mix_class.shape[:2], -1) @ circulant(kernel)
    harmony = jnp.tile(harmony.reshape(*mix_class.shape[:3], -1) + bias, (1, 1, 4, 1))[:, :, : ft.PITCHES]
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
