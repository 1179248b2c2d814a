"""The card of a packaged model: what it is, whose music is in it, the command that trains it, how well it plays, and its limits."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bassnet_jax import config as configs
from bassnet_jax import source_commit
from bassnet_jax.config import Experiment

FILE = 'card.md'
_RUNGS = {
  'control_other_mix': "the model, given another song's mix",
  'retrieval': 'passages of the training songs, retrieved by the mix',
  'root_on_kick': 'the root on every kick (knows the notes of the mix)',
  'follow_lowest': 'the lowest note of the mix (knows the notes of the mix)',
  'z_fixed': '**the model, one position for all songs**',
  'z_posterior': 'the model, position from the true bass (a ceiling)',
}
_FIGURES = {
  'note_pc_f1': 'notes, by pitch class: F1',
  'onset_f1': 'onsets, 50 ms: F1',
  'onset_f1_chance': 'by chance',
  'pitch_class_accuracy': 'frames, pitch class',
}
_LIMITS = """One bass voice in B0 to G4, twelve semitones an octave; it follows a mix that is tuned up to half a semitone off A440. Its
songs were rendered with sampled instruments; `python -m bassnet_jax.robustness` measures how much it loses on other sounds. Where the mix
is silent, it is silent."""


def training_command(experiment: Experiment, registered: Experiment, seed: int) -> str:
  """The command that trains it.

  Args:
    registered: the experiment of that name as it is without --set.
  """
  words = ['python', '-m', 'bassnet_jax.main', f'--experiment={experiment.name}']
  words += [f'--seed={seed}'] if seed else []
  for field in configs.known_fields():
    section, name = field.split('.')
    here, usual = (getattr(getattr(item, section), name) for item in (experiment, registered))
    if here != usual:
      words += ['--set', f'{field}={",".join(map(str, here)) if isinstance(here, tuple) else here}']
  return shlex.join(words)


def build_command(dataset: str, options: Sequence[str]) -> str:
  """The command that builds a dataset with options of its source."""
  family, config = dataset.split('/')
  words = ['python', '-m', 'data_pipeline.build', f'--dataset={family}', f'--config={config}']
  return shlex.join(words + [word for option in options for word in ('--source_set', option)])


def card(name: str, described: Mapping[str, Any], command: str, metrics: Mapping[str, Any] | None) -> str:
  """Markdown.

  Args:
    described: what the checkpoint says of itself, with its step.
    command: of `training_command`.
    metrics: of its report, or None.
  """
  experiment = configs.from_dict(described['experiment'])
  songs = sum(described['licences'].values())
  lines = [
    f'# The model {name}',
    '',
    f'A variational gated autoencoder with a latent position in {experiment.model.latent_size} dimensions, trained on windows of '
    f'{experiment.data.window / 80:g} s. It hears a mix without bass and plays a bass to it; the position says how. Parameters in float16.',
    '',
    '## Training',
    '',
    '```bash',
    *(build_command(name, options) for name, options in described.get('source_options', {}).items()),
    command,
    '```',
    '',
    f'{described["step"]:,} steps, code {source_commit.short(described["commit"])}, '
    f'features {described["features_version"]}. {songs} songs of {", ".join(described["datasets"])}:',
    '',
    *(f'- {licence}: {count} songs' for licence, count in sorted(described['licences'].items())),
    '',
    f'`python -m bassnet_jax.describe {name} --credits=0` names everybody.',
  ]
  if metrics and 'music' in metrics:
    lines += ['', '## How well it plays', '', *_figures(metrics)]
  return '\n'.join([*lines, '', '## Limits', '', _LIMITS, ''])


def _figures(metrics: Mapping[str, Any]) -> list[str]:
  choice, pieces = metrics['choice'], metrics['pieces']['ids']
  x, y = choice['z']
  rows = [
    f'{len(pieces)} test pieces that training never saw; position ({x:g}, {y:g}) and onset threshold {choice["threshold"]:g} were '
    'chosen on validation pieces. 95 % intervals over pieces, one training.',
    '',
    '| line | ' + ' | '.join(_FIGURES.values()) + ' |',
    '|---' * (1 + len(_FIGURES)) + '|',
  ]
  for rung, words in _RUNGS.items():
    if rung in metrics['music']:
      rows.append(f'| {words} | ' + ' | '.join(_cell(metrics['music'][rung], figure) for figure in _FIGURES) + ' |')
  return rows


def _cell(figures: Mapping[str, Any], name: str) -> str:
  low, high = figures[f'{name}_ci95']
  return f'{figures[name]:.3f} [{low:.3f}, {high:.3f}]'
