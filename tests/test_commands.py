"""The frame of every command: what a user's mistake looks like, and what it does not hide."""

import errno
import os
import subprocess
import sys

import pytest
from absl import flags

from data_pipeline import commands


class OwnError(RuntimeError):
  """One that only this command expects."""


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'song', None, 'which one')
  define(flags.DEFINE_integer, 'count', 1, 'how many', lower_bound=1)


@commands.with_flags(_define_flags, OwnError, bare='song')
def main(given: flags.FlagValues) -> int:
  if given.song == 'own':
    raise OwnError('only here')
  if given.song == 'full':
    raise OSError(errno.ENOSPC, 'No space left on device', 'song.npz')
  if given.song == 'file':
    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), 'a.wav/out')
  if given.song == 'silent':
    raise ValueError
  if given.song == 'bug':
    raise ZeroDivisionError('a mistake of ours')
  return given.count


@pytest.fixture(autouse=True)
def _no_tracebacks(monkeypatch):
  monkeypatch.delenv('BASSNET_JAX_TRACEBACK', raising=False)


@pytest.mark.parametrize(
  ('given', 'says'),
  [
    (['--song=own'], 'only here'),
    (['--song=full'], "song.npz'\nthe disk is full: make room"),
    (['--song=silent'], 'ValueError'),
    (['--song=file'], "error: Not a directory: 'a.wav/out'\na file lies where a folder is needed"),
    (['a.wav'], "'a.wav' is not a flag; write --song=a.wav"),
    (['--count=0'], 'count'),
    (['--count=two'], 'flag --count=two: expected a whole number\n'),
    (['--unknown=1'], 'there is no flag --unknown; --help names them\n'),
    (['--sonng=own'], 'there is no flag --sonng; did you mean --song?\n'),
  ],
)
def test_a_mistake_is_told_in_plain_words(given, says, capsys):
  assert main(['command', *given]) == 2
  said = capsys.readouterr().err
  assert said.startswith('error: ') and says in said and 'Traceback' not in said
  assert said.endswith('\n(BASSNET_JAX_TRACEBACK=1 shows where it was raised)\n')


def test_an_error_of_the_program_is_not_taken_for_a_mistake():
  with pytest.raises(ZeroDivisionError):
    main(['command', '--song=bug'])


def test_the_traceback_comes_where_it_is_wanted(monkeypatch):
  monkeypatch.setenv('BASSNET_JAX_TRACEBACK', '1')
  with pytest.raises(OwnError) as raised:
    main(['command', '--song=own'])
  assert 'main' in [entry.name for entry in raised.traceback]  # the place itself, not only the frame


def test_exit_code_flags_and_help(capsys):
  assert main(['command', '--count=3']) == 3
  assert main(['command', '--help']) == 0
  said = capsys.readouterr().out
  assert said.startswith(__doc__) and '--song' in said and 'test_commands' in said


def test_help_needs_neither_jax_nor_tensorflow():
  program = 'import sys, data_pipeline.commands; print([name for name in ("jax", "tensorflow", "librosa") if name in sys.modules])'
  environment = os.environ | {'PYTHONPATH': os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}
  assert subprocess.run([sys.executable, '-c', program], env=environment, capture_output=True, text=True).stdout == '[]\n'


@pytest.mark.parametrize(
  ('command', 'says'),
  [
    (('data_pipeline.build', '--dataset=bassnet_pop_rock', '--config=nothing'), 'nothing'),
    (('bassnet_jax.describe',), 'give one checkpoint'),
    (('bassnet_jax.packaged',), 'give --checkpoint=WORKDIR'),
    (('data_pipeline.build', '--config=open'), '--dataset is missing'),
    (('bassnet_jax.main', '--experiment=pr_window64', '--set', 'data.window=32', 'train.steps=4'), 'write --set=train.steps=4'),
  ],
)
def test_a_command_that_takes_the_flags_of_the_process(command, says, tmp_path):
  environment = os.environ | {'PYTHONPATH': os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}
  done = subprocess.run([sys.executable, '-m', *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
  assert done.returncode == 2 and done.stderr.startswith('error: ') and says in done.stderr and 'Traceback' not in done.stderr


@pytest.mark.parametrize(
  ('flag', 'says'), [('--workers=many', 'flag --workers=many: expected a whole number'), ('--confg=a1', 'did you mean --config?')]
)
def test_a_command_that_takes_the_flags_of_the_process_says_what_is_wrong_in_one(flag, says):
  environment = os.environ | {'PYTHONPATH': os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}
  done = subprocess.run([sys.executable, '-m', 'data_pipeline.build', flag], env=environment, capture_output=True, text=True)
  assert done.returncode == 2 and done.stderr.startswith('error: ') and f'{says}\n' in done.stderr and 'Traceback' not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_mistake():
  """`| head` closes the pipe; a pipe to elsewhere that breaks is an error as ever."""
  program = """
import sys
from data_pipeline import commands
@commands.plain_errors()
def main():
  if len(sys.argv) > 1:
    raise BrokenPipeError('to elsewhere')
  for number in range(100_000):
    print(number)
sys.exit(main())
"""
  command = [sys.executable, '-c', program]
  with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == '0\n'
    process.stdout.close()
    assert process.stderr.read() == ''
  assert process.returncode == 0
  elsewhere = subprocess.run([*command, 'elsewhere'], capture_output=True, text=True, check=False)
  assert elsewhere.returncode == 2 and 'to elsewhere' in elsewhere.stderr
