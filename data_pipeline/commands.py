"""What every command has around it: quiet libraries, a user's mistake in plain words and exit code 2, and flags of its own.

Neither tensorflow nor jax is imported here: `--help` and a mistyped flag answer at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags, logging

from data_pipeline import file_errors

flags.disclaim_key_flags()  # --help lists the flags under the module that defines them, not under this one

USER_ERRORS = (ValueError, OSError, ModuleNotFoundError, flags.Error)
"""What a user's mistake raises: nearly every error of this project is a ValueError; a command names what else it expects."""

_OF_A_FLAG = {
  r"Unknown command line flag '(.+?)'\. Did you mean: ([^ ,]+).* \?": r'there is no flag --\1; did you mean --\2?',
  r"Unknown command line flag '(.+?)'": r'there is no flag --\1; --help names them',
  r"\('Non-boolean argument to boolean flag', .*\)": 'expected true or false',
  r'could not convert string to float: .*': 'expected a number',
  r'invalid literal for int\(\) with base \d+: .*': 'expected a whole number',
}
"""What absl and Python say of a flag or its value -> what its user can read."""

Define = Callable[..., None]
"""`define(flags.DEFINE_string, name, default, text, **limits)` adds one flag to a command."""


def traceback_wanted() -> bool:
  """Whether the user asks where an error was raised."""
  return bool(os.environ.get('BASSNET_JAX_TRACEBACK'))


def refuse(error: BaseException, reason: str | None = None) -> int:
  """Tells the user of a mistake and returns the exit code; where a traceback is wanted, raises the error again.

  Args:
    error: what was raised.
    reason: what to say of it; default: its own text, with what to do where the file system is the reason.
  """
  if traceback_wanted():
    raise error
  reason = reason or file_errors.explain(error) or type(error).__name__
  if isinstance(error, flags.Error):
    for theirs, plain in _OF_A_FLAG.items():
      reason = re.sub(theirs, plain, reason)
  print(f'error: {reason}\n(BASSNET_JAX_TRACEBACK=1 shows where it was raised)', file=sys.stderr)
  return 2


def parse_flags(arguments: Sequence[str]) -> list[str]:
  """What `app.run` parses the flags of a command with: a mistake ends the process as every other mistake of a user does."""
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    sys.exit(refuse(error))


def only_flags(words: Sequence[str], bare: str | None = None, assigned: str | None = None) -> None:
  """Raises flags.Error: a word stands without a flag; unseen, it would change nothing.

  Args:
    bare: the flag that was meant, most likely; `assigned`: where the word is an assignment, as a second one after --set.
  """
  if words:
    meant = assigned if assigned and '=' in words[0] else bare
    instead = f'write --{meant}={words[0]}' if meant else 'flags begin with --, and --help names them'
    raise flags.Error(f"'{words[0]}' is not a flag; {instead}")


def leave(status: int) -> NoReturn:
  """Ends the process as soon as what was printed is out: to take jax, librosa and numba apart object by object lasts nearly a second.

  For commands that have nothing left to do at their end: threads are cut off, and what `atexit` was given isn't called.
  """
  with contextlib.suppress(BrokenPipeError):  # nobody reads any more, as after `| head`
    sys.stdout.flush()
    sys.stderr.flush()
  os._exit(status)


def _reader_left() -> bool:
  """Whether nobody reads what is printed any more, as after `| head`; then the rest of it goes nowhere."""
  try:
    print(flush=True)  # what could not be written before is forgotten
  except BrokenPipeError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
    return True
  return False


def plain_errors(*others: type[BaseException]) -> Callable:
  """Decorates the main function of a command, which then returns exit code 2 for a user's mistake.

  Args:
    others: what counts as one, beside `USER_ERRORS`.
  """

  def decorate(main: Callable[..., int | None]) -> Callable[..., int | None]:
    @functools.wraps(main)
    def framed(*arguments, **named) -> int | None:
      logging.set_verbosity(logging.ERROR)  # orbax and tfds tell of every file
      try:
        return main(*arguments, **named)
      except (*USER_ERRORS, *others) as error:
        return 0 if isinstance(error, BrokenPipeError) and _reader_left() else refuse(error)

    return framed

  return decorate


def with_flags(define_flags: Callable[[Define], None], *others: type[BaseException], bare: str | None = None) -> Callable:
  """Decorates the main function of a command whose flags lie in a set of their own.

  Other commands of this package use the same names in one process. The function is given the parsed flags and returns an exit code;
  decorated, it takes program name and flags (default: the process's own), answers --help with its module's docstring, and has the frame
  of `plain_errors`.

  Args:
    define_flags: is given a `Define` and defines the flags, all but --help.
    others: as `plain_errors`.
    bare: the flag that was meant, most likely, where a word stands without one.
  """

  def decorate(main: Callable[[flags.FlagValues], int]) -> Callable[..., int]:
    @plain_errors(*others)
    @functools.wraps(main)
    def framed(arguments: Sequence[str] | None = None) -> int:
      given = flags.FlagValues()
      define_flags(lambda kind, name, default, *text, **limits: kind(name, default, *text, flag_values=given, **limits))
      flags.DEFINE_bool('help', False, 'show this text', flag_values=given)
      rest = given(list(sys.argv if arguments is None else arguments))[1:]
      if given.help:
        print(f'{main.__globals__["__doc__"]}\n{given.get_help()}')
        return 0
      only_flags(rest, bare)
      return main(given)

    return framed

  return decorate
