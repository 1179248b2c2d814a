"""How much a model loses when pieces sound otherwise: `python -m bassnet_jax.robustness --checkpoint=WORKDIR --manual_dir=FREEDOOM`.

The same pieces are played plain, with another SoundFont (--soundfont=FILE.sf2), through a mastering chain that training never uses
(`data_pipeline.mastering`), and through both. One z for all pieces and the onset threshold are those that the run chose on plain
validation songs. Several checkpoints, separated by commas, stand under each other in the table.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from absl import flags

from data_pipeline import commands, storage

DATASET = 'bassnet_pop_rock/freedoom'


def measure(
  checkpoints: Sequence[str],
  dataset: str = DATASET,
  split: str = 'test',
  soundfont: str | None = None,
  manual_dir: str | None = None,
  songs: int = 0,
  workers: int | None = None,
) -> dict:
  """Renders the pieces of a split under every condition and measures every model on them.

  Args:
    songs: at most so many pieces, the first by id; 0: all.

  Returns:
    'dataset', 'split', 'soundfont' (its file's name), 'pieces' (ids), 'tuning' (condition -> cents a piece) and
    'models': name -> what `evaluation.robustness.evaluate` returns.

  Raises:
    CheckpointError: one of the checkpoints isn't there.
    ValueError: unknown dataset, no piece in the split, or no SoundFont.
  """
  from bassnet_jax import held_out, trained
  from bassnet_jax.evaluation import robustness
  from data_pipeline import catalogue, rendering, separation

  if soundfont is not None:
    rendering.check_soundfont(soundfont)
    soundfont = os.path.abspath(soundfont)
  models = {path: trained.load(path) for path in checkpoints}  # before minutes of rendering
  for model in models.values():
    separation.check_same_part(model.describe.get('datasets', ()), dataset)
  source = catalogue.source(dataset, manual_dir)
  robustness.check_source(source, soundfont)
  found = held_out.usable(robustness.render, source, dataset, split, songs, workers, (soundfont,))
  found.sort(key=lambda item: item.features.id)
  return {
    'dataset': dataset,
    'split': split,
    'soundfont': os.path.basename(soundfont) if soundfont else None,
    'pieces': [item.features.id for item in found],
    'tuning': {condition: [item.tuning[condition] for item in found] for condition in found[0].mixes},
    'models': {_name(path, models): robustness.evaluate(model, found) for path, model in models.items()},
  }


def _name(path: str, models: dict) -> str:
  """The experiment and seed of a checkpoint; with its folder where two are alike."""
  say = lambda model: f'{model.experiment.name}, seed {model.describe["seed"]}'  # noqa: E731
  name = say(models[path])
  return name if sum(say(model) == name for model in models.values()) == 1 else f'{name} ({os.path.basename(os.path.normpath(path))})'


def text(found: dict) -> str:
  """What was measured, as Markdown."""
  from bassnet_jax.evaluation import robustness

  font = f'; the other SoundFont is {found["soundfont"]}' if found['soundfont'] else ''
  return (
    f'{len(found["pieces"])} {found["split"]} pieces of {found["dataset"]}{font}. 95 % intervals over pieces; a loss is plain minus this '
    f'rendering, paired by piece.\n\n{robustness.table(found["models"])}\n'
  )


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_list, 'checkpoint', [], 'workdirs of training runs, separated by commas')
  define(flags.DEFINE_string, 'dataset', DATASET, 'whose pieces')
  define(flags.DEFINE_enum, 'split', 'test', ['train', 'validation', 'test'], 'which of them')
  define(flags.DEFINE_string, 'soundfont', None, 'a General MIDI .sf2 that training never used; without it, only mastering is measured')
  define(flags.DEFINE_string, 'manual_dir', None, 'folder of the corpus, where the dataset needs one')
  define(flags.DEFINE_integer, 'songs', 0, 'at most so many pieces; 0: all')
  define(flags.DEFINE_integer, 'workers', None, 'processes; default: one a core')
  define(flags.DEFINE_string, 'output', None, 'folder of robustness.md and robustness.json (default: WORKDIR/robustness of the first)')


@commands.with_flags(_define_flags, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Measures and writes the table."""
  from bassnet_jax import packaged
  from bassnet_jax.evaluation.page import write_json

  if not defined.checkpoint:
    raise ValueError('--checkpoint is missing: give --checkpoint=WORKDIR, the --workdir of a training run')
  folder = defined.output or os.path.join(defined.checkpoint[0], 'robustness')
  checkpoints = [packaged.resolve(path) for path in defined.checkpoint]
  found = measure(checkpoints, defined.dataset, defined.split, defined.soundfont, defined.manual_dir, defined.songs, defined.workers)
  os.makedirs(folder, exist_ok=True)  # only now: a checkpoint's folder that isn't there must not come to be
  write_json(os.path.join(folder, 'robustness.json'), found)
  storage.write_text(os.path.join(folder, 'robustness.md'), text(found))
  print(f'{text(found)}\nwritten: {os.path.join(folder, "robustness.md")}, robustness.json', flush=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
