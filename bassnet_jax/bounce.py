"""Renders a bass and the mix with it, block by block: the memory that it takes doesn't grow with the song."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from bassnet_jax import sonification
from bassnet_jax.song_input import Mix


class Renders(Protocol):
  """What sounds a line: `sonification.Voice`, `soundfont.SoundFontVoice`."""

  def render(self, start: int, stop: int) -> np.ndarray:
    """Samples `start` to `stop`, [stop - start] float32; called once for each part of the song, in order."""
    ...


class Bounce:
  """The bass of a whole song in a temporary file, and the levels at which it and the mix with it don't clip. A context manager.

  Attributes:
    bass_scale: factor of the bass alone, 1 where nothing would clip.
    preview_scale: factor of the mix with the bass.
  """

  def __init__(self, voice: Renders, mix: Mix, bass_level: float, energy: float | None = None, folder: str | None = None):
    """Renders the bass and listens through both tracks once.

    Args:
      voice: sounds the line.
      mix: what it goes with.
      bass_level: in the preview, 0..1, as in `sonification.preview_mix`.
      energy: sum of squares that all samples of the bass shall have together; None takes it as it is rendered.
      folder: of the temporary file (4 bytes a sample); default: the system's.
    """
    self._mix = mix
    self._level = np.float32(bass_level / sonification.NATURAL_BASS_LEVEL)
    self._gain = np.float32(1)
    self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
    try:
      found, start, peaks = 0.0, 0, [(0.0, 0.0)]
      for block in mix.blocks():
        bass = voice.render(start, start + len(block)).astype(np.float32, copy=False)
        self._file.write(bass.tobytes())
        start += len(block)
        if energy is None:
          peaks.append((_peak(bass), _peak(self._with_bass(block, bass))))
        else:
          found += float(np.sum(np.square(bass, dtype=np.float64)))
      if energy is not None:  # only now is the gain known
        self._gain = np.float32(np.sqrt(energy / found)) if found > 0 else self._gain
        peaks += [(_peak(bass * self._gain), _peak(self._with_bass(block, bass))) for block, bass in self._pairs()]
      self.bass_scale, self.preview_scale = (sonification.scale_for(max(track)) for track in zip(*peaks, strict=True))
    except BaseException:
      self._file.close()
      raise

  def __enter__(self) -> Bounce:
    return self

  def __exit__(self, *_) -> None:
    self._file.close()

  def bass(self) -> Iterator[np.ndarray]:
    """The bass alone, mono, at the mix's own scale, within full scale: [samples of a block] float32 a time."""
    for bass in self._raw():
      yield bass * np.float32(self.bass_scale) if self.bass_scale < 1 else bass

  def preview(self) -> Iterator[np.ndarray]:
    """The mix with the bass, within full scale: [samples of a block, channels] float32 a time."""
    for block, bass in self._pairs():
      both = self._with_bass(block, bass)
      yield both * np.float32(self.preview_scale) if self.preview_scale < 1 else both

  def _raw(self) -> Iterator[np.ndarray]:
    start = 0
    while start < self._mix.samples:
      self._file.seek(4 * start)
      bass = np.frombuffer(self._file.read(4 << 18), dtype=np.float32)
      start += len(bass)
      yield bass * self._gain

  def _pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of the mix, and of the bass as it was rendered."""
    start = 0
    for block in self._mix.blocks():
      self._file.seek(4 * start)
      yield block, np.frombuffer(self._file.read(4 * len(block)), dtype=np.float32)
      start += len(block)

  def _with_bass(self, block: np.ndarray, bass: np.ndarray) -> np.ndarray:
    return block + (bass * self._gain)[:, None] * self._level


def _peak(audio: np.ndarray) -> float:
  return max(float(audio.max(initial=0.0)), -float(audio.min(initial=0.0)))
