"""The front end against analytic signals and plain librosa."""

import librosa
import numpy as np
import pytest

from data_pipeline import features as ft
from data_pipeline import front_end, rendering
from data_pipeline.rendering import Event

RATE = ft.SAMPLE_RATE


def sine(pitch: float, seconds: float = 3.0, amplitude: float = 0.1) -> np.ndarray:
  time = np.arange(int(seconds * RATE)) / RATE
  return (amplitude * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time)).astype(np.float32)


def chords(cents: float = 0.0, seconds: float = 6.0) -> np.ndarray:
  """A piano's chords, detuned by the pitch wheel (two semitones each way)."""
  events = [Event(0.0, 0, 'program', 0), Event(0.0, 0, 'bend', round(8192 + 8192 * cents / 200))]
  for i, chord in enumerate([(45, 60, 64, 69), (41, 57, 60, 65), (48, 55, 64, 72), (43, 59, 62, 67)] * 2):
    begin = i * seconds / 8
    events += [Event(begin, 0, 'on', key, 95) for key in chord]
    events += [Event(begin + 0.9 * seconds / 8, 0, 'off', key) for key in chord]
  return rendering.render(events, seconds)


@pytest.fixture(scope='module')
def mix():
  return chords()


@pytest.fixture(scope='module')
def analysis(mix):
  return front_end.analyse(mix, sine(40, 6.0))


@pytest.mark.parametrize('pitch', [23, 28, 33, 45, 60, 69, 84, 96])
def test_a_sinusoid_is_in_its_bin(pitch):
  magnitude = front_end.constant_q(sine(pitch), ft.MIX_BINS)
  assert magnitude[120].argmax() == 2 * (pitch - ft.LOWEST_BIN_PITCH)


@pytest.mark.parametrize('pitch', [28, 45, 69])
def test_a_sinusoid_has_the_magnitude_that_is_claimed(pitch):
  number = 2 * (pitch - ft.LOWEST_BIN_PITCH)
  magnitude = np.expm1(front_end.constant_q(sine(pitch), ft.MIX_BINS)[120, number]) / front_end.COMPRESSION
  assert magnitude == pytest.approx(0.1 * front_end.sinusoid_gain(ft.MIX_BINS)[number], rel=0.02)


@pytest.mark.parametrize('pitch', [23, 28, 40, 52])
def test_neighbouring_semitones_are_told_apart(pitch):
  """Measured width of a tone at half magnitude: 3.5 semitones at B0, 2.5 at E1, 1.5 from E2 up; its own bin is on top."""
  strongest, spread = front_end.tone_spread(440 * 2 ** ((pitch - 69) / 12))
  assert strongest == 2 * (pitch - ft.LOWEST_BIN_PITCH)
  assert spread <= (3.5 if pitch == 23 else 2.5 if pitch == 28 else 1.5)


@pytest.mark.parametrize('frame', [40, 81, 157])
def test_a_click_is_in_its_frame(frame):
  audio = np.zeros(3 * RATE, np.float32)
  audio[frame * ft.HOP] = 1.0
  magnitude = front_end.constant_q(audio, ft.MIX_BINS)
  peaks = magnitude.argmax(axis=0)
  assert (np.abs(peaks[48:] - frame) <= 1).all()
  assert (np.abs(peaks - frame) <= 3).all()  # the top of a long filter is flat


def test_time_spread_of_low_bins():
  """Measured: 163 ms at B0 and E1, 113 at E2, 63 at E3, 38 at E4; a pure constant-Q transform has 560 ms at B0."""
  spread = front_end.click_spread()
  at = {pitch: spread[2 * (pitch - ft.LOWEST_BIN_PITCH)] for pitch in (23, 28, 40, 52, 64)}
  assert at[23] <= 175 and at[28] <= 175
  assert at[40] <= 125
  assert at[52] <= 75
  assert at[64] <= 50
  assert (np.diff(spread) <= 25).all(), 'higher bins must not be slower'


@pytest.mark.parametrize('cents', [35.0, -35.0, 48.0])
def test_tuning_is_found_and_compensated(cents, analysis):
  detuned = front_end.analyse(chords(cents))
  assert analysis.tuning == pytest.approx(0, abs=5)
  assert detuned.tuning == pytest.approx(cents, abs=5)
  same = lambda values: (values.argmax(axis=1) == analysis.mix.argmax(axis=1)).mean()  # noqa: E731
  assert same(detuned.mix) > 0.93, 'the strongest bins must stay; only near ties may change'
  plain = front_end.constant_q(chords(cents) * np.float32(detuned.gain), ft.MIX_BINS)
  assert same(plain) < 0.5, 'this test must see what is not compensated'
  difference = lambda values: np.abs(values - analysis.mix).mean()  # noqa: E731
  assert difference(detuned.mix) < 0.5 * difference(plain), 'compensation must bring the features nearer'


def test_no_pitch_means_no_tuning():
  assert front_end.estimate_tuning(np.zeros(RATE, np.float32)) == 0


def test_partials_that_do_not_agree_mean_no_tuning(monkeypatch):
  """The mean of the peaks of noise says nothing, and would retune the whole song."""
  noises = [np.random.default_rng(seed).normal(0, 0.1, 3 * RATE).astype(np.float32) for seed in range(6)]
  assert max(abs(front_end.estimate_tuning(noise)) for noise in noises) < 5
  monkeypatch.setattr(front_end, '_TUNING_AGREEMENT', (0.0, 1e-6))
  assert max(abs(front_end.estimate_tuning(noise)) for noise in noises) > 20, 'this test must see what is not faded'


def test_blocks_give_the_same_as_no_blocks(mix, monkeypatch):
  whole = front_end.constant_q(mix, ft.MIX_BINS, 12.0)
  monkeypatch.setattr(front_end, '_BLOCK_SECONDS', 2)
  blocks = front_end.constant_q(mix, ft.MIX_BINS, 12.0)
  assert blocks.shape == whole.shape
  np.testing.assert_allclose(blocks, whole, atol=2e-3)


def test_gain_comes_from_the_mix_alone(mix, analysis):
  """Nothing of the bass may leak into the mix's features."""
  for bass in (None, np.zeros_like(mix), 10 * sine(33, 6.0)):
    other = front_end.analyse(mix, bass)
    np.testing.assert_array_equal(other.mix, analysis.mix)
    assert (other.gain, other.tuning) == (analysis.gain, analysis.tuning)


def test_the_level_of_the_mix_does_not_matter(mix, analysis):
  quiet = front_end.analyse(0.1 * mix, 0.1 * sine(40, 6.0))
  np.testing.assert_allclose(quiet.mix, analysis.mix, atol=1e-3)
  np.testing.assert_allclose(quiet.bass, analysis.bass, atol=1e-3)
  assert quiet.gain == pytest.approx(10 * analysis.gain, rel=1e-4)


def test_the_bass_is_on_the_mix_s_scale(mix, analysis):
  """A bass of half the amplitude has half the magnitudes: its level in the mix is kept."""
  half = front_end.analyse(mix, 0.5 * sine(40, 6.0))
  np.testing.assert_allclose(np.expm1(half.bass), 0.5 * np.expm1(analysis.bass), rtol=1e-3, atol=1e-4)


def test_loudness_is_what_it_says(mix, analysis):
  import pyloudnorm

  assert pyloudnorm.Meter(RATE).integrated_loudness(mix * analysis.gain) == pytest.approx(front_end.LOUDNESS, abs=0.05)


@pytest.mark.parametrize('audio', [np.zeros(3 * RATE), 1e-6 * np.ones(RATE), np.zeros(0), np.zeros(10)])
def test_silence_is_refused_with_a_reason(audio):
  with pytest.raises(front_end.SilentMixError, match='silent'):
    front_end.analyse(audio.astype(np.float32))


@pytest.mark.parametrize('samples', [1, 16, 199, 200, 1601, 16_000])
def test_very_short_audio(samples):
  features = front_end.constant_q(sine(69, 1.0)[:samples], ft.MIX_BINS)
  assert features.shape == (samples // 200 + 1, ft.MIX_BINS)
  assert np.isfinite(features).all()


def test_frames_and_types(analysis):
  assert analysis.mix.shape == (front_end.frame_count(6 * RATE), ft.MIX_BINS) == (481, 192)
  assert analysis.bass.shape == (481, ft.BASS_BINS)
  assert analysis.mix.dtype == analysis.bass.dtype == np.float32
  assert (analysis.mix >= 0).all()


def test_agrees_with_plain_librosa(mix, analysis):
  transform = librosa.vqt(
    mix * analysis.gain,
    sr=RATE,
    hop_length=ft.HOP,
    fmin=27.5 * 2 ** (analysis.tuning / 1200),
    n_bins=ft.MIX_BINS,
    bins_per_octave=24,
    gamma=front_end.GAMMA,
  )
  expected = np.log1p(front_end.COMPRESSION * np.abs(transform).T)
  np.testing.assert_allclose(analysis.mix[:-40], expected[: len(analysis.mix)][:-40], atol=5e-3)


@pytest.mark.parametrize('number', [14, 60, 110])
def test_agrees_with_a_transform_written_out(mix, number):
  """One bin as the inner product with a windowed complex exponential, without librosa's recursion."""
  frequency = 27.5 * 2 ** (number / 24)
  lengths, _ = librosa.filters.wavelet_lengths(freqs=front_end.bin_frequencies(ft.MIX_BINS), sr=RATE, gamma=front_end.GAMMA)
  length = lengths[number]
  n = np.arange(int(-length // 2), int(length // 2))
  window = np.hanning(len(n) + 1)[:-1]
  kernel = window / window.sum() * np.exp(-2j * np.pi * frequency * n / RATE) * np.sqrt(length)
  found = np.expm1(front_end.constant_q(mix, ft.MIX_BINS)[:, number]) / front_end.COMPRESSION
  for frame in (100, 170, 255, 333):
    expected = np.abs(np.sum(mix[frame * ft.HOP + n] * kernel))
    assert found[frame] == pytest.approx(expected, rel=0.05, abs=1e-3)
