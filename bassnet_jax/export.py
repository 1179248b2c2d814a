"""Writes what was generated into a folder: MIDI, bass, preview mix, picture and settings; all of them or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import numpy as np

from bassnet_jax import midi_export, piano_roll
from data_pipeline.notes import Notes

MIDI = 'bass.mid'
BASS = 'bass.wav'
PREVIEW = 'mix_with_bass.wav'
PICTURE = 'pianoroll.png'
SETTINGS = 'settings.json'
FILES = (MIDI, BASS, PREVIEW, PICTURE, SETTINGS)
"""In the order in which they appear; the settings come last, so that a folder with settings is complete."""


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
    raise OutputError(f'The output {folder} is a file; expected a folder.')
  results = {os.path.realpath(os.path.join(folder, name)) for name in FILES}
  for path in inputs:
    if os.path.realpath(path) in results:
      raise OutputError(f'The input {path} would be replaced by a result of the same name; choose another output folder.')
  there = [name for name in FILES if os.path.lexists(os.path.join(folder, name))]
  if there and not overwrite:
    raise OutputError(f'The output folder {folder} holds results already ({", ".join(there)}); choose another one or add --overwrite.')
  parent = os.path.abspath(folder)
  while not os.path.exists(parent):
    parent = os.path.dirname(parent)
  if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
    raise OutputError(f'The output folder {folder} cannot be written: no permission in {parent}, or it is not a folder.')


def write(
  folder: str,
  *,
  notes: Notes,
  bass: np.ndarray,
  preview: np.ndarray,
  sample_rate: int,
  mix_features: np.ndarray,
  beats: np.ndarray,
  bpm: float | None,
  title: str,
  settings: dict,
) -> dict[str, str]:
  """Writes all files into a hidden folder beside their places, then renames them, settings last.

  Args:
    folder: made if it isn't there.
    notes: the bass line.
    bass: [samples] float32, within full scale.
    preview: [samples, channels] float32, within full scale.
    sample_rate: Hz, of both.
    mix_features: [frames, 192], the picture's background.
    beats: [beats] seconds; the tempo map of the MIDI file and the lines in the picture.
    bpm: a constant tempo for the MIDI file instead, or None.
    title: of the picture.
    settings: what settings.json says; JSON types.

  Returns:
    File name to path.

  Raises:
    OSError: something can't be written; what was there before is untouched.
  """
  from data_pipeline import audio

  os.makedirs(folder, exist_ok=True)
  hidden = tempfile.mkdtemp(prefix='.writing-', dir=folder)
  try:
    place = {name: os.path.join(hidden, name) for name in FILES}
    midi_export.write(place[MIDI], notes, beats=beats, bpm=bpm)
    audio.save_wav(place[BASS], bass, sample_rate)
    audio.save_wav(place[PREVIEW], preview, sample_rate)
    piano_roll.draw(place[PICTURE], notes, mix_features, beats=beats if len(beats) else None, title=title)
    with open(place[SETTINGS], 'w', encoding='utf-8') as file:
      json.dump(settings, file, indent=2, ensure_ascii=False, default=str)
      file.write('\n')
    stale = os.path.join(folder, SETTINGS)
    if os.path.lexists(stale):  # from here to the last rename the folder is not complete, and doesn't say that it is
      os.unlink(stale)
    for name in FILES:
      os.replace(place[name], os.path.join(folder, name))
  finally:
    shutil.rmtree(hidden, ignore_errors=True)
  return {name: os.path.join(folder, name) for name in FILES}
