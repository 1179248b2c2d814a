"""Finds the beats of a mix from its constant-Q features, for the tempo map of exported MIDI. numpy and scipy only.

Beats by dynamic programming after D. Ellis, "Beat Tracking by Dynamic Programming", J. New Music Research 36(1), 2007, with a tempo
that may drift. The features are there already, so an hour takes seconds and little memory; librosa's tracker with a drifting tempo
took 2.4 GB for ten minutes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage, signal

from data_pipeline.features import FRAME_RATE

DEFAULT_BPM = 120.0
SLOWEST, FASTEST = 40.0, 240.0  # beats a minute
FEWEST_BEATS = 4  # fewer say nothing of a tempo
TEMPO_WINDOW = 12.0  # seconds whose autocorrelation gives one moment's tempo
TEMPO_STEP = 1.0  # seconds between those moments
TEMPO_SPREAD = 0.9  # octaves around 120 in which the whole song's tempo is expected
DRIFT_SPREAD = 0.25  # octaves around the song's tempo in which a moment's tempo is expected
TIGHTNESS = 200.0  # weight of an even beat against strong onsets
SMOOTHING_BEATS = 9  # beats of the local fit that takes the frame grid's +-6 ms out of the tempo


@dataclasses.dataclass(frozen=True)
class Beats:
  """Beats of a song.

  Attributes:
    seconds: [beats] float64, rising; empty where no beat was found.
    bpm: the median tempo; 120 where no beat was found.
  """

  seconds: np.ndarray
  bpm: float


NO_BEATS = Beats(np.empty(0), DEFAULT_BPM)


def onset_envelope(mix: np.ndarray) -> np.ndarray:
  """How much energy begins at each frame: rising part of the difference between frames, mean over bins.

  Args:
    mix: [frames, 192] log-compressed magnitudes.

  Returns:
    [frames] float32.
  """
  flux = np.zeros(len(mix), dtype=np.float32)
  for start in range(1, len(mix), 8192):  # in blocks: a copy of an hour's features is 200 MB
    block = mix[start - 1 : start + 8192].astype(np.float32)
    flux[start : start + len(block) - 1] = np.maximum(np.diff(block, axis=0), 0.0).mean(axis=1)
  return flux


def track(mix: np.ndarray) -> Beats:
  """Beats of a mix.

  Args:
    mix: [frames, 192] log-compressed magnitudes, 80 frames a second.

  Returns:
    The beats; none where the mix is shorter than two seconds or nothing in it begins.
  """
  if len(mix) < 2 * FRAME_RATE:
    return NO_BEATS
  envelope = onset_envelope(mix)
  spread = float(envelope.std())
  if not spread > 1e-6:
    return NO_BEATS
  envelope = envelope / spread
  frames = _beat_frames(envelope, _beat_periods(envelope))
  if len(frames) < FEWEST_BEATS:
    return NO_BEATS
  seconds = _smooth(frames / FRAME_RATE)
  seconds = seconds[seconds >= 0]
  return Beats(seconds, float(60 / np.median(np.diff(seconds))))


def _beat_periods(envelope: np.ndarray) -> np.ndarray:
  """[frames] float64: the period of the beat around each frame, in frames."""
  window = min(int(TEMPO_WINDOW * FRAME_RATE), len(envelope))
  centres = np.arange(0, len(envelope), int(TEMPO_STEP * FRAME_RATE))
  padded = np.pad(envelope - envelope.mean(), window // 2)
  shape = np.hanning(window)
  pieces = np.stack([padded[centre : centre + window] * shape for centre in centres])
  power = np.abs(np.fft.rfft(pieces, n=2 * window, axis=1)) ** 2
  correlation = np.fft.irfft(power, axis=1)
  shortest, longest = int(FRAME_RATE * 60 / FASTEST), min(int(FRAME_RATE * 60 / SLOWEST), window // 2)
  lags = np.arange(shortest, longest + 1)
  # The window's own autocorrelation taken out, or long periods would lose.
  own = np.fft.irfft(np.abs(np.fft.rfft(shape, n=2 * window)) ** 2)
  correlation = np.maximum(correlation[:, lags] / (correlation[:, :1] + 1e-9) / (own[lags] / own[0]), 0.0)
  octaves = np.log2(FRAME_RATE * 60 / lags)
  song = octaves[np.argmax(correlation.mean(axis=0) * np.exp(-0.5 * ((octaves - np.log2(DEFAULT_BPM)) / TEMPO_SPREAD) ** 2))]
  local = octaves[np.argmax(correlation * np.exp(-0.5 * ((octaves - song) / DRIFT_SPREAD) ** 2), axis=1)]
  local = ndimage.median_filter(local, 9, mode='nearest')  # one odd bar is no new tempo
  return FRAME_RATE * 60 / 2 ** np.interp(np.arange(len(envelope)), centres, local)


def _beat_frames(envelope: np.ndarray, periods: np.ndarray) -> np.ndarray:
  """[beats] int64: the frames whose onsets are strong and whose distances follow the periods best."""
  strength = ndimage.gaussian_filter1d(envelope, float(np.median(periods)) / 32, mode='constant').astype(np.float64)
  longest = int(2 * periods.max()) + 1
  score = np.zeros(longest + len(strength))  # frame t stands at longest + t; silence before the beginning
  before = np.full(len(strength), -1, dtype=np.int64)
  quiet = 0.01 * strength.max()
  steps: dict[int, tuple[np.ndarray, np.ndarray]] = {}
  started = False
  for frame, period in enumerate(np.round(periods).astype(np.int64).tolist()):
    if period not in steps:
      distance = np.arange(max(period // 2, 1), 2 * period + 1)
      steps[period] = distance, TIGHTNESS * np.log(distance / period) ** 2
    distance, cost = steps[period]
    here = score[longest + frame - distance[-1] : longest + frame - distance[0] + 1][::-1] - cost
    best = int(np.argmax(here))
    score[longest + frame] = strength[frame] + here[best]
    started = started or strength[frame] > quiet  # in the silence before the music there are no beats
    if started:
      before[frame] = frame - distance[best]
  score = score[longest:]
  peaks = np.flatnonzero((score[1:-1] >= score[:-2]) & (score[1:-1] > score[2:])) + 1
  if not len(peaks):
    return np.empty(0, dtype=np.int64)
  last = peaks[score[peaks] > 0.5 * np.median(score[peaks])][-1]
  beats = [int(last)]
  while before[beats[-1]] >= 0:
    beats.append(int(before[beats[-1]]))
  return np.asarray(beats[::-1])


def _smooth(seconds: np.ndarray) -> np.ndarray:
  """Beat times from a local parabola through their neighbours: the tempo of a tempo map then doesn't jitter."""
  window = min(SMOOTHING_BEATS, len(seconds) - (len(seconds) + 1) % 2)
  smoothed = signal.savgol_filter(seconds, window, polyorder=1 if window < 5 else 2)
  return smoothed if (np.diff(smoothed) > 0.05).all() else seconds
