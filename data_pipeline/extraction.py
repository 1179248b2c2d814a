"""Stage 1 of a build: every song of a source to its feature file, in parallel, resumable; needs no tensorflow."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections import Counter

import numpy as np

from data_pipeline import features as ft
from data_pipeline import front_end, parallel
from data_pipeline.progress import Progress, clock
from data_pipeline.song import SkipSong, Song, SongKey, Source

SHORTEST_SECONDS = 2.0
LONGEST_SECONDS = 3 * 3600.0


@dataclasses.dataclass(frozen=True)
class Summary:
  """What stage 1 made; written last, so that its file says that the folder is complete.

  Attributes:
    version: of the features.
    source: settings of the source, as text; another source makes another dataset.
    songs: id -> {'split', 'seconds', 'licence', 'credit'}.
    skipped: id -> reason.
    statistics: name -> list, mean and standard deviation a bin over the training split.
  """

  version: str
  source: str
  songs: dict[str, dict]
  skipped: dict[str, str]
  statistics: dict[str, list[float]]

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
    raise SkipSong('the audio holds NaN or infinite samples')
  if np.abs(song.bass).max() < 1e-4:
    raise SkipSong('the bass is silent')


def features_of(song: Song) -> ft.Features:
  """All features and targets of a song. Raises SkipSong as `check_song`, or where the mix is too quiet to be measured."""
  check_song(song)
  try:
    analysis = front_end.analyse(song.mix, song.bass)
  except front_end.SilentMixError as error:
    raise SkipSong(str(error)) from error
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


def _extract_one(source: Source, key: SongKey, path: str) -> tuple[SongKey, str | None]:
  """In a worker: writes the feature file; returns the reason where the song is skipped."""
  try:
    features = features_of(source.load(key))
  except SkipSong as error:
    return key, str(error)
  except Exception as error:  # Hours of work don't end with one strange file; `extract` stops if it's the corpus that is gone.
    return key, f'unforeseen {type(error).__name__}: {error}'
  ft.save(features, path)  # A full disk is no fault of the song: it ends the build.
  return key, None


def extract(source: Source, directory: str, workers: int | None = None) -> Summary:
  """Makes the feature files of a source below `directory`, continuing where an earlier call was stopped.

  Args:
    workers: processes; default: one a core.

  Raises:
    ValueError: the source finds nothing to use, or the folder holds another source's songs.
  """
  done = load_summary(directory, missing_ok=True)
  if done is not None:
    if done.source != repr(source):
      raise ValueError(
        f'{directory} was built with other settings:\n  there: {done.source}\n  now:   {source!r}\n'
        'Give another --data_dir, or delete that folder.'
      )
    return done
  keys = list(source.songs())
  if len({key.id for key in keys}) != len(keys):
    raise ValueError(f'{source!r} gives one id to several songs: {Counter(key.id for key in keys).most_common(1)[0][0]}')
  os.makedirs(os.path.join(directory, 'songs'), exist_ok=True)
  _claim(directory, source)
  waiting = [key for key in keys if not os.path.exists(song_path(directory, key.id))]
  skipped: dict[str, str] = {}
  begin = time.monotonic()
  with Progress(len(keys), 'features', 'songs', done=len(keys) - len(waiting)) as progress:
    tasks = [(source, key, song_path(directory, key.id)) for key in waiting]
    for key, reason in parallel.results(_extract_one, tasks, workers):
      if reason is not None:
        skipped[key.id] = reason
        progress.message(f'skipped {key.id}: {reason}')
      progress.update()
  if list(source.songs()) != keys:
    raise ValueError(f'the songs of {source!r} changed while they were read; run the same command again when they are at rest')
  _remove_remains(directory)
  summary = _summarise(source, directory, [key for key in keys if key.id not in skipped], skipped)
  minutes = sum(entry['seconds'] for entry in summary.songs.values()) / 60
  print(f'features of {len(summary.songs)} songs, {minutes:.1f} min of music, in {clock(time.monotonic() - begin)}')
  return summary


def _remove_remains(directory: str) -> None:
  """Half-written files of builds that were killed; none has the name of a song."""
  for name in os.listdir(os.path.join(directory, 'songs')):
    if name.endswith('.tmp'):
      os.unlink(os.path.join(directory, 'songs', name))


def _claim(directory: str, source: Source) -> None:
  """An unfinished folder belongs to the source that began it."""
  path = os.path.join(directory, 'source.txt')
  if os.path.exists(path):
    with open(path) as file:
      found = file.read()
    if found != repr(source):
      raise ValueError(
        f'{directory} was begun with other settings:\n  there: {found}\n  now:   {source!r}\n'
        'Give another --data_dir, or delete that folder.'
      )
    return
  _write_whole(path, repr(source))


def _summarise(source: Source, directory: str, keys: list[SongKey], skipped: dict[str, str]) -> Summary:
  songs = {}
  sums = {name: [np.zeros(bins), np.zeros(bins)] for name, bins in (('mix', ft.MIX_BINS), ('bass', ft.BASS_BINS))}
  frames = 0
  for key in sorted(keys, key=lambda k: k.id):
    features = ft.load(song_path(directory, key.id))
    songs[key.id] = {'split': key.split, 'seconds': features.seconds, 'licence': features.licence, 'credit': features.credit}
    if key.split == 'train':
      frames += features.frames
      for name, (total, squares) in sums.items():
        values = getattr(features, name).astype(np.float64)
        total += values.sum(axis=0)
        squares += np.square(values).sum(axis=0)
  if not frames:
    reasons = '\n'.join(f'  {song}: {reason}' for song, reason in sorted(skipped.items())[:20])
    raise ValueError(f'{source!r} gives no song to train on; skipped {len(skipped)}:\n{reasons}')
  statistics = {'frames': [float(frames)]}
  for name, (total, squares) in sums.items():
    mean = total / frames
    # A bin that hardly varies (silence at the top of a muffled corpus) must not be blown up.
    std = np.sqrt(np.maximum(squares / frames - mean**2, 0.05**2))
    statistics |= {f'{name}_mean': mean.tolist(), f'{name}_std': std.tolist()}
  summary = Summary(ft.VERSION, repr(source), songs, dict(sorted(skipped.items())), statistics)
  _write_whole(os.path.join(directory, 'summary.json'), json.dumps(dataclasses.asdict(summary), indent=1, sort_keys=True))
  return summary


def load_summary(directory: str, missing_ok: bool = False) -> Summary | None:
  """Reads the summary of a finished stage 1.

  Raises:
    FileNotFoundError: stage 1 isn't finished (or None, with `missing_ok`).
  """
  path = os.path.join(directory, 'summary.json')
  if not os.path.exists(path):
    if missing_ok:
      return None
    raise FileNotFoundError(f'{path} is missing: the features are not built, or not to the end. Run python -m data_pipeline.build')
  try:
    with open(path) as file:
      summary = Summary(**json.load(file))
  except (ValueError, TypeError) as error:
    raise ValueError(f'{path} is damaged ({error}). Delete this file and build again: songs whose features are there are kept.') from error
  if summary.version != ft.VERSION:
    raise ValueError(
      f'{directory} holds features of version {summary.version}; this package makes {ft.VERSION}. '
      f'Give another --data_dir, or delete that folder: it is built anew. (The old dataset serves the package that made it.)'
    )
  return summary


def _write_whole(path: str, text: str) -> None:
  with open(path + '.tmp', 'w') as file:
    file.write(text)
  os.replace(path + '.tmp', path)
