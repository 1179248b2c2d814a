"""How a mix may sound: equaliser, room, compression, limiter, noise, lossy coding, and a tape that runs a little fast or slow.

Each effect is a function of audio, sample rate and its settings (and a numpy Generator, where it needs chance); none of them moves an event
by more than a fraction of a frame. `draw` throws the dice for a whole chain, `apply` runs it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
import soundfile
import soxr

Codec = Literal['MP3', 'OGG']
MOST_CENTS = 40.0
"""Furthest detuning, either way."""
_WIDEST_TUNING = 45.0
"""Cents from A440 that a detuned song may reach: at 50 the front end would take it for the next semitone."""
_PIVOT = 640.0  # Hz: the middle of the octaves that are heard
_CURVE_OCTAVES = 9.0  # from 31 Hz up
_FILTER_SAMPLES = 2047
_BLOCK = 80
"""Samples, 5 ms at 16 kHz, over which compression measures levels."""
_LOOK_AHEAD = 0.003  # seconds
_LATEST_ECHO = 0.05  # seconds
_CODEC_BLOCK = 1 << 16  # libvorbis overruns its stack on much longer ones
_SMALLEST = 0.9  # libsndfile's compression level: above it, codecs refuse rates as low as 16 kHz
_LONGEST_DELAY = 4096  # samples; MP3's is 1,105, and without room for a header of its own it isn't told
_COMPARED = 1 << 17


@dataclasses.dataclass(frozen=True)
class Sound:
  """The settings of one chain, in the order in which they act.

  Attributes:
    cents: by which the whole song is detuned; the only one that concerns the bass too.
    tilt: dB an octave.
    curve: dB at equally spaced octaves from 31 Hz up, a smooth equaliser.
    decay: seconds in which the room's sound falls by 60 dB; 0: dry.
    wet: dB of the room's sound, relative to the direct sound.
    ratio: of compression; 1: none.
    limit: dB by which the highest peaks are cut.
    snr: dB from the noise to the mix; infinity: no noise.
    colour: of the noise: its power falls with the frequency to this power (0 white, 1 pink, 2 brown).
    codec: '' is none.
    quality: of the codec, from 0 (the worst) to 1.
  """

  cents: float = 0.0
  tilt: float = 0.0
  curve: tuple[float, ...] = ()
  decay: float = 0.0
  wet: float = -12.0
  ratio: float = 1.0
  limit: float = 0.0
  snr: float = np.inf
  colour: float = 1.0
  codec: Codec | Literal[''] = ''
  quality: float = 1.0


def draw(rng: np.random.Generator, tuning: float = 0.0) -> Sound:
  """A random chain, in which each effect but the equaliser may be missing.

  Args:
    tuning: cents from A440 at which the song is already; detuned it stays on the same side of the quarter tone.
  """
  low = max(-MOST_CENTS, -_WIDEST_TUNING - min(tuning, 0.0))
  high = min(MOST_CENTS, _WIDEST_TUNING - max(tuning, 0.0))
  sound = Sound(
    cents=rng.uniform(low, high),
    tilt=rng.uniform(-1.5, 1.5),
    curve=tuple(rng.normal(0, 3.0, 6).clip(-8, 8).tolist()),
    decay=rng.uniform(0.15, 1.2),
    wet=rng.uniform(-24, -8),
    ratio=rng.uniform(1.5, 6),
    limit=rng.uniform(0, 9),
    snr=rng.uniform(25, 50),
    colour=rng.uniform(0, 2),
    codec='MP3' if rng.random() < 0.5 else 'OGG',
    quality=rng.uniform(0, 1),
  )
  left_out = {'decay': 0.4, 'ratio': 0.4, 'limit': 0.4, 'snr': 0.5, 'codec': 0.5}
  plain = Sound()
  return dataclasses.replace(sound, **{name: getattr(plain, name) for name, share in left_out.items() if rng.random() < share})


def apply(audio: np.ndarray, rate: int, sound: Sound, rng: np.random.Generator) -> np.ndarray:
  """The whole chain but the detuning, on a mix [samples] float32; the length stays, the loudness need not."""
  result = equalised(audio, rate, sound.tilt, sound.curve)
  if sound.decay:
    result = reverberated(result, rate, sound.decay, sound.wet, rng)
  if sound.ratio > 1:
    result = compressed(result, rate, sound.ratio)
  if sound.limit:
    result = limited(result, rate, float(np.abs(result).max()) * 10 ** (-sound.limit / 20))
  if np.isfinite(sound.snr):
    result = noisy(result, rate, sound.snr, sound.colour, rng)
  if sound.codec:
    result = coded(result, rate, sound.codec, sound.quality)
  return result


def detuned(audio: np.ndarray, rate: int, cents: float) -> np.ndarray:
  """Plays a tape faster: `cents` higher, and shorter by `stretch(cents)`."""
  return soxr.resample(audio, rate / stretch(cents), rate).astype(np.float32) if cents else audio


def stretch(cents: float) -> float:
  """Times in a detuned song are those of the song, multiplied by this."""
  return float(2 ** (-cents / 1200))


def equalised(audio: np.ndarray, rate: int, tilt: float, curve: Sequence[float] = ()) -> np.ndarray:
  """An equaliser without delay: `tilt` dB an octave around 640 Hz, and `curve` dB at equally spaced octaves from 31 Hz up."""
  from scipy.signal import fftconvolve

  frequency = np.fft.rfftfreq(_FILTER_SAMPLES + 1, 1 / rate)
  octave = np.log2(np.maximum(frequency, 20.0) / _PIVOT)
  decibels = tilt * octave
  if len(curve):
    decibels = decibels + np.interp(octave - np.log2(31.25 / _PIVOT), np.linspace(0, _CURVE_OCTAVES, len(curve)), curve)
  response = np.fft.irfft(10 ** (decibels / 20))
  kernel = np.roll(response, _FILTER_SAMPLES // 2)[:_FILTER_SAMPLES] * np.hanning(_FILTER_SAMPLES)
  return fftconvolve(audio, kernel, mode='same').astype(np.float32)


def room(rate: int, decay: float, wet: float, rng: np.random.Generator) -> np.ndarray:
  """The impulse response of a room [samples]: the direct sound, 1 at the beginning, some early echoes, and noise that dies away.

  Args:
    decay: seconds to fall by 60 dB below 1 kHz; high frequencies die away faster, as in air and on curtains.
    wet: dB of all that follows the direct sound.
  """
  from scipy.signal import butter, sosfilt

  time = np.arange(int(1.2 * decay * rate) + 1) / rate
  noise = rng.normal(size=len(time))
  dull = sosfilt(butter(1, 1000, fs=rate, output='sos'), noise)
  tail = dull * 10 ** (-3 * time / decay) + (noise - dull) * 10 ** (-3 * time / (0.5 * decay))
  tail *= np.clip(time / 0.01, 0, 1)  # the diffuse sound sets in after the echoes
  echoes = np.sort(rng.uniform(0.003, min(_LATEST_ECHO, decay), 6))
  peak = np.sqrt(np.mean(tail[: max(len(tail) // 8, 1)] ** 2))
  tail[np.minimum((echoes * rate).astype(int), len(tail) - 1)] += 3 * peak * rng.choice([-1, 1], 6) * 10 ** (-3 * echoes / decay)
  tail[0] = 0.0
  tail *= 10 ** (wet / 20) / np.sqrt(np.sum(tail**2))
  tail[0] = 1.0
  return tail


def reverberated(audio: np.ndarray, rate: int, decay: float, wet: float, rng: np.random.Generator) -> np.ndarray:
  """The sound in a room of that decay time (see `room`), cut at the audio's end."""
  from scipy.signal import oaconvolve

  return oaconvolve(audio, room(rate, decay, wet, rng))[: len(audio)].astype(np.float32)


def compressed(audio: np.ndarray, rate: int, ratio: float, attack: float = 0.01, release: float = 0.15, below: float = 6.0) -> np.ndarray:
  """A compressor that follows the level over 5 ms.

  Args:
    ratio: dB that the input must rise for 1 dB of output, above the threshold.
    attack, release: seconds.
    below: dB; the threshold is so far below the loud moments (the 95th percentile of the level).
  """
  blocks = -(-len(audio) // _BLOCK)
  padded = np.pad(audio, (0, blocks * _BLOCK - len(audio))).reshape(blocks, _BLOCK)
  level = 10 * np.log10(np.mean(np.square(padded, dtype=np.float64), axis=1) + 1e-10)
  over = np.maximum(level - (np.percentile(level, 95) - below), 0) * (1 - 1 / ratio)
  quick, slow = (float(np.exp(-_BLOCK / rate / seconds)) for seconds in (attack, release))
  reduction, value = np.empty(blocks), 0.0
  for i, wanted in enumerate(over.tolist()):
    value = wanted + (value - wanted) * (quick if wanted > value else slow)
    reduction[i] = value
  smooth = np.interp(np.arange(len(audio)), (np.arange(blocks) + 0.5) * _BLOCK, reduction)
  return (audio * 10 ** (-smooth / 20)).astype(np.float32)


def limited(audio: np.ndarray, rate: int, ceiling: float) -> np.ndarray:
  """A limiter that looks 3 ms ahead: no sample is above `ceiling`, and the gain moves smoothly."""
  from scipy.ndimage import minimum_filter1d, uniform_filter1d

  reach = 2 * int(_LOOK_AHEAD * rate) + 1
  gain = np.minimum(1.0, ceiling / np.maximum(np.abs(audio).astype(np.float64), 1e-9))
  # The mean of minima that all look over this sample is nowhere above what this sample needs.
  gain = uniform_filter1d(minimum_filter1d(gain, reach), reach)
  return (audio * gain).astype(np.float32)


def noisy(audio: np.ndarray, rate: int, snr: float, colour: float, rng: np.random.Generator) -> np.ndarray:
  """Adds noise whose power is `snr` dB below the audio's and falls with the frequency to the power `colour`, from 30 Hz up."""
  from scipy import fft

  length = fft.next_fast_len(len(audio), real=True)
  spectrum = fft.rfft(rng.normal(size=length).astype(np.float32))
  frequency = np.maximum(fft.rfftfreq(length, 1 / rate), 30.0)
  noise = fft.irfft(spectrum * frequency.astype(np.float32) ** np.float32(-colour / 2), length)[: len(audio)]
  return (audio + noise * (_rms(audio) / _rms(noise) * 10 ** (-snr / 20))).astype(np.float32)


def coded(audio: np.ndarray, rate: int, codec: Codec, quality: float) -> np.ndarray:
  """Through a lossy codec and back, in time with the original: the codec's delay is found and taken out.

  Args:
    quality: 0 is a file of 24 kbit/s at 16 kHz, 1 the codec's best (160 with MP3, 65 with Vorbis).
  """
  peak = float(np.abs(audio).max())
  if not peak:
    return audio
  scaled = audio * np.float32(0.7 / peak)  # codecs overshoot
  subtype, mode = ('MPEG_LAYER_III', {'bitrate_mode': 'CONSTANT'}) if codec == 'MP3' else ('VORBIS', {})
  stored = io.BytesIO()
  with soundfile.SoundFile(stored, 'w', rate, 1, subtype, format=codec, compression_level=_SMALLEST * (1 - quality), **mode) as file:
    for start in range(0, len(scaled), _CODEC_BLOCK):
      file.write(scaled[start : start + _CODEC_BLOCK])
  stored.seek(0)
  decoded, _ = soundfile.read(stored, dtype='float32')
  return _in_time(decoded, scaled) * np.float32(peak / 0.7)


def _in_time(decoded: np.ndarray, original: np.ndarray) -> np.ndarray:
  """Moves `decoded` to where it resembles `original` most, and gives it its length."""
  from scipy.signal import correlate

  # The loudest place is compared: songs begin with silence.
  first = max(int(np.abs(original).argmax()) - _COMPARED // 2, 0)
  piece = original[first : first + _COMPARED]
  around = np.pad(decoded, (_LONGEST_DELAY, len(original)))[first : first + len(piece) + 2 * _LONGEST_DELAY]
  lag = int(np.argmax(correlate(around, piece, mode='valid', method='fft'))) - _LONGEST_DELAY
  moved = decoded[lag:] if lag >= 0 else np.pad(decoded, (-lag, 0))
  return np.pad(moved, (0, max(len(original) - len(moved), 0)))[: len(original)]


def _rms(audio: np.ndarray) -> float:
  return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
