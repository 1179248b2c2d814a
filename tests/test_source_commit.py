"""A figure's commit: that of the code which made it, with a mark where the code was changed since, and none where there is no tree."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from bassnet_jax import source_commit


def git(folder, *arguments) -> str:
  identity = ('-c', 'user.name=test', '-c', 'user.email=test@example.com')
  return subprocess.run(['git', '-C', str(folder), *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def asked(top) -> str:
  """What a copy of the module in another tree says."""
  program = 'from bassnet_jax import source_commit; print(source_commit.current())'
  environment = os.environ | {'PYTHONPATH': str(top), 'GIT_CEILING_DIRECTORIES': str(top.parent)}
  return subprocess.run(
    [sys.executable, '-c', program], env=environment, capture_output=True, text=True, check=True, cwd='/'
  ).stdout.strip()


@pytest.fixture
def tree(tmp_path):
  if not shutil.which('git'):
    pytest.skip('git is not installed')
  (tmp_path / 'bassnet_jax').mkdir()
  (tmp_path / 'bassnet_jax' / '__init__.py').write_text('')
  shutil.copy(source_commit.__file__, tmp_path / 'bassnet_jax')
  return tmp_path


def test_the_commit_with_a_mark_where_code_was_changed(tree):
  assert asked(tree) == source_commit.archived()
  git(tree, 'init', '-q')
  assert asked(tree) == source_commit.archived()  # an installed copy inside a tree of something else
  (tree / 'RESULTS.md').write_text('before')
  git(tree, 'add', '-A')
  git(tree, 'commit', '-q', '-m', 'first')
  (tree / 'RESULTS.md').write_text('results are written while experiments run')
  commit = git(tree, 'rev-parse', 'HEAD')
  assert asked(tree) == commit and len(commit) == 40
  for name in ('__init__.py', 'new.py'):
    (tree / 'bassnet_jax' / name).write_text('changed = True\n')
    assert asked(tree) == f'{commit}+'
    git(tree, 'stash', '-q', '--include-untracked')
    assert asked(tree) == commit


def test_without_git(monkeypatch):
  monkeypatch.setenv('PATH', '')
  assert source_commit.current() == source_commit.archived()


def test_an_archive_names_its_commit(tree):
  (tree / '.gitattributes').write_text('bassnet_jax/source_commit.py export-subst\n')
  module = tree / 'bassnet_jax' / 'source_commit.py'
  module.write_text(re.sub(r"_ARCHIVED = '[^']*'", "_ARCHIVED = '$Format:%H$'", module.read_text()))
  git(tree, 'init', '-q')
  git(tree, 'add', '-A')
  git(tree, 'commit', '-q', '-m', 'first')
  git(tree, 'archive', '--format=zip', '-o', str(tree / 'archive.zip'), 'HEAD')
  shutil.unpack_archive(tree / 'archive.zip', tree / 'elsewhere')
  assert asked(tree / 'elsewhere') == git(tree, 'rev-parse', 'HEAD')


def test_quoted_it_keeps_its_mark():
  assert source_commit.short('0123456789abcdef') == '0123456789ab'
  assert source_commit.short('0123456789abcdef+') == '0123456789ab+'
