"""What a model plays all over its plane to songs of any dataset: `python -m bassnet_jax.plane_maps --checkpoint=short`.

A run's own report has these maps for the songs of its own evaluation. Here any model is played to the held-out songs of any dataset,
without building it; `--full` takes whole songs and 21x21 positions (minutes) instead of excerpts of 20 s and 9x9.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from absl import flags

from data_pipeline import commands, storage

DATASET = 'bassnet_pop_rock/open'


def measure(
  checkpoint: str,
  folder: str,
  dataset: str = DATASET,
  split: str = 'test',
  manual_dir: str | None = None,
  full: bool = False,
  songs: int = 0,
  workers: int | None = None,
) -> dict[str, Any]:
  """Plays the pieces of a split all over the plane of a model; writes maps.json, the pictures and index.html.

  Args:
    checkpoint: a workdir, or a packaged model's folder.
    folder: of what is written.
    full: whole pieces and 21x21 positions.
    songs: at most so many pieces, the first by id; 0: all, or without `full` 20 spread over them.

  Returns:
    what maps.json holds: `run` (the model and the songs) and `plane`.

  Raises:
    CheckpointError: there is no such model.
    ValueError: unknown dataset, a model of another part of the mix, one of an artificial set, or no usable piece.
  """
  from bassnet_jax import held_out, trained
  from bassnet_jax.evaluation import maps, plane_section
  from bassnet_jax.evaluation.page import Page, write_json
  from data_pipeline import catalogue, separation

  model = trained.load(checkpoint)  # before minutes of rendering
  separation.check_same_part(model.describe.get('datasets', ()), dataset)
  if model.experiment.evaluation.kind == 'artificial':
    raise ValueError(f'{checkpoint} was trained on {model.experiment.name}; the plane has such maps on music only: give a pr model')
  found = held_out.usable(held_out.features, catalogue.source(dataset, manual_dir), dataset, split, songs, workers)
  found.sort(key=lambda song: song.id)
  os.makedirs(folder, exist_ok=True)
  page = Page(f'{model.experiment.name}, seed {model.describe["seed"]}: the plane on {split} songs of {dataset}', [])
  z = np.asarray(model.default_z)
  plane = plane_section.write(model, maps.parts_of(found, full), model.onset_threshold, z, None, folder, page, full)
  run = {
    'experiment': model.experiment.name,
    'seed': model.describe['seed'],
    'steps': model.describe['step'],
    'commit': model.describe['commit'],
    'dataset': dataset,
    'split': split,
    'full': full,
  }
  figures = {'run': run, 'plane': plane}
  write_json(os.path.join(folder, 'maps.json'), figures)
  page.text('All figures: maps.json beside this page.')
  storage.write_text(os.path.join(folder, 'index.html'), page.render())
  return figures


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'checkpoint', None, 'workdir of a training run, or a packaged model: short')
  define(flags.DEFINE_string, 'dataset', DATASET, 'whose songs')
  define(flags.DEFINE_enum, 'split', 'test', ['train', 'validation', 'test'], 'which of them')
  define(flags.DEFINE_string, 'manual_dir', None, 'folder of the corpus, where the dataset needs one')
  define(flags.DEFINE_bool, 'full', False, 'whole songs, all of them, and 21x21 positions')
  define(flags.DEFINE_integer, 'songs', 0, 'at most so many songs, the first by id; 0: all', lower_bound=0)
  define(flags.DEFINE_integer, 'workers', None, 'processes that prepare songs; default: one a core')
  define(flags.DEFINE_string, 'output', None, 'folder of index.html, maps.json and the pictures (default: plane_maps/DATASET_SPLIT here)')


@commands.with_flags(_define_flags, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Measures and writes the page."""
  from bassnet_jax import packaged

  checkpoint = packaged.resolve(defined.checkpoint)
  folder = defined.output or os.path.join('plane_maps', f'{defined.dataset.rpartition("/")[2]}_{defined.split}')
  found = measure(checkpoint, folder, defined.dataset, defined.split, defined.manual_dir, defined.full, defined.songs, defined.workers)
  tests = {name: test for name, test in found['plane']['location'].items() if test is not None}
  for name, test in tests.items():
    above, below = (int(np.sum(test[side])) for side in ('above', 'below'))
    print(f'{name:<20} {test["lowest"]:8.3f} to {test["highest"]:8.3f}  {below:3d} places below, {above:3d} above  p = {test["p"]:.4f}')
  print(f'written: {os.path.join(folder, "index.html")}', flush=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
