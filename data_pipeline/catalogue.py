"""Which datasets and configurations there are, and the source of each."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Sequence

from data_pipeline import source_options
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


def _open_part(part: str) -> Callable[[str | None], Source]:
  def make(manual_dir: str | None) -> Source:
    from data_pipeline.separation import Separated

    return Separated(_open(manual_dir), part)

  return make


def _freedoom(manual_dir: str | None) -> Source:
  from data_pipeline.sources.freedoom import Freedoom

  return Freedoom(manual_dir or '/usr/share/games/doom')


def _midi(manual_dir: str | None) -> Source:
  from data_pipeline.sources.midi import MidiFolder

  return MidiFolder(_needed(manual_dir, 'midi', 'a folder of multitrack MIDI files'))


def _stems(manual_dir: str | None) -> Source:
  from data_pipeline.sources.stems import Stems

  return Stems(_needed(manual_dir, 'stems', 'a folder of song folders, each with a bass stem and other stems'))


def _corpus(module: str, name: str, what: str) -> Callable[[str | None], Source]:
  """A corpus that the user owns: class `name` of `data_pipeline.sources.<module>`, called as the configuration."""

  def make(manual_dir: str | None) -> Source:
    folder = _needed(manual_dir, module, what)
    return getattr(importlib.import_module(f'data_pipeline.sources.{module}'), name)(folder)

  return make


def _needed(manual_dir: str | None, config: str, what: str) -> str:
  if not manual_dir:
    raise ValueError(f'{config} reads music of your own, and there is no --manual_dir: give --manual_dir=FOLDER, {what}')
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
    'open_harm': 'The songs of open, the harmonic part of their mixes.',
    'open_perc': 'The songs of open, the percussive part of their mixes.',
    'freedoom': 'The soundtrack of Freedoom: metal and rock by people, rendered with sampled instruments (BSD-3-Clause).',
    'midi': 'A folder of multitrack MIDI files of your own, rendered with sampled instruments.',
    'stems': 'A folder of song folders of your own, with a bass stem each.',
    'musdb18hq': 'MUSDB18-HQ, your copy: 150 songs as WAV.',
    'musdb18': 'MUSDB18, your copy: the same 150 songs as .stem.mp4 (needs ffmpeg).',
    'slakh2100': 'Slakh2100-redux or BabySlakh, your copy: songs rendered from MIDI, notes known (CC-BY-4.0).',
    'moisesdb': 'MoisesDB, your copy: 240 songs (CC-BY-NC-SA-4.0).',
    'medleydb': 'MedleyDB 1 and 2, your copy (CC-BY-NC-SA-4.0).',
    'aam': 'AAM, Artificial Audio Multitracks, your copy: algorithmic songs, notes known (CC-BY-4.0).',
    'rhythm_game': 'Song folders of Frets on Fire, Clone Hero, Phase Shift or Rock Band exports, your own.',
  },
}

_VARIANTS = '_variants'
VARIANT_MARK = '.v'
"""Between a song's id and the number of its variant."""
_VARIED = tuple(name for name in DESCRIPTIONS['bassnet_pop_rock'] if not name.startswith('open_'))
DESCRIPTIONS['bassnet_pop_rock'] |= {
  f'{name}{_VARIANTS}': f'The training songs of {name} in other versions: players, balance, sound and tuning vary.' for name in _VARIED
}

_SOURCES: dict[str, dict[str, Callable[[str | None], Source]]] = {
  'bassnet_artificial': {name: _artificial(name) for name in DESCRIPTIONS['bassnet_artificial']},
  'bassnet_pop_rock': {
    'open': _open,
    'open_harm': _open_part('harm'),
    'open_perc': _open_part('perc'),
    'freedoom': _freedoom,
    'midi': _midi,
    'stems': _stems,
    'musdb18hq': _corpus('musdb18hq', 'Musdb18HQ', 'the folder of MUSDB18-HQ, with train/ and test/'),
    'musdb18': _corpus('musdb18', 'Musdb18', 'the folder of MUSDB18, with train/*.stem.mp4 and test/*.stem.mp4'),
    'slakh2100': _corpus('slakh2100', 'Slakh2100', 'the folder of Slakh2100-redux or BabySlakh, with TrackNNNNN folders'),
    'moisesdb': _corpus('moisesdb', 'MoisesDB', 'the folder of MoisesDB, with <uuid>/data.json'),
    'medleydb': _corpus('medleydb', 'MedleyDB', 'the folder of MedleyDB, with <Artist_Title>/<Artist_Title>_STEMS'),
    'aam': _corpus('aam', 'Aam', 'the folder of AAM, with NNNN_<Instrument>.flac'),
    'rhythm_game': _corpus('rhythm_game', 'RhythmGame', 'a folder of song folders with song.ini and stems'),
  },
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
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f'\nDid you mean {close[0]}?' if close else ''
    raise UnknownDatasetError(f'there is no dataset {name!r}; there are: {", ".join(names())}{hint}')
  dataset, config = name.split('/')
  return dataset, config


def plain_name(name: str) -> str:
  """The dataset of whose songs a dataset holds variants; any other as it is."""
  return name.removesuffix(_VARIANTS)


def plain_song(name: str, song_id: str) -> str:
  """The id of the song of which a song of this dataset is a variant; any other as it is."""
  return song_id if plain_name(name) == name else song_id.rpartition(VARIANT_MARK)[0]


def source(name: str, manual_dir: str | None = None, options: Sequence[str] = ()) -> Source:
  """The source of 'dataset/configuration'.

  Args:
    manual_dir: the user's own corpus, where the configuration reads one.
    options: 'option=value' each; see `source_options`.

  Raises:
    UnknownDatasetError: there is none of that name.
    ValueError: it needs `manual_dir`, or has no such option.
  """
  dataset, config = parse(name)
  made = _SOURCES[dataset][plain_name(config)](manual_dir)
  if plain_name(config) != config:
    from data_pipeline.varied import Varied

    made = Varied(made)
  return source_options.apply(made, options, name)
