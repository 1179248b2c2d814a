"""The music part of a report: the ladder with its controls, adherence, what the model plays, and maps of the plane."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bassnet_jax.config import Experiment
from bassnet_jax.evaluation import adherence, maps, music, plane_section, plots, pop_rock, retrieval, trajectories
from bassnet_jax.evaluation.evaluated import Evaluated
from bassnet_jax.evaluation.music import Piece
from bassnet_jax.evaluation.page import Page
from bassnet_jax.evaluation.tables import load_songs, training_songs, with_interval
from bassnet_jax.inputs.corpus import Corpus
from bassnet_jax.trained import TrainedModel
from data_pipeline.features import AUDIBLE, Features
from data_pipeline.notes import Notes

REFERENCE_SONGS = retrieval.TRAINING_SONGS
"""Training songs of each dataset that retrieval searches and adherence compares with."""
_LATENT_SONGS = 40
"""Training songs whose places in the plane are shown, as many of each dataset."""
_ROLL_SECONDS = 16.0
RUNGS = {
  'silence': 'silence',
  'other_song': "another song's bass",
  'tonic_eighths': 'eighths on the tonic *',
  'root_on_kick': 'root on every kick *',
  'follow_lowest': 'follows the lowest note *',
  'retrieval': 'retrieval of training passages **',
  'control_silent_mix': 'model, silent mix',
  'control_other_mix': "model, another song's mix",
  'control_shifted': 'model, mix shifted in time',
  'z_zero': 'model, z = 0',
  'z_fixed': 'model, one z for all songs',
  'z_posterior': 'model, z from the true bass ***',
  'truth': 'truth',
}
"""How a line of the ladder is called on the page, in the page's order."""
_COLUMNS = {
  'onset_f1': 'onset F1 (50 ms)',
  'onset_f1_chance': 'chance',
  'onset_f1_25ms': 'onset F1 (25 ms)',
  'onset_f1_25ms_chance': 'chance',
  'pitch_class_accuracy': 'pitch class acc.',
  'pitch_accuracy': 'pitch acc.',
  'voicing_f1': 'voicing F1',
  'diatonic_rate': 'diatonic',
  'chord_tone_rate': 'chord tones',
  'adherence_harmony': 'adherence, harmony',
  'adherence_rhythm': 'rhythm',
}


def evaluate(model: TrainedModel, experiment: Experiment, corpus: Corpus, where: Corpus, folder: str, page: Page, full: bool) -> Evaluated:
  """Evaluates a model on music and adds everything to the page.

  Args:
    corpus: of training; `where`: whose validation songs decide and whose test songs are played.
    folder: of the pictures.
    full: all test songs, and the plane in 21x21 positions on whole songs.
  """
  cfg = experiment.evaluation
  own = where is corpus
  corpus, where = corpus.plain, where.plain
  choice = pop_rock.choose(model, load_songs(where.paths('validation', cfg.validation_songs)))
  songs = load_songs(where.paths('test', 0 if full else cfg.max_songs))
  pieces = [Piece(song.id, song) for song in songs]
  training = training_songs(corpus, experiment.data, REFERENCE_SONGS)
  reference = training if own else load_songs(where.paths('train', REFERENCE_SONGS))
  lines = music.baseline_lines(pieces) | {'retrieval': retrieval.retrieve(songs, training)} | pop_rock.model_lines(model, pieces, choice)
  lines = {rung: lines[rung] for rung in RUNGS if rung in lines}
  found = music.evaluate_pieces(pieces, lines)
  page.text(
    f'{len(pieces)} test pieces of {", ".join(where.names)}. z = ({choice.z[0]:.2f}, {choice.z[1]:.2f}) for all pieces '
    f'and the onset threshold {choice.threshold} were chosen on validation songs.'
  )
  adhering = _adherence(pieces, lines, reference, found['music'])
  _ladder(found['music'], adhering, folder, page)
  differences = _comparisons(found['per_piece'], page)
  covered = _covered(found['music'], page)
  lying = training_songs(corpus, experiment.data, -(-_LATENT_SONGS // len(corpus.names)))
  posteriors = [model.posterior(song.mix, song.bass) for song in lying]
  points = np.concatenate([mu[:: experiment.data.window] for mu, _ in posteriors])
  plane = plane_section.write(model, maps.parts_of(songs, full), choice.threshold, choice.z, points, folder, page, full)
  _rolls(pieces, lines['z_fixed'], folder, page)
  plots.latent_density(points, os.path.join(folder, 'latent.png'))
  page.picture('latent.png', 'Where training songs lie in the plane.')
  positions = [mu for mu, _ in posteriors]
  latent = trajectories.latent_use(posteriors) | {
    'stability_ratio': trajectories.stability_ratio(positions),
    'stability_ratio_ci95': trajectories.stability_interval(positions),
  }
  page.text(f'Nats that each dimension carries: {latent["kl"][0]:.2f} and {latent["kl"][1]:.2f}; near zero, it is not used.')
  figures = {
    'music': found['music'],
    'latent': latent,
    'adherence': adhering,
    'plane': plane,
    'pieces': {'ids': found['pieces'], 'per_piece': found['per_piece']},
    'differences': {rung: dataclasses.asdict(value) for rung, value in differences.items()},
    'covered_from_root_on_kick': covered,
    'choice': {'z': choice.z.tolist(), 'threshold': choice.threshold, 'validation_note_pc_f1': choice.score},
  }
  sounding = tuple(mu[song.level > AUDIBLE] for (mu, _), song in zip(posteriors, lying, strict=True))
  return Evaluated(figures, choice.z, choice.threshold, sounding)


def _adherence(
  pieces: Sequence[Piece], lines: Mapping[str, Sequence[Notes]], reference: Sequence[Features], table: dict[str, dict]
) -> dict[str, Any]:
  """Adds adherence to the table of the rungs where there are excerpts enough; says how many there are."""
  known = [Piece(song.id, song) for song in reference]
  counts = {'excerpts': len(adherence.excerpts_of(pieces)), 'reference_excerpts': len(adherence.excerpts_of(known))}
  try:
    scores = adherence.evaluate_adherence(pieces, lines, known, adherence.MINIMUM)
  except adherence.TooFewExcerptsError as error:
    return counts | {'measured': False, 'reason': str(error)}
  for rung, values in scores.items():
    table[rung].update(values)
  return counts | {'measured': True, 'used': min(counts.values())}


def _ladder(table: dict[str, dict], adhering: dict[str, Any], folder: str, page: Page) -> None:
  page.heading('The ladder')
  columns = {name: title for name, title in _COLUMNS.items() if any(name in values for values in table.values())}
  rows = [
    (RUNGS[rung], with_interval(values, 'note_pc_f1'), *(f'{values[name]:.3f}' if name in values else '' for name in columns))
    for rung, values in table.items()
  ]
  page.table(('line', 'note_pc_f1', *columns.values()), rows)
  page.text('* Knows the notes of the mix, which the model has to hear. ** Hears the mix, and knows its beats. *** A ceiling, not a claim.')
  page.text('An onset F1 stands beside its chance: the mean over 20 random circular shifts of the same line.')
  plots.ladder_bars(table, os.path.join(folder, 'ladder.png'))
  page.picture('ladder.png', 'The ladder, with 95 % intervals over pieces.')
  page.heading('Adherence to the mix, without weights')
  if not adhering['measured']:
    page.text(f'Not measured: {adhering["reason"]}.')
    return
  page.text(
    f'{adhering["used"]} excerpts of {adherence.SECONDS:g} s a set; true and mismatched pairs are of training songs. 1: as true pairs are; '
    '0: no nearer to them than a bass that never heard the mix. The truth is the ceiling. Beside it the published form of Accompaniment '
    "Prompt Adherence, clip(1/2 + (D(C,R') - D(C,R)) / (2 D(R,R')), 0, 1), on our embeddings."
  )
  rows = [
    (
      RUNGS[rung],
      with_interval(values, 'adherence_harmony'),
      f'{values["adherence_harmony_published"]:.3f}',
      with_interval(values, 'adherence_rhythm'),
      f'{values["adherence_rhythm_published"]:.3f}',
    )
    for rung, values in table.items()
  ]
  page.table(('line', 'harmony', 'published form', 'rhythm', 'published form'), rows)


def _comparisons(per_piece: music.PerPiece, page: Page) -> dict[str, music.Difference]:
  others = [rung for rung in per_piece if rung not in ('z_fixed', 'z_posterior', 'truth')]
  differences = music.compare(per_piece, 'z_fixed', others)
  page.heading('The model at one z for all songs, against each line, paired by piece (note_pc_f1)')
  page.table(
    ('against', 'difference', '95 % interval', 'pieces on which it is better'),
    [
      (RUNGS[rung], f'{value.mean:+.3f}', f'[{value.ci95[0]:+.3f}, {value.ci95[1]:+.3f}]', f'{100 * value.wins:.0f} %')
      for rung, value in differences.items()
    ],
  )
  return differences


def _covered(table: dict[str, dict], page: Page) -> dict[str, float]:
  """The share of the way from `root_on_kick` to a better line that the model covers, by mean note_pc_f1; where there are such lines."""
  score = {rung: values['note_pc_f1'] for rung, values in table.items()}
  start = score.get('root_on_kick')
  goals = [goal for goal in ('follow_lowest', 'truth') if start is not None and score.get(goal, start) > start]
  covered = {goal: (score['z_fixed'] - start) / (score[goal] - start) for goal in goals}
  if covered:
    parts = [f'{100 * share:.0f} % of the way to "{RUNGS[goal].rstrip(" *")}"' for goal, share in covered.items()]
    page.text(f'From "{RUNGS["root_on_kick"].rstrip(" *")}" the model covers {" and ".join(parts)}.')
  return covered


def _rolls(pieces: Sequence[Piece], lines: Sequence[Notes], folder: str, page: Page) -> None:
  page.heading('What it plays')
  for i in np.unique(np.linspace(0, len(pieces) - 1, 3).astype(int)):
    song = pieces[i].features
    start = pop_rock.busiest_start(song, _ROLL_SECONDS)
    end = min(start + _ROLL_SECONDS, song.seconds)
    plots.piano_roll(os.path.join(folder, f'roll_{i}.png'), lines[i], song.mix_notes, song.notes, start, end)
    page.picture(f'roll_{i}.png', f'{song.id}: generated bass, the true one as outlines, the mix behind.')
