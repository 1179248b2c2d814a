"""The command line of `bassnet_jax.generate` as a reader for the fuzzing: every flag, up to where the model would be read."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
from unittest import mock

import numpy as np
import soundfile
from absl import flags
from hypothesis import strategies as st

from .fuzzing import Reader

_NUMBERS = ('0', '1', '-1', '0.5', '2', '3', '-4', '1e308', '-1e308', '1e-320', 'nan', 'inf', '-inf', '9' * 30, '9' * 5000, '0x10', '1_0')
_TEXTS = ('', ' ', ',', '-', 'x', 'none', 'true', '\x00', '\ud800', 'é𝄞', '0.5,-1', '1,2,3', '30-60', '1:30-2:00', '0-', '-0', '2-1', '1-1')
_CHOICES = ('full', '4-string', '5-string', '1/8', '1/16t', '1/0', 'short', 'long', '120', '33', '128', '1e9')
_FILES = ('mix.wav', 'text.wav', 'empty.wav', 'tempo.mid', 'path.csv', 'folder', 'missing', 'mix.wav/x', '../mix.wav', 'results', '.')
_SOUND = {
  'z': ('0.5,-1', '0,0'), 'trajectory': ('path.csv',), 'style_mix': ('mix.wav',), 'style_bass': ('mix.wav',), 'input': ('mix.wav',),
  'output': ('out', 'folder'), 'onset_threshold': ('0', '0.7'), 'articulation': ('0.2', '1'), 'timbre': ('0.9',), 'bass_level': ('1',),
  'strings': ('4-string', '5-string'), 'octave': ('-1', '2'), 'bpm': ('97', '120.5'), 'tempo_map': ('tempo.mid',), 'seconds': ('1-2', '-1'),
  'quantize': ('1/8', '1/16t'), 'checkpoint': ('short', 'long'), 'overwrite': ('true',), 'program': ('33',), 'soundfont': ('mix.wav',),
}  # fmt: skip
"""Values that each flag takes (a SoundFont is not at hand)."""
_WORDS = {
  'z': 'position', 'seconds': 'range of seconds', 'octave': 'octave', 'bpm': 'tempo', 'quantize': 'grid', 'program': 'program',
  'soundfont': 'SoundFont', 'onset_threshold': 'onset threshold', 'bass_level': 'bass level', 'style_mix': 'style',
}  # fmt: skip
"""What messages call a flag where not by its name."""


class Refused(Exception):
  """The command ended with 2; what it said."""


class _Read(BaseException):
  """Everything was taken: the model would be read now."""


class _NoHelper:
  """In the place of the process that helps."""

  def __init__(self, prepare):
    pass

  def close(self) -> None:
    pass


def names() -> list[str]:
  """All flags of the command."""
  from bassnet_jax import generate

  found = flags.FlagValues()
  generate._define_flags(lambda kind, name, default, *text, **limits: kind(name, default, *text, flag_values=found, **limits))
  return sorted(found)


def command_line(folder: pathlib.Path) -> Reader:
  from bassnet_jax import generate, midi_export
  from data_pipeline.notes import Notes

  folder /= 'work'  # '..' lies within what may be written to
  folder.mkdir()

  notes = Notes.from_rows([(0.5 * i, 0.5 * i + 0.4, 40 + i % 5, 90, 33) for i in range(8)])
  midi_export.write(str(folder / 'tempo.mid'), notes, bpm=100)
  soundfile.write(folder / 'mix.wav', 0.3 * np.sin(np.arange(48_000) * 0.1), 16_000)
  (folder / 'text.wav').write_text('this is no audio')
  (folder / 'empty.wav').touch()
  (folder / 'path.csv').write_text('time,x,y\n0,0,0\n1.5,1,-2\n')
  (folder / 'folder').mkdir()
  (folder / 'results').mkdir()
  (folder / 'results' / 'bass.mid').touch()
  paths = [name if name == '.' else str(folder / name) for name in _FILES]
  values = st.sampled_from((*_NUMBERS, *_TEXTS, *_CHOICES)) | st.sampled_from(paths) | st.floats().map(str) | st.text(max_size=12)
  known = names()
  given = st.tuples(st.sampled_from(known), values).map(lambda pair: f'--{pair[0]}={pair[1]}')
  given = given.filter(lambda word: not word.startswith('--output=/') or word.startswith(f'--output={folder}'))  # tried, and found writable
  sound = st.sampled_from([f'--{name}={value}' for name in known for value in _SOUND.get(name, ('x',))])
  bare = st.sampled_from(known).flatmap(lambda name: st.sampled_from((f'--{name}', f'--no{name}', name)))
  word = st.tuples(st.integers(0, 9), sound, given, bare, st.text(max_size=10)).map(lambda drawn: drawn[max(drawn[0] - 5, 1)])
  words = st.lists(word, min_size=1, max_size=5)
  needed = [f'--input={folder / "mix.wav"}', f'--output={folder / "out"}']
  real = generate._read_model

  def before_the_model(path):
    if os.path.isdir(path):
      raise _Read
    return real(path)

  def read(value: tuple[bool, list[str]]) -> None:
    whole, line = value
    said = io.StringIO()
    stand_ins = mock.patch.multiple(generate, _read_model=before_the_model), mock.patch.object(generate.parallel, 'Helper', _NoHelper)
    with stand_ins[0], stand_ins[1], contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(folder):
      try:
        code = generate.main(['generate', *(needed if whole else []), *line])
      except _Read:
        return
    if code == 2:
      raise Refused(said.getvalue())
    if code:
      raise AssertionError(f'exit code {code}')

  named = (*known, *_WORDS.values(), 'flag', 'folder', 'file')
  return Reader(st.tuples(st.sampled_from((True, True, True, False)), words), read, (Refused,), named)
