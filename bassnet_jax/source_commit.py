"""Which commit's code is running, for what is written down beside a figure."""

from __future__ import annotations

import os
import subprocess

# `git archive` puts its commit here (.gitattributes): what it makes has no tree any more.
_ARCHIVED = '$Format:%H$'
_CHANGED = '+'
_CODE = ('bassnet_jax', 'data_pipeline', 'experiments')


def current() -> str:
  """The commit of the source tree, with '+' behind it where its code has been changed since; of an archive its own; else 'unknown'."""
  top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

  def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(['git', '-C', top, *arguments], capture_output=True, text=True, check=False)

  try:
    # An installed copy may lie inside a tree of something else.
    if git('ls-files', '--error-unmatch', os.path.abspath(__file__)).returncode:
      return archived()
    changed = git('--no-optional-locks', 'status', '--porcelain', '--', *_CODE).stdout
    return git('rev-parse', 'HEAD').stdout.strip() + _CHANGED * bool(changed)
  except OSError:
    return archived()


def archived() -> str:
  """The commit that an archive was made of; 'unknown' in what is none."""
  return 'unknown' if '$' in _ARCHIVED else _ARCHIVED


def short(commit: str) -> str:
  """As people quote it."""
  return commit[:12] + _CHANGED if commit.endswith(_CHANGED) else commit[:12]
