"""A trained model for everything after training: whole songs in, in bounded memory, numpy on both sides."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.errors
import jax
import numpy as np

from bassnet_jax import checkpoints
from bassnet_jax import config as configs
from bassnet_jax import description as descriptions
from bassnet_jax import model as networks
from bassnet_jax.batch import Statistics
from bassnet_jax.checkpoints import CheckpointError
from bassnet_jax.decoding import Prediction
from data_pipeline import features as ft

_CHUNK = 1024
"""Frames a compiled call: long songs go through in pieces of one shape, so that nothing is compiled twice."""

CALIBRATION_FILE = descriptions.CALIBRATION_FILE


@dataclasses.dataclass(frozen=True)
class MixCode:
  """The encoded mix of a song; z plays no part in it.

  Attributes:
    pitch: [(frames + 2 * reach) / 2, 60, channels] float16.
    frame: [frames + 2 * reach, hidden] float32.
    frames: of the song.
  """

  pitch: np.ndarray
  frame: np.ndarray
  frames: int


class TrainedModel:
  """Encodes and decodes whole songs.

  Attributes:
    experiment: the settings it was trained with.
    onset_threshold, default_z: chosen on validation songs; 0.5 and the origin before that.
    describe: what the checkpoint says of itself.
  """

  def __init__(self, params: Any, description: dict[str, Any], step: int, calibration: dict[str, Any] | None = None):
    calibration = calibration or {}
    self.experiment = configs.from_dict(description['experiment'])
    self.describe = description | {'step': step}
    self.onset_threshold = float(calibration.get('onset_threshold', 0.5))
    self.default_z = tuple(calibration.get('default_z', (0.0, 0.0)))
    self._params = jax.device_put(params)
    self._statistics = Statistics.from_lists(description['statistics'])
    net = networks.BassNet(self.experiment.model)
    self._encode_mix = jax.jit(functools.partial(net.apply, method='encode_mix'))
    self._encode = jax.jit(functools.partial(net.apply, method='encode'))
    self._decode = jax.jit(functools.partial(net.apply, method='decode'))
    cfg = self.experiment.model
    self._mix_reach = networks.mix_reach(cfg)
    self._latent_reach = networks.latent_reach(cfg)
    self._decoder_reach = networks.decoder_reach(cfg)
    self._code_reach = max(self._latent_reach, self._decoder_reach)

  def warm_up(self) -> None:
    """Compiles what generation needs; later calls, of any song, compile nothing.

    Raises:
      CheckpointError: the parameters aren't those of the network that the description names.
    """
    try:
      self.decode(self.encode_mix(np.zeros((1, ft.MIX_BINS), np.float32)), np.zeros(self.experiment.model.latent_size))
    except flax.errors.FlaxError as error:
      raise CheckpointError(
        f'the parameters of {self.experiment.name} do not fit the network of this version: {str(error).split(" (http")[0][:200]}. '
        'Use the version of this package that trained it, or train it anew.'
      ) from error

  def encode_mix(self, mix: np.ndarray) -> MixCode:
    """Encodes log1p-compressed mix features [frames, 192]; silence is assumed beyond both ends."""
    pitch, frame = zip(*self._encoded_chunks(mix), strict=True)
    return MixCode(np.concatenate(pitch), np.concatenate(frame), len(mix))

  def decode(self, code: MixCode, z: np.ndarray) -> Prediction:
    """The bass for a code and a latent position [2], or one a frame [frames, 2]."""
    cut = lambda start, length: _piece(code.pitch, code.frame, start, length)  # noqa: E731
    return self._decoded(cut, code.frames, z)

  def predict(self, mix: np.ndarray, z: np.ndarray) -> Prediction:
    """`decode(encode_mix(mix), z)`, in little memory beside the result: the code of a piece is dropped when its bass is there.

    Args:
      mix: [frames, 192] log1p-compressed features.
      z: [2], or one a frame [frames, 2].
    """
    chunks = self._encoded_chunks(mix)
    held: list[tuple[np.ndarray, np.ndarray]] = []
    first = 0  # frame of the code at which `held` begins

    def cut(start: int, length: int) -> networks.MixCode:
      nonlocal first
      while first + _CHUNK <= start and held:
        held.pop(0)
        first += _CHUNK
      while first + len(held) * _CHUNK < start + length and (chunk := next(chunks, None)) is not None:
        held.append(chunk)
      pitch, frame = (np.concatenate(parts) for parts in zip(*held, strict=True))
      return _piece(pitch, frame, start - first, length)

    return self._decoded(cut, len(mix), z)

  def _encoded_chunks(self, mix: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pitch and frame code, `_CHUNK` frames a time, from `_code_reach` frames before the song to as many after it."""
    before, context = self._mix_reach + self._code_reach, 2 * self._mix_reach
    for chunk in range(-(-(len(mix) + 2 * self._code_reach) // _CHUNK)):
      piece = self._statistics.standardise_mix(_padded(mix, before - chunk * _CHUNK, _CHUNK + context))
      code = self._encode_mix(self._params, piece[None])
      yield np.asarray(code.pitch[0], dtype=np.float16), np.asarray(code.frame[0], dtype=np.float32)

  def _decoded(self, cut: Callable[[int, int], networks.MixCode], frames: int, z: np.ndarray) -> Prediction:
    """The bass of a song of `frames`; `cut(start, length)` gives a part of its code, and is called in order of time."""
    reach = self._decoder_reach
    z = np.broadcast_to(np.asarray(z, dtype=np.float32), (frames, self.experiment.model.latent_size))
    shapes = {'bass': (frames, ft.BASS_BINS), 'pitch_logits': (frames, ft.PITCHES + 1), 'onset': frames, 'level': frames}
    whole = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
    for start in range(0, frames, _CHUNK):
      within = np.clip(np.arange(start - reach, start + _CHUNK + reach), 0, frames - 1)
      piece = cut(start + self._code_reach - reach, _CHUNK + 2 * reach)
      part = self._prediction(jax.device_get(self._decode(self._params, piece, z[within][None])), frames - start)
      for name, values in whole.items():
        values[start : start + _CHUNK] = getattr(part, name)
    return Prediction(**whole)

  def _prediction(self, outputs: networks.Outputs, frames: int) -> Prediction:
    """The first frames, at most `frames`, of what the network says of one piece."""
    outputs = jax.tree.map(lambda x: x[0, : max(frames, 0)].astype(np.float32), outputs)
    return Prediction(
      bass=self._statistics.restore_bass(outputs.cqt),
      pitch_logits=outputs.pitch,
      onset=1 / (1 + np.exp(-outputs.onset)),
      level=outputs.level,
    )

  def decode_piece(self, code: MixCode, z: np.ndarray, start: int, frames: int) -> Prediction:
    """The bass of the frames from `start` on, with the context that lies around them: the same as that part of `decode`.

    Args:
      code: the encoded mix.
      z: [2], or one a frame of the whole song [frames of the song, 2].
      start: first frame, even.
      frames: even; every new number compiles anew. Cut at the song's end.
    """
    return self.decode_pieces([(code, z, start)], frames, 1)[0]

  def decode_pieces(self, pieces: Sequence[tuple[MixCode, np.ndarray, int]], frames: int, most: int) -> list[Prediction]:
    """Several pieces, of one song or of several, in one call: the same as `decode_piece` of each.

    Args:
      pieces: (code, z, start) of each, as `decode_piece` takes them; at most `most`.
      frames: of each.
      most: of the compiled call; what is missing is filled up. Every new number compiles anew.
    """
    reach = self._decoder_reach
    length = frames + 2 * reach
    pitches, features, positions = [], [], []
    for code, z, start in pieces:
      begin = start + self._code_reach - reach
      z = np.asarray(z, dtype=np.float32)
      within = np.clip(np.arange(start - reach, start + frames + reach), 0, code.frames - 1)
      positions.append(np.broadcast_to(z, (length, z.shape[-1])) if z.ndim == 1 else z[within])
      pitches.append(_cut(code.pitch, begin // networks.PITCH_STRIDE, length // networks.PITCH_STRIDE))
      features.append(_cut(code.frame, begin, length))
    filled = [
      np.concatenate([np.stack(part), np.zeros((most - len(part), *part[0].shape), np.float32)]) for part in (pitches, features, positions)
    ]
    outputs = jax.device_get(self._decode(self._params, networks.MixCode(pitch=filled[0], frame=filled[1]), filled[2]))
    predictions = []
    for number, (code, _, start) in enumerate(pieces):
      own = jax.tree.map(lambda x: x[number, : max(code.frames - start, 0)].astype(np.float32), outputs)  # noqa: B023, called at once
      predictions.append(
        Prediction(
          bass=self._statistics.restore_bass(own.cqt),
          pitch_logits=own.pitch,
          onset=1 / (1 + np.exp(-own.onset)),
          level=own.level,
        )
      )
    return predictions

  def posterior(self, mix: np.ndarray, bass: np.ndarray, code: MixCode | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [frames, 2] of q(z | mix, bass), from log1p-compressed features."""
    frames = len(mix)
    code = code or self.encode_mix(mix)
    chunks = -(-frames // _CHUNK)
    reach = self._mix_reach + self._latent_reach
    offset = self._code_reach - self._latent_reach
    padded = self._statistics.standardise_bass(_padded(bass, reach, chunks * _CHUNK + 2 * reach))
    mu, logvar = [], []
    for start in range(0, chunks * _CHUNK, _CHUNK):
      length = _CHUNK + 2 * self._latent_reach
      piece = _piece(code.pitch, code.frame, start + offset, length)
      result = jax.device_get(self._encode(self._params, piece, padded[None, start : start + _CHUNK + 2 * reach]))
      mu.append(result.mu[0])
      logvar.append(result.logvar[0])
    return np.concatenate(mu)[:frames], np.exp(np.concatenate(logvar)[:frames] / 2)


def _padded(features: np.ndarray, before: int, length: int) -> np.ndarray:
  """`length` frames of [frames, bins], beginning `before` frames before the song (if negative, inside it); silence beyond its ends."""
  result = np.zeros((length, features.shape[1]), dtype=np.float32)
  start = max(-before, 0)
  kept = features[start : max(length - before, start)]
  result[start + before : start + before + len(kept)] = kept
  return result


def _piece(pitch: np.ndarray, frame: np.ndarray, start: int, length: int) -> networks.MixCode:
  """A batch of one: `length` frames of a code from `start` on."""
  stride = networks.PITCH_STRIDE
  return networks.MixCode(pitch=_cut(pitch, start // stride, length // stride)[None], frame=_cut(frame, start, length)[None])


def _cut(values: np.ndarray, start: int, length: int) -> np.ndarray:
  """values[start : start + length], filled with zeros at the end; float32."""
  piece = values[start : start + length].astype(np.float32)
  return np.pad(piece, ((0, length - len(piece)), *((0, 0),) * (values.ndim - 1)))


def load(path: str) -> TrainedModel:
  """The model of a workdir, or one that comes with the package (`bassnet_jax.packaged`).

  Raises:
    CheckpointError: there is none, or its features are of another version.
  """
  return TrainedModel(*read(path, 'Train anew, or install that version.'))


def read(path: str, advice: str) -> tuple[Any, dict[str, Any], int, dict[str, Any] | None]:
  """Parameters, description and step of the newest checkpoint, and the calibration beside it, or None.

  Raises:
    CheckpointError: there is none, or its features are of another version; `advice` says what to do then.
  """
  params, description, step = checkpoints.load_params(path)
  if description['features_version'] != ft.VERSION:
    raise CheckpointError(
      f'{path}: trained on features of version {description["features_version"]}; this package makes {ft.VERSION}. {advice}'
    )
  try:
    calibration = descriptions.read_calibration(checkpoints.workdir_of(path))
  except descriptions.DescriptionError as error:
    raise CheckpointError(str(error)) from error
  return params, description, step, calibration


__all__ = ['CheckpointError', 'MixCode', 'TrainedModel', 'load']
