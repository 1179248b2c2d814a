"""Stage 2 of a build: the TFDS datasets `bassnet_artificial` and `bassnet_pop_rock`, packed from per-song feature files."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from data_pipeline import catalogue, excerpts, extraction
from data_pipeline import features as ft

_CITATION = """
@article{grachten2020bassnet,
  author = {Grachten, Maarten and Lattner, Stefan and Deruty, Emmanuel},
  title = {BassNet: A Variational Gated Autoencoder for Conditional Generation of Bass Guitar Tracks with Learned Interactive Control},
  journal = {Applied Sciences}, volume = {10}, number = {18}, pages = {6627}, year = {2020}
}
"""


@dataclasses.dataclass
class BassnetConfig(tfds.core.BuilderConfig):
  """A configuration of either dataset; its features lie in `extraction.folder`."""


@contextlib.contextmanager
def reproducible_records() -> Iterator[None]:
  """Within it, TFDS writes the features of an example in an order that their names decide.

  Left to itself, protobuf puts them in an order that differs from process to process: the same dataset, other bytes.
  """
  serializer = example_serializer.ExampleSerializer
  original = serializer.serialize_example
  serializer.serialize_example = lambda self, example: self.get_tf_example(example).SerializeToString(deterministic=True)
  try:
    yield
  finally:
    serializer.serialize_example = original


def _configs(dataset: str) -> list[BassnetConfig]:
  return [BassnetConfig(name=name, description=text) for name, text in catalogue.DESCRIPTIONS[dataset].items()]


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Excerpts of 1,024 frames (12.8 s) with 256 frames of context on both sides; see `excerpts.excerpts`."""

  VERSION = tfds.core.Version(ft.VERSION)
  RELEASE_NOTES = {'1.0.0': 'First version.', '1.1.0': 'The tuning of mixes whose partials do not agree counts less.'}

  def _info(self) -> tfds.core.DatasetInfo:
    frames = excerpts.STORED_FRAMES

    def stored(shape: tuple[int, ...], dtype: type) -> tfds.features.Tensor:
      return tfds.features.Tensor(shape=shape, dtype=dtype, encoding='bytes')

    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          'mix': stored((frames, ft.MIX_BINS), np.float16),
          'bass': stored((frames, ft.BASS_BINS), np.float16),
          'pitch': stored((frames,), np.uint8),
          'onset': stored((frames,), np.uint8),
          'level': stored((frames,), np.float16),
          'frames': np.int64,
          'position': np.int64,
          'song_id': tfds.features.Text(),
          'licence': tfds.features.Text(),
          'credit': tfds.features.Text(),
          'gain': np.float32,
          'tuning': np.float32,
          'pattern': np.int64,
          'notes': tfds.features.Tensor(shape=(None, 5), dtype=np.float32),
          'mix_notes': tfds.features.Tensor(shape=(None, 5), dtype=np.float32),
          'pattern_notes': tfds.features.Tensor(shape=(None, 6), dtype=np.float32),
        }
      ),
      description=f'{self.__doc__.splitlines()[0]} {self.builder_config.description}',
      citation=_CITATION,
      metadata=tfds.core.MetadataDict(),
    )

  def download_and_prepare(self, **options) -> None:
    """Writes the dataset's files, byte for byte the same in every process."""
    with reproducible_records():
      super().download_and_prepare(**options)

  def _features_folder(self) -> str:
    root = os.fspath(self._data_dir_root)
    return extraction.folder(root, self.name, self.builder_config.name)

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    del dl_manager  # nothing is downloaded: stage 1 has made or read everything
    summary = extraction.load_summary(self._features_folder())
    self.info.metadata.update(
      {'statistics': summary.statistics, 'songs': summary.songs, 'skipped': summary.skipped, 'source_options': summary.options}
    )
    return {split: self._generate_examples(ids) for split, ids in summary.splits().items()}

  def _generate_examples(self, ids: list[str]):
    for song_id in ids:
      yield from excerpts.excerpts(ft.load(extraction.song_path(self._features_folder(), song_id)))


class BassnetArtificial(_Builder):
  """Mixes whose bass is a deterministic function of the mix and a pattern, with the notes of every pattern."""

  BUILDER_CONFIGS = _configs('bassnet_artificial')


class BassnetPopRock(_Builder):
  """Mixes without bass and their bass tracks, pop and rock."""

  BUILDER_CONFIGS = _configs('bassnet_pop_rock')


BUILDERS = {'bassnet_artificial': BassnetArtificial, 'bassnet_pop_rock': BassnetPopRock}
