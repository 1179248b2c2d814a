"""Writes what was generated into a folder: MIDI, bass, preview mix, picture, notes and settings; all of them or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable

import numpy as np

from bassnet_jax import midi_export
from bassnet_jax.piano_roll import pitch_name
from bassnet_jax.tempo import TempoMap
from data_pipeline.notes import Notes

MIDI = 'bass.mid'
BASS = 'bass.wav'
PREVIEW = 'mix_with_bass.wav'
PICTURE = 'pianoroll.png'
NOTES = 'notes.json'
SETTINGS = 'settings.json'
FILES = (MIDI, BASS, PREVIEW, PICTURE, NOTES, SETTINGS)
"""In the order in which they appear; the settings come last, so that a folder with settings is complete."""
PLAYED_MIDI = 'bass_unquantized.mid'
"""Beside them where the notes were quantised: as they were played."""


class OutputError(ValueError):
  """The output folder can't be used; the message says why in plain words."""


def check(folder: str, inputs, overwrite: bool) -> None:
  """Finds out early, before minutes of work, whether results can be written.

  Args:
    folder: the output folder; it needn't exist.
    inputs: paths of the files that are read; no result may take the place of one of them.
    overwrite: whether results that are there may be replaced.

  Raises:
    OutputError: it can't be made or written, holds results, or an input lies in the way.
  """
  if os.path.exists(folder) and not os.path.isdir(folder):
    raise OutputError(f'The output {folder} is a file; expected a folder. Choose another one.')
  names = (*FILES, PLAYED_MIDI)
  results = {os.path.realpath(os.path.join(folder, name)) for name in names}
  for path in inputs:
    if os.path.realpath(path) in results:
      raise OutputError(f'The input {path} would be replaced by a result of the same name; choose another output folder.')
  there = [name for name in names if os.path.lexists(os.path.join(folder, name))]
  if there and not overwrite:
    raise OutputError(f'The output folder {folder} holds results already ({", ".join(there)}); choose another one or add --overwrite.')
  parent = existing_parent(folder)
  if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
    raise OutputError(
      f'The output folder {folder} cannot be written: no permission in {parent}, or it is not a folder. Choose another output folder.'
    )
  try:
    with tempfile.TemporaryFile(dir=parent):  # to the administrator, every place looks writable
      pass
  except OSError as error:
    reason = error.strerror or error
    raise OutputError(f'The output folder {folder} cannot be made or written in {parent} ({reason}). Choose another one.') from error


def existing_parent(folder: str) -> str:
  """The folder itself, or the nearest one above it that is there: the disk on which the results will lie."""
  parent = os.path.abspath(folder)
  while not os.path.exists(parent):
    parent = os.path.dirname(parent)
  return parent


def write(
  folder: str,
  *,
  notes: Notes,
  played: Notes | None,
  bass: Iterable[np.ndarray],
  preview: Iterable[np.ndarray],
  sample_rate: int,
  channels: int,
  tempo_map: TempoMap,
  picture: Callable[[], bytes],
  settings: dict,
) -> dict[str, str]:
  """Writes all files into a hidden folder beside their places, then renames them, settings last.

  Args:
    folder: made if it isn't there.
    notes: the bass line.
    played: the line as it was played, where `notes` were quantised; else None.
    bass: [samples] float32 a time, within full scale.
    preview: [samples, channels] float32 a time, within full scale.
    sample_rate: Hz, of both.
    channels: of the preview.
    tempo_map: of the MIDI file.
    picture: gives the PNG, when everything else is written: till then it may be drawn elsewhere.
    settings: what settings.json says; JSON types.

  Returns:
    File name to path.

  Raises:
    OSError: something can't be written; what was there before is untouched.
  """
  from data_pipeline import audio

  os.makedirs(folder, exist_ok=True)
  hidden = tempfile.mkdtemp(prefix='.writing-', dir=folder)
  names = FILES if played is None else (*FILES[:-1], PLAYED_MIDI, SETTINGS)
  try:
    place = {name: os.path.join(hidden, name) for name in names}
    midi_export.write(place[MIDI], notes, tempo_map=tempo_map)
    if played is not None:
      midi_export.write(place[PLAYED_MIDI], played, tempo_map=tempo_map)
    audio.save_wav_blocks(place[BASS], bass, sample_rate, 1)
    audio.save_wav_blocks(place[PREVIEW], preview, sample_rate, channels)
    with open(place[PICTURE], 'wb') as file:
      file.write(picture())
    _write_json(
      place[NOTES], {'notes': note_rows(notes if played is None else played), 'quantized': None if played is None else note_rows(notes)}
    )
    _write_json(place[SETTINGS], settings)
    for stale in (SETTINGS, PLAYED_MIDI):
      stale = os.path.join(folder, stale)
      if os.path.lexists(stale):  # from here to the last rename the folder is not complete, and doesn't say that it is
        os.unlink(stale)
    for name in names:
      os.replace(place[name], os.path.join(folder, name))
  finally:
    shutil.rmtree(hidden, ignore_errors=True)
  return {name: os.path.join(folder, name) for name in names}


def note_rows(notes: Notes) -> list[dict]:
  """Notes as JSON: seconds of beginning and end, MIDI pitch and its name, velocity."""
  return [
    {'onset': round(onset, 6), 'offset': round(offset, 6), 'pitch': int(pitch), 'name': pitch_name(int(pitch)), 'velocity': int(velocity)}
    for onset, offset, pitch, velocity, _ in notes.rows().tolist()
  ]


def _write_json(path: str, content: dict) -> None:
  with open(path, 'w', encoding='utf-8') as file:
    json.dump(content, file, indent=2, ensure_ascii=False, default=str)
    file.write('\n')
