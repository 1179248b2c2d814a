"""Two estimates of a bass's pitch from one analysis: YIN and pYIN, as librosa makes them, in a fifth of the time.

YIN: de Cheveigné and Kawahara, JASA 111(4), 2002. pYIN: Mauch and Dixon, ICASSP 2014. Nearly all of librosa.pyin's time goes into the
search for the best path through all pairs of states, of which nine in ten have no way from one to the other; here they are looked at only
where they could matter, so that the path is the same. `tests/test_pitch_tracking.py` compares both estimates with librosa's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numba
import numpy as np
import scipy.stats

from data_pipeline import compiler_cache

_THRESHOLDS = 100
_BETA = (2.0, 18.0)  # prior over the thresholds
_BOLTZMANN = 2.0  # prior over the troughs below a threshold: short periods first
_NO_TROUGH = 0.01  # probability of the deepest trough where none is below the threshold
_SWITCH = 0.01  # probability of a change between voiced and unvoiced
_OCTAVES_A_SECOND = 35.92  # the fastest that a voice changes
_YIN_THRESHOLD = 0.1
_BLOCK = 4096
"""Frames at a time: an hour's frames side by side would take gigabytes."""
_TINY = np.finfo(np.float64).tiny
"""Stands for a probability of zero, whose logarithm there is none of."""


@dataclasses.dataclass(frozen=True)
class Tracker:
  """What is looked for, and how finely.

  Attributes:
    lowest, highest: Hz.
    rate: samples a second.
    frame: samples of a frame; two periods of `lowest` at least.
    hop: samples from frame to frame; frame t is centred on sample t * hop.
    resolution: semitones between the pitches that pYIN knows.
  """

  lowest: float
  highest: float
  rate: int
  frame: int
  hop: int
  resolution: float = 0.2

  @property
  def shortest_period(self) -> int:
    return int(np.floor(self.rate / self.highest))

  @property
  def longest_period(self) -> int:
    return min(int(np.ceil(self.rate / self.lowest)), self.frame - 1)

  @property
  def steps(self) -> int:
    """Of a semitone."""
    return int(np.ceil(1 / self.resolution))

  @property
  def pitches(self) -> int:
    """How many pitches pYIN knows."""
    return int(np.floor(12 * self.steps * np.log2(self.highest / self.lowest))) + 1

  def estimates(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz by pYIN and by YIN, each [1 + samples // hop], of audio [samples] float32; both always have one."""
    path = _Path(self)
    yin = []
    for frames in self._frames(audio):
      difference = self._difference(frames)
      shift = _parabolic_shift(difference)
      trough = _troughs(difference)
      yin.append(self._yin(difference, shift, trough))
      path.follow(*self._candidates(difference, shift, trough))
    pitches = self.lowest * 2 ** (np.arange(self.pitches) / (12 * self.steps))
    return pitches[path.best() % self.pitches], np.concatenate(yin)

  def _frames(self, audio: np.ndarray) -> Iterator[np.ndarray]:
    """[frames, samples], silence beyond the ends."""
    padded = np.pad(audio, (self.frame // 2, self.frame // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, self.frame)[:: self.hop]
    for begin in range(0, len(windows), _BLOCK):
      yield windows[begin : begin + _BLOCK]

  def _difference(self, frames: np.ndarray) -> np.ndarray:
    """[frames, periods]: the cumulative mean normalised difference of every period; 0 is a perfect repetition."""
    librosa = compiler_cache.librosa()
    longest = self.longest_period
    similarity = librosa.autocorrelate(frames, max_size=longest + 1, axis=-1)
    energy = np.cumsum(np.square(frames), axis=-1)[:, :longest]
    energy[:, 0] = 0  # the first sample's; librosa leaves it out, and features must stay what they are
    difference = 2 * (similarity[:, :1] - similarity[:, 1:]) - energy
    mean = np.cumsum(difference, axis=-1) / np.arange(1, longest + 1)
    normal = mean[:, self.shortest_period - 1 :]
    return difference[:, self.shortest_period - 1 :] / (normal + np.finfo(normal.dtype).tiny)

  def _yin(self, difference: np.ndarray, shift: np.ndarray, trough: np.ndarray) -> np.ndarray:
    """[frames] Hz: the first trough that is deep enough, else the deepest place."""
    deep = trough & (difference < _YIN_THRESHOLD)
    chosen = np.where(deep.any(axis=1), deep.argmax(axis=1), difference.argmin(axis=1))
    return self.rate / (self.shortest_period + chosen + shift[np.arange(len(chosen)), chosen])

  def _candidates(self, difference: np.ndarray, shift: np.ndarray, trough: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of every pitch, [frames, pitches], and of being unvoiced, [frames], as shares of one pitch."""
    edges = np.linspace(0, 1, _THRESHOLDS + 1)
    weights = np.diff(scipy.stats.beta.cdf(edges, *_BETA))
    probability = _trough_probabilities(difference, trough, edges[1:], weights)
    frame, period = np.nonzero(probability)
    hertz = self.rate / (self.shortest_period + period + shift[frame, period])
    pitch = np.clip(np.round(12 * self.steps * np.log2(hertz / self.lowest)), 0, self.pitches).astype(int)
    inside = pitch < self.pitches
    voiced = np.zeros((len(difference), self.pitches))
    voiced[frame[inside], pitch[inside]] = probability[frame[inside], period[inside]]
    return voiced, (1 - np.clip(voiced.sum(axis=1), 0, 1)) / self.pitches


def _parabolic_shift(difference: np.ndarray) -> np.ndarray:
  """[frames, periods]: where the parabola through a place and its neighbours is lowest, -1..1 from the place; 0 where it is farther."""
  left, middle, right = difference[:, :-2], difference[:, 1:-1], difference[:, 2:]
  curvature, slope = (right + left) - 2 * middle.astype(np.float64), (right - left).astype(np.float64) / 2
  near = np.abs(slope) < np.abs(curvature)
  shift = np.zeros_like(difference)
  shift[:, 1:-1][near] = -slope[near] / curvature[near]
  return shift


def _troughs(difference: np.ndarray) -> np.ndarray:
  """[frames, periods] bool: lower than the place before, not higher than the next."""
  trough = np.zeros(difference.shape, dtype=bool)
  trough[:, 1:] = difference[:, 1:] < difference[:, :-1]
  trough[:, 1:-1] &= difference[:, 1:-1] <= difference[:, 2:]
  trough[:, 0] = difference[:, 0] < difference[:, 1]
  return trough


@numba.njit(cache=True)
def _trough_probabilities(difference, trough, thresholds, weights):
  """[frames, periods] float64: the probability that a trough is the period, over all thresholds."""
  frames, periods = difference.shape
  result = np.zeros((frames, periods))
  falling = np.exp(-_BOLTZMANN * np.arange(periods))
  below = np.zeros(len(thresholds), dtype=np.int64)
  for t in range(frames):
    below[:] = 0
    deepest = -1
    for period in range(periods):
      if trough[t, period]:
        if deepest < 0 or difference[t, period] < difference[t, deepest]:
          deepest = period
        for k in range(len(thresholds)):
          below[k] += difference[t, period] < thresholds[k]
    if deepest < 0:
      continue
    total = below.copy()
    below[:] = 0
    for period in range(periods):
      if trough[t, period]:
        for k in range(len(thresholds)):
          if difference[t, period] < thresholds[k]:
            prior = (1 - np.exp(-_BOLTZMANN)) / (1 - np.exp(-_BOLTZMANN * total[k])) * falling[below[k]]
            result[t, period] += prior * weights[k]
            below[k] += 1
    for k in range(len(thresholds)):
      if not difference[t, deepest] < thresholds[k]:
        result[t, deepest] += _NO_TROUGH * weights[k]
  return result


class _Path:
  """The most probable path through the pitches (Viterbi), followed block by block; state p is pitch p voiced, pitches + p unvoiced."""

  def __init__(self, tracker: Tracker):
    librosa = compiler_cache.librosa()
    width = round(_OCTAVES_A_SECOND * 12 * tracker.hop / tracker.rate) * tracker.steps + 1
    local = librosa.sequence.transition_local(tracker.pitches, width, window='triangle', wrap=False)
    ways = np.kron(librosa.sequence.transition_loop(2, 1 - _SWITCH), local)
    self._log_ways = np.log(ways + _TINY).T.copy()  # [to, from]
    self._first = np.array([np.flatnonzero(local[:, pitch])[0] for pitch in range(tracker.pitches)])
    self._after = np.array([np.flatnonzero(local[:, pitch])[-1] + 1 for pitch in range(tracker.pitches)])
    self._states = 2 * tracker.pitches
    self._value: np.ndarray | None = None
    self._came_from: list[np.ndarray] = []

  def follow(self, voiced: np.ndarray, unvoiced: np.ndarray) -> None:
    """Goes on by a block of probabilities, [frames, pitches] and [frames]."""
    log_probability = np.log(np.concatenate([voiced, np.repeat(unvoiced[:, None], voiced.shape[1], axis=1)], axis=1) + _TINY)
    if self._value is None:
      self._value = log_probability[0] + np.log(np.full(self._states, 1 / self._states) + _TINY)
      log_probability = log_probability[1:]
    self._value, came_from = _follow(self._value, log_probability, self._log_ways, self._first, self._after)
    self._came_from.append(came_from)

  def best(self) -> np.ndarray:
    """[frames] the states of the best path."""
    came_from = np.concatenate(self._came_from)
    states = np.empty(len(came_from) + 1, dtype=np.int64)
    states[-1] = self._value.argmax()
    for t in range(len(came_from) - 1, -1, -1):
      states[t] = came_from[t, states[t + 1]]
    return states


@numba.njit(cache=True)
def _follow(value, log_probability, log_ways, first, after):
  """The values of all states after a block, and [frames, states] the state before each.

  A state is reached from its neighbours, first..after - 1, voiced or not. All other ways have the least probability there is; they are
  looked at where that could be the best all the same.
  """
  frames, states = log_probability.shape
  pitches = states // 2
  came_from = np.empty((frames, states), dtype=np.uint16)
  least = np.log(_TINY)
  for t in range(frames):
    limit = value.max() + least
    following = np.empty(states)
    for state in range(states):
      pitch = state % pitches
      best, best_from = -np.inf, 0
      for offset in (0, pitches):
        for source in range(first[pitch] + offset, after[pitch] + offset):
          reached = value[source] + log_ways[state, source]
          if reached > best:
            best, best_from = reached, source
      if best <= limit:
        best, best_from = -np.inf, 0
        for source in range(states):
          reached = value[source] + log_ways[state, source]
          if reached > best:
            best, best_from = reached, source
      following[state] = log_probability[t, state] + best
      came_from[t, state] = best_from
    value = following
  return value, came_from
