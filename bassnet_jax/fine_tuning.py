"""Going on from a trained model with other songs, a few of one's own as a rule: `--init_from=CHECKPOINT`."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from bassnet_jax import config as configs
from bassnet_jax import packaged, trained
from bassnet_jax.batch import Statistics
from bassnet_jax.config import Experiment
from bassnet_jax.inputs.corpus import Corpus
from data_pipeline import storage

LEARNING_RATE_SHARE = 0.1
"""Of the experiment's learning rate, where the user gives none: the network is to change, not to forget."""


@dataclasses.dataclass(frozen=True)
class Origin:
  """The trained model that a run begins from.

  Attributes:
    params: its parameters, numpy arrays.
    description: what its checkpoint says of itself.
    step: of that checkpoint.
    calibration: content of its calibration file, or None.
  """

  params: Any
  description: dict[str, Any]
  step: int
  calibration: str | None = None

  @property
  def statistics(self) -> Statistics:
    """With which its features are standardised. They stay: few songs have other ones, and the network knows these."""
    return Statistics.from_lists(self.description['statistics'])

  def experiment(self, experiment: Experiment, learning_rate_given: bool) -> Experiment:
    """The settings of the new run: the network of the old one, and a small learning rate unless one was given."""
    model = configs.from_dict(self.description['experiment']).model
    train = experiment.train
    if not learning_rate_given:
      train = dataclasses.replace(train, learning_rate=LEARNING_RATE_SHARE * train.learning_rate)
    return dataclasses.replace(experiment, model=model, train=train)

  def corpus(self, corpus: Corpus) -> Corpus:
    """The new songs, standardised as the old ones."""
    return dataclasses.replace(corpus, statistics=self.statistics)

  def hand_down(self, workdir: str) -> None:
    """Gives the new model the old one's onset threshold and default z, where no report chooses new ones."""
    if self.calibration is not None:
      storage.write_text(os.path.join(workdir, trained.CALIBRATION_FILE), self.calibration)

  def added_to(self, description: dict[str, Any]) -> dict[str, Any]:
    """A new checkpoint's description that names this model, and the licences and credits of all songs that either was trained on."""
    licences = dict(description['licences'])
    for licence, count in self.description['licences'].items():
      licences[licence] = licences.get(licence, 0) + count
    credits = {licence: dict(entries) for licence, entries in description['credits'].items()}
    for licence, entries in self.description.get('credits', {}).items():
      under = credits.setdefault(licence, {})
      for credit, count in entries.items():
        under[credit] = under.get(credit, 0) + count
    origin = {
      'experiment': self.description['experiment']['name'],
      'step': self.step,
      'datasets': self.description['datasets'],
      'commit': self.description['commit'],
    }
    return description | {'licences': licences, 'credits': credits, 'initialised_from': origin}


def load(path: str) -> Origin:
  """The newest checkpoint of a workdir, or the packaged model of that name.

  Raises:
    CheckpointError: there is none, or its features are of another version.
  """
  params, description, step, calibration = trained.read(packaged.resolve(path), 'Begin with --init_from from a model of this version.')
  return Origin(params, description, step, None if calibration is None else json.dumps(calibration))
