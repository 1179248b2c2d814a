"""MUSDB18 (compressed): 150 songs as `train/` and `test/` `<Artist - Title>.stem.mp4`, five AAC streams each; needs ffmpeg."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from data_pipeline import ffmpeg
from data_pipeline.audio import AudioError, AudioInfo
from data_pipeline.song import SongKey
from data_pipeline.sources.musdb18hq import LICENCE, credit, musdb_key, split_folder
from data_pipeline.sources.stem_corpus import SongStems, StemCorpus, folders_with

_ENDING = '.stem.mp4'
_STREAMS = {'drums': 1, 'bass': 2, 'other': 3, 'vocals': 4}
"""Stream 0 is the mixture, which has the bass in it."""
_BYTES_A_SECOND = 5 * 256_000 / 8
"""Five streams of 256 kbit/s."""
_MARK = '#'
"""Between a file's path and the number of a stream in it."""


@dataclasses.dataclass(frozen=True)
class Musdb18(StemCorpus):
  """The .stem.mp4 files of `train/` and `test/` below a folder; the same splits as MUSDB18-HQ."""

  def places(self) -> dict[SongKey, str]:
    """A key for every file.

    Raises:
      ValueError: there is none, or no ffmpeg.
    """
    if ffmpeg.program() is None:
      raise ValueError(
        f"MUSDB18's {_ENDING} files need ffmpeg, which was not found. {ffmpeg.HOW_TO_GET}. MUSDB18-HQ (configuration musdb18hq) has "
        'the same songs as WAV and needs no ffmpeg.'
      )

    def holds_songs(path: str, _: list[str], files: list[str]) -> bool:
      return split_folder(os.path.join(path, 'song')) is not None and any(file.endswith(_ENDING) for file in files)

    found = {}
    for folder in folders_with(self.folder, holds_songs, f"MUSDB18's train/<Artist - Title>{_ENDING} and test/<Artist - Title>{_ENDING}"):
      for file in sorted(os.listdir(os.path.join(self.folder, folder))):
        if file.endswith(_ENDING) and not file.startswith('.'):
          relative = os.path.join(folder, file)
          found[musdb_key(self.folder, relative.removesuffix(_ENDING))] = os.path.join(self.folder, relative)
    return found

  def stems(self, place: str) -> SongStems:
    """Streams as 'path#number'."""
    others = [f'{place}{_MARK}{number}' for stem, number in _STREAMS.items() if stem != 'bass']
    return SongStems([f'{place}{_MARK}{_STREAMS["bass"]}'], others, LICENCE, credit(os.path.basename(place).removesuffix(_ENDING)))

  def header(self, path: str) -> AudioInfo:
    """From the size of the file alone: to open a stream takes a process. Raises AudioError."""
    file, _, _ = path.rpartition(_MARK)
    if not os.path.isfile(file) or not os.path.getsize(file):
      raise AudioError(f'{file}: missing or empty. Copy it again.')
    return AudioInfo(44_100, 2, os.path.getsize(file) / _BYTES_A_SECOND)

  def read(self, path: str) -> np.ndarray:
    """One stream of one file. Raises AudioError."""
    file, _, number = path.rpartition(_MARK)
    return ffmpeg.load(file, int(number), longest=60 * self.longest_minutes)
