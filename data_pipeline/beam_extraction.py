"""Stage 1 of a build as an Apache Beam pipeline, for corpora beyond one machine; the files are those of `extraction.extract`."""

from __future__ import annotations

from collections.abc import Sequence

from data_pipeline import compiler_cache, extraction
from data_pipeline.song import SongKey, Source

HOW_TO_GET = "Apache Beam is not installed. Run `pip install 'bassnet_jax[beam]'`, or `pip install '.[beam]'` in the repository"


def extract(source: Source, directory: str, options: Sequence[str], source_options: Sequence[str] = ()) -> extraction.Summary:
  """Makes the feature files of a source below `directory` on the workers of a Beam runner, continuing where an earlier call was stopped.

  Every worker must see the source's folder and `directory` under the same paths. A song that a runner makes twice, as runners do after
  a worker was lost, is written under a temporary name and renamed: the same file either way.

  Args:
    options: of the pipeline, for example ['--runner=FlinkRunner', '--flink_master=host:8081'].
    source_options: of the source, for the summary.

  Raises:
    ModuleNotFoundError: without Beam, with what to do.
    ValueError: as `extraction.extract`.
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

  def finish(outcomes: list[extraction.Outcome]) -> None:
    extraction.finish(source, directory, keys, outcomes, source_options)

  with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
    outcomes = pipeline | 'songs' >> beam.Create(keys) | 'over the workers' >> beam.Reshuffle() | 'features' >> beam.ParDo(FeaturesOfSong())
    outcomes | 'all outcomes' >> beam.combiners.ToList() | 'summary' >> beam.Map(finish)
  return extraction.load_summary(directory)
