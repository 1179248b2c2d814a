"""What the ablations change: each row is a base experiment and one change, registered by name with its command."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from bassnet_jax.config import Experiment, replace
from experiments.registry import register


@dataclasses.dataclass(frozen=True)
class Variant:
  """One change to a base experiment.

  Attributes:
    words: what is changed, as the end of a sentence that begins with the base's name.
    changes: arguments of `config.replace`.
  """

  words: str
  changes: dict[str, dict[str, Any]]


# Half of the receptive field is half a window, for every window. Batches of long windows are smaller, for the sake of memory.
WINDOWS: dict[int, dict[str, dict[str, Any]]] = {
  64: {'data': {'window': 64}},
  128: {
    'data': {'window': 128},
    'model': {
      'pitch_dilations': (1, 3, 8, 14),
      'trunk_dilations': (1, 2, 4, 8, 16, 24),
      'decoder_dilations': (1, 2, 4),
      'latent_dilations': (1, 2, 4),
    },
  },
  256: {
    'data': {'window': 256, 'batch_size': 16},
    'model': {
      'pitch_dilations': (1, 3, 8, 16, 26),
      'trunk_dilations': (1, 2, 4, 8, 16, 32, 48),
      'decoder_dilations': (1, 2, 4, 8),
      'latent_dilations': (1, 2, 4, 8),
    },
  },
  512: {
    'data': {'window': 512, 'batch_size': 16},
    'model': {
      'pitch_dilations': (1, 3, 8, 16, 32, 50),
      'trunk_dilations': (1, 2, 4, 8, 16, 32, 64, 96),
      'decoder_dilations': (1, 2, 4, 8, 16),
      'latent_dilations': (1, 2, 4, 8, 16),
    },
  },
}
"""Frames of a window -> what suits a model to it. 64 is the short preset (0.8 s), 512 the long one (6.4 s)."""

# The default is search, then exchange and smoothness together.
# Every form of the constraint that stands alone goes without the search and without the smoothness term.
_ALONE = {'search_candidates': 0, 'latent_smoothness': 0.0}
STABILITY = {
  'nostability': Variant('without any stability constraint', {'loss': {'exchange': 'none', **_ALONE}}),
  'exchange': Variant('without latent smoothness', {'loss': {'latent_smoothness': 0.0}}),
  'smoothness': Variant(
    'with latent smoothness only: each frame decodes its own z', {'loss': {'exchange': 'none', 'search_candidates': 0}}
  ),
  'rolled': Variant("decoding the window's own z, rolled in time, and nothing else", {'loss': {'exchange': 'rolled', **_ALONE}}),
  'window_mean': Variant("decoding the mean of the window's z, and nothing else", {'loss': {'exchange': 'window_mean', **_ALONE}}),
  'kl_lag': Variant(
    'with a KL term between q at t and 8 frames later, and nothing else', {'loss': {'exchange': 'none', 'kl_lag': 0.1, **_ALONE}}
  ),
  'l2': Variant(
    'with an L2 term of mu around its window mean, and nothing else', {'loss': {'exchange': 'none', 'latent_l2': 1.0, **_ALONE}}
  ),
}

ARCHITECTURE = {
  'nogate': Variant('with concatenation where the model multiplies', {'model': {'gating': 'concatenation'}}),
  'deterministic': Variant('with z = mu and no KL term: an autoencoder that is not variational', {'model': {'variational': False}}),
}

PRECISION = {'bfloat16': Variant('computed in bfloat16; parameters, softmax and losses stay in float32', {'model': {'dtype': 'bfloat16'}})}
"""Not an ablation: the quality is to be the same. Registered for `a1_window64` and `pr_window64`."""

COMMON_TRANSPOSITION = Variant('with the windows of a group transposed alike', {'data': {'independent_transposition': False}})


def register_row(name: str, make: Callable[[], Experiment], text: str, arguments: str = '') -> None:
  """Registers an experiment that is made by a table.

  Args:
    name: of the experiment.
    make: returns it.
    text: first sentence of its description.
    arguments: of the command, after the experiment's name.
  """

  def function() -> Experiment:
    return replace(make(), name=name)

  function.__name__ = function.__qualname__ = name
  function.__doc__ = f'{text}\n\n  python -m bassnet_jax.main --experiment={name}{arguments}\n  '
  register(function)


def register_variants(base: str, make: Callable[[], Experiment], variants: dict[str, Variant], arguments: str = '') -> None:
  """Registers `<base>_<suffix>` for every variant."""
  for suffix, variant in variants.items():
    register_row(f'{base}_{suffix}', lambda variant=variant: replace(make(), **variant.changes), f'`{base}` {variant.words}.', arguments)
