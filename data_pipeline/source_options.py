"""Options of a source from the command line: `--source_set bass='*low*'`, typed by the fields of the source's dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import types
import typing
from collections.abc import Sequence
from typing import Any

from data_pipeline.song import Source

_NOT_OPTIONS = frozenset(('folder', 'name', 'part', 'version'))
"""Fields that the dataset's name or --manual_dir decide, or nobody."""
_WORDS = {str: 'text', int: 'a whole number', float: 'a number', bool: 'true or false', tuple[str, ...]: 'texts, separated by commas'}


class SourceOptionError(ValueError):
  """No such option, or a value of another type; the message names the options that there are."""


def known(source: Source) -> dict[str, tuple[type, Any]]:
  """Option -> (type, value) of a source; fields of fields are joined by dots ('rule.fewest_bass')."""
  found = {}
  hints = typing.get_type_hints(type(source))
  own = inspect.get_annotations(type(source))
  for field in sorted(dataclasses.fields(source), key=lambda field: field.name not in own):  # those that all corpora have stand last
    value, kind = getattr(source, field.name), _plain(hints[field.name])
    if field.name in _NOT_OPTIONS:
      continue
    if field.name == 'source':  # a source inside another, like `separation.Separated`: its options are the outer one's
      found |= known(value)
    elif dataclasses.is_dataclass(value):
      found |= {f'{field.name}.{name}': entry for name, entry in known(value).items()}
    elif kind in _WORDS:
      found[field.name] = (kind, value)
  return found


def without_folders(assignment: str) -> str:
  """'soundfonts=/home/me/a.sf2,b.sf2' as 'soundfonts=a.sf2,b.sf2'."""
  name, separator, text = assignment.partition('=')
  return name + separator + ','.join(os.path.basename(item.rstrip('/')) for item in text.split(','))


def apply(source: Source, assignments: Sequence[str], dataset: str) -> Source:
  """A source with options set.

  Args:
    assignments: 'option=value' each; of two for one option the last counts.
    dataset: its name, for messages.

  Raises:
    SourceOptionError: malformed, unknown, or of another type.
  """
  for assignment in assignments:
    name, separator, text = assignment.partition('=')
    name, options = name.strip(), known(source)
    if not separator or not name:
      raise SourceOptionError(f"--source_set {assignment}: expected option=value, for example bass='*low*'")
    if name not in options:
      close = difflib.get_close_matches(name, options, n=1)
      listed = '\n'.join(f'  {option} ({_WORDS[kind]}; default {value!r})' for option, (kind, value) in options.items())
      raise SourceOptionError(
        f'--source_set {assignment}: {dataset} has no option {name}.{f" Did you mean {close[0]}?" if close else ""} '
        f'Its options are:\n{listed or "  none"}'
      )
    source = _set(source, name.split('.'), _parse(text.strip(), options[name][0], assignment))
  return source


def chosen(plain: Source, source: Source) -> list[str]:
  """'option=value' of every option in which a source differs from the plain one, sorted: what `apply` makes it of."""
  default = known(plain)
  return sorted(f'{name}={_text(value)}' for name, (_, value) in known(source).items() if value != default[name][1])


def for_dataset(assignments: Sequence[str], dataset: str, datasets: Sequence[str]) -> list[str]:
  """The assignments that concern one of several datasets: those that begin with its configuration's name ('stems.bass=*low*').

  Raises:
    SourceOptionError: an assignment names none of several datasets, or one that isn't there.
  """
  configs = [name.partition('/')[2] for name in datasets]
  found = []
  for assignment in assignments:
    first, separator, rest = assignment.partition('.')
    if separator and first.strip() in configs:
      if first.strip() == dataset.partition('/')[2]:
        found.append(rest)
    elif len(datasets) == 1:
      found.append(assignment)
    else:
      raise SourceOptionError(f'--source_set {assignment}: for which of {", ".join(configs)}? Write for example {configs[0]}.{assignment}')
  return found


def _plain(kind: Any) -> Any:
  """`str` for `str | None`: None is the absence of a value and can't be written."""
  if typing.get_origin(kind) in (types.UnionType, typing.Union):
    return next(part for part in typing.get_args(kind) if part is not type(None))
  return kind


def _set(source: Any, path: list[str], value: Any) -> Any:
  if path[0] not in {field.name for field in dataclasses.fields(source)}:
    return dataclasses.replace(source, source=_set(source.source, path, value))
  if len(path) > 1:
    value = _set(getattr(source, path[0]), path[1:], value)
  return dataclasses.replace(source, **{path[0]: value})


def _parse(text: str, kind: type, assignment: str) -> Any:
  if kind is bool and text.lower() in ('true', 'false'):
    return text.lower() == 'true'
  try:
    if kind is bool:
      raise ValueError(text)
    if kind == tuple[str, ...]:
      return tuple(part.strip() for part in text.split(',') if part.strip())
    return kind(text)
  except ValueError as error:
    raise SourceOptionError(f'--source_set {assignment}: expected {_WORDS[kind]}, found {text!r}') from error


def _text(value: Any) -> str:
  if isinstance(value, tuple):
    return ','.join(value)
  return str(value).lower() if isinstance(value, bool) else str(value)
