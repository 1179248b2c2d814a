"""The pieces of a dataset's split, made anew from its source: what a measurement needs where the dataset isn't built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from data_pipeline import catalogue, extraction, parallel
from data_pipeline.features import Features
from data_pipeline.progress import Progress
from data_pipeline.song import SkipSong, SongKey, Source

T = TypeVar('T')


def features(source: Source, key: SongKey) -> Features | None:
  """The features of a piece; None if it can't be used."""
  try:
    return extraction.features_of(source.load(key))
  except SkipSong:
    return None


def usable(
  prepare: Callable[..., T | None],
  source: Source,
  dataset: str,
  split: str,
  songs: int = 0,
  workers: int | None = None,
  extra: tuple[Any, ...] = (),
) -> list[T]:
  """Prepares the pieces of a split in other processes, showing progress.

  Args:
    prepare: (source, key, *extra) -> what is wanted, or None where a piece can't be used; at the top level of a module.
    dataset: its name, for messages.
    songs: at most so many pieces, the first by id; 0: all.
    workers: processes; None: one a core.

  Returns:
    one each, in the order in which they were done.

  Raises:
    ValueError: there is no usable piece.
  """
  keys = sorted((key for key in source.songs() if key.split == split), key=lambda key: key.id)
  found: list[T] = []
  with Progress(len(keys), 'preparing', 'pieces') as progress:
    # Some can't be used: until there are as many as wanted, the next ones are tried.
    while keys and (not songs or len(found) < songs):
      batch = keys[: songs - len(found)] if songs else keys
      keys = keys[len(batch) :]
      for item in parallel.results(prepare, [(source, key, *extra) for key in batch], workers):
        found += [item] if item is not None else []
        progress.update()
  if not found:
    name, config = catalogue.parse(dataset)
    raise ValueError(
      f'no piece of the split {split!r} of {dataset} can be used; python -m data_pipeline.build --dataset={name} --config={config} '
      '--dry_run (with the same --manual_dir, where it needs one) says why'
    )
  return found
