"""The audio files that a bass is generated for, as one mix: mono for the features, and as they are, block by block, for the preview."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np

from data_pipeline import audio, features

LONGEST_SECONDS = 60 * 60.0
_BLOCK = 1 << 18  # samples a channel, 6 s at 44.1 kHz


@dataclasses.dataclass(frozen=True)
class Mix:
  """The inputs as one mix at the first one's rate; shorter ones are filled with silence at the end. Read anew whenever it is needed.

  Attributes:
    paths: of the files.
    shapes: of each, as counted when it was read.
  """

  paths: tuple[str, ...]
  shapes: tuple[audio.AudioShape, ...]

  @property
  def rate(self) -> int:
    """Hz; inputs of other rates are resampled to it."""
    return self.shapes[0].rate

  @property
  def channels(self) -> int:
    """Mono goes to every channel; other channel counts that differ are folded to mono."""
    counts = {shape.channels for shape in self.shapes} - {1}
    return counts.pop() if len(counts) == 1 else 1

  @property
  def samples(self) -> int:
    """Of the longest input."""
    return max(self._samples(shape) for shape in self.shapes)

  @property
  def seconds(self) -> float:
    return self.samples / self.rate

  def blocks(self) -> Iterator[np.ndarray]:
    """The mix, [up to 262,144 samples, channels] float32 a time. Raises AudioError where a file is no longer what it was."""
    parts = [_even(self._resampled(path, shape), self._samples(shape)) for path, shape in zip(self.paths, self.shapes, strict=True)]
    for start in range(0, self.samples, _BLOCK):
      block = np.zeros((min(_BLOCK, self.samples - start), self.channels), dtype=np.float32)
      for part in parts:
        piece = next(part, None)
        if piece is not None:
          block[: len(piece)] += piece if piece.shape[1] in (1, self.channels) else piece.mean(axis=1, keepdims=True)
      yield block

  def _samples(self, shape: audio.AudioShape) -> int:
    """Length of an input at the mix's rate."""
    return shape.samples if shape.rate == self.rate else max(round(shape.samples * self.rate / shape.rate), 1)

  def _resampled(self, path: str, shape: audio.AudioShape) -> Iterator[np.ndarray]:
    blocks = audio.blocks(path, LONGEST_SECONDS)
    if shape.rate == self.rate:
      yield from blocks
      return
    import soxr

    stream = soxr.ResampleStream(shape.rate, self.rate, shape.channels, dtype='float32')
    for block in blocks:
      yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros((0, shape.channels), dtype=np.float32), last=True)


def _even(blocks: Iterator[np.ndarray], samples: int) -> Iterator[np.ndarray]:
  """The same audio, `_BLOCK` samples a time, cut or filled with silence to `samples`."""
  waiting = np.zeros((0, 1), dtype=np.float32)
  given = 0
  while given < samples:
    wanted = min(_BLOCK, samples - given)
    parts, there = [waiting], len(waiting)
    while there < wanted and (block := next(blocks, None)) is not None:
      parts.append(block)
      there += len(block)
    waiting = np.concatenate([part for part in parts if len(part)] or parts[:1])
    piece, waiting = waiting[:wanted], waiting[wanted:]
    yield np.pad(piece, ((0, wanted - len(piece)), (0, 0)))
    given += wanted


def read(paths: Sequence[str]) -> tuple[np.ndarray, Mix]:
  """Reads the inputs once.

  Returns:
    mono: [samples] float32 at 16 kHz, the sum of all.
    mix: the same at their own rate and channels, not held in memory.

  Raises:
    AudioError: an input can't be used.
  """
  mono, shapes = np.zeros(0, dtype=np.float32), []
  for path in paths:
    one, shape = audio.load_with_shape(path, features.SAMPLE_RATE, longest=LONGEST_SECONDS)
    shapes.append(shape)
    longer, shorter = (one, mono) if len(one) >= len(mono) else (mono, one)
    longer[: len(shorter)] += shorter
    mono = longer
  return mono, Mix(tuple(map(os.fspath, paths)), tuple(shapes))
