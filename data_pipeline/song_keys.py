"""Names and splits of songs that lie in folders: file-name safe ids, splits by top folder or by a stable hash."""

from __future__ import annotations

import hashlib
import os
import re

from data_pipeline.song import SPLITS, SongKey

_SHARES = {'train': 0.80, 'validation': 0.08, 'test': 0.12}
_LONGEST_ID = 120
_LICENCE_FILES = ('licence.txt', 'license.txt', 'licence', 'license')
_CREDIT_FILES = ('credit.txt', 'credits.txt')

UNKNOWN = 'unknown, supplied by the user'
"""Licence and credit of a song beside which nothing says otherwise."""


def fraction(text: str, salt: str = '') -> float:
  """A number in [0, 1) that depends on the text alone: the same on every machine, in every run."""
  return int.from_bytes(hashlib.sha256(f'{salt}{text}'.encode('utf-8', 'surrogateescape')).digest()[:8], 'big') / 2**64


def split_by_hash(text: str, shares: dict[str, float] | None = None, salt: str = '') -> str:
  """The split of a song by its id: 80 % train, 8 % validation, 12 % test by default; adding songs never moves the others.

  Args:
    text: what is hashed, as a rule the song's id.
    shares: split -> share, adding up to 1.
    salt: goes before the text; another salt is another drawing of lots.
  """
  position, bound = fraction(text, salt), 0.0
  for split, share in (shares or _SHARES).items():
    bound += share
    if position < bound:
      return split
  return split


def song_id(relative: str) -> str:
  """A file-name safe id ([A-Za-z0-9._-]) from a path relative to the corpus, without its extension.

  Folders are joined by '__', spaces become '_'. Where that could make two paths one, or the path has other characters, a hash of
  the path is appended: different paths have different ids.
  """
  path = relative.replace(os.sep, '/')
  joined = path.replace('/', '__')
  name = re.sub(r'[^A-Za-z0-9._-]+', '_', joined).strip('._-')[:_LONGEST_ID]
  if name == joined and '__' not in path and '/_' not in path:
    return name
  digest = hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:8]
  return f'{name}-{digest}' if name else digest


def song_keys(relatives: list[str]) -> list[SongKey]:
  """Keys of the songs with these relative paths, in the given order.

  If a top folder is named train, validation or test (in any case), its songs are in that split; all others are split by a hash of
  their id.
  """
  keys = []
  for relative in relatives:
    name = song_id(relative)
    top, *below = relative.replace(os.sep, '/').split('/')
    keys.append(SongKey(name, top.lower() if below and top.lower() in SPLITS else split_by_hash(name)))
  return keys


def places_below(folder: str, relatives: list[str]) -> dict[SongKey, str]:
  """Key -> place of the songs with these paths relative to `folder`, sorted by path; keys as `song_keys` gives them."""
  relatives = sorted(relatives)
  return {key: os.path.join(folder, relative) for key, relative in zip(song_keys(relatives), relatives, strict=True)}


def licence_and_credit(folder: str, root: str) -> tuple[str, str]:
  """What licence.txt and credit.txt say, in `folder` or the nearest folder above it up to `root`; `UNKNOWN` where there is none."""
  return _nearest(folder, root, _LICENCE_FILES) or UNKNOWN, _nearest(folder, root, _CREDIT_FILES) or UNKNOWN


def _nearest(folder: str, root: str, names: tuple[str, ...]) -> str:
  folder, root = os.path.abspath(folder), os.path.abspath(root)
  while True:
    present = {name.lower(): name for name in sorted(os.listdir(folder))}
    for name in names:
      if name in present and os.path.isfile(os.path.join(folder, present[name])):
        with open(os.path.join(folder, present[name]), encoding='utf-8', errors='replace') as file:
          text = ' '.join(file.read(2000).split())
        if text:
          return text
    if folder == root or not folder.startswith(root):
      return ''
    folder = os.path.dirname(folder)
