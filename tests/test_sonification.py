"""The synthesised bass: pitch, length, loudness, no clicks, blocks."""

import itertools
import time

import numpy as np
import pytest

from bassnet_jax import decoding, sonification
from data_pipeline import features
from data_pipeline.notes import Notes

COMPRESSION = 30.0
RESPONSE = np.full(features.BASS_BINS, 10.0)
OPTIONS = {'compression': COMPRESSION, 'response': RESPONSE}


def plucked(notes: Notes, seconds: float, level: float = 0.7) -> decoding.Prediction:
  """A prediction in which each note has harmonics of amplitude 0.1 / h."""
  frames = int(seconds * features.FRAME_RATE) + 1
  pitch, onset = features.frame_targets(notes, frames)
  logits = np.zeros((frames, features.PITCHES + 1), dtype=np.float32)
  logits[np.arange(frames), pitch] = 6.0
  magnitude = np.zeros((frames, features.BASS_BINS))
  for frame in np.flatnonzero(pitch != features.NO_PITCH):
    for harmonic in range(1, 20):
      place = round(2 * (int(pitch[frame]) + features.LOWEST_PITCH - features.LOWEST_BIN_PITCH) + 24 * np.log2(harmonic))
      if place < features.BASS_BINS:
        magnitude[frame, place] = 0.1 / harmonic * RESPONSE[place]
  levels = np.where(pitch == features.NO_PITCH, 0.0, level).astype(np.float32)
  return decoding.Prediction(np.log1p(COMPRESSION * magnitude).astype(np.float32), logits, onset.astype(np.float32), levels)


def line(*rows) -> Notes:
  return Notes.from_rows([(onset, offset, pitch, 100, 33) for onset, offset, pitch in rows])


def measured_frequency(audio: np.ndarray, rate: int, nominal: float) -> float:
  """Fundamental near a nominal one: the strongest bin within half a semitone, refined by the phase between two halves."""
  seconds = np.arange(len(audio)) / rate
  half = len(audio) // 2
  spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), n=8 * len(audio)))
  frequencies = np.arange(len(spectrum)) * rate / (8 * len(audio))
  near = np.abs(frequencies / nominal - 1) < 0.03
  coarse = frequencies[near][np.argmax(spectrum[near])]
  carrier = audio * np.exp(-2j * np.pi * coarse * seconds)
  first, second = (np.sum(part * np.hanning(half)) for part in (carrier[:half], carrier[half : 2 * half]))
  return coarse + np.angle(second / first) / (2 * np.pi * half / rate)


@pytest.mark.parametrize('rate', [16_000, 44_100, 96_000])
@pytest.mark.parametrize(('pitch', 'tuning'), [(23, 0.0), (28, 35.0), (40, -20.0), (67, 12.0)])
def test_pitch_within_five_cents(rate, pitch, tuning):
  notes = line((0.1, 1.9, pitch))
  audio = sonification.synthesise(notes, plucked(notes, 2), 2 * rate, rate, tuning=tuning, **OPTIONS)
  nominal = 440 * 2 ** ((pitch - 69) / 12 + tuning / 1200)
  found = measured_frequency(audio[int(0.2 * rate) : int(1.8 * rate)], rate, 440 * 2 ** ((pitch - 69) / 12))
  assert abs(1200 * np.log2(found / nominal)) < 1  # the promise is 5


@pytest.mark.parametrize(
  ('samples', 'rate'), [(1, 44_100), (22_050, 44_100), (44_101, 44_100), (16_000, 16_000), (100_003, 48_000), (8_000, 8_000)]
)
def test_exact_length(samples, rate):
  notes = line((0.0, 1.0, 30), (0.5, 9.0, 33))
  audio = sonification.synthesise(notes, plucked(notes, samples / rate), samples, rate, **OPTIONS)
  assert audio.shape == (samples,) and audio.dtype == np.float32 and np.isfinite(audio).all()


def test_no_clicks():
  """No jump between samples is larger than a steady note's own steepest slope; the ends are silent."""
  rate = 44_100
  steady = line((0.0, 4.0, 40))
  prediction = plucked(steady, 4)
  allowed = np.abs(np.diff(sonification.synthesise(steady, prediction, 4 * rate, rate, **OPTIONS)[rate : 2 * rate])).max()
  notes = line(*((0.213 * i, 0.213 * i + 0.213 * (0.4 + 0.6 * (i % 2)), 40) for i in range(17)), (3.7, 9.0, 40))
  audio = sonification.synthesise(notes, prediction, 4 * rate, rate, **OPTIONS)
  # Two notes sound together while one is released: at most 1.5 times the slope.
  assert np.abs(np.diff(audio)).max() < 1.5 * allowed
  assert abs(audio[0]) < 1e-4 and abs(audio[-1]) < 1e-3


def test_amplitudes_may_jump_without_a_click():
  """Between three spectra that follow each other at once there is nothing steeper than the spectra themselves."""
  rate = 44_100
  notes = line((0.0, 2.0, 30))
  prediction = plucked(notes, 2)
  spectra = (prediction.bass[10].copy(), np.roll(prediction.bass[10], 24), np.zeros(features.BASS_BINS))

  def steepest():
    return np.abs(np.diff(sonification.synthesise(notes, prediction, 2 * rate, rate, **OPTIONS))).max()

  allowed = []
  for spectrum in spectra:
    prediction.bass[:] = spectrum
    allowed.append(steepest())
  prediction.bass[:60], prediction.bass[60:100], prediction.bass[100:] = spectra
  assert steepest() < 1.05 * max(allowed)


def test_phase_goes_on_between_blocks():
  rate = 22_050
  notes = line((0.1, 1.5, 33), (1.5, 2.9, 45), (2.9, 25.0, 28))
  voice = sonification.voice(notes, plucked(notes, 25), 25 * rate, rate, **OPTIONS)
  whole = voice.render(0, 25 * rate)
  cuts = [0, 1, 700, 33_000, 33_001, 80_000, 25 * rate]
  pieces = np.concatenate([voice.render(start, stop) for start, stop in itertools.pairwise(cuts)])
  np.testing.assert_allclose(pieces, whole, atol=2e-6)
  np.testing.assert_allclose(sonification.synthesise(notes, voice.prediction, 25 * rate, rate, **OPTIONS), whole, atol=2e-6)


@pytest.mark.parametrize('timbre', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('gain', [0.5, 1.0, 8.0])
def test_level_is_the_predicted_one_at_the_inputs_scale(timbre, gain):
  notes = line((0.0, 2.0, 33))
  audio = sonification.synthesise(notes, plucked(notes, 2, level=0.7), 32_000, 16_000, timbre=timbre, gain=gain, **OPTIONS)
  decibels = 10 * np.log10(np.mean(audio[4_000:28_000].astype(np.float64) ** 2) * gain**2)
  assert abs(decibels - -18.0) < 0.3


def test_timbre_is_dull_to_bright():
  notes = line((0.0, 2.0, 33))

  def centroid(timbre):
    spectrum = np.abs(np.fft.rfft(sonification.synthesise(notes, plucked(notes, 2), 32_000, 16_000, timbre=timbre, **OPTIONS)))
    return np.sum(np.arange(len(spectrum)) * spectrum) / spectrum.sum()

  dull, middle, bright = map(centroid, (0.0, 0.5, 1.0))
  assert dull < 0.8 * middle < middle < 0.8 * bright


def test_harmonics_are_the_predicted_ones():
  notes = line((0.0, 2.0, 33))
  prediction = plucked(notes, 2)
  third = round(2 * (33 - 21) + 24 * np.log2(3))
  prediction.bass[:, third] = 0.0
  spectrum = np.abs(np.fft.rfft(sonification.synthesise(notes, prediction, 32_000, 16_000, **OPTIONS)[8_000:24_000] * np.hanning(16_000)))
  second, third, fourth = (spectrum[55 * h - 2 : 55 * h + 3].max() for h in (2, 3, 4))
  assert third < 0.2 * second and third < 0.4 * fourth


def test_a_note_moved_by_an_octave_sounds_in_its_new_place():
  high, moved = line((0.0, 2.0, 64)), line((0.0, 2.0, 52))
  spectrum = np.abs(np.fft.rfft(sonification.synthesise(moved, plucked(high, 2), 32_000, 16_000, **OPTIONS)[8_000:24_000]))
  fundamental, octave = 164.81, 329.63
  assert spectrum[round(fundamental) - 1 : round(fundamental) + 2].max() > spectrum[round(octave) - 1 : round(octave) + 2].max()


def test_nothing_clips():
  loud = np.sin(np.arange(44_100) / 20).astype(np.float32)
  mix = np.stack([loud, 0.9 * loud], axis=1)
  preview, scale = sonification.preview_mix(mix, loud, 1.0)
  assert np.abs(preview).max() <= 0.981 and scale < 0.5
  np.testing.assert_allclose(preview[:, 0] * (0.9 + 1 / 0.7), preview[:, 1] * (1 + 1 / 0.7), atol=1e-5)
  quiet, scale = sonification.preview_mix(0.1 * mix, 0.1 * loud)
  assert scale == 1.0
  np.testing.assert_allclose(quiet[:, 0], 0.2 * loud, atol=1e-6)
  np.testing.assert_array_equal(sonification.preview_mix(0.1 * mix, loud, 0.0)[0], 0.1 * mix)


def test_wrong_arguments_say_so():
  notes = line((0.0, 1.0, 33))
  for options in ({'timbre': 2.0}, {'gain': 0.0}, {'gain': float('nan')}):
    with pytest.raises(ValueError, match='expected'):
      sonification.synthesise(notes, plucked(notes, 1), 100, 16_000, **OPTIONS, **options)


def test_a_hundred_times_real_time():
  notes = line(*((0.3 * i, 0.3 * i + 0.28, 28 + i % 20) for i in range(195)))
  prediction = plucked(notes, 60)
  begin = time.process_time()
  sonification.synthesise(notes, prediction, 60 * 44_100, 44_100, **OPTIONS)
  assert time.process_time() - begin < 0.6
