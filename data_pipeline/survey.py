"""Looks before a build begins: what would be used, what would be skipped and why, and whether the disk has room for it.

  python -m data_pipeline.survey --hours 10 145 --times_realtime 30

prints what so many hours of music take, without a corpus.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
from collections import Counter

from data_pipeline import excerpts, extraction, parallel, storage
from data_pipeline import features as ft
from data_pipeline.progress import Progress
from data_pipeline.song import SkipSong, SongKey, Source

_SAMPLED = 4
"""Songs that are made to estimate the length of the others, where no file header tells it."""
_SPARE_BYTES = 100_000_000


@dataclasses.dataclass(frozen=True)
class Survey:
  """What was found of a source.

  Attributes:
    songs: id -> {'split', 'seconds', 'licence', 'credit'} of the songs that would be used.
    skipped: id -> reason.
  """

  songs: dict[str, dict]
  skipped: dict[str, str]

  @property
  def seconds(self) -> float:
    return sum(entry['seconds'] for entry in self.songs.values())

  def table(self) -> str:
    """Songs and minutes a split, licences, and what would be skipped and why."""
    summary = extraction.Summary(ft.VERSION, '', self.songs, self.skipped, {})
    licences = Counter(entry['licence'] for entry in self.songs.values())
    return '\n'.join([summary.table(), 'licences:', *(f'  {count:>5} songs: {licence}' for licence, count in sorted(licences.items()))])


def bytes_needed(seconds: float, tfds_files: bool = True) -> int:
  """Room that the features of so many seconds take, and their TFDS files."""
  frame = 2 * (ft.MIX_BINS + ft.BASS_BINS) + 4  # mix and bass, and pitch, onset and level
  stored = 1 + (excerpts.STORED_FRAMES / ft.EXCERPT_FRAMES if tfds_files else 0)
  return int(seconds * ft.FRAME_RATE * frame * stored)


def examine(source: Source, workers: int | None = None) -> Survey:
  """A dry run: reads or renders every song as a build does, and makes no features.

  Raises:
    ValueError: the source finds nothing.
  """
  keys = list(source.songs())
  songs, skipped = {}, {}
  with Progress(len(keys), 'looking', 'songs') as progress:
    for key, entry in parallel.results(_examine_one, [(source, key) for key in keys], workers):
      (skipped if isinstance(entry, str) else songs)[key.id] = entry
      progress.update()
  return Survey(dict(sorted(songs.items())), dict(sorted(skipped.items())))


def _examine_one(source: Source, key: SongKey) -> tuple[SongKey, dict | str]:
  try:
    song = source.load(key)
    extraction.check_song(song)
  except SkipSong as error:
    return key, str(error)
  except Exception as error:  # As in a build.
    return key, f'unforeseen {type(error).__name__}: {error}'
  return key, {'split': key.split, 'seconds': len(song.mix) / ft.SAMPLE_RATE, 'licence': song.licence, 'credit': song.credit}


def estimate_seconds(source: Source) -> tuple[float, list[str]]:
  """Seconds of music in a source, from the headers of its files where it can tell them, else from a few songs.

  Returns:
    the estimate, and what is wrong with songs whose headers show it already ('id: reason').
  """
  keys = list(source.songs())
  glance = getattr(source, 'glance', None)
  total, wrong = 0.0, []
  if glance is None:
    sample = keys[:: max(len(keys) // _SAMPLED, 1)][:_SAMPLED]
    found = [entry['seconds'] for _, entry in (_examine_one(source, key) for key in sample) if not isinstance(entry, str)]
    return (len(keys) * sum(found) / len(found) if found else 0.0), []
  with Progress(len(keys), 'file headers', 'songs') as progress:
    for key in keys:
      try:
        total += glance(key)
      except SkipSong as error:
        wrong.append(f'{key.id}: {error}')
      progress.update()
  return total, wrong


def check_before(source: Source, data_dir: str, tfds_files: bool = True) -> None:
  """Prints what will be built; stops a build that would fail hours later.

  Raises:
    ValueError: no song can be used, `data_dir` can't be written, or its disk is too full.
  """
  seconds, wrong = estimate_seconds(source)
  if wrong:
    print(f'{len(wrong)} songs can not be used, as their files or headers show; the summary will name them. The first: {wrong[0]}')
  if wrong and not seconds:
    raise ValueError('\n'.join(['none of the songs can be used:', *(f'  {line}' for line in wrong[:20]), 'Give another --manual_dir.']))
  needed = bytes_needed(seconds, tfds_files)
  if storage.is_remote(data_dir):
    print(f'about {seconds / 60:.0f} min of music; needs about {needed / 1e9:.2f} GB in {data_dir}', flush=True)
    return
  free = room(data_dir)
  print(f'about {seconds / 60:.0f} min of music; needs about {needed / 1e9:.2f} GB in {data_dir}, {free / 1e9:.2f} GB are free', flush=True)
  if needed + _SPARE_BYTES > free:
    raise ValueError(
      f'{data_dir}: {free / 1e9:.2f} GB are free, about {needed / 1e9:.2f} GB are needed. Make room, or give another --data_dir'
      + ('; --notfds leaves the TFDS files out, which takes 40 % (training then with --set data.backend=resident).' if tfds_files else '.')
    )


def room(data_dir: str) -> int:
  """Free bytes where a folder lies or will lie.

  Raises:
    ValueError: it can't be made or written.
  """
  try:
    os.makedirs(data_dir, exist_ok=True)
  except OSError as error:
    raise ValueError(f'{data_dir}: the folder can not be made ({error.strerror or error}). Give another --data_dir.') from error
  if not os.access(data_dir, os.W_OK):
    raise ValueError(f'{data_dir}: no permission to write there. Give another --data_dir.')
  return shutil.disk_usage(data_dir).free


def sizes(hours: float, times_realtime: float) -> tuple[float, float, float]:
  """What so many hours of music take: GB of stage 1, GB of TFDS files, hours of stage 1 at a speed (see `data_pipeline.benchmark`)."""
  first, both = (bytes_needed(3600 * hours, tfds_files) / 1e9 for tfds_files in (False, True))
  return first, both - first, hours / times_realtime


def main(arguments: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog='python -m data_pipeline.survey', description='Room and time that hours of music take.')
  parser.add_argument('--hours', type=float, nargs='+', required=True, help='of music, one line each')
  parser.add_argument(
    '--times_realtime', type=float, required=True, help='speed of stage 1, as python -m data_pipeline.benchmark prints it'
  )
  defined = parser.parse_args(arguments)
  print(f'{"hours of music":>15}{"stage 1, GB":>13}{"TFDS, GB":>10}{"build, hours":>14}')
  for hours in defined.hours:
    print(f'{hours:>15.1f}' + '{:>13.1f}{:>10.1f}{:>14.2f}'.format(*sizes(hours, defined.times_realtime)))
  return 0


if __name__ == '__main__':
  sys.exit(main())
