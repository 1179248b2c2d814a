"""Stage 1 of a build as an Apache Beam pipeline, for corpora beyond one machine; the files are those of `extraction.extract`."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Sequence

from data_pipeline import compiler_cache, extraction
from data_pipeline.song import SongKey, Source

_OUTCOMES = 'outcomes.pickle'
"""What the last step of the pipeline leaves for the process that began it."""

HOW_TO_GET = "Apache Beam is not installed. Run `pip install '.[beam]'` in the repository"


def extract(source: Source, directory: str, options: Sequence[str], source_options: Sequence[str] = ()) -> extraction.Summary:
  """Makes the feature files of a source below `directory` on the workers of a Beam runner, continuing where an earlier call was stopped.

  Every worker must see the source's folder and `directory` under the same paths. A song that a runner makes twice, as runners do after
  a worker was lost, is written under a temporary name and renamed: the same file either way.

  Args:
    options: of the pipeline, for example ['--runner=FlinkRunner', '--flink_master=host:8081'].
    source_options: of the source, for the summary.

  Raises:
    ModuleNotFoundError: without Beam, with what to do.
    ValueError: as `extraction.extract`, or a worker failed.
  """
  try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
  except ImportError as error:
    raise ModuleNotFoundError(HOW_TO_GET) from error
  done = extraction.finished(source, directory)
  if done is not None:
    return done
  keys = extraction.begin(source, directory)

  class FeaturesOfSong(beam.DoFn):
    """One song in, its `extraction.Outcome` out."""

    def setup(self):
      compiler_cache.fill()

    def process(self, key: SongKey):
      yield extraction.extract_song(source, key, directory)

  def hand_over(outcomes: list[extraction.Outcome]) -> None:
    with tempfile.NamedTemporaryFile(dir=os.path.join(directory, 'songs'), suffix='.tmp', delete=False) as file:
      pickle.dump(outcomes, file)
    os.chmod(file.name, 0o644)  # workers may be another user
    os.replace(file.name, os.path.join(directory, _OUTCOMES))

  try:
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
      songs = pipeline | 'songs' >> beam.Create(keys) | 'over the workers' >> beam.Reshuffle()
      outcomes = songs | 'features' >> beam.ParDo(FeaturesOfSong()) | 'together' >> beam.combiners.ToList()
      outcomes | 'outcomes' >> beam.Map(hand_over)
  except RuntimeError as error:  # What a worker raised, as runners with workers in other processes tell of it.
    raise ValueError(
      f'the Beam pipeline failed: {str(error).strip().splitlines()[-1]}\nWhat is done is kept: the same command goes on.'
    ) from error
  with open(os.path.join(directory, _OUTCOMES), 'rb') as file:
    found = pickle.load(file)
  os.unlink(os.path.join(directory, _OUTCOMES))
  return extraction.finish(source, directory, keys, found, source_options)
