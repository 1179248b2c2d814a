"""Sounds a bass line: additive synthesis whose harmonics have the amplitudes that the network predicts for the bass's spectrum.

Every sample is a function of the notes, the prediction and its own time alone. So a song can be rendered in blocks of any size, from
any point, with the same result: a block in the middle of a note goes on with that note's phase.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from bassnet_jax.decoding import Prediction
from data_pipeline import features
from data_pipeline.notes import Notes

ATTACK = 0.005  # seconds, raised cosine
RELEASE = 0.030  # seconds after the note's end, raised cosine
HARMONICS = 48
HIGHEST_FREQUENCY = 4000.0  # Hz; above it a bass has only noise
TILT = 9.0  # dB an octave that timbre 0 takes away and timbre 1 adds
CONTINUATION = -12.0  # dB an octave by which harmonics above the top bin of the bass features fall
PLAIN_SHARE = 0.05  # part of a plain 1/h^1.5 spectrum in every note: where the features show nothing, the note still sounds
HOLD = 40.0  # dB a second by which a note falls at most while it is held, also where legato goes on past its predicted end
FULL_SCALE = 0.98  # peak of written audio, so that no player clips between the samples
NATURAL_BASS_LEVEL = 0.7  # the interface's middle position: the predicted balance of bass and mix

_TABLE = 1024  # samples of a wave table: linear interpolation is then 40 dB below the highest harmonic at the least
_BLOCK_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Voice:
  """A bass line, ready to be rendered.

  Attributes:
    notes: the line; notes may overlap by their releases.
    prediction: where the harmonics' amplitudes and the level are read.
    sample_rate: Hz, of the output.
    samples: length of the whole output; the last note is released before it ends.
    gain: the level refers to audio that was multiplied by this; the output is divided by it.
    tuning: cents from A440.
    timbre: 0 dull, 0.5 as predicted, 1 bright.
    compression: k of the features' log1p(k |C|).
    response: [144], |C| of a sinusoid of amplitude 1 at each bin.
    moved: [notes] seconds by which each note begins later than the network heard it (quantisation); its sound is read where it was heard.
  """

  notes: Notes
  prediction: Prediction
  sample_rate: int
  samples: int
  gain: float
  tuning: float
  timbre: float
  compression: float
  response: np.ndarray
  moved: np.ndarray

  def render(self, start: int, stop: int) -> np.ndarray:
    """Samples `start` to `stop` (exclusive) of the output: [stop - start] float32. Not limited: see `within_full_scale`."""
    audio = np.zeros(max(stop - start, 0), dtype=np.float32)
    sounding = (self.notes.onset * self.sample_rate < stop) & ((self.notes.offset + RELEASE) * self.sample_rate > start)
    for index in np.flatnonzero(sounding):
      self._add_note(audio, start, int(index))
    return audio

  def energy(self) -> float:
    """Sum of the squares of all samples, as the notes' levels have it: what another instrument has to match."""
    total = 0.0
    for index in range(len(self.notes)):
      first, last = (int(moment * features.FRAME_RATE) for moment in (self.notes.onset[index], self.notes.offset[index]))
      total += float(np.square(self._loudness(index, np.arange(first, last + 1) - self._delay(index))).sum())
    return total * self.sample_rate / features.FRAME_RATE

  def _delay(self, index: int) -> int:
    """Frames by which a note was moved."""
    return round(float(self.moved[index]) * features.FRAME_RATE)

  def _add_note(self, audio: np.ndarray, start: int, index: int) -> None:
    """Adds one note to `audio`, whose first sample is sample `start` of the output."""
    rate = self.sample_rate
    onset = float(self.notes.onset[index])
    # The end of the file releases the note too: a cut through a sounding note is a click.
    silent = min(float(self.notes.offset[index]) + RELEASE, self.samples / rate)
    first = max(int(np.ceil(onset * rate)), start)
    last = min(int(np.ceil(silent * rate)), start + len(audio))
    if last <= first:
      return
    seconds = np.arange(first, last, dtype=np.float64) / rate
    position = seconds * features.FRAME_RATE
    frame = int(position[0])
    frames = np.arange(frame, int(position[-1]) + 2)
    amplitudes = self.amplitudes(index, frames)

    spectrum = np.zeros((len(frames), _TABLE // 2 + 1), dtype=np.complex64)
    spectrum[:, 1 : amplitudes.shape[1] + 1] = amplitudes * np.complex64(-0.5j * _TABLE)  # sines: every note begins at zero
    tables = np.empty((len(frames), _TABLE + 1), dtype=np.float32)
    tables[:, :_TABLE] = np.fft.irfft(spectrum, n=_TABLE, axis=1)
    tables[:, _TABLE] = tables[:, 0]
    tables = tables.ravel()

    phase = (seconds - onset) * self.frequency(index)
    phase = (phase - np.floor(phase)) * _TABLE
    place = np.minimum(phase.astype(np.int32), _TABLE - 1)
    between = (phase - place).astype(np.float32)
    row = position.astype(np.int32)
    forward = (position - row).astype(np.float32)
    place += (row - frame) * (_TABLE + 1)
    now = tables[place]
    now += between * (tables[place + 1] - now)
    place += _TABLE + 1
    later = tables[place]
    later += between * (tables[place + 1] - later)
    now += forward * (later - now)

    attack = int(np.searchsorted(seconds, onset + ATTACK))
    now[:attack] *= _ramp((seconds[:attack] - onset) / ATTACK)
    release = int(np.searchsorted(seconds, silent - RELEASE))
    now[release:] *= _ramp((silent - seconds[release:]) / RELEASE)
    audio[first - start : last - start] += now

  def frequency(self, index: int) -> float:
    """Hz of a note's fundamental."""
    return 440.0 * 2 ** ((float(self.notes.pitch[index]) - 69) / 12 + self.tuning / 1200)

  def amplitudes(self, index: int | np.ndarray, frames: np.ndarray) -> np.ndarray:
    """[frames, harmonics] float32: amplitude of each harmonic of a note, at the output's scale.

    Args:
      index: of the note; or [frames], of each frame's note: those of one note side by side, and rising.
      frames: [frames], numbers of frames.
    """
    if not len(frames):
      return np.zeros((0, HARMONICS), np.float32)
    notes, first, note = np.unique(np.broadcast_to(index, len(frames)), return_index=True, return_inverse=True)
    ends = [*first[1:], len(frames)]
    frames = frames - np.array([self._delay(i) for i in notes])[note]
    harmonic = np.arange(1, HARMONICS + 1)
    pitch = np.array([self._predicted_pitch(i) for i in notes])
    bins = 2 * (pitch[:, None] - features.LOWEST_BIN_PITCH) + features.BINS_PER_OCTAVE * np.log2(harmonic)
    readable = bins <= features.BASS_BINS - 1
    low = np.floor(bins + 1e-9).astype(np.int64).clip(max=features.BASS_BINS - 1)[note]
    high = np.ceil(bins - 1e-9).astype(np.int64).clip(max=features.BASS_BINS - 1)[note]
    within = np.clip(frames, 0, self.prediction.frames - 1)
    magnitude = np.expm1(np.maximum(self.prediction.bass[within], 0.0)) / (self.compression * self.response)
    amplitude = np.maximum(np.take_along_axis(magnitude, low, 1), np.take_along_axis(magnitude, high, 1)).astype(np.float64)
    known = readable.sum(axis=1)
    top = np.take_along_axis(amplitude, np.stack([np.maximum(known - 2, 0), known - 1], axis=1)[note], 1).mean(axis=1, keepdims=True)
    fall = (harmonic / known[:, None]) ** (CONTINUATION / (20 * np.log10(2)))
    amplitude = np.where(readable[note], amplitude, top * fall[note])

    plain = harmonic**-1.5
    power = np.sqrt((amplitude**2).sum(axis=1, keepdims=True))
    amplitude = amplitude / np.maximum(power, 1e-9) + PLAIN_SHARE * plain
    frequency = np.array([self.frequency(i) for i in notes])[:, None] * harmonic
    heard = frequency < min(HIGHEST_FREQUENCY, 0.45 * self.sample_rate)
    amplitude *= (harmonic ** ((self.timbre - 0.5) * 2 * TILT / (20 * np.log10(2))) * heard)[note]
    root_mean_square = np.sqrt((amplitude**2).sum(axis=1, keepdims=True) / 2)
    loudness = [self._loudness(i, frames[begin:end]) for i, begin, end in zip(notes, first, ends, strict=True)]
    return (amplitude / np.maximum(root_mean_square, 1e-9) * np.concatenate(loudness)[:, None]).astype(np.float32)

  def _predicted_pitch(self, index: int) -> int:
    """MIDI pitch at which the network heard a note: the played one, or octaves away where a range preset moved it.

    Harmonics are read there: an octave below, every other harmonic would be missing, and the note would sound in its old place.
    """
    played = int(self.notes.pitch[index])
    candidates = played + 12 * np.arange(-4, 5)
    candidates = candidates[(candidates >= features.LOWEST_PITCH) & (candidates <= features.HIGHEST_PITCH)]
    if not len(candidates):
      return played
    delay = self._delay(index)
    frame = min(max(int(self.notes.onset[index] * features.FRAME_RATE) - delay, 0), self.prediction.frames - 1)
    end = max(min(int(self.notes.offset[index] * features.FRAME_RATE) - delay, frame + 32), frame + 1)
    support = self.prediction.pitch_logits[frame:end, candidates - features.LOWEST_PITCH].mean(axis=0)
    support = support + 1e-3 * (candidates == played)  # a prediction that says nothing moves nothing
    return int(candidates[np.argmax(support)])

  def _loudness(self, index: int, frames: np.ndarray) -> np.ndarray:
    """[frames] float64: root mean square of a note, at the output's scale, on the clock of the prediction."""
    begin = min(max(round((self.notes.onset[index] - self.moved[index]) * features.FRAME_RATE), 0), self.prediction.frames - 1)
    span = np.minimum(np.arange(begin, max(int(frames[-1]) + 1, begin + 3)), self.prediction.frames - 1)
    level = self.prediction.level[span].astype(np.float64)
    level[:3] = level[:3].max()  # the level's windows reach back before the onset; a plucked string is loud at once
    fall = HOLD / -features.LEVEL_FLOOR_DB / features.FRAME_RATE * np.arange(len(level))
    held = np.maximum.accumulate(level + fall) - fall
    decibels = (1 - np.clip(held, 0, 1)) * features.LEVEL_FLOOR_DB
    floor = 10 ** (features.LEVEL_FLOOR_DB / 20)
    loudness = (10 ** (decibels / 20) - floor) / (1 - floor)
    return loudness[np.clip(frames - begin, 0, len(loudness) - 1)] / self.gain


def voice(
  notes: Notes,
  prediction: Prediction,
  samples: int,
  sample_rate: int,
  *,
  gain: float = 1.0,
  tuning: float = 0.0,
  timbre: float = 0.5,
  compression: float | None = None,
  response: np.ndarray | None = None,
  moved: np.ndarray | None = None,
) -> Voice:
  """A `Voice` with the front end's own compression and bin response where they aren't given.

  Raises:
    ValueError: an argument is out of its range.
  """
  if not 0 <= timbre <= 1:
    raise ValueError(f'The timbre is {timbre}; expected 0 (dull) to 1 (bright).')
  if not gain > 0 or not np.isfinite(gain):
    raise ValueError(f'The gain is {gain}; expected a positive number.')
  if prediction.frames < 1:
    raise ValueError('The prediction has no frames.')
  if compression is None:
    from data_pipeline import front_end

    compression = front_end.COMPRESSION
  response = _front_end_response() if response is None else np.asarray(response)
  moved = np.zeros(len(notes)) if moved is None else np.asarray(moved, dtype=np.float64)
  if moved.shape != (len(notes),):
    raise ValueError(f'{len(moved)} moves for {len(notes)} notes; expected one a note.')
  return Voice(
    notes, prediction, int(sample_rate), int(samples), float(gain), float(tuning), float(timbre), float(compression), response, moved
  )


def synthesise(notes: Notes, prediction: Prediction, samples: int, sample_rate: int, **options) -> np.ndarray:
  """A whole bass track, rendered in blocks of 10 s, so that memory beside the result doesn't grow with the song.

  Args:
    notes, prediction: the line and what the network predicted for it.
    samples: length of the result.
    sample_rate: Hz.
    **options: gain, tuning, timbre, compression, response, as in `voice`.

  Returns:
    [samples] float32, mono, at the input's own scale (not limited: see `within_full_scale`).
  """
  line = voice(notes, prediction, samples, sample_rate, **options)
  audio = np.empty(samples, dtype=np.float32)
  block = int(_BLOCK_SECONDS * sample_rate)
  for start in range(0, samples, block):
    stop = min(start + block, samples)
    audio[start:stop] = line.render(start, stop)
  return audio


def scale_for(peak: float) -> float:
  """The factor that brings audio of this peak down to 0.98; 1.0 where it fits."""
  return 1.0 if peak <= FULL_SCALE else FULL_SCALE / peak


def within_full_scale(audio: np.ndarray) -> tuple[np.ndarray, float]:
  """Scales audio down as a whole where its peak is above 0.98; nothing is clipped and its dynamics stay.

  Returns:
    The audio and the factor that it was multiplied by, 1.0 where it fitted.
  """
  scale = scale_for(max(float(audio.max(initial=0.0)), -float(audio.min(initial=0.0))))
  return (audio if scale == 1.0 else audio * np.float32(scale)), scale


def preview_mix(mix: np.ndarray, bass: np.ndarray, bass_level: float = NATURAL_BASS_LEVEL) -> tuple[np.ndarray, float]:
  """The mix with the bass in it.

  Args:
    mix: [samples, channels] float32.
    bass: [samples] float32, at the mix's scale; it goes to every channel.
    bass_level: 0 no bass, 0.7 the predicted balance, 1 three dB more.

  Returns:
    [samples, channels] float32, and the factor that kept it within full scale (`within_full_scale`).

  Raises:
    ValueError: the level is out of 0..1.
  """
  if not 0 <= bass_level <= 1:
    raise ValueError(f'The bass level is {bass_level}; expected 0 to 1.')
  together = mix + bass[:, None] * np.float32(bass_level / NATURAL_BASS_LEVEL)
  return within_full_scale(together)


def _ramp(progress: np.ndarray) -> np.ndarray:
  """Raised cosine from 0 (at 0) to 1 (at 1), float32."""
  return (0.5 - 0.5 * np.cos(np.pi * np.clip(progress, 0.0, 1.0))).astype(np.float32)


@functools.cache
def _front_end_response() -> np.ndarray:
  from data_pipeline import front_end

  return front_end.sinusoid_gain(features.BASS_BINS)
