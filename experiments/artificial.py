"""Runs on the artificial sets: does the plane separate the patterns, and does z control them?"""

from __future__ import annotations

from bassnet_jax.config import DataConfig, EvaluationConfig, Experiment, TrainConfig, replace
from experiments.registry import register


@register
def a1_window64() -> Experiment:
  """Harmony: root, third or fifth of the sounding chord, from windows of 0.8 s.

  python -m bassnet_jax.main --experiment=a1_window64 --preset=laptop
  """
  return Experiment(
    name='a1_window64',
    # Not transposed: the bass is the lowest octave from E1, which a transposed song would break; keys are random as it is.
    data=DataConfig(datasets=('bassnet_artificial/a1',), pair_distance=1024, transposition=0),
    train=TrainConfig(steps=6000),
    evaluation=EvaluationConfig(kind='artificial'),
  )


@register
def a1_window64_nostability() -> Experiment:
  """`a1_window64` without exchange and without latent smoothness, all else equal: the baseline of the ablation.

  python -m bassnet_jax.main --experiment=a1_window64_nostability --preset=laptop
  """
  return replace(a1_window64(), loss={'exchange': 'none', 'latent_smoothness': 0.0})
