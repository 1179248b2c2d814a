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
  fades = 0.0
  describe = {'step': 7, 'licences': ['CC0-1.0']}
  experiment = types.SimpleNamespace(name='half_seconds')

  def encode_mix(self, mix):
    return types.SimpleNamespace(frames=len(mix))

  def plays(self, z):
    """What it plays at z, [frames, 2]: first frames, numbers of frames, and pitches."""
    begins = np.arange(FIRST_ONSET, len(z) - LENGTH, EVERY)
    begins = begins[z[begins, 1] < 2]
    return begins, np.full(len(begins), LENGTH), pitch_of(z[begins, 0])

  def decode(self, code, z):
    frames = code.frames
    z = np.broadcast_to(np.asarray(z, dtype=np.float32), (frames, 2))
    begins, lengths, pitch = self.plays(z)
    rows = [(t / 80, (t + length) / 80, p, 100, 33) for t, length, p in zip(begins, lengths, pitch, strict=True)]
    classes, _ = features.frame_targets(Notes.from_rows(rows), frames)
    onset = np.zeros(frames, np.float32)
    onset[begins] = 0.9
    logits = np.zeros((frames, features.PITCHES + 1), dtype=np.float32)
    logits[np.arange(frames), classes] = 8.0
    bass = np.zeros((frames, features.BASS_BINS), dtype=np.float32)
    sounding = np.flatnonzero(classes != features.NO_PITCH)
    bins = 2 * (classes[sounding] + features.LOWEST_PITCH - features.LOWEST_BIN_PITCH)
    for above, loud in self.harmonics(z[sounding]):
      bass[sounding, np.minimum(bins + above, features.BASS_BINS - 1)] = loud
    age = np.arange(frames) - begins[np.maximum(np.searchsorted(begins, np.arange(frames), 'right') - 1, 0)] if len(begins) else 0
    level = np.where(classes != features.NO_PITCH, 0.75 - self.fades * np.clip(age / LENGTH, 0, 1), 0.0).astype(np.float32)
    return Prediction(bass, logits, onset, level)

  def harmonics(self, z):
    """Pairs of bins above the fundamental and magnitudes at z, [frames, 2]."""
    return (0, 2.0), (24, 0.5)

  def decode_piece(self, code, z, start, frames):
    whole = self.decode(code, z)
    return Prediction(*(getattr(whole, field.name)[start : start + frames] for field in dataclasses.fields(Prediction)))

  def decode_pieces(self, pieces, frames, most):
    assert len(pieces) <= most
    return [self.decode_piece(code, z, start, frames) for code, z, start in pieces]

  def posterior(self, mix, bass):
    return np.full((len(mix), 2), (1.5, -0.5)), np.ones((len(mix), 2))


class Restless(HalfSeconds):
  """Everything depends on z: x moves the pitches and their harmonics, y how many notes there are and, by up to 60 ms, when."""

  default_z = (0.5, 0.5)
  fades = 0.3
  experiment = types.SimpleNamespace(name='restless')

  def plays(self, z):
    step = np.arange(1, len(z) // 12 - 1)
    z = z[12 * step]
    wanted = 0.3 + 0.1 * (z[:, 1] + 3.5)
    played = (step % 4 == 0) | (step * 0.618 % 1 < wanted)
    begins = 12 * step + np.round(1.4 * z[:, 1]).astype(int)
    lengths = np.minimum(7 + step % 3 * 5, np.append(np.diff(begins), 12) - 4)
    played &= lengths >= 4
    pitch = np.clip(pitch_of(z[:, 0]) + np.array([0, 0, 7, 3, 5])[step % 5], features.LOWEST_PITCH, features.HIGHEST_PITCH)
    return begins[played], lengths[played], pitch[played]

  def harmonics(self, z):
    return (0, 2.0), (24, 0.6 + 0.15 * z[:, 0]), (38, 0.3 - 0.08 * z[:, 0])


def pitch_of(x) -> np.ndarray:
  """The pitch that `HalfSeconds` plays at an x."""
  return np.clip(np.round(40 + 2 * np.asarray(x)).astype(int), features.LOWEST_PITCH, features.HIGHEST_PITCH)


def application(folder, limits: Limits | None = None, access: security.Access | None = None, others: tuple = ()):
  """The studio with `HalfSeconds` as its first model, and with others."""
  stand_ins = {str(i): model for i, model in enumerate((HalfSeconds(), *others))}
  shelf = models.Shelf([models.Choice(i, model.experiment.name.replace('_', ' '), str(folder)) for i, model in stand_ins.items()])
  shelf._loaded.update(stand_ins)
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
