"""Stage 1 of a build: every song of a source to its feature file, in parallel, resumable; needs no tensorflow."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data_pipeline import features as ft
from data_pipeline import front_end, parallel, storage
from data_pipeline.progress import Progress, clock
from data_pipeline.song import SkipSong, Song, SongKey, Source

SHORTEST_SECONDS = 2.0
LONGEST_SECONDS = 3 * 3600.0


class SummaryError(ValueError):
  """The summary of a dataset is damaged; the message says where it lies and what to do."""


@dataclasses.dataclass(frozen=True)
class Summary:
  """What stage 1 made; written last, so that its file says that the folder is complete.

  Attributes:
    version: of the features.
    source: settings of the source, as text; another source makes another dataset.
    songs: id -> {'split', 'seconds', 'licence', 'credit'}.
    skipped: id -> reason.
    statistics: name -> list, mean and standard deviation a bin over the training split.
    options: 'option=value' of the source's options that were not left as they are; with them `catalogue.source` makes it again.
  """

  version: str
  source: str
  songs: dict[str, dict]
  skipped: dict[str, str]
  statistics: dict[str, list[float]]
  options: list[str] = dataclasses.field(default_factory=list)

  def splits(self) -> dict[str, list[str]]:
    """Split -> ids, sorted."""
    result: dict[str, list[str]] = {}
    for song, entry in sorted(self.songs.items()):
      result.setdefault(entry['split'], []).append(song)
    return result

  def table(self) -> str:
    """Songs and minutes a split, and what was skipped and why, as text."""
    lines = [f'{"split":<14}{"songs":>7}{"minutes":>10}']
    for split, ids in self.splits().items():
      lines.append(f'{split:<14}{len(ids):>7}{sum(self.songs[i]["seconds"] for i in ids) / 60:>10.1f}')
    lines.append(f'skipped: {len(self.skipped)}')
    lines += [f'  {song}: {reason}' for song, reason in sorted(self.skipped.items())]
    return '\n'.join(lines)


def folder(data_dir: str, dataset: str, config: str) -> str:
  """Where stage 1 of a dataset lies."""
  return os.path.join(data_dir, 'features', dataset, config, ft.VERSION)


def song_path(directory: str, song_id: str) -> str:
  return os.path.join(directory, 'songs', f'{song_id}.npz')


def check_song(song: Song) -> None:
  """What is wrong with a song that shows without its features.

  Raises:
    SkipSong: mix and bass differ in length, are too short, too long, silent, or not finite.
  """
  seconds = len(song.mix) / ft.SAMPLE_RATE
  if len(song.mix) != len(song.bass):
    raise SkipSong(f'mix and bass differ in length: {len(song.mix)} and {len(song.bass)} samples')
  if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
    raise SkipSong(f'{seconds:.2f} s long; expected {SHORTEST_SECONDS:.0f} s to {LONGEST_SECONDS / 3600:.0f} h')
  if not (np.isfinite(song.mix).all() and np.isfinite(song.bass).all()):
    raise SkipSong('the audio holds samples that are no numbers (NaN or infinite); export it anew')
  if np.abs(song.bass).max() < 1e-4:
    raise SkipSong('the bass is silent; was the track muted when it was exported?')


def features_of(song: Song) -> ft.Features:
  """All features and targets of a song. Raises SkipSong as `check_song`, or where the mix is too quiet to be measured."""
  check_song(song)
  try:
    analysis = front_end.analyse(song.mix, song.bass)
  except front_end.SilentMixError as error:
    raise SkipSong(f'{error}; was it muted when it was exported?') from error
  frames = len(analysis.mix)
  if song.notes is not None:
    notes, (pitch, onset) = song.notes, ft.frame_targets(song.notes, frames)
  else:
    from data_pipeline import audio_targets

    notes, pitch, onset = audio_targets.targets_from_audio(front_end.scaled(song.bass)[0], frames)
  return ft.Features(
    id=song.key.id,
    split=song.key.split,
    licence=song.licence,
    credit=song.credit,
    mix=analysis.mix.astype(np.float16),
    bass=analysis.bass.astype(np.float16),
    pitch=pitch,
    onset=onset,
    level=ft.level_of(song.bass * analysis.gain, frames).astype(np.float16),
    gain=analysis.gain,
    tuning=analysis.tuning,
    notes=notes,
    mix_notes=song.mix_notes,
    beats=song.beats,
    patterns=song.patterns,
    pattern=song.pattern,
  )


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of one song; small enough to travel from another process or machine.

  Attributes:
    key: of the song.
    skipped: the reason why it can't be used, or ''.
    entry: {'split', 'seconds', 'licence', 'credit'}; empty where it was skipped.
    frames: how many `sums` were taken over.
    sums: 'mix' and 'bass' -> [2, bins] float64, sums and sums of squares over the frames of a training song; else empty.
  """

  key: SongKey
  skipped: str = ''
  entry: dict[str, Any] = dataclasses.field(default_factory=dict)
  frames: int = 0
  sums: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def extract_song(source: Source, key: SongKey, directory: str) -> Outcome:
  """Makes the feature file of one song below `directory` if it isn't there; run in worker processes, and on Beam's workers.

  Raises:
    FeatureFileError: the file is there, and damaged or of another version.
    OSError: the disk is full, which is no fault of the song.
  """
  path = song_path(directory, key.id)
  if storage.exists(path):
    features = ft.load(path)
  else:
    try:
      features = features_of(source.load(key))
    except SkipSong as error:
      return Outcome(key, skipped=str(error))
    except Exception as error:  # Hours of work don't end with one strange file; `finish` stops if it's the corpus that is gone.
      return Outcome(key, skipped=f'unforeseen {type(error).__name__}: {error}')
    ft.save(features, path)
  entry = {'split': key.split, 'seconds': features.seconds, 'licence': features.licence, 'credit': features.credit}
  if key.split != 'train':
    return Outcome(key, entry=entry)
  wide = {name: getattr(features, name).astype(np.float64) for name in ('mix', 'bass')}
  sums = {name: np.stack([values.sum(axis=0), np.square(values).sum(axis=0)]) for name, values in wide.items()}
  return Outcome(key, entry=entry, frames=features.frames, sums=sums)


def extract(source: Source, directory: str, workers: int | None = None, options: Sequence[str] = ()) -> Summary:
  """Makes the feature files of a source below `directory`, continuing where an earlier call was stopped.

  Args:
    workers: processes; default: one a core.
    options: of the source, for the summary.

  Raises:
    ValueError: the source finds nothing to use, or the folder holds another source's songs.
  """
  done = finished(source, directory)
  if done is not None:
    return done
  keys = begin(source, directory)
  files = set(storage.names(os.path.join(directory, 'songs')))
  there = {key for key in keys if os.path.basename(song_path(directory, key.id)) in files}
  outcomes = []
  started = time.monotonic()
  with Progress(len(keys), 'features', 'songs', done=len(there)) as progress:
    for outcome in parallel.results(extract_song, [(source, key, directory) for key in keys], workers):
      outcomes.append(outcome)
      if outcome.skipped:
        progress.message(f'skipped {outcome.key.id}: {outcome.skipped}')
      if outcome.key not in there:
        progress.update()
  summary = finish(source, directory, keys, outcomes, options)
  minutes = sum(entry['seconds'] for entry in summary.songs.values()) / 60
  print(f'features of {len(summary.songs)} songs, {minutes:.1f} min of music, in {clock(time.monotonic() - started)}')
  return summary


def finished(source: Source, directory: str) -> Summary | None:
  """The summary of a folder that is complete, or None.

  Raises:
    ValueError: the folder holds another source's songs.
  """
  done = load_summary(directory, missing_ok=True)
  if done is not None and done.source != repr(source):
    raise ValueError(
      f'{directory} was built with other settings:\n  there: {done.source}\n  now:   {source!r}\n'
      'Give another --data_dir, or delete that folder.'
    )
  return done


def begin(source: Source, directory: str) -> list[SongKey]:
  """Makes the folder the source's own; returns the songs to make.

  Raises:
    ValueError: the source finds nothing, or gives one id twice, or the folder was begun for another.
  """
  keys = list(source.songs())
  if len({key.id for key in keys}) != len(keys):
    twice = Counter(key.id for key in keys).most_common(1)[0][0]
    raise ValueError(f'{_place(source)}: one id to several songs: {twice}. Give their folders or files different names.')
  storage.make_folder(os.path.join(directory, 'songs'))
  _claim(directory, source)
  return keys


def _place(source: Source) -> str:
  """What a message calls a source: its folder, or what it is."""
  return getattr(getattr(source, 'source', source), 'folder', None) or repr(source)


def _remove_remains(directory: str) -> None:
  """Half-written files of builds that were killed; none has the name of a song."""
  for name in [] if storage.is_remote(directory) else os.listdir(os.path.join(directory, 'songs')):
    if name.endswith('.tmp'):
      os.unlink(os.path.join(directory, 'songs', name))


def _claim(directory: str, source: Source) -> None:
  """An unfinished folder belongs to the source that began it."""
  path = os.path.join(directory, 'source.txt')
  if storage.exists(path):
    found = storage.read_text(path)
    if found != repr(source):
      raise ValueError(
        f'{directory} was begun with other settings:\n  there: {found}\n  now:   {source!r}\n'
        'Give another --data_dir, or delete that folder.'
      )
    return
  storage.write_text(path, repr(source))


def finish(source: Source, directory: str, keys: list[SongKey], outcomes: Iterable[Outcome], options: Sequence[str] = ()) -> Summary:
  """Writes the summary, which says that the folder is complete.

  Args:
    keys: what `begin` returned.
    outcomes: of all songs, in any order.
    options: of the source, for the summary.

  Raises:
    ValueError: the source's songs are no longer those of `keys`, or none is left to train on.
  """
  if list(source.songs()) != keys:
    raise ValueError(f'the songs of {_place(source)} changed while they were read; run the same command again when they are at rest')
  _remove_remains(directory)
  songs, skipped = {}, {}
  frames, sums = 0, {'mix': np.zeros((2, ft.MIX_BINS)), 'bass': np.zeros((2, ft.BASS_BINS))}
  for outcome in sorted(outcomes, key=lambda outcome: outcome.key.id):  # in one order, so that rounding errors are the same
    if outcome.skipped:
      skipped[outcome.key.id] = outcome.skipped
      continue
    songs[outcome.key.id] = outcome.entry
    frames += outcome.frames
    for name, values in outcome.sums.items():
      sums[name] += values
  if not frames:
    reasons = '\n'.join(f'  {song}: {reason}' for song, reason in list(skipped.items())[:20])
    raise ValueError(
      f'{_place(source)} gives no song to train on; skipped {len(skipped)}:\n{reasons}\nGive another --manual_dir, or mend these songs.'
    )
  statistics = {'frames': [float(frames)]}
  for name, (total, squares) in sums.items():
    mean = total / frames
    # A bin that hardly varies (silence at the top of a muffled corpus) must not be blown up.
    std = np.sqrt(np.maximum(squares / frames - mean**2, 0.05**2))
    statistics |= {f'{name}_mean': mean.tolist(), f'{name}_std': std.tolist()}
  summary = Summary(ft.VERSION, repr(source), songs, skipped, statistics, list(options))
  storage.write_text(os.path.join(directory, 'summary.json'), json.dumps(dataclasses.asdict(summary), indent=1, sort_keys=True))
  return summary


def load_summary(directory: str, missing_ok: bool = False) -> Summary | None:
  """Reads the summary of a finished stage 1.

  Raises:
    FileNotFoundError: stage 1 isn't finished (or None, with `missing_ok`).
    SummaryError: it is damaged.
  """
  path = os.path.join(directory, 'summary.json')
  if not storage.exists(path):
    if missing_ok:
      return None
    raise FileNotFoundError(
      f'{path} is missing: the features are not built, or not to the end. Run python -m data_pipeline.build with their --dataset and '
      '--config'
    )
  try:
    summary = Summary(**json.loads(storage.read_text(path)))
    _check(summary)
  except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
    raise SummaryError(
      f'{path} is damaged ({str(error)[:200]}). Delete it and run python -m data_pipeline.build again: what is built is kept.'
    ) from error
  if summary.version != ft.VERSION:
    raise SummaryError(
      f'{path}: features of version {summary.version[:20]}; this package makes {ft.VERSION}. '
      f'Give another --data_dir, or delete that folder: it is built anew. (The old dataset serves the package that made it.)'
    )
  return summary


def _check(summary: Summary) -> None:
  """Raises ValueError: a field is of another form than its readers expect."""
  if not isinstance(summary.version, str) or not isinstance(summary.source, str) or not isinstance(summary.skipped, dict):
    raise ValueError('version, source or skipped is of another form')
  if not re.fullmatch(r'\d+\.\d+\.\d+', summary.version):
    raise ValueError(f'{summary.version[:20]!r} is no version')
  for song, entry in summary.songs.items():
    texts = [song, entry['split'], entry['licence'], entry['credit']]
    if not all(isinstance(text, str) for text in texts) or os.path.basename(song) != song or '\0' in song:
      raise ValueError(f'the song {song[:60]!r} is described otherwise')
    if isinstance(entry['seconds'], bool) or not 0 <= entry['seconds'] < 1e9:
      raise ValueError(f'the song {song[:60]!r} is {str(entry["seconds"])[:20]} s long')
  bins = {'frames': 1} | {f'{name}_{kind}': n for name, n in (('mix', ft.MIX_BINS), ('bass', ft.BASS_BINS)) for kind in ('mean', 'std')}
  for name, count in bins.items():
    values = np.asarray(summary.statistics[name])
    if values.dtype.kind not in 'if':  # text that reads as a number is none
      raise ValueError(f'the statistics of {name} hold what is no number')
    if values.shape != (count,) or not np.isfinite(values).all() or (not name.endswith('mean') and not (values > 0).all()):
      raise ValueError(f'the statistics hold no {count} usable numbers of {name}')
