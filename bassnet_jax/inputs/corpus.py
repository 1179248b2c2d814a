"""The training corpus that both input backends and the evaluation share: which files, how many frames, what statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bassnet_jax.batch import Statistics
from bassnet_jax.config import DataConfig
from data_pipeline import build, catalogue, extraction, source_options, storage
from data_pipeline import features as ft


@dataclasses.dataclass(frozen=True)
class Corpus:
  """Datasets of a run, built.

  Attributes:
    names: 'dataset/configuration' each.
    data_dir: their common folder, absolute; gs:// too.
    summaries: of stage 1, one a dataset.
    statistics: pooled over the training splits of all.
  """

  names: tuple[str, ...]
  data_dir: str
  summaries: tuple[extraction.Summary, ...]
  statistics: Statistics

  def paths(self, split: str, max_songs: int = 0) -> list[str]:
    """Feature files of a split, over all datasets; at most `max_songs` of each."""
    result = []
    for name, summary in zip(self.names, self.summaries, strict=True):
      directory = extraction.folder(self.data_dir, *catalogue.parse(name))
      ids = summary.splits().get(split, [])
      result += [extraction.song_path(directory, song) for song in (ids[:max_songs] if max_songs else ids)]
    return result

  def song_frames(self, split: str, max_songs: int = 0) -> list[int]:
    """Frames of every song of `paths`."""
    result = []
    for summary in self.summaries:
      ids = summary.splits().get(split, [])
      result += [round(summary.songs[song]['seconds'] * ft.FRAME_RATE) for song in (ids[:max_songs] if max_songs else ids)]
    return result

  def frames(self, split: str, max_songs: int = 0) -> int:
    """Frames of a split."""
    total = 0.0
    for summary in self.summaries:
      ids = summary.splits().get(split, [])
      total += sum(summary.songs[song]['seconds'] for song in (ids[:max_songs] if max_songs else ids))
    return int(total * ft.FRAME_RATE)

  @property
  def plain(self) -> Corpus:
    """Without the datasets of variants of songs, which are for training alone; all of it, if it's nothing else."""
    kept = [i for i, name in enumerate(self.names) if catalogue.plain_name(name) == name]
    if len(kept) in (0, len(self.names)):
      return self
    return dataclasses.replace(self, names=tuple(self.names[i] for i in kept), summaries=tuple(self.summaries[i] for i in kept))

  def source_options(self) -> dict[str, list[str]]:
    """Dataset -> options that its source was built with, where some were given; of paths the last part, for others to read."""
    return {
      name: [source_options.without_folders(option) for option in summary.options]
      for name, summary in zip(self.names, self.summaries, strict=True)
      if summary.options
    }

  def licences(self) -> dict[str, int]:
    """Licence -> number of training songs under it, a song and its variants counted once."""
    counts: dict[str, int] = {}
    for entry in self._training_songs():
      counts[entry['licence']] = counts.get(entry['licence'], 0) + 1
    return counts

  def credits(self) -> dict[str, dict[str, int]]:
    """Licence -> credit -> number of training songs."""
    counts: dict[str, dict[str, int]] = {}
    for entry in self._training_songs():
      under = counts.setdefault(entry['licence'], {})
      under[entry['credit']] = under.get(entry['credit'], 0) + 1
    return counts

  def _training_songs(self) -> list[dict]:
    found = {}
    for name, summary in zip(self.names, self.summaries, strict=True):
      for song, entry in summary.songs.items():
        if entry['split'] == 'train':
          found[catalogue.plain_name(name), catalogue.plain_song(name, song)] = entry
    return list(found.values())

  def tfds_directories(self) -> list[str]:
    return [build.tfds_folder(name, self.data_dir) for name in self.names]


def open_corpus(
  config: DataConfig,
  data_dir: str,
  manual_dir: str | None = None,
  tfds_files: bool | None = None,
  options: Sequence[str] = (),
) -> Corpus:
  """The corpus of a configuration; what is missing is built, saying so.

  Args:
    options: of the sources, 'option=value' or, of several datasets, 'configuration.option=value'. Datasets that none of them concerns are
      taken as they are.

  Raises:
    ValueError: unknown dataset, or its source can't be used, or it was built with other options than those given.
  """
  data_dir = storage.absolute(data_dir)
  tfds_files = config.backend == 'tfdata' if tfds_files is None else tfds_files
  summaries = []
  for name in config.datasets:
    if not build.is_built(name, data_dir, tfds_files):
      print(f'dataset {name} is not in {data_dir}: building it now (once)', flush=True)
    given = source_options.for_dataset(options, name, config.datasets)
    summaries.append(build.build(name, data_dir, manual_dir, tfds_files=tfds_files, options=given or None))
    if not given and build.outdated(name, summaries[-1]):
      print(f'note: {build.outdated(name, summaries[-1])}', flush=True)
    if summaries[-1].options and not given:
      print(f'dataset {name} was built with {" ".join(summaries[-1].options)}', flush=True)
  return Corpus(tuple(config.datasets), data_dir, tuple(summaries), pooled_statistics(summaries))


def pooled_statistics(summaries: list[extraction.Summary]) -> Statistics:
  """Mean and standard deviation over the training frames of all datasets."""
  weights = np.asarray([summary.statistics['frames'][0] for summary in summaries])
  weights = weights / weights.sum()
  values = {}
  for name in ('mix', 'bass'):
    means = np.asarray([summary.statistics[f'{name}_mean'] for summary in summaries])
    stds = np.asarray([summary.statistics[f'{name}_std'] for summary in summaries])
    mean = weights @ means
    values[f'{name}_mean'] = mean.astype(np.float32)
    values[f'{name}_std'] = np.sqrt(weights @ (stds**2 + means**2) - mean**2).astype(np.float32)
  return Statistics(**values)
