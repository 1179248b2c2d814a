"""Runs on music: a bass for pop and rock mixes."""

from __future__ import annotations

from bassnet_jax.config import DataConfig, Experiment, LossConfig, replace
from experiments import variants
from experiments.registry import register


@register
def pr_window64() -> Experiment:
  """The short model (windows of 0.8 s) on the procedural band.

  python -m bassnet_jax.main --experiment=pr_window64
  """
  return Experiment(
    name='pr_window64',
    # Without free bits one of the two dimensions is given up on music: docs/results.md.
    loss=LossConfig(free_bits=1.0),
    data=DataConfig(datasets=('bassnet_pop_rock/open',)),
  )


@register
def pr_freedoom_window64() -> Experiment:
  """`pr_window64` on the procedural band and Freedoom's training pieces; reports on Freedoom's test pieces.

  python -m bassnet_jax.main --experiment=pr_freedoom_window64 --manual_dir=FOLDER_WITH_FREEDOOM_WADS
  """
  return replace(
    pr_window64(),
    data={'datasets': ('bassnet_pop_rock/open', 'bassnet_pop_rock/freedoom')},
    evaluation={'datasets': ('bassnet_pop_rock/freedoom',)},
  )


@register
def pr_freedoom_variants_window64() -> Experiment:
  """`pr_freedoom_window64` with three further versions of every training song: players, balance, sound and tuning vary.

  As many steps: a quarter of the passes over four times the frames. Build the variants first, if a second SoundFont is to play in them.

  python -m bassnet_jax.main --experiment=pr_freedoom_variants_window64 --manual_dir=FOLDER_WITH_FREEDOOM_WADS
  """
  base = pr_freedoom_window64()
  return replace(
    base,
    data={'datasets': (*base.data.datasets, *(f'{name}_variants' for name in base.data.datasets))},
    train={'passes': base.train.passes / 4},
  )


@register
def pr_open_variants_window64() -> Experiment:
  """Does the procedural band alone teach enough? Trained on it and its variants, with a report on Freedoom's test pieces.

  Where z lies and which onsets count is chosen on Freedoom's validation pieces.

  python -m bassnet_jax.main --experiment=pr_open_variants_window64 --manual_dir=FOLDER_WITH_FREEDOOM_WADS
  """
  return replace(pr_freedoom_variants_window64(), data={'datasets': ('bassnet_pop_rock/open', 'bassnet_pop_rock/open_variants')})


@register
def pr_freedoom_variants_window512() -> Experiment:
  """`pr_freedoom_variants_window64` with windows of 6.4 s and a model to match.

  python -m bassnet_jax.main --experiment=pr_freedoom_variants_window512 --manual_dir=FOLDER_WITH_FREEDOOM_WADS
  """
  return replace(pr_freedoom_variants_window64(), **variants.WINDOWS[512])


def _window(window: int) -> Experiment:
  return replace(pr_window64(), **variants.WINDOWS[window])


for _frames in (128, 256, 512):
  variants.register_row(
    f'pr_window{_frames}', lambda frames=_frames: _window(frames), f'`pr_window64` with windows of {_frames / 80:g} s and a model to match.'
  )
for _frames in (64, 512):
  for _table in (variants.STABILITY, variants.ARCHITECTURE, {'common_transposition': variants.COMMON_TRANSPOSITION}):
    variants.register_variants(f'pr_window{_frames}', lambda frames=_frames: _window(frames), _table)
variants.register_variants('pr_window64', pr_window64, variants.PRECISION)
for _part, _words in (('harm', 'harmonic'), ('perc', 'percussive')):
  variants.register_row(
    f'pr_{_part}_window512',
    lambda part=_part: replace(_window(512), data={'datasets': (f'bassnet_pop_rock/open_{part}',)}),
    f'`pr_window512` on the {_words} part of the mixes alone (harmonic-percussive separation).',
  )
