"""A stand-in for a trained model that the tests of the studio can predict, and songs for it."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import soundfile

from bassnet_jax.decoding import Prediction
from bassnet_jax.studio import app, models, security
from bassnet_jax.studio.limits import Limits
from data_pipeline import features
from data_pipeline.notes import Notes

FIRST_ONSET, EVERY, LENGTH = 8, 40, 32
"""Frames: a note every half second, 0.4 s long."""


class HalfSeconds:
  """Plays a note every half second; its pitch is 40 plus twice z's x; above y = 2 it is silent."""

  onset_threshold = 0.25
  default_z = (0.0, -0.5)
  describe = {'step': 7, 'licences': ['CC0-1.0']}
  experiment = types.SimpleNamespace(name='half_seconds')

  def encode_mix(self, mix):
    return types.SimpleNamespace(frames=len(mix))

  def decode(self, code, z):
    frames = code.frames
    z = np.broadcast_to(np.asarray(z, dtype=np.float32), (frames, 2))
    begins = np.arange(FIRST_ONSET, frames - LENGTH, EVERY)
    begins = begins[z[begins, 1] < 2]
    pitch = pitch_of(z[begins, 0])
    rows = [(t / 80, (t + LENGTH) / 80, p, 100, 33) for t, p in zip(begins, pitch, strict=True)]
    classes, _ = features.frame_targets(Notes.from_rows(rows), frames)
    onset = np.zeros(frames, np.float32)
    onset[begins] = 0.9
    logits = np.zeros((frames, features.PITCHES + 1), dtype=np.float32)
    logits[np.arange(frames), classes] = 8.0
    bass = np.zeros((frames, features.BASS_BINS), dtype=np.float32)
    sounding = np.flatnonzero(classes != features.NO_PITCH)
    bins = 2 * (classes[sounding] + features.LOWEST_PITCH - features.LOWEST_BIN_PITCH)
    for octave, loud in ((0, 2.0), (24, 0.5)):
      bass[sounding, np.minimum(bins + octave, features.BASS_BINS - 1)] = loud
    level = np.where(classes != features.NO_PITCH, 0.75, 0.0).astype(np.float32)
    return Prediction(bass, logits, onset, level)

  def decode_piece(self, code, z, start, frames):
    whole = self.decode(code, z)
    return Prediction(*(getattr(whole, field.name)[start : start + frames] for field in dataclasses.fields(Prediction)))

  def decode_pieces(self, pieces, frames, most):
    assert len(pieces) <= most
    return [self.decode_piece(code, z, start, frames) for code, z, start in pieces]

  def posterior(self, mix, bass):
    return np.full((len(mix), 2), (1.5, -0.5)), np.ones((len(mix), 2))


def pitch_of(x) -> np.ndarray:
  """The pitch that `HalfSeconds` plays at an x."""
  return np.clip(np.round(40 + 2 * np.asarray(x)).astype(int), features.LOWEST_PITCH, features.HIGHEST_PITCH)


def application(folder, limits: Limits | None = None, access: security.Access | None = None):
  """The studio with `HalfSeconds` as its one model."""
  shelf = models.Shelf([models.Choice('0', 'half seconds', str(folder))])
  shelf._loaded['0'] = HalfSeconds()
  return app.build(shelf, access or security.Access('127.0.0.1', None), limits)


def chords(seconds: float, rate: int = 22_050) -> np.ndarray:
  """Three sines well above the bass, struck every half second: [samples] float32."""
  time = np.arange(round(seconds * rate)) / rate
  tone = sum(np.sin(2 * np.pi * hertz * time) for hertz in (440.0, 554.37, 659.26))
  return (0.1 * tone * np.exp(-4 * (time % 0.5))).astype(np.float32)


def clicks(seconds: float, rate: int = 22_050) -> np.ndarray:
  """A short noise every half second: [samples] float32."""
  time = np.arange(round(seconds * rate)) / rate
  return (0.2 * np.random.default_rng(0).normal(size=len(time)) * np.exp(-60 * (time % 0.5))).astype(np.float32)


def write(path, audio, rate: int = 22_050, **options) -> str:
  soundfile.write(path, audio, rate, **options)
  return str(path)
