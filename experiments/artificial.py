"""Runs on the artificial sets: does the plane separate the patterns, does z control them, and is it the stability constraint that does it?

For every set a1 to a4, `<set>_window64` and `<set>_window512` with all their variants, and windows of 128 and 256 frames between them.
"""

from __future__ import annotations

from bassnet_jax.config import DataConfig, EvaluationConfig, Experiment, LossConfig, TrainConfig, replace
from experiments import variants

_LAPTOP = ' --preset=laptop'
# What z is to say in each set.
_SETS = {
  'a1': 'Harmony: root, third or fifth of the sounding chord',
  'a2': "Timbre: the piano's or the guitar's line",
  'a3': 'Rhythm: with the kick, with the snare or on the off-beats',
  'a4': 'Harmony, timbre and rhythm: eight patterns in the plane',
}
# What a set needs beside what its window does. A bass of a4 sounds on every second beat or so: a window of 0.8 s may hold no note of it,
# and which instrument it follows is told by its notes alone. So q looks further around, the search goes on until the encoder has
# learned, and four windows of a song share a z in it: two hold two or three notes, which many a rule explains as well as the song's own.
_NEEDS = {
  'a4': {
    64: {'model': {'latent_dilations': (1, 2, 4, 8, 12)}, 'loss': {'search_share': 0.9}, 'data': {'group_size': 4}},
    128: {'model': {'latent_dilations': (1, 2, 4, 8, 16)}, 'loss': {'search_share': 0.9}},
    256: {'loss': {'search_share': 0.9}},
    512: {'loss': {'search_share': 0.9}},
  }
}
_TRANSPOSITION = {'data': {'transposition': 6}}
# What the search does alone, and what is left without it.
_SEARCH = {
  'nosearch': variants.Variant('without the search for z at the beginning', {'loss': {'search_candidates': 0}}),
  'exchange_only': variants.Variant(
    'with exchange only: without the search and without latent smoothness', {'loss': {'search_candidates': 0, 'latent_smoothness': 0.0}}
  ),
  'search_only': variants.Variant(
    'with the search only: after it each frame decodes its own z, without latent smoothness',
    {'loss': {'exchange': 'none', 'latent_smoothness': 0.0}},
  ),
}
_PAIRS = {'pairs': variants.Variant('with pairs of windows where it has groups of four', {'data': {'group_size': 2}})}
# The sets are not transposed by default, so that these two rows belong together: they differ in one thing from each other.
_TRANSPOSITIONS = {
  'transposition': variants.Variant('with transposition, independent for the windows of a group', _TRANSPOSITION),
  'common_transposition': variants.Variant(
    'with transposition, the windows of a group alike', {'data': _TRANSPOSITION['data'] | variants.COMMON_TRANSPOSITION.changes['data']}
  ),
}


def base(name: str, window: int) -> Experiment:
  """The default on a set: search, then exchange and latent smoothness. All rows of a set share what the set needs."""
  experiment = Experiment(
    name=f'{name}_window{window}',
    # Not transposed: the bass is the lowest octave from E1, which a transposed song would break; keys are random as it is.
    data=DataConfig(datasets=(f'bassnet_artificial/{name}',), pair_distance=1024, transposition=0),
    loss=LossConfig(search_candidates=12, search_share=0.6),
    train=TrainConfig(steps=6000),
    evaluation=EvaluationConfig(kind='artificial'),
  )
  return replace(replace(experiment, **variants.WINDOWS[window]), **_NEEDS.get(name, {}).get(window, {}))


def _register() -> None:
  for name, task in _SETS.items():
    for window in variants.WINDOWS:
      row = f'{name}_window{window}'

      def make(name: str = name, window: int = window) -> Experiment:
        return base(name, window)

      variants.register_row(row, make, f'{task}, from windows of {window / 80:g} s.', _LAPTOP)
      if window in (64, 512):
        for table in (variants.STABILITY, _SEARCH, variants.ARCHITECTURE, _TRANSPOSITIONS):
          variants.register_variants(row, make, table, _LAPTOP)
      if row == 'a4_window64':
        variants.register_variants(row, make, _PAIRS, _LAPTOP)
      if row == 'a1_window64':
        variants.register_variants(row, make, variants.PRECISION, _LAPTOP)


_register()
