"""Reads the YAML and JSON files that describe a song; a damaged one costs the song, not the build."""

from __future__ import annotations

import json
from typing import Any

import yaml

from data_pipeline.song import SkipSong

_LONGEST = 4_000_000
_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


def mapping(path: str) -> dict[str, Any]:
  """The table that a .json or .yaml file holds.

  Raises:
    SkipSong: it is missing, unreadable, or no table.
  """
  try:
    with open(path, encoding='utf-8-sig') as file:
      text = file.read(_LONGEST)
    values = json.loads(text) if path.endswith('.json') else yaml.load(text, Loader=_LOADER)
  except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
    raise SkipSong(f'{path} can not be read: {" ".join(str(error).split())[:200]}') from error
  if not isinstance(values, dict):
    raise SkipSong(f'{path}: a table of names and values is expected, found {type(values).__name__}')
  return values
