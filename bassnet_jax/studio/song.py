"""Analyses the mix of a session's tracks once, so that a bass can be decoded for any position afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bassnet_jax.studio.limits import StudioError
from bassnet_jax.studio.sessions import Track
from data_pipeline import features

LOUDEST_GAIN = 4.0


@dataclasses.dataclass(frozen=True)
class Channel:
  """A track in the mix: its number and its gain (0 when muted)."""

  track: int
  gain: float


@dataclasses.dataclass
class Song:
  """An analysed mix.

  Attributes:
    key: tells one mix from another.
    channels: the tracks in it.
    mix: [frames, 192] float32 features.
    gain: that brought the mix to its fixed loudness.
    tuning: cents from A440.
    beats: [beats] seconds.
    bpm: beats a minute.
    rate: Hz, of exports: the first track's.
    samples: at that rate.
    codes: model id to its encoded mix.
  """

  key: str
  channels: tuple[Channel, ...]
  mix: np.ndarray
  gain: float
  tuning: float
  beats: np.ndarray
  bpm: float
  rate: int
  samples: int
  codes: dict = dataclasses.field(default_factory=dict)

  @property
  def frames(self) -> int:
    return len(self.mix)

  @property
  def seconds(self) -> float:
    return self.samples / self.rate

  def describe(self) -> dict:
    return {
      'key': self.key,
      'seconds': self.seconds,
      'bpm': self.bpm,
      'tuning': self.tuning,
      'beats': np.round(self.beats, 4).tolist(),
    }


def parse_channels(value, tracks: Mapping[int, Track]) -> tuple[Channel, ...]:
  """The mixer's state as a page sends it: a list of {'id', 'gain', 'mute'}.

  Raises:
    StudioError: it is of another form, or nothing in it sounds.
  """
  if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
    raise StudioError('The mixer has an unknown form; reload the page.')
  channels = []
  for row in value:
    number, gain = row.get('id'), row.get('gain', 1.0)
    if not isinstance(number, int) or number not in tracks:
      raise StudioError('There is no such track; it may have been removed. Reload the page.', 404)
    if isinstance(gain, bool) or not isinstance(gain, int | float) or not 0 <= gain <= LOUDEST_GAIN:
      raise StudioError(f'A gain is {str(gain)[:20]}; expected 0 to {LOUDEST_GAIN:g}. Reload the page.')
    channels.append(Channel(number, 0.0 if row.get('mute') else float(gain)))
  if len({channel.track for channel in channels}) != len(channels):
    raise StudioError('A track is in the mixer twice; reload the page.')
  if not any(channel.gain > 0 for channel in channels):
    raise StudioError('All tracks are muted: there is nothing to play a bass to. Switch one on.')
  return tuple(channels)


def key_of(channels: Sequence[Channel]) -> str:
  rows = sorted((channel.track, round(channel.gain, 4)) for channel in channels if channel.gain > 0)
  return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def mono_mix(tracks: Mapping[int, Track], channels: Sequence[Channel]) -> np.ndarray:
  """[samples] float32 at 16 kHz."""
  used = [(tracks[channel.track].mono(), channel.gain) for channel in channels if channel.gain > 0]
  total = np.zeros(max(len(audio) for audio, _ in used), dtype=np.float32)
  for audio, gain in used:
    total[: len(audio)] += audio * np.float32(gain)
  return total


def native_mix(tracks: Mapping[int, Track], channels: Sequence[Channel], rate: int, samples: int) -> np.ndarray:
  """[samples, channels] float32 at the song's rate; tracks of other rates are resampled."""
  used = [(tracks[channel.track], channel.gain) for channel in channels if channel.gain > 0]
  total = np.zeros((samples, max(track.channels for track, _ in used)), dtype=np.float32)
  for track, gain in used:
    audio = np.asarray(track.native())
    if track.rate != rate:
      import soxr

      audio = soxr.resample(audio, track.rate, rate)
    length = min(len(audio), samples)
    total[:length] += audio[:length] * np.float32(gain)
  return total


def analyse(tracks: Mapping[int, Track], channels: Sequence[Channel], report: Callable[[str, float], None]) -> Song:
  """Analyses a mix.

  Args:
    tracks: the session's.
    channels: the mixer.
    report: is told what is being done and the share of it all that is done, 0..1.

  Raises:
    StudioError: the mix is silent.
  """
  from bassnet_jax import beats
  from data_pipeline import front_end

  report('Mixing the tracks', 0.02)
  mono = mono_mix(tracks, channels)
  try:
    report('Measuring the loudness', 0.05)
    gain = front_end.loudness_gain(mono)
  except front_end.SilentMixError:
    raise StudioError('The mix is silent: nothing in it is above -70 LUFS. Were the tracks muted when they were exported?') from None
  report('Finding the tuning', 0.12)
  tuning = front_end.estimate_tuning(mono)
  report('Listening', 0.25)
  mix = front_end.constant_q(mono * np.float32(gain), features.MIX_BINS, tuning, lambda share: report('Listening', 0.25 + 0.5 * share))
  report('Finding the beats', 0.77)
  tracked = beats.track(mix)
  first = tracks[channels[0].track]
  used = [tracks[channel.track] for channel in channels if channel.gain > 0]
  samples = max(-(-track.samples * first.rate // track.rate) for track in used)
  return Song(key_of(channels), tuple(channels), mix, gain, tuning, tracked.seconds, tracked.bpm, first.rate, samples)
