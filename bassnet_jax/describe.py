"""Says what a checkpoint is and whose music is in it; `python -m bassnet_jax.describe CHECKPOINT [--json]`."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from absl import app, flags

from bassnet_jax import checkpoints, packaged, source_commit
from bassnet_jax import config as configs
from bassnet_jax import description as descriptions
from data_pipeline import commands

_JSON = flags.DEFINE_bool('json', False, 'Print JSON instead of text.')
_CREDITS = flags.DEFINE_integer('credits', 20, 'At most so many credits as text; 0: all. JSON always has all.')


def describe(path: str) -> dict[str, Any]:
  """What the newest checkpoint of a workdir says of itself.

  Returns:
    'checkpoint', 'step', 'steps', 'parameters', 'seed', 'commit', 'experiment' (settings), 'datasets', 'source_options'
    (dataset -> options that it was built with), 'features_version',
    'statistics_version' (a hash of the means and standard deviations that the features are standardised with), 'licences' (licence ->
    training songs), 'credits' (licence -> credit -> training songs) and 'initialised_from' (of a fine-tuned model, else None).

  Raises:
    CheckpointError: there is none.
  """
  found, step, parameters = checkpoints.load_description(path)
  description = {name: kind() for name, kind in descriptions.OPTIONAL.items()} | found
  return {
    'checkpoint': path,
    'step': step,
    'steps': description['steps'],
    'parameters': parameters,
    'seed': description['seed'],
    'commit': description['commit'],
    'experiment': description['experiment'],
    'datasets': description['datasets'],
    'source_options': description['source_options'],
    'features_version': description['features_version'],
    'statistics_version': statistics_version(description['statistics']),
    'licences': description['licences'],
    'credits': description['credits'],
    'initialised_from': description.get('initialised_from'),
  }


def statistics_version(statistics: dict[str, list[float]]) -> str:
  """12 hexadecimal digits that differ where the means or standard deviations do."""
  return hashlib.sha256(json.dumps(statistics, sort_keys=True).encode()).hexdigest()[:12]


def text(found: dict[str, Any], most_credits: int = 20) -> str:
  """The same for people; of the settings those that differ from the defaults."""
  experiment = configs.from_dict(found['experiment'])
  songs = sum(found['licences'].values())
  lines = [
    f'checkpoint   {found["checkpoint"]}',
    f'experiment   {experiment.name}, seed {found["seed"]}',
    f'training     step {found["step"]} of {found["steps"]}, {found["parameters"]:,} parameters, '
    f'code {source_commit.short(found["commit"]) or "unknown"}',
    f'data         {", ".join(found["datasets"])}; {songs} training songs',
    *(f'built with   {name}: {" ".join(options)}' for name, options in found['source_options'].items()),
    f'features     version {found["features_version"]}, statistics {found["statistics_version"]}',
  ]
  if found['initialised_from']:
    origin = found['initialised_from']
    lines.append(f'begun from   {origin["experiment"]}, step {origin["step"]}, trained on {", ".join(origin["datasets"])}')
  lines.append('licences     of the training songs:')
  lines += [f'  {count:>6}  {licence}' for licence, count in sorted(found['licences'].items())]
  credits = [(credit, count, licence) for licence, entries in sorted(found['credits'].items()) for credit, count in sorted(entries.items())]
  if credits:
    lines.append('credits')
    shown = credits[:most_credits] if most_credits else credits
    lines += [f'  {count:>6}  {credit}  [{licence}]' for credit, count, licence in shown]
    if len(shown) < len(credits):
      lines.append(f'          and {len(credits) - len(shown)} more: --credits=0 or --json shows all')
  changed = configs.differences(configs.Experiment(experiment.name), experiment)
  lines.append('settings     ' + ('all defaults' if not changed else 'that are not the defaults (default -> here):'))
  return '\n'.join([*lines, *(f'  {line}' for line in changed)])


@commands.plain_errors()
def main(arguments: list[str]) -> None:
  if len(arguments) != 2:
    raise ValueError('give one checkpoint: python -m bassnet_jax.describe WORKDIR [--json]')
  found = describe(packaged.resolve(arguments[1]))
  print(json.dumps(found, indent=1, sort_keys=True) if _JSON.value else text(found, _CREDITS.value))


if __name__ == '__main__':
  app.run(main, flags_parser=commands.parse_flags)
