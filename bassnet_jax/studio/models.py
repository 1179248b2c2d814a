"""The trained models that the studio offers: where they come from, and loading each when it is first wanted."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Sequence

from bassnet_jax import packaged
from bassnet_jax.studio.limits import StudioError

TRAIN = 'python -m bassnet_jax.main --experiment=pr_window64 --preset=laptop --workdir=workdir --data_dir=data'


@dataclasses.dataclass(frozen=True)
class Choice:
  """A model that can be chosen.

  Attributes:
    id: what requests call it.
    name: what the page shows.
    path: of the checkpoint.
  """

  id: str
  name: str
  path: str


def find(checkpoints: Sequence[str]) -> list[Choice]:
  """The models named, or the ones that come with the package.

  Raises:
    StudioError: there is none; the message says which command trains one.
  """
  paths = [packaged.resolve(path) for path in checkpoints or packaged.names()]
  if not paths:
    raise StudioError(
      f'There is no trained model: none came with this package, and --checkpoint was not given. This trains one in minutes: {TRAIN} '
      '- then start the studio with --checkpoint=workdir.'
    )
  for path in paths:
    if '://' not in path and not os.path.exists(path):
      raise StudioError(f'{path}: there is no such checkpoint. {packaged.what_to_give()} This trains one in minutes: {TRAIN}')
  names = [os.path.splitext(os.path.basename(os.path.normpath(path)))[0] for path in paths]
  return [Choice(str(i), name, path) for i, (name, path) in enumerate(zip(names, paths, strict=True))]


class Shelf:
  """Loads models once each; safe to use from several threads."""

  def __init__(self, choices: Sequence[Choice]):
    self.choices = {choice.id: choice for choice in choices}
    self._loaded: dict = {}
    self._encoded: dict[str, int] = {}
    self._lock = threading.Lock()

  @property
  def first(self) -> str:
    return next(iter(self.choices))

  def encoded(self, model_id: str) -> int:
    """Counts one more song that was encoded for a model; returns how many there were."""
    self._encoded[model_id] = self._encoded.get(model_id, 0) + 1
    return self._encoded[model_id]

  def loaded(self, model_id: str) -> bool:
    return model_id in self._loaded

  def get(self, model_id: str):
    """The `TrainedModel`; loads and compiles it the first time, which takes seconds.

    Raises:
      StudioError: there is no such model, or it can't be loaded.
    """
    if model_id not in self.choices:
      raise StudioError('There is no such model. Choose one of the list, or reload the page.', 404)
    with self._lock:
      if model_id not in self._loaded:
        self._loaded[model_id] = _load(self.choices[model_id].path)
      return self._loaded[model_id]

  def describe(self, model_id: str) -> dict:
    """What the page is told of a model: its own settings and the distribution behind the plane."""
    from bassnet_jax import checkpoints, latent_density

    model, choice = self.get(model_id), self.choices[model_id]
    try:
      density = latent_density.read(checkpoints.workdir_of(choice.path))
    except latent_density.DensityError as error:
      raise StudioError(str(error), 500) from error
    return {
      'id': choice.id,
      'name': choice.name,
      'experiment': model.experiment.name,
      'step': int(model.describe.get('step', 0)),
      'onset_threshold': model.onset_threshold,
      'default_z': list(model.default_z),
      'licences': model.describe.get('licences', []),
      'density': density.describe(),
    }


def _load(path: str):
  from bassnet_jax import trained
  from data_pipeline import separation

  try:
    model = trained.load(path)
    part = separation.part_of(model.describe.get('datasets', ()))
    if part is not None:  # songs are analysed once, for all models
      words = 'harmonic' if part == 'harm' else 'percussive'
      raise StudioError(
        f'The model {path} listens to the {words} part of a mix alone, and the studio plays to whole mixes. Choose another model, or run '
        'python -m bassnet_jax.generate with this one.',
        409,
      )
    model.warm_up()
  except trained.CheckpointError as error:
    raise StudioError(f'The model {path} cannot be used. {error}', 500) from error
  return model
