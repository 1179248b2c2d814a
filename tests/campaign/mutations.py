"""Ways to damage a file, as hypothesis strategies: what fails is shrunk to the fewest changes that still make it fail."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_PLACES = st.floats(0, 1, exclude_max=True)
_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
_TOKENS = (
  *(b'0', b'-1', b'1e308', b'1e999', b'-1e999', b'NaN', b'9' * 400, b'9' * 5000, b'0x10', b'1_000', b'null', b'true'),
  *(b'""', b'[]', b'{}', b'\x00', b'\xff\xfe', b'\xef\xbb\xbf', b'\r\n', b'\n\n', b'"', b',', b':', b'[', b'{', b'%'),
  *(b'\\ud800', b'../../../etc/passwd', b'/etc/passwd', b'[' * 3000, b'{"a":' * 3000, b'- ' * 500, b'&a [*a]'),
  *(b'!!python/object/apply:os.system ["true"]', 'é𝄞'.encode(), 'é'.encode('latin-1')),
)
_KINDS = ('flip', 'byte', 'integer', 'cut', 'insert', 'delete', 'repeat', 'splice', 'token', 'number', 'swap', 'encoding')

_change = st.tuples(st.sampled_from(_KINDS), _PLACES, _PLACES, st.integers(0, 2**16))


def damaged(seeds: Sequence[bytes], most: int = 4) -> st.SearchStrategy[bytes]:
  """One of some real files after one to `most` changes."""
  seeds = tuple(seeds)
  changed = st.tuples(st.integers(0, len(seeds) - 1), st.lists(_change, min_size=1, max_size=most))
  return changed.map(lambda drawn: _apply(seeds, *drawn))


def _apply(seeds: Sequence[bytes], which: int, changes: Sequence[tuple[str, float, float, int]]) -> bytes:
  data = bytearray(seeds[which])
  for kind, first, second, value in changes:
    at, length = int(first * (len(data) + 1)), int(second**3 * len(data))
    if kind == 'flip' and data:
      data[at % len(data)] ^= 1 << value % 8
    elif kind == 'byte' and data:
      data[at % len(data)] = value % 256
    elif kind == 'integer':
      order, code = '<>'[value % 2], ('H', 'I', 'Q')[value % 3]
      size = struct.calcsize(code)
      data[at : at + size] = struct.pack(order + code, _NUMBERS[value % len(_NUMBERS)] % 2 ** (8 * size))
    elif kind == 'cut':
      del data[at:]
    elif kind == 'insert':
      data[at:at] = bytes((value * (i + 7) >> 3) % 256 for i in range(1 + value % 40))
    elif kind == 'delete':
      del data[at : at + 1 + length]
    elif kind == 'repeat':
      data[at:at] = data[at : at + 1 + min(length, 4096)] * (1 + value % 20)
    elif kind == 'splice':
      other = seeds[value % len(seeds)]
      data[at:] = other[int(second * len(other)) :]
    elif kind == 'token':
      data[at : at + value // 64 % 4] = _TOKENS[value % len(_TOKENS)]
    elif kind == 'number':
      _replace_number(data, first, _TOKENS[value % 8])
    elif kind == 'swap':
      data[at : at + 1 + length] = data[at : at + 1 + length][::-1]
    elif kind == 'encoding':
      data = bytearray(bytes(data).decode('utf-8', 'replace').encode(('utf-16', 'utf-32', 'latin-1', 'utf-7')[value % 4], 'replace'))
  return bytes(data[: 1 << 21])


def _replace_number(data: bytearray, where: float, token: bytes) -> None:
  """The first run of digits behind a place becomes another number."""
  digits = b'0123456789'
  begin = next((i for i in range(int(where * len(data)), len(data)) if data[i] in digits), None)
  if begin is not None:
    end = next((i for i in range(begin, len(data)) if data[i] not in digits), len(data))
    data[begin:end] = token


_DEEP: Any = 1
for _ in range(60):
  _DEEP = [_DEEP]
HOSTILE_VALUES = (
  *(None, True, False, 0, -1, 1.5, 1e308, -1e308, float('nan'), float('inf'), 10**30, 10**400, 2**63, 1e-320),
  *('', ' ', 'x', 'NaN', '0.5', 'x' * 3000, '\x00', 'a\x00b', '\ud800', '../../../etc/passwd', '/etc/passwd', '..', '.', 'a/b', 'a\nb'),
  *('\x1b[31m', '<img src=x onerror=alert(1)>', 'bass'),
  *([], {}, [None], ['a', 'b'], [[]], [1, 2, 3], {'': None}, {'a': {'b': []}}, _DEEP, [0] * 50, [1e308] * 3, [True]),
)

_anything = st.one_of(
  st.sampled_from(HOSTILE_VALUES),
  st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
  ),
)
_edit = st.tuples(st.sampled_from(('replace', 'replace', 'replace', 'remove', 'rename', 'copy')), _PLACES, _anything)


def edited(seeds: Sequence[Any], most: int = 3) -> st.SearchStrategy[Any]:
  """One of some JSON values (tables and lists) after one to `most` changes anywhere inside."""
  texts = tuple(json.dumps(seed) for seed in seeds)
  drawn = st.tuples(st.integers(0, len(texts) - 1), st.lists(_edit, min_size=1, max_size=most))
  return drawn.map(lambda pair: _edited(json.loads(texts[pair[0]]), pair[1]))


def _places(value: Any, parent: Any = None, key: Any = None) -> list[tuple[Any, Any]]:
  found = [] if parent is None else [(parent, key)]
  children = value.items() if isinstance(value, dict) else enumerate(value[:30]) if isinstance(value, list) else ()
  for name, child in children:
    found += _places(child, value, name)
  return found


def _edited(value: Any, edits: Sequence[tuple[str, float, Any]]) -> Any:
  for kind, where, shared in edits:
    new = copy.deepcopy(shared)  # what is edited next may lie inside it
    places = _places(value)
    if not places or (kind == 'replace' and where < 0.01):
      value = new
      continue
    parent, key = places[int(where * len(places))]
    if kind == 'remove' and isinstance(parent, dict):
      del parent[key]
    elif kind == 'rename' and isinstance(parent, dict):
      parent[str(new)[:30]] = parent.pop(key)
    elif kind == 'copy' and isinstance(parent, list):
      parent += [parent[key]] * 3
    else:
      parent[key] = new
  return value


def json_files(seeds: Sequence[Any]) -> st.SearchStrategy[bytes]:
  """JSON files: well-formed ones with strange values, and damaged ones."""
  texts = [json.dumps(seed, indent=1).encode() for seed in seeds]
  return edited(seeds).map(lambda value: json.dumps(value).encode('utf-8', 'replace')) | damaged(texts)
