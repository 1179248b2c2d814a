"""Which datasets and configurations there are, and the source of each."""

from __future__ import annotations

import os
from collections.abc import Callable

from data_pipeline.song import Source


class UnknownDatasetError(ValueError):
  """No such dataset or configuration; the message lists those that exist."""


def _artificial(name: str) -> Callable[[str | None], Source]:
  def make(_: str | None) -> Source:
    from data_pipeline.sources import artificial

    return artificial.standard(name)

  return make


def _open(_: str | None) -> Source:
  from data_pipeline.sources.open_band import OpenBand

  return OpenBand()


def _freedoom(manual_dir: str | None) -> Source:
  from data_pipeline.sources.freedoom import Freedoom

  return Freedoom(manual_dir or '/usr/share/games/doom')


def _midi(manual_dir: str | None) -> Source:
  from data_pipeline.sources.midi import MidiFolder

  return MidiFolder(_needed(manual_dir, 'a folder of multitrack MIDI files'))


def _stems(manual_dir: str | None) -> Source:
  from data_pipeline.sources.stems import Stems

  return Stems(_needed(manual_dir, 'a folder of song folders, each with a bass stem and other stems'))


def _needed(manual_dir: str | None, what: str) -> str:
  if not manual_dir:
    raise ValueError(f'this configuration reads music of your own: give --manual_dir, {what}')
  return os.path.abspath(manual_dir)


DESCRIPTIONS: dict[str, dict[str, str]] = {
  'bassnet_artificial': {
    'a1': 'Harmony: the bass plays the root, the third or the fifth of the sounding chord.',
    'a2': 'Timbre: two instruments play different lines; the bass doubles the piano or the guitar.',
    'a3': 'Rhythm: the bass plays the root of held chords with the kick, with the snare or on the off-beats.',
    'a4': 'All three: root or fifth, of the chords of the piano or the guitar, with the kick or on the off-beats.',
  },
  'bassnet_pop_rock': {
    'open': 'A procedural pop/rock band, rendered with sampled instruments (CC0).',
    'freedoom': 'The soundtrack of Freedoom: metal and rock by people, rendered with sampled instruments (BSD-3-Clause).',
    'midi': 'A folder of multitrack MIDI files of your own, rendered with sampled instruments.',
    'stems': 'A folder of song folders of your own, with a bass stem each.',
  },
}

_SOURCES: dict[str, dict[str, Callable[[str | None], Source]]] = {
  'bassnet_artificial': {name: _artificial(name) for name in DESCRIPTIONS['bassnet_artificial']},
  'bassnet_pop_rock': {'open': _open, 'freedoom': _freedoom, 'midi': _midi, 'stems': _stems},
}


def names() -> list[str]:
  """Every 'dataset/configuration'."""
  return [f'{dataset}/{config}' for dataset, configs in DESCRIPTIONS.items() for config in configs]


def parse(name: str) -> tuple[str, str]:
  """Splits 'dataset/configuration'.

  Raises:
    UnknownDatasetError: there is none of that name.
  """
  if name not in names():
    raise UnknownDatasetError(f'there is no dataset {name!r}; there are: {", ".join(names())}')
  dataset, config = name.split('/')
  return dataset, config


def source(name: str, manual_dir: str | None = None) -> Source:
  """The source of 'dataset/configuration'.

  Raises:
    UnknownDatasetError: there is none of that name.
    ValueError: it needs `manual_dir`.
  """
  dataset, config = parse(name)
  return _SOURCES[dataset][config](manual_dir)
