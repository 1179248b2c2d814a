"""How much a model loses when the same pieces sound otherwise: another SoundFont, a mastering chain, both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bassnet_jax import decoding
from bassnet_jax.evaluation import music
from bassnet_jax.evaluation.music import Piece
from bassnet_jax.trained import TrainedModel
from data_pipeline import extraction, front_end, mastering
from data_pipeline import features as ft
from data_pipeline.features import Features
from data_pipeline.progress import Progress
from data_pipeline.rendering import Instruments
from data_pipeline.song import RenderedSource, SkipSong, SongKey, Source

CONDITIONS = {'plain': 'plain', 'soundfont': 'another SoundFont', 'mastered': 'mastered', 'both': 'another SoundFont, mastered'}
"""How a rendering is called in the table, in its order."""
FIGURES = {'pitch_class_accuracy': 'pitch-class accuracy', 'onset_above_chance': 'onset F1 - chance', 'note_pc_f1': 'note+pitch-class F1'}


@dataclasses.dataclass(frozen=True)
class Renderings:
  """One piece under every condition; none of them moves a note.

  Attributes:
    features: of the plain piece, with the true bass.
    mixes: condition -> [frames, 192] float16.
    tuning: condition -> cents that the front end found.
  """

  features: Features
  mixes: Mapping[str, np.ndarray]
  tuning: Mapping[str, float]


def render(source: Source, key: SongKey, soundfont: str | None) -> Renderings | None:
  """All renderings of a piece; None if it can't be used.

  Args:
    soundfont: plays the conditions `soundfont` and `both`; None: these are left out.
  """
  try:
    song = source.load(key)
    features = extraction.features_of(song)
  except SkipSong:
    return None
  audio = {'plain': song.mix, 'mastered': mastering.mastered(song.mix, ft.SAMPLE_RATE)}
  if soundfont is not None:
    other = source.load_rendered(key, Instruments(soundfont)).mix
    audio |= {'soundfont': other, 'both': mastering.mastered(other, ft.SAMPLE_RATE)}
  mixes, tuning = {'plain': features.mix}, {'plain': features.tuning}
  for condition in audio.keys() - {'plain'}:
    found = front_end.analyse(audio[condition])
    mixes[condition], tuning[condition] = found.mix.astype(np.float16), found.tuning
  return Renderings(features, {name: mixes[name] for name in CONDITIONS if name in mixes}, tuning)


def check_source(source: Source, soundfont: str | None) -> None:
  """Raises ValueError: another SoundFont is asked for where nothing is rendered."""
  if soundfont is not None and not isinstance(source, RenderedSource):
    raise ValueError(f'--soundfont={soundfont}: the dataset has recordings ({source!r}), which no SoundFont can play; leave it out')


def evaluate(model: TrainedModel, renderings: Sequence[Renderings]) -> dict[str, Any]:
  """Plays every rendering with the model's own z and threshold, and measures it against the true notes.

  Returns:
    'conditions': condition -> {figure, figure_ci95, figure_loss, figure_loss_ci95}; a loss is plain minus condition, paired by piece;
    'per_piece': condition -> figure -> [one a piece]; 'z' and 'threshold'.

  Raises:
    ValueError: no piece.
  """
  pieces = [Piece(item.features.id, item.features) for item in renderings]
  lines: dict[str, list] = {}
  with Progress(len(pieces), 'playing the pieces', 'pieces') as progress:
    for item in renderings:
      for condition, mix in item.mixes.items():
        prediction = model.decode(model.encode_mix(mix), np.asarray(model.default_z))
        lines.setdefault(condition, []).append(decoding.notes_from_prediction(prediction, model.onset_threshold))
      progress.update()
  measured = music.evaluate_pieces(pieces, lines)['per_piece']
  per_piece = {
    condition: {name: table[name] for name in ('pitch_class_accuracy', 'note_pc_f1')}
    | {'onset_above_chance': np.subtract(table['onset_f1'], table['onset_f1_chance']).tolist()}
    for condition, table in measured.items()
  }
  conditions = music.summarise(per_piece)
  for condition, table in conditions.items():
    for name in FIGURES if condition != 'plain' else ():
      loss = music.paired_difference(per_piece['plain'][name], per_piece[condition][name])
      table |= {f'{name}_loss': loss.mean, f'{name}_loss_ci95': list(loss.ci95)}
  return {'conditions': conditions, 'per_piece': per_piece, 'z': list(model.default_z), 'threshold': model.onset_threshold}


def table(found: Mapping[str, dict[str, Any]]) -> str:
  """Markdown: a row for each model and rendering; losses stand under the figures of the plain pieces.

  Args:
    found: model's name -> what `evaluate` returns.
  """
  rows = ['| model | pieces | ' + ' | '.join(FIGURES.values()) + ' |', '|---' * (2 + len(FIGURES)) + '|']
  for model, values in found.items():
    for condition, figures in values['conditions'].items():
      cells = [_cell(figures, name) for name in FIGURES]
      rows.append(f'| {model} | {CONDITIONS[condition]} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(rows)


def _cell(figures: Mapping[str, Any], name: str) -> str:
  value, (low, high) = figures[name], figures[f'{name}_ci95']
  if f'{name}_loss' not in figures:
    return f'{value:.3f} [{low:.3f}, {high:.3f}]'
  low, high = figures[f'{name}_loss_ci95']
  return f'{value:.3f}; loss {figures[f"{name}_loss"]:+.3f} [{low:+.3f}, {high:+.3f}]'
