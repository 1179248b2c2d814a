"""What the line is like at each point of the plane, measured for this song: note density, register, diatonic share, syncopation."""

from __future__ import annotations

import numpy as np

from bassnet_jax import decoding
from bassnet_jax.decoding import Prediction
from bassnet_jax.evaluation.metrics import DIATONIC
from bassnet_jax.latent_density import REACH
from bassnet_jax.studio.song import Song
from data_pipeline import features
from data_pipeline.notes import Notes

KINDS = ('density', 'register', 'diatonic', 'syncopation')
SIZE = 9
"""Points a side."""
SAMPLE_FRAMES = 512
"""Frames decoded at each point of the plane and each place of the song."""
PLACES = 3
_RADIUS = 8 * features.FRAME_RATE
_ON_BEAT = 0.125
"""Beats by which an onset may miss a beat and still be on it."""
_FEWEST_BEATS = 4
"""Below which there is no grid to be off."""


def axis() -> np.ndarray:
  """[9] positions along each side of the plane: centres of equal cells."""
  return ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1) * REACH


def order() -> list[tuple[int, int]]:
  """All (row, column) of the grid, coarse first, from the middle outwards: a picture of the whole comes early."""
  cells = [(row, column) for row in range(SIZE) for column in range(SIZE)]
  middle = SIZE // 2
  return sorted(cells, key=lambda cell: (cell[0] % 2 + cell[1] % 2, max(abs(cell[0] - middle), abs(cell[1] - middle)), cell))


def places(song: Song) -> list[int]:
  """First frames of the pieces that stand for the song: the loudest of its mix, apart from each other."""
  starts = np.arange(0, max(song.frames - SAMPLE_FRAMES, 1), SAMPLE_FRAMES)
  loud = np.array([float(song.mix[start : start + SAMPLE_FRAMES].mean()) for start in starts])
  parts = np.array_split(np.arange(len(starts)), min(PLACES, len(starts)))
  return [int(starts[part[np.argmax(loud[part])]]) for part in parts]


def collection(song: Song, start: int) -> np.ndarray:
  """[12] bool: the diatonic set that holds most of the mix's energy within 8 s of a piece."""
  near = song.mix[max(start - _RADIUS, 0) : start + SAMPLE_FRAMES + _RADIUS].astype(np.float64)
  energy = near.mean(axis=0) ** 2
  # Bins from E2 to B5: below is the kick, above are harmonics. Even bins are the semitones, from A0 (pitch class 9).
  semitones = energy[0 : features.MIX_BINS : 2]
  pitch = np.arange(len(semitones)) + features.LOWEST_BIN_PITCH
  used = (pitch >= 40) & (pitch <= 83)
  chroma = np.bincount(pitch[used] % 12, semitones[used], minlength=12)
  return DIATONIC[np.argmax(DIATONIC @ chroma)]


def measures(notes: Notes, start: int, frames: int, song: Song, diatonic: np.ndarray) -> dict[str, float | None]:
  """What a line is like; None where nothing can be said of it (no notes, no beats).

  Args:
    notes: on the piece's clock.
    start, frames: of the piece in the song.
    song: for its beats.
    diatonic: [12] bool.

  Returns:
    density: notes a second. register: mean MIDI pitch, weighted by length. diatonic: share of the length inside the set.
    syncopation: share of onsets that fall on no beat.
  """
  density = len(notes) / (frames / features.FRAME_RATE)
  if not len(notes):
    return {'density': 0.0, 'register': None, 'diatonic': None, 'syncopation': None}
  length = notes.offset - notes.onset
  register = float(np.average(notes.pitch, weights=length))
  inside = float(np.average(diatonic[notes.pitch % 12], weights=length))
  syncopation = None
  if len(song.beats) >= _FEWEST_BEATS:
    phase = np.interp(notes.onset + start / features.FRAME_RATE, song.beats, np.arange(len(song.beats))) % 1
    syncopation = float((np.minimum(phase, 1 - phase) > _ON_BEAT).mean())
  return {'density': density, 'register': register, 'diatonic': inside, 'syncopation': syncopation}


def measure_cell(model, code, song: Song, starts: list[int], sets: list[np.ndarray], z: tuple[float, float], threshold: float) -> dict:
  """The mean over the pieces of every measure at one point of the plane."""
  found: dict[str, list[float]] = {kind: [] for kind in KINDS}
  for start, diatonic in zip(starts, sets, strict=True):
    prediction: Prediction = model.decode_piece(code, np.asarray(z), start, SAMPLE_FRAMES)
    notes = decoding.notes_from_prediction(prediction, threshold)
    for kind, value in measures(notes, start, prediction.frames, song, diatonic).items():
      if value is not None:
        found[kind].append(value)
  return {kind: float(np.mean(values)) if values else None for kind, values in found.items()}
