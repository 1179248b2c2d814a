"""Where the training data lies in the latent plane: `python -m bassnet_jax.latent_density --workdir=... --data_dir=...`.

Reads songs of the training split (stage 1 of the dataset), takes the mean of q(z | mix, bass) of every frame in which the bass sounds,
and writes their histogram beside the checkpoint, as `latent_density.json`. The studio shows it behind its dot.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Sequence

import numpy as np
from absl import flags
from scipy import ndimage

from data_pipeline import commands, storage
from data_pipeline import features as ft
from data_pipeline.progress import Progress

FILE = 'latent_density.json'
REACH = 3.5
"""The plane is shown from -REACH to REACH; the prior has 99.8 % of its mass inside a circle of that radius."""
CELLS = 70
MASSES = (0.25, 0.5, 0.75, 0.95)
"""Shares of the distribution that the iso-contours hold."""


class DensityError(ValueError):
  """The distribution can't be read or measured; the message says why."""


@dataclasses.dataclass(frozen=True)
class Density:
  """A distribution over the plane.

  Attributes:
    cells: [70, 70] float32, density of equal squares, highest = 1; row = y from -REACH up, column = x from -REACH up.
    levels: the density on the contours that hold 25, 50, 75 and 95 % of the mass.
    source: 'training' or 'prior'.
    note: what it is, in plain words.
  """

  cells: np.ndarray
  levels: tuple[float, ...]
  source: str
  note: str

  def describe(self) -> dict:
    """What a page is told: cells as whole numbers from 0 to 255, row by row."""
    return {
      'reach': REACH,
      'size': CELLS,
      'cells': np.rint(255 * self.cells).astype(int).ravel().tolist(),
      'levels': [255 * level for level in self.levels],
      'masses': list(MASSES),
      'source': self.source,
      'note': self.note,
    }


def _density(mass: np.ndarray, source: str, note: str) -> Density:
  falling = np.sort(mass.ravel())[::-1]
  inside = np.cumsum(falling) / falling.sum()
  levels = tuple(float(falling[min(np.searchsorted(inside, share), falling.size - 1)] / falling[0]) for share in MASSES)
  return Density((mass / falling[0]).astype(np.float32), levels, source, note)


def prior() -> Density:
  """N(0, I): what the training pulls the latent positions towards."""
  centres = (np.arange(CELLS) + 0.5) / CELLS * 2 * REACH - REACH
  mass = np.exp(-0.5 * (centres[:, None] ** 2 + centres[None, :] ** 2))
  return _density(mass, 'prior', 'The prior N(0, I): this model comes without the distribution of its training songs.')


def histogram(points: np.ndarray) -> np.ndarray:
  """[70, 70] int64: how many of `points` [n, 2] lie in each cell (row = y, column = x); those outside count at the edge."""
  inside = np.clip(np.asarray(points, dtype=np.float64), -REACH + 1e-6, REACH - 1e-6)
  counts, _, _ = np.histogram2d(inside[:, 1], inside[:, 0], bins=CELLS, range=[[-REACH, REACH]] * 2)
  return counts.astype(np.int64)


def read(folder: str) -> Density:
  """The distribution that lies beside a checkpoint, or the prior where there is none.

  Raises:
    DensityError: the file is damaged.
  """
  path = os.path.join(folder, FILE)
  if not storage.exists(path):
    return prior()
  try:
    content = json.loads(storage.read_text(path))
    counts = np.asarray(content['counts'], dtype=np.float64).reshape(CELLS, CELLS)
    songs, frames = int(content['songs']), int(content['frames'])
  except (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
    raise DensityError(f'{path} is damaged ({str(error)[:200]}). Make it again with python -m bassnet_jax.latent_density.') from error
  if not (counts >= 0).all() or not counts.max() < 1e15:
    raise DensityError(f'{path} counts something other than frames. Make it again with python -m bassnet_jax.latent_density.')
  if not counts.sum() > 0:
    raise DensityError(f'{path} counts nothing. Make it again with python -m bassnet_jax.latent_density.')
  smooth = ndimage.gaussian_filter(counts, 1.5, mode='constant')
  return _density(smooth, 'training', f'Latent positions of {songs:.6g} training songs ({frames:.9g} frames in which the bass sounds).')


def write(folder: str, counts: np.ndarray, songs: int) -> str:
  """Writes the file under a temporary name, then renames it. Returns its path."""
  path = os.path.join(folder, FILE)
  handle, temporary = tempfile.mkstemp(suffix='.tmp', dir=folder)
  try:
    with os.fdopen(handle, 'w', encoding='utf-8') as file:
      json.dump({'reach': REACH, 'songs': songs, 'frames': int(counts.sum()), 'counts': counts.ravel().tolist()}, file)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise
  return path


def measure(model, paths: Sequence[str]) -> np.ndarray:
  """The histogram of the latent positions of feature files."""
  counts = np.zeros((CELLS, CELLS), dtype=np.int64)
  with Progress(len(paths), 'latent density', 'songs') as progress:
    for path in paths:
      song = ft.load(path)
      mean, _ = model.posterior(song.mix.astype(np.float32), song.bass.astype(np.float32))
      counts += histogram(mean[song.level > ft.AUDIBLE])
      progress.update()
  return counts


def _feature_files(experiment, data_dir: str, most: int) -> list[str]:
  """Feature files of training songs of a run's datasets, at most `most`, spread over all of them."""
  from data_pipeline import catalogue, extraction

  found = []
  plain = [name for name in experiment.data.datasets if catalogue.plain_name(name) == name]
  for dataset in plain or experiment.data.datasets:
    directory = extraction.folder(data_dir, *dataset.split('/'))
    summary = extraction.load_summary(directory, missing_ok=True)
    if summary is None:
      command = 'python -m data_pipeline.build --dataset={} --config={}'.format(*dataset.split('/'))
      raise DensityError(f'{data_dir} lacks {dataset}: build it with {command}, or give another --data_dir.')
    found += [extraction.song_path(directory, name) for name in summary.splits().get('train', [])]
  if not found:
    raise DensityError(f'{data_dir} has no training songs of {", ".join(experiment.data.datasets)}. Give another --data_dir.')
  return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).astype(int))]


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'workdir', None, 'folder of the training run')
  define(flags.DEFINE_string, 'data_dir', None, 'folder of the datasets that it was trained on')
  define(flags.DEFINE_integer, 'songs', 60, 'of its training songs, at most so many', lower_bound=1)


@commands.with_flags(_define_flags, bare='workdir')
def main(defined: flags.FlagValues) -> int:
  """Writes the density beside the run."""
  from bassnet_jax import trained

  for name in ('workdir', 'data_dir'):
    if not defined[name].value:
      raise DensityError(
        f'--{name} is missing: give the folder of {"the training run" if name == "workdir" else "the datasets that it was trained on"}.'
      )
  model = trained.load(defined.workdir)
  files = _feature_files(model.experiment, defined.data_dir, defined.songs)
  counts = measure(model, files)
  if not counts.any():
    raise DensityError(
      f'{defined.data_dir}: no frame with an audible bass in {len(files)} songs. Give another --data_dir, or more --songs.'
    )
  print(write(storage.fetch(defined.workdir), counts, len(files)))
  storage.push(defined.workdir)
  return 0


if __name__ == '__main__':
  sys.exit(main())
