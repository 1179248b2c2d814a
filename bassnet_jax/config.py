"""Settings of a run as frozen dataclasses, their overrides from the command line, and their JSON form."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from typing import Any, Literal

from bassnet_jax import config_limits


class ConfigError(ValueError):
  """A setting doesn't exist or has a value of another type; the message says which do."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The network. Its receptive field follows from the dilations; see `bassnet_jax.model.context_frames`."""

  pitch_channels: int = 16  # features of every semitone of the mix
  hidden: int = 96  # features of every frame of the mix, and of every frame of the decoder
  pitch_dilations: tuple[int, ...] = (1, 3, 8)  # temporal convolutions of the pitch features, in steps of two frames
  trunk_dilations: tuple[int, ...] = (1, 2, 4, 8, 12)  # temporal convolutions of the frame features
  decoder_dilations: tuple[int, ...] = (1, 2)  # temporal convolutions after the gating by z
  latent_dilations: tuple[int, ...] = (1, 2)  # temporal convolutions after the product of mix and bass
  latent_size: int = 2
  gating: Literal['product', 'concatenation'] = 'product'  # how mix and bass, and mix and z, meet
  variational: bool = True  # False: z = mu, no KL
  dtype: Literal['float32', 'bfloat16'] = 'float32'  # of the network's layers; losses are float32 always


@dataclasses.dataclass(frozen=True)
class LossConfig:
  """Weights of the loss terms, and the form of the stability constraint."""

  cqt: float = 1.0
  pitch: float = 1.0
  onset: float = 1.0
  level: float = 1.0
  kl: float = 0.01  # beta
  free_bits: float = 0.0  # nats a dimension that z may carry without a cost, so that no dimension is given up early
  onset_positive: float = 3.0  # weight of onset frames against the others
  latent_smoothness: float = 0.1  # scale-free difference of mu between frames `smoothness_lag` apart
  smoothness_lag: int = 8  # frames
  latent_l2: float = 0.0  # mean square of mu around its window mean
  kl_lag: float = 0.0  # KL between q at t and at t + smoothness_lag
  search_candidates: int = 0  # if positive, the best of so many z is decoded at first, see `bassnet_jax.latent_search`
  search_share: float = 0.4  # of all steps, for which it is
  # Which z is decoded: that of the other window of the pair, rolled in time; its own rolled; its own mean; its own.
  exchange: Literal['exchange', 'rolled', 'window_mean', 'none'] = 'exchange'


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """What is trained on, and how windows are cut and augmented."""

  datasets: tuple[str, ...] = ('bassnet_pop_rock/open',)  # TFDS names with their configurations
  backend: Literal['tfdata', 'resident'] = 'tfdata'  # tf.data from TFDS files, or features in device memory
  # Of the resident input: a copy on every device, or some songs on each; auto: a copy where it fits. The batches are the same.
  resident_placement: Literal['auto', 'replicated', 'sharded'] = 'auto'
  window: int = 64  # frames of 12.5 ms
  batch_size: int = 32  # windows, in groups of one song each
  group_size: int = 2  # windows of a group: they exchange their z in turn, and share one while z is searched for
  pair_distance: int = 512  # frames: how far from the first window of a group the others start at most
  windows_per_excerpt: int = 16  # drawn each time that an excerpt is read (tfdata)
  excerpts_in_memory: int = 32  # excerpts whose windows are mixed in one shuffle (tfdata)
  transposition: int = 6  # semitones up and down at most
  independent_transposition: bool = True  # False: both windows of a pair are moved alike
  gain_db: float = 3.0  # up and down at most
  equaliser_db: float = 4.0  # standard deviation of a smooth random colouring of the mix
  max_songs: int = 0  # of the training split, 0: all


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """The length of training, and the optimiser."""

  passes: float = 20.0  # over the training frames, counted in windows
  steps: int = 0  # if positive, instead of passes
  learning_rate: float = 2e-3
  warmup_steps: int = 100
  final_learning_rate: float = 0.02  # as a share of learning_rate; cosine in between
  weight_decay: float = 1e-4
  gradient_clip: float = 1.0
  log_every: int = 50  # steps
  checkpoint_every: int = 1000  # steps
  validate_every: int = 250  # steps; at the report that follows; 0: never
  validation_batches: int = 8  # of windows of held-out songs, the same every time
  checkpoints_kept: int = 2


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """The report at the end of a run."""

  kind: Literal['artificial', 'music'] = 'music'
  datasets: tuple[str, ...] = ()  # evaluated on; empty: those of training
  max_songs: int = 0  # of the test split, 0: all
  validation_songs: int = 8  # on which z and thresholds are chosen


@dataclasses.dataclass(frozen=True)
class Experiment:
  """One row of a table: everything that decides a run but its seed."""

  name: str
  model: ModelConfig = ModelConfig()
  loss: LossConfig = LossConfig()
  data: DataConfig = DataConfig()
  train: TrainConfig = TrainConfig()
  evaluation: EvaluationConfig = EvaluationConfig()


def replace(experiment: Experiment, **changes: Any) -> Experiment:
  """A changed copy: `replace(e, name='x', data=dict(window=512))` changes fields of fields."""
  resolved = {
    key: dataclasses.replace(getattr(experiment, key), **value) if isinstance(value, dict) else value for key, value in changes.items()
  }
  return dataclasses.replace(experiment, **resolved)


def override(experiment: Experiment, assignments: list[str] | tuple[str, ...]) -> Experiment:
  """Applies assignments such as 'data.window=128'; values are typed by the field.

  Raises:
    ConfigError: malformed assignment, unknown field, or a value of another type or out of its range.
  """
  for assignment in assignments:
    path, separator, text = assignment.partition('=')
    section_name, _, field_name = path.strip().partition('.')
    if not separator or not field_name:
      raise ConfigError(f'--set {_shown(assignment)}: expected section.field=value, for example data.window=128')
    fields = known_fields()
    if path.strip() not in fields:
      close = difflib.get_close_matches(path.strip(), fields, n=1)
      hint = f' Did you mean {close[0]}?' if close else ''
      raise ConfigError(f'--set {_shown(assignment)}: there is no field {_shown(path.strip())}.{hint} Known fields: {", ".join(fields)}')
    section = getattr(experiment, section_name)
    kind = typing.get_type_hints(type(section))[field_name]
    section = dataclasses.replace(section, **{field_name: _parse(text.strip(), kind, assignment)})
    experiment = dataclasses.replace(experiment, **{section_name: section})
    fault = config_limits.fault(experiment)
    if fault is not None:
      raise ConfigError(f'--set {_shown(assignment)}: {fault}')
  return experiment


def known_fields() -> list[str]:
  """Every name that `override` takes."""
  sections = [field for field in dataclasses.fields(Experiment) if field.name != 'name']
  return [f'{section.name}.{field.name}' for section in sections for field in dataclasses.fields(section.default)]


def _shown(text: str) -> str:
  """A text as a message shows it."""
  return text if len(text) <= 100 else f'{text[:97]}...'


def _parse(text: str, kind: Any, assignment: str) -> Any:
  origin, arguments = typing.get_origin(kind), typing.get_args(kind)
  if origin is Literal:
    if text not in arguments:
      raise ConfigError(f'--set {_shown(assignment)}: expected one of {", ".join(arguments)}, found {_shown(text)!r}')
    return text
  if origin is tuple:
    return tuple(_parse(item.strip(), arguments[0], assignment) for item in text.strip('()[]').split(',') if item.strip())
  if kind is bool:
    if text.lower() not in ('true', 'false'):
      raise ConfigError(f'--set {_shown(assignment)}: expected true or false, found {_shown(text)!r}')
    return text.lower() == 'true'
  try:
    return kind(text)
  except ValueError as error:
    raise ConfigError(
      f'--set {_shown(assignment)}: expected {config_limits.WORDS.get(kind, kind.__name__)}, found {_shown(text)!r}'
    ) from error


def to_dict(experiment: Experiment) -> dict[str, Any]:
  """As plain JSON values."""
  return json.loads(json.dumps(dataclasses.asdict(experiment)))


def from_dict(values: dict[str, Any]) -> Experiment:
  """The inverse of `to_dict`.

  Raises:
    ConfigError: a field that this version doesn't know, or a value of another type or out of its range.
  """

  def build(cls, given):
    hints = typing.get_type_hints(cls)
    unknown = set(given) - set(hints)
    if unknown:
      raise ConfigError(
        f'settings of another version of this package: {cls.__name__.removesuffix("Config").lower()} has no field '
        f'{_shown(", ".join(sorted(unknown)))} here. Use the version that wrote them.'
      )
    return cls(
      **{
        key: build(hints[key], value) if isinstance(value, dict) and dataclasses.is_dataclass(hints[key]) else _tupled(value, hints[key])
        for key, value in given.items()
      }
    )

  if not isinstance(values, dict) or not isinstance(values.get('name'), str):
    raise ConfigError('settings of an experiment are a table with its name; found something else')
  experiment = build(Experiment, values)
  fault = config_limits.fault(experiment)
  if fault is not None:
    raise ConfigError(f'settings that this version cannot use: {fault}')
  return experiment


def _tupled(value: Any, kind: Any) -> Any:
  return tuple(value) if isinstance(value, list) and typing.get_origin(kind) in (tuple, types.GenericAlias) else value


def differences(old: Experiment, new: Experiment) -> list[str]:
  """Lines 'section.field: old -> new' for every field that differs."""
  lines = []
  for path in known_fields():
    section, field = path.split('.')
    before, after = getattr(getattr(old, section), field), getattr(getattr(new, section), field)
    if before != after:
      lines.append(f'{path}: {before} -> {after}')
  return lines
