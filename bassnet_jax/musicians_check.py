"""Plays held-out validation pieces at several positions and says what a bass player would: `python -m bassnet_jax.musicians_check`.

Each line is decoded twice from one prediction: note by note (each octave for itself, a note ends as soon as 'no pitch' wins, every onset
strikes anew), and as the package does it. Figures beside those of the true bass; with --output the piano rolls too.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags

from bassnet_jax import decoding, packaged, trajectory
from bassnet_jax.evaluation import playing
from bassnet_jax.evaluation.playing import Playing
from data_pipeline import commands
from data_pipeline import features as ft
from data_pipeline.features import Features
from data_pipeline.notes import Notes
from data_pipeline.progress import Progress

POSITIONS = ('0,0', '-2,2', '2,2', '2,-2', '-2,-2')
NOTE_BY_NOTE = {'jump_cost': 0.0, 'longest_ring': 0, 'restrike_doubt': 0.0}
SHOWN_SECONDS = 16.0
_COLUMNS = {
  'density': ('notes/s', '{:.2f}'),
  'together': ('together', '{:.3f}'),
  'with_kick': ('kick', '{:.3f}'),
  'grid_ms': ('grid ms', '{:.1f}'),
  'diatonic': ('in key', '{:.3f}'),
  'chord_tones': ('chord', '{:.3f}'),
  'in_rests': ('in rests', '{:.3f}'),
  'voicing_f1': ('voicing', '{:.3f}'),
  'length': ('length', '{:.3f}'),
  'stubs': ('stubs', '{:.3f}'),
  'stutters': ('stutter', '{:.3f}'),
  'octave_flips': ('octaves', '{:.3f}'),
  'leaps': ('leaps', '{:.3f}'),
  'note_f1': ('note F1', '{:.3f}'),
  'note_pc_f1': ('pc F1', '{:.4f}'),
  'register': ('register', '{:.1f}'),
}


class CheckError(ValueError):
  """Nothing can be checked; the message says why."""


@dataclasses.dataclass(frozen=True)
class Checked:
  """One piece at every position.

  Attributes:
    piece: its features.
    before, after: position -> line, note by note and as the package decodes.
  """

  piece: Features
  before: dict[str, Notes]
  after: dict[str, Notes]


def pieces_of(dataset: str, data_dir: str, names: Sequence[str]) -> list[Features]:
  """Validation pieces whose notes and beats are known; the named ones, or all.

  Raises:
    CheckError: the dataset isn't built, or a named piece isn't in its validation split.
  """
  from data_pipeline import build, catalogue, extraction

  if not build.is_built(dataset, data_dir, False):
    name, config = catalogue.parse(dataset)
    raise CheckError(
      f'{dataset} is not in {data_dir}; build it (python -m data_pipeline.build --dataset={name} --config={config}), or give another '
      '--data_dir.'
    )
  there = build.build(dataset, data_dir, tfds_files=False).splits().get('validation', [])
  unknown = [name for name in names if name not in there]
  if unknown:
    raise CheckError(f'{", ".join(unknown)}: not in the validation split of {dataset}; there are {", ".join(there)}.')
  directory = extraction.folder(data_dir, *catalogue.parse(dataset))
  found = [ft.load(extraction.song_path(directory, name)) for name in names or there]
  usable = [piece for piece in found if piece.mix_notes is not None and piece.beats is not None and len(piece.notes)]
  if not usable:
    raise CheckError(f'{dataset} has no validation piece whose notes and beats are known. Give a --dataset that is played from notes.')
  return usable


def check(model, pieces: Sequence[Features], positions: Sequence[str]) -> list[Checked]:
  """Plays every piece at the model's own position and at the others."""
  where = {'chosen': trajectory.constant(model.default_z)} | {text: trajectory.parse_position(text) for text in positions}
  checked = []
  with Progress(len(pieces), 'playing validation pieces', 'pieces') as progress:
    for piece in pieces:
      code = model.encode_mix(piece.mix)
      predictions = {name: model.decode(code, place.at(piece.frames)) for name, place in where.items()}
      play = lambda options, of=predictions: {  # noqa: E731
        name: decoding.notes_from_prediction(prediction, model.onset_threshold, **options) for name, prediction in of.items()
      }
      checked.append(Checked(piece, play(NOTE_BY_NOTE), play({})))
      progress.update()
  return checked


def table(checked: Sequence[Checked]) -> str:
  """The figures: each piece at the chosen position, then means over the pieces at every position."""
  lines = [f'{"":<26}' + ''.join(f'{name:>10}' for name, _ in _COLUMNS.values())]

  def row(title: str, figures: Playing) -> None:
    lines.append(f'{title:<26}' + ''.join(f'{form.format(getattr(figures, field)):>10}' for field, (_, form) in _COLUMNS.items()))

  for one in checked:
    row(f'{one.piece.id}: true bass', playing.measure(one.piece.notes, one.piece))
    row('  before', playing.measure(one.before['chosen'], one.piece))
    row('  after', playing.measure(one.after['chosen'], one.piece))
  row('all pieces: true bass', playing.mean([playing.measure(one.piece.notes, one.piece) for one in checked]))
  for name in checked[0].after:
    row(f'{name}: before', playing.mean([playing.measure(one.before[name], one.piece) for one in checked]))
    row(f'{" " * len(name)}  after', playing.mean([playing.measure(one.after[name], one.piece) for one in checked]))
  if len(checked[0].after) > 2:
    varied = np.mean([playing.variety([line for name, line in one.after.items() if name != 'chosen']) for one in checked])
    lines.append(f'variety over the plane (0: one line everywhere, 1: no note in common): {varied:.2f}')
  return '\n'.join(lines)


def draw(checked: Sequence[Checked], folder: str) -> list[str]:
  """Piano rolls of the busiest 16 s of every piece at every position, with the true bass as outlines. Returns their paths."""
  from bassnet_jax.evaluation import plots, pop_rock

  os.makedirs(folder, exist_ok=True)
  paths = []
  for one in checked:
    start = pop_rock.busiest_start(one.piece, SHOWN_SECONDS)
    for name, line in one.after.items():
      paths.append(os.path.join(folder, f'{one.piece.id}_{name.replace(",", "_")}.png'))
      plots.piano_roll(paths[-1], line, one.piece.mix_notes, one.piece.notes, start, start + SHOWN_SECONDS)
  return paths


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'checkpoint', None, "workdir of a training run (default: the package's model)")
  define(flags.DEFINE_string, 'dataset', 'bassnet_pop_rock/freedoom', 'whose validation pieces')
  define(flags.DEFINE_string, 'data_dir', 'data', 'folder of the datasets')
  define(flags.DEFINE_list, 'pieces', [], 'ids of validation pieces (default: all)')
  define(flags.DEFINE_multi_string, 'z', list(POSITIONS), "positions 'x,y' beside the chosen one, repeatedly")
  define(flags.DEFINE_string, 'output', None, 'folder for piano rolls')


@commands.with_flags(_define_flags, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Prints the table and draws the piano rolls."""
  from bassnet_jax import trained
  from data_pipeline import separation

  pieces = pieces_of(defined.dataset, os.path.abspath(defined.data_dir), defined.pieces)
  model = trained.load(packaged.resolve(defined.checkpoint))
  separation.check_same_part(model.describe.get('datasets', ()), defined.dataset)
  checked = check(model, pieces, defined.z)
  print(table(checked))
  if defined.output:
    print(f'{len(draw(checked, defined.output))} piano rolls: {defined.output}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
