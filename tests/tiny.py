"""Small networks, experiments and made-up songs for the tests of training and its inputs."""

import dataclasses
import json
import os

import numpy as np

from bassnet_jax.batch import Batch, Statistics
from bassnet_jax.config import DataConfig, Experiment, LossConfig, ModelConfig, TrainConfig
from data_pipeline import extraction
from data_pipeline import features as ft
from data_pipeline.notes import Notes

MODEL = ModelConfig(
  pitch_channels=4, hidden=16, pitch_dilations=(1,), trunk_dilations=(1, 2), decoder_dilations=(1,), latent_dilations=(1,)
)
DATASET = 'bassnet_artificial/a1'
LENGTHS = {'long': 2500, 'excerpt': 1024, 'middle': 700, 'short': 300, 'shorter': 100}
"""Frames of the coordinate songs."""


def experiment(model=None, loss=None, data=None, train=None) -> Experiment:
  """A run of seconds on eight simulated devices; dictionaries change fields."""
  small = DataConfig(datasets=(DATASET,), batch_size=16, excerpts_in_memory=4, windows_per_excerpt=8)
  short = TrainConfig(steps=8, warmup_steps=2, log_every=2, checkpoint_every=4)
  return Experiment(
    name='tiny',
    model=dataclasses.replace(MODEL, **(model or {})),
    loss=LossConfig(**(loss or {})),
    data=dataclasses.replace(small, **(data or {})),
    train=dataclasses.replace(short, **(train or {})),
  )


def statistics() -> Statistics:
  """Those of features that are standardised already."""
  zeros, ones = np.zeros(ft.MIX_BINS, np.float32), np.ones(ft.MIX_BINS, np.float32)
  return Statistics(zeros, ones, zeros[: ft.BASS_BINS], ones[: ft.BASS_BINS])


def batch(groups: int, window: int, context: int, seed: int = 0, size: int = 2) -> Batch:
  """Noise as features, and labels in runs of eight frames."""
  rng = np.random.default_rng(seed)
  frames = window + 2 * context
  return Batch(
    mix=rng.gamma(1, 0.5, (groups, size, frames, ft.MIX_BINS)).astype(np.float16),
    bass=rng.gamma(1, 0.5, (groups, size, frames, ft.BASS_BINS)).astype(np.float16),
    pitch=np.repeat(rng.integers(10, 30, (groups, size, window // 8)), 8, axis=-1).astype(np.uint8),
    onset=np.broadcast_to(np.arange(window) % 8 == 0, (groups, size, window)).astype(np.uint8),
    level=rng.uniform(0.3, 0.9, (groups, size, window)).astype(np.float16),
    valid=np.ones((groups, size, window), bool),
  )


def coordinate_song(name: str) -> ft.Features:
  """A song whose features name the song and the frame: mix and bass hold (song, frame // 64, frame % 64) in their first bins."""
  frames, number = LENGTHS[name], list(LENGTHS).index(name) + 1
  t = np.arange(frames)
  mix, bass = np.zeros((frames, ft.MIX_BINS), np.float16), np.zeros((frames, ft.BASS_BINS), np.float16)
  for values in (mix, bass):
    values[:, 0], values[:, 1], values[:, 2] = number, t // 64, t % 64
  mix[:, -1], bass[:, -1] = 1 + t % 3, 1 + t % 5
  onsets = np.arange(0, frames, 20) / ft.FRAME_RATE
  rows = [(onset, min(onset + 0.2, frames / ft.FRAME_RATE), 30 + i % 12, 90, 33) for i, onset in enumerate(onsets)]
  return ft.Features(
    id=name,
    split='train',
    licence=f'licence of {name}',
    credit=f'credit of {name}',
    mix=mix,
    bass=bass,
    pitch=np.where(t % 11 == 0, ft.UNLABELLED, (7 * t + number) % (ft.NO_PITCH + 1)).astype(np.uint8),
    onset=((t + number) % 5 == 0).astype(np.uint8),
    level=((t + number) % 50 / 64).astype(np.float16),
    gain=0.5 * number,
    tuning=float(number),
    notes=Notes.from_rows(rows),
    mix_notes=Notes.from_rows([(a, b, p + 24, v, 0) for a, b, p, v, _ in rows]),
    patterns=tuple(Notes.from_rows(rows).transposed(i) for i in range(3)),
    pattern=number % 3,
  )


def write_coordinate_songs(root: str) -> None:
  """Stage 1 as if a source had given the coordinate songs."""
  directory = extraction.folder(root, *DATASET.split('/'))
  os.makedirs(os.path.join(directory, 'songs'))
  songs = {}
  for name in LENGTHS:
    song = coordinate_song(name)
    ft.save(song, extraction.song_path(directory, name))
    songs[name] = {'split': 'train', 'seconds': song.seconds, 'licence': song.licence, 'credit': song.credit}
  numbers = {field.name: getattr(statistics(), field.name).tolist() for field in dataclasses.fields(Statistics)}
  summary = extraction.Summary(ft.VERSION, 'coordinates', songs, {}, numbers | {'frames': [float(sum(LENGTHS.values()))]})
  with open(os.path.join(directory, 'summary.json'), 'w') as file:
    json.dump(dataclasses.asdict(summary), file)


def check_coordinate_windows(windows: dict[str, np.ndarray], window: int, context: int) -> list[tuple[str, int]]:
  """Compares every window of [groups, windows, ...] with the frames of its song, found by content.

  Returns:
    (song, first frame) of every window, group by group.
  """
  found = []
  flat = {name: np.asarray(values).reshape(-1, *values.shape[2:]) for name, values in windows.items()}
  for i, mix in enumerate(flat['mix']):
    number, high, low = (int(x) for x in mix[context, :3])
    name = list(LENGTHS)[number - 1]
    start = 64 * high + low
    song = coordinate_song(name)
    for field, fill, reach in (('mix', 0, context), ('bass', 0, context), ('pitch', ft.NO_PITCH, 0), ('onset', 0, 0), ('level', 0, 0)):
      t = np.arange(start - reach, start + window + reach)
      inside = (t >= 0) & (t < song.frames)
      values = getattr(song, field)
      expected = np.full((len(t), *values.shape[1:]), fill, values.dtype)
      expected[inside] = values[t[inside]]
      np.testing.assert_array_equal(flat[field][i], expected, err_msg=f'{field} of {name} from frame {start}')
    np.testing.assert_array_equal(flat['valid'][i], np.arange(start, start + window) < song.frames)
    found.append((name, start))
  return found
