"""The same network, loss and training step in plain PyTorch, as the thing to beat; only the benchmark and its test import it.

Temporal convolutions are matrix products over concatenated taps, with the channels last everywhere.
All random numbers of a step come in as `Draws`, so that both implementations can be given the same. The twin runs on the kind of device
that JAX runs on, in the precision that JAX computes in, or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bassnet_jax import model as networks
from bassnet_jax.batch import Batch, Statistics
from bassnet_jax.config import DataConfig, Experiment
from data_pipeline import features as ft

_FIRST = ft.LOWEST_PITCH - ft.LOWEST_BIN_PITCH


class UnavailableError(ValueError):
  """The twin can't be compared with this run; the message says why."""


@dataclasses.dataclass(frozen=True)
class Draws:
  """Random numbers of a step.

  Attributes:
    shift: [groups, windows] semitones, before they are clipped to the range of the bass.
    decibels: [groups, windows] gain.
    curves: [groups, windows, 4] standard normal, the equaliser's cosines.
    noise: [windows, frames, 2] standard normal.
    start: [windows] frames by which z is rolled.
  """

  shift: Tensor
  decibels: Tensor
  curves: Tensor
  noise: Tensor
  start: Tensor


def draw(data: DataConfig, generator: torch.Generator, device: torch.device | str = 'cpu') -> Draws:
  """As the compiled step of JAX draws them, from a generator of that device."""
  shape, reach = (data.batch_size // data.group_size, data.group_size), data.transposition
  of: dict[str, Any] = {'generator': generator, 'device': device}
  shift = torch.randint(-reach, reach + 1, shape, **of)
  return Draws(
    shift=shift if data.independent_transposition else shift[:, :1].expand(shape),
    decibels=(2 * torch.rand(shape, **of) - 1) * data.gain_db,
    curves=torch.randn((*shape, 4), **of),
    noise=torch.randn((data.batch_size, data.window, 2), **of),
    start=torch.randint(0, data.window, (data.batch_size,), **of),
  )


class TorchBassNet(nn.Module):
  """`bassnet_jax.model.BassNet`, with a `Linear` for each of its `Dense`, under the same names."""

  def __init__(self, params: Any, experiment: Experiment, statistics: Statistics):
    super().__init__()
    cfg, loss = experiment.model, experiment.loss
    if cfg.gating != 'product' or not cfg.variational or loss.exchange not in ('exchange', 'rolled') or loss.latent_l2 or loss.kl_lag:
      raise UnavailableError(
        'the PyTorch twin is of the default network only: expected model.gating=product, model.variational=true, loss.exchange=exchange or '
        f'rolled, loss.latent_l2=0 and loss.kl_lag=0; found {cfg.gating}, {str(cfg.variational).lower()}, {loss.exchange}, '
        f'{loss.latent_l2:g} and {loss.kl_lag:g}'
      )
    self.config, self.loss, self.data = cfg, experiment.loss, experiment.data
    self.dtype = getattr(torch, cfg.dtype)
    self.linear = nn.ModuleDict()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params['params']):
      names = [str(part.key) for part in path]
      if names[-1] == 'kernel':
        self.linear['/'.join(names[:-1])] = nn.Linear(*leaf.shape)
    for name, layer in self.linear.items():
      node = params['params']
      for part in name.split('/'):
        node = node[part]
      layer.weight.data = torch.from_numpy(np.array(node['kernel']).T.copy())
      layer.bias.data = torch.from_numpy(np.array(node['bias']))
    self.register = nn.Parameter(torch.from_numpy(np.array(params['params']['decoder']['register'])))
    for field in dataclasses.fields(statistics):
      self.register_buffer(field.name, torch.from_numpy(np.asarray(getattr(statistics, field.name), np.float32)))
    order = np.arange(1, 5)
    basis = np.cos(np.pi * order[:, None] * (np.arange(ft.MIX_BINS) + 0.5) / ft.MIX_BINS) / order[:, None]
    self.register_buffer('basis', torch.from_numpy((basis / np.sqrt(np.square(basis).sum(axis=0).mean())).astype(np.float32)))
    for name, semitones, first, harmonics, bins in (
      ('mix', networks.MIX_SEMITONES, 0, networks._MIX_HARMONICS, ft.MIX_BINS),
      ('bass', 48, 2 * _FIRST, networks._BASS_HARMONICS, ft.BASS_BINS),
    ):
      offsets = [int(round(ft.BINS_PER_OCTAVE * np.log2(h))) + n for h in harmonics for n in (-1, 0, 1)]
      index = first + 2 * np.arange(semitones)[:, None] + np.asarray(offsets)[None]
      self.register_buffer(f'{name}_inside', torch.from_numpy((index >= 0) & (index < bins)))
      self.register_buffer(f'{name}_index', torch.from_numpy(np.clip(index, 0, bins - 1).reshape(-1)))

  def _harmonics(self, x: Tensor, name: str) -> Tensor:
    inside = getattr(self, f'{name}_inside')
    return x.index_select(-1, getattr(self, f'{name}_index')).unflatten(-1, tuple(inside.shape)) * inside

  def _exact(self, name: str, x: Tensor) -> Tensor:
    """A layer that is computed in float32 always, as its `Dense` is."""
    with _autocast(x, self.dtype, enabled=False):
      return self.linear[name](x.float())

  def _convolve(self, x: Tensor, name: str, dilation: int) -> Tensor:
    length = x.shape[1] - 2 * dilation
    taps = [x[:, i * dilation : i * dilation + length] for i in range(3)]
    return self.linear[f'{name}/Dense_0'](torch.cat(taps, dim=-1))

  def _residual(self, x: Tensor, name: str, dilation: int) -> Tensor:
    change = self._convolve(functional.relu(x), f'{name}/TemporalConvolution_0', dilation)
    return _crop(x, change.shape[1]) + change

  def encode_mix(self, mix: Tensor) -> tuple[Tensor, Tensor]:
    """Codes of pitch and frame, from the standardised mix."""
    cfg, at = self.config, 'mix_encoder'
    mix, frames = mix.to(self.dtype), mix.shape[1] - 2 * networks.mix_reach(cfg)
    pitch = self._convolve(self._harmonics(_halve(mix), 'mix'), f'{at}/TemporalConvolution_0', 1)
    for i, dilation in enumerate(cfg.pitch_dilations):
      pitch = self._residual(pitch, f'{at}/ResidualBlock_{i}', dilation)
    pitch = functional.relu(_crop(pitch, frames // 2))
    frame = self._convolve(mix, f'{at}/TemporalConvolution_1', 1)
    for i, dilation in enumerate(cfg.trunk_dilations, len(cfg.pitch_dilations)):
      frame = self._residual(frame, f'{at}/ResidualBlock_{i}', dilation)
    frame = functional.relu(_crop(frame, frames))
    pooled = torch.cat([pitch.amax(dim=2), pitch.mean(dim=2)], dim=-1)
    context = self.linear[f'{at}/Dense_0'](_halve(frame))[:, :, None]
    pitch = functional.relu(self.linear[f'{at}/Dense_1'](pitch) + context)
    frame = functional.relu(self.linear[f'{at}/Dense_2'](torch.cat([frame, _double(pooled)], dim=-1)))
    return pitch, frame

  def encode(self, code: tuple[Tensor, Tensor], bass: Tensor) -> tuple[Tensor, Tensor]:
    """mu and logvar, from a code and the standardised bass."""
    cfg, at = self.config, 'latent_encoder'
    bass, frames = bass.to(self.dtype), code[1].shape[1]
    pitch = self._harmonics(_halve(_crop(bass, frames + 4)), 'bass')
    pitch = self.linear[f'{at}/Dense_0'](functional.relu(self._convolve(pitch, f'{at}/TemporalConvolution_0', 1)))
    frame = self._convolve(bass, f'{at}/TemporalConvolution_1', 1)
    for i, dilation in enumerate(cfg.trunk_dilations):
      frame = self._residual(frame, f'{at}/ResidualBlock_{i}', dilation)
    frame = functional.relu(_crop(frame, frames))
    bass_class = _fold(pitch).float().softmax(dim=2).to(self.dtype)
    mix_class = _fold(code[0]).roll(-_FIRST, dims=2)
    rotated = torch.stack([mix_class.roll(-k, dims=2) for k in range(12)], dim=2)
    intervals = torch.einsum('btkpc,btpc->btkc', rotated, bass_class)
    rhythm = self.linear[f'{at}/Dense_1'](code[1]) * frame
    hidden = self.linear[f'{at}/Dense_2'](torch.cat([_double(intervals.flatten(2)), rhythm], dim=-1))
    for i, dilation in enumerate(cfg.latent_dilations, len(cfg.trunk_dilations)):
      hidden = self._residual(hidden, f'{at}/ResidualBlock_{i}', dilation)
    hidden = functional.relu(_crop(hidden, frames - 2 * networks.latent_reach(cfg)))
    mu, logvar = self._exact(f'{at}/Dense_3', hidden).chunk(2, dim=-1)
    return mu, networks.LOGVAR_LIMIT * torch.tanh(logvar / networks.LOGVAR_LIMIT)

  def decode(self, code: tuple[Tensor, Tensor], z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardised bass CQT, pitch logits, onset logit and level, as `networks.Outputs`."""
    cfg, at = self.config, 'decoder'
    dense = lambda i, x: self.linear[f'{at}/Dense_{i}'](x)  # noqa: E731
    style = functional.relu(dense(1, functional.relu(dense(0, z.to(self.dtype)))))

    def gated(x: Tensor, i: int) -> Tensor:
      gate = dense(i, style)
      return x * (_crop(gate, x.shape[1]) if x.ndim == 3 else _halve(gate)[:, :, None])

    pitch_code, frame_code = code
    mix_class = _fold(pitch_code).roll(-_FIRST, dims=2)
    layer = self.linear[f'{at}/Dense_2']
    kernel = layer.weight.t().unflatten(0, (12, -1))
    circulant = torch.stack([kernel.roll(p, dims=0) for p in range(12)], dim=2).flatten(0, 1).flatten(1)
    harmony = (mix_class.flatten(2) @ circulant).unflatten(-1, (12, -1)) + layer.bias.to(self.dtype)
    harmony = harmony.repeat(1, 1, 4, 1)[:, :, : ft.PITCHES]
    padded = functional.pad(pitch_code, (0, 0, 0, _FIRST + 24 + ft.PITCHES - networks.MIX_SEMITONES))
    here = dense(3, torch.cat([padded[:, :, _FIRST + k : _FIRST + k + ft.PITCHES] for k in (0, 12, 24)], dim=-1))
    general = dense(4, _halve(frame_code))[:, :, None]
    pitch = functional.relu(gated(harmony + here + general + self.register.to(self.dtype), 5))
    pitch = functional.relu(gated(dense(6, pitch), 7))
    logits = self._exact(f'{at}/Dense_8', pitch)[..., 0]
    attention = logits.softmax(dim=-1).to(self.dtype)
    chosen = torch.einsum('btp,btpc->btc', attention, pitch)
    frame = gated(dense(9, torch.cat([frame_code, _double(chosen)], dim=-1)), 10)
    for i, dilation in enumerate(cfg.decoder_dilations):
      frame = gated(self._residual(frame, f'{at}/ResidualBlock_{i}', dilation), 11 + i)
    frames = frame_code.shape[1] - 2 * networks.decoder_reach(cfg)
    frame = functional.relu(_crop(frame, frames))
    attention, logits = _crop(_double(attention), frames), _crop(_double(logits), frames)
    last = 11 + len(cfg.decoder_dilations)
    scalars = self._exact(f'{at}/Dense_{last}', frame)
    spectrum = functional.relu(dense(last + 1, attention)) * dense(last + 2, frame)
    cqt = self._exact(f'{at}/Dense_{last + 3}', torch.cat([spectrum, frame], dim=-1))
    return cqt, torch.cat([logits, scalars[..., :1]], dim=-1), scalars[..., 1], torch.sigmoid(scalars[..., 2])

  def forward(self, mix: Tensor, bass: Tensor, pitch: Tensor, onset: Tensor, level: Tensor, valid: Tensor, draws: Draws) -> Tensor:
    """The weighted total of `bassnet_jax.losses.loss`, from the raw batch [pairs, 2, ...]."""
    mix, bass, pitch, level = self._augment(mix.float(), bass.float(), pitch.long(), level.float(), draws)
    mix, bass, pitch, onset, level, valid = (x.flatten(0, 1) for x in (mix, bass, pitch, onset.float(), level, valid.float()))
    window, cfg = pitch.shape[1], self.loss
    mix, bass = (mix - self.mix_mean) / self.mix_std, (bass - self.bass_mean) / self.bass_std
    with _autocast(mix, self.dtype):
      code = self.encode_mix(mix)
      mu, logvar = (_crop(x, window) for x in self.encode(code, bass))
      z = mu + torch.exp(logvar / 2) * draws.noise
      reach = networks.decoder_reach(self.config)
      if cfg.exchange == 'exchange':
        z = z.unflatten(0, draws.shift.shape).roll(1, 1).flatten(0, 1)
      index = (draws.start[:, None] + torch.arange(window + 2 * reach, device=z.device)) % window
      z = z.gather(1, index[..., None].expand(-1, -1, z.shape[-1]))
      cqt, logits, onset_logit, level_out = self.decode((_crop(code[0], z.shape[1] // 2), _crop(code[1], z.shape[1])), z)
    labelled = valid * (pitch != ft.UNLABELLED)
    chosen = torch.where(labelled > 0, pitch, 0)
    likelihood = logits.log_softmax(dim=-1).gather(-1, chosen[..., None])[..., 0]
    beside = torch.maximum(functional.pad(onset, (1, 0))[:, :-1], functional.pad(onset, (0, 1))[:, 1:])
    wanted = torch.maximum(onset, 0.5 * beside)
    entropy = -(cfg.onset_positive * wanted * functional.logsigmoid(onset_logit) + (1 - wanted) * functional.logsigmoid(-onset_logit))
    divergence = 0.5 * (mu.square() + logvar.exp() - 1 - logvar)
    divergence = torch.stack([_mean(divergence[..., i], valid) for i in range(divergence.shape[-1])])
    total = (
      cfg.cqt * _mean((cqt - _crop(bass, window)).square().mean(dim=-1), valid)
      + cfg.pitch * _mean(-likelihood, labelled)
      + cfg.onset * _mean(entropy, valid)
      + cfg.level * _mean((level_out - level).abs(), valid)
      + cfg.kl * divergence.clamp(min=cfg.free_bits).sum()
    )
    if cfg.latent_smoothness:
      lag = cfg.smoothness_lag
      change = _mean((mu[:, lag:] - mu[:, :-lag]).square().sum(dim=-1), valid[:, lag:] * valid[:, :-lag])
      mean = (mu * valid[..., None]).sum(dim=(0, 1)) / valid.sum().clamp(min=1)
      total = total + cfg.latent_smoothness * change / (_mean((mu - mean).square().sum(dim=-1), valid) + 1e-6)
    return total

  def _augment(self, mix: Tensor, bass: Tensor, pitch: Tensor, level: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    data = self.data
    if data.transposition:
      pitched = pitch < ft.NO_PITCH
      lowest = torch.where(pitched, pitch, ft.PITCHES - 1).amin(dim=2)
      highest = torch.where(pitched, pitch, 0).amax(dim=2)
      if not data.independent_transposition:
        lowest, highest = lowest.amin(dim=1, keepdim=True), highest.amax(dim=1, keepdim=True)
      shift = torch.minimum(torch.maximum(draws.shift, -lowest), ft.PITCHES - 1 - highest)
      mix, bass = _move_bins(mix, 2 * shift), _move_bins(bass, 2 * shift)
      pitch = torch.where(pitched, pitch + shift[..., None], pitch)
    colour = data.equaliser_db * (draws.curves @ self.basis)[:, :, None]
    if data.gain_db:
      colour = colour + draws.decibels[..., None, None]
      bass = _amplify(bass, draws.decibels[..., None, None])
      louder = (level - draws.decibels[..., None] / ft.LEVEL_FLOOR_DB).clamp(0, 1)
      level = torch.where(level > 0, louder, 0)
    if data.gain_db or data.equaliser_db:
      mix = _amplify(mix, colour)
    return mix, bass, pitch, level


def _autocast(x: Tensor, dtype: torch.dtype, enabled: bool = True) -> contextlib.AbstractContextManager:
  """Layers are computed in `dtype` on the device of x, or as they are; nothing, where that is float32 anyway."""
  return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(x.device.type, dtype, enabled=enabled)


def _crop(x: Tensor, frames: int) -> Tensor:
  start = (x.shape[1] - frames) // 2
  return x[:, start : start + frames]


def _halve(x: Tensor) -> Tensor:
  return x.unflatten(1, (-1, 2)).mean(dim=2)


def _double(x: Tensor) -> Tensor:
  return x.repeat_interleave(2, dim=1)


def _fold(x: Tensor) -> Tensor:
  return x.unflatten(2, (-1, 12)).sum(dim=2)


def _mean(x: Tensor, weight: Tensor) -> Tensor:
  return (x * weight).sum() / weight.sum().clamp(min=1)


def _move_bins(cqt: Tensor, bins: Tensor) -> Tensor:
  index = torch.arange(cqt.shape[-1], device=cqt.device) - bins[..., None]
  inside = (index >= 0) & (index < cqt.shape[-1])
  index = index.clamp(0, cqt.shape[-1] - 1)[:, :, None].expand(cqt.shape)
  return cqt.gather(-1, index) * inside[:, :, None]


def _amplify(cqt: Tensor, decibels: Tensor) -> Tensor:
  return torch.log(1 + 10.0 ** (decibels / 20) * (torch.exp(cqt) - 1))


def tensors(batch: Batch) -> tuple[Tensor, ...]:
  """The fields of a batch, in the order of `TorchBassNet.forward`."""
  return tuple(torch.from_numpy(np.array(getattr(batch, name))) for name in ('mix', 'bass', 'pitch', 'onset', 'level', 'valid'))


def device_of(backend: str) -> torch.device:
  """Where the twin runs beside JAX.

  Args:
    backend: of `jax.default_backend`.

  Raises:
    UnavailableError: PyTorch can't use such a device; on another one the two would not be comparable.
  """
  if backend == 'cpu':
    return torch.device('cpu')
  if backend == 'gpu' and torch.cuda.is_available():
    return torch.device('cuda', torch.cuda.current_device())
  raise UnavailableError(f'JAX runs on {backend}, where PyTorch {torch.__version__} finds no device')


def name_of(device: torch.device, threads: int) -> str:
  """In words: 'CPU, 2 threads', or the name of the GPU."""
  if device.type == 'cpu':
    return f'CPU, {threads} thread{"" if threads == 1 else "s"}'
  return torch.cuda.get_device_name(device)


def use_precision(products: str) -> None:
  """Sets how float32 matrix products are computed on a GPU: 'tf32' or 'float32'."""
  torch.set_float32_matmul_precision('high' if products == 'tf32' else 'highest')


def wait(device: torch.device) -> None:
  """Until the device has done what it was given: it works on while Python goes on."""
  if device.type == 'cuda':
    torch.cuda.synchronize(device)


def make_step(
  params: Any,
  experiment: Experiment,
  statistics: Statistics,
  batch: Batch,
  compiled: bool,
  threads: int,
  device: torch.device | str = 'cpu',
) -> Callable[[], Tensor]:
  """A training step on one batch kept in the device's memory: augmentation, loss, gradient, clipping, AdamW.

  Args:
    compiled: through torch.compile.
    threads: of every operation on a CPU.
    device: of parameters, batch and random numbers.

  Returns:
    what does a step and gives its loss, for which a GPU need not have been waited for; see `wait`.
  """
  torch.set_num_threads(threads)
  device = torch.device(device)
  network = TorchBassNet(params, experiment, statistics).to(device)
  cfg, generator = experiment.train, torch.Generator(device).manual_seed(0)
  fields = tuple(field.to(device) for field in tensors(batch))
  faster = {'fused': True} if device.type == 'cuda' else {'foreach': True}
  optimizer = torch.optim.AdamW(network.parameters(), lr=cfg.learning_rate, weight_decay=cfg.weight_decay, **faster)
  loss = torch.compile(network) if compiled else network

  def step() -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    total = loss(*fields, draw(experiment.data, generator, device))
    total.backward()
    nn.utils.clip_grad_norm_(network.parameters(), cfg.gradient_clip)
    optimizer.step()
    return total.detach()

  return step
