"""Each effect of the variants does what its settings say, as measured on its output, and moves nothing in time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.signal import butter, correlate, sosfilt, welch

from data_pipeline import audio_variants as variants
from data_pipeline import front_end, mastering

RATE = 16_000
SECONDS = 6


def noise(seed: int = 0, seconds: float = SECONDS) -> np.ndarray:
  return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def hits(every: float = 0.5) -> np.ndarray:
  """Struck notes: they rise at once and die away."""
  time = np.arange(SECONDS * RATE) / RATE
  return (0.5 * np.sin(2 * np.pi * 220 * time) * np.exp(-8 * (time % every))).astype(np.float32)


def band_db(audio: np.ndarray, low: float, high: float) -> float:
  frequency, power = welch(audio, RATE, nperseg=4096)
  return float(10 * np.log10(power[(frequency >= low) & (frequency < high)].mean()))


def crest_db(audio: np.ndarray) -> float:
  return float(20 * np.log10(np.abs(audio).max() / np.sqrt(np.mean(audio**2))))


def delay(output: np.ndarray, original: np.ndarray) -> int:
  """Samples by which the output is late, within 0.1 s."""
  likeness = correlate(output[RATE - 1600 : 3 * RATE + 1600], original[RATE : 3 * RATE], mode='valid', method='fft')
  return int(np.argmax(likeness)) - 1600


@pytest.mark.parametrize('tilt', [-1.5, 1.0])
def test_tilt(tilt):
  audio = noise()
  gain = [band_db(variants.equalised(audio, RATE, tilt), f / 1.1, f * 1.1) - band_db(audio, f / 1.1, f * 1.1) for f in (160, 640, 2560)]
  assert gain == pytest.approx([-2 * tilt, 0, 2 * tilt], abs=0.4)


def test_the_curve_is_of_octaves_from_31_hz():
  audio = noise()
  shaped = variants.equalised(audio, RATE, 0.0, (0, 0, 0, 6, 0, 0, 0, 0, 0, 0))  # 6 dB at 31.25 * 2 ** 3 = 250 Hz
  gain = [band_db(shaped, f / 1.05, f * 1.05) - band_db(audio, f / 1.05, f * 1.05) for f in (62, 250, 1000)]
  assert gain == pytest.approx([0, 6, 0], abs=0.6)


@pytest.mark.parametrize('decay', [0.3, 1.0])
def test_a_room_decays_in_its_time_and_is_as_loud_as_asked(decay):
  tail = variants.room(RATE, decay, -12.0, np.random.default_rng(1))
  assert tail[0] == 1 and 10 * np.log10(np.sum(tail[1:] ** 2)) == pytest.approx(-12, abs=0.01)
  # Schroeder's backward integration of what lies below 1 kHz, from -5 to -25 dB.
  low = sosfilt(butter(4, 500, fs=RATE, output='sos'), np.append(0, tail[1:]))
  energy = np.cumsum(low[::-1] ** 2)[::-1]
  decibels = 10 * np.log10(energy / energy[0] + 1e-12)
  fifth, twenty_fifth = (int(np.argmax(decibels < level)) for level in (-5, -25))
  assert 3 * (twenty_fifth - fifth) / RATE == pytest.approx(decay, rel=0.25)


def test_a_room_rings_after_a_click_and_leaves_it_where_it_was():
  click = np.zeros(RATE, np.float32)
  click[1000] = 1.0
  wet = variants.reverberated(click, RATE, 0.5, -6.0, np.random.default_rng(0))
  assert np.abs(wet[:1000]).max() < 1e-6 and int(np.abs(wet).argmax()) == 1000
  assert np.sqrt(np.mean(wet[1400:4000] ** 2)) > 1e-3


def test_compression_brings_loud_and_soft_together():
  loud_and_soft = noise() * np.repeat([1.0, 0.1], SECONDS * RATE // 2).astype(np.float32)
  halves = np.split(variants.compressed(loud_and_soft, RATE, ratio=4.0, below=12.0), 2)
  levels = [20 * np.log10(np.sqrt(np.mean(half[RATE:] ** 2))) for half in halves]
  # The soft half is below the threshold, the loud one 12 dB above it comes out 3 dB above it.
  assert levels[0] - levels[1] == pytest.approx(20 - 12 + 12 / 4, abs=1.0)


def test_a_limiter_holds_its_ceiling_and_lowers_the_crest_factor():
  audio = hits()
  ceiling = 0.3
  limited = variants.limited(audio, RATE, ceiling)
  assert np.abs(limited).max() <= ceiling + 1e-6
  assert crest_db(limited) < crest_db(audio) - 2
  quiet = 0.1 * audio
  np.testing.assert_allclose(variants.limited(quiet, RATE, ceiling), quiet, atol=1e-7)


@pytest.mark.parametrize('cents', [-40.0, 17.0])
def test_detuning_is_found_by_the_front_end_and_times_follow(cents):
  time = np.arange(SECONDS * RATE) / RATE
  chord = sum(0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (220.0, 277.18, 329.63)).astype(np.float32)
  moved = variants.detuned(chord, RATE, cents)
  assert front_end.estimate_tuning(moved) == pytest.approx(cents, abs=3.0)
  assert len(moved) == pytest.approx(len(chord) * variants.stretch(cents), abs=2)
  click = np.zeros(SECONDS * RATE, np.float32)
  click[4 * RATE] = 1.0
  assert int(np.abs(variants.detuned(click, RATE, cents)).argmax()) == pytest.approx(4 * RATE * variants.stretch(cents), abs=1)


@pytest.mark.parametrize('colour', [0.0, 1.0, 2.0])
def test_noise_has_its_level_and_its_colour(colour):
  audio = hits()
  added = variants.noisy(audio, RATE, 30.0, colour, np.random.default_rng(3)) - audio
  assert 10 * np.log10(np.mean(audio**2) / np.mean(added**2)) == pytest.approx(30, abs=0.05)
  assert band_db(added, 100, 110) - band_db(added, 1600, 1760) == pytest.approx(10 * colour * np.log10(16), abs=2.5)


@pytest.mark.parametrize('codec', ['MP3', 'OGG'])
@pytest.mark.parametrize('quality', [0.0, 0.5, 1.0])
def test_codecs_lose_something_and_no_time(codec, quality):
  audio = variants.equalised(noise(), RATE, -3.0)
  heard = variants.coded(audio, RATE, codec, quality)
  assert len(heard) == len(audio) and delay(heard, audio) == 0
  inner = slice(2000, -2000)
  lost = 10 * np.log10(np.mean(audio[inner] ** 2) / np.mean((heard[inner] - audio[inner]) ** 2))
  assert 3 < lost < 60
  np.testing.assert_array_equal(heard, variants.coded(audio, RATE, codec, quality))


def test_worse_quality_loses_more():
  audio = variants.equalised(noise(), RATE, -3.0)
  for codec in ('MP3', 'OGG'):
    errors = [np.mean((variants.coded(audio, RATE, codec, quality) - audio)[2000:-2000] ** 2) for quality in (0.0, 1.0)]
    assert errors[0] > 2 * errors[1]


def test_silence_stays_silence():
  silence = np.zeros(RATE, np.float32)
  assert not variants.coded(silence, RATE, 'MP3', 0.5).any()
  assert not variants.compressed(silence, RATE, 4.0).any() and not variants.limited(silence, RATE, 0.1).any()


def test_chains_are_drawn_in_their_ranges_and_differ():
  drawn = [variants.draw(np.random.default_rng(seed), tuning=20.0) for seed in range(200)]
  assert all(-40 <= sound.cents <= 25 for sound in drawn), 'a song at +20 cents stays below the quarter tone'
  assert all(np.isinf(sound.snr) or 25 <= sound.snr <= 50 for sound in drawn)
  assert {sound.codec for sound in drawn} == {'', 'MP3', 'OGG'}
  for name in ('decay', 'ratio', 'limit'):
    left_out = np.mean([getattr(sound, name) == getattr(variants.Sound(), name) for sound in drawn])
    assert 0.25 < left_out < 0.55, name
  assert len(set(drawn)) == 200


@pytest.mark.parametrize('seed', range(4))
def test_a_chain_keeps_length_and_time_and_depends_on_the_generator_alone(seed):
  rng = np.random.default_rng(seed)
  sound = dataclasses.replace(variants.draw(rng), decay=0.6, ratio=4.0, limit=6.0, snr=30.0, codec='MP3', quality=0.0)
  audio = hits() + 0.1 * noise()
  first, second = (variants.apply(audio, RATE, sound, np.random.default_rng(7)) for _ in range(2))
  np.testing.assert_array_equal(first, second)
  assert len(first) == len(audio) and first.dtype == np.float32
  assert abs(delay(first, audio)) <= 100, 'half a frame'


def test_mastering_is_loud_and_in_time_and_colours_the_sound():
  audio = (0.3 * hits() + 0.1 * noise()).astype(np.float32)
  loud = mastering.mastered(audio, RATE)
  assert len(loud) == len(audio) and abs(delay(loud, audio)) <= 100
  assert crest_db(loud) < crest_db(audio) - 3
  assert 0.9 < np.abs(loud).max() < 1.2, 'at the ceiling, but for what the codec overshoots'
  time = np.arange(RATE) / RATE
  tone = mastering.saturated(0.5 * np.sin(2 * np.pi * 100 * time).astype(np.float32), 0.15)
  spectrum = np.abs(np.fft.rfft(tone))
  assert spectrum[200] > 1e-3 * spectrum[100] and spectrum[300] > 1e-3 * spectrum[100], 'even and odd harmonics'


def test_bands_add_up():
  audio = noise()
  bands = mastering.split(audio, RATE)
  np.testing.assert_allclose(sum(bands), audio, atol=1e-5)
  assert band_db(bands[0], 50, 100) > band_db(bands[0], 1000, 2000) + 20
  assert band_db(bands[2], 4000, 6000) > band_db(bands[2], 100, 200) + 10
