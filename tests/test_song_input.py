"""Several inputs as one mix, read block by block: rates, lengths and channels that differ."""

import numpy as np
import pytest
import soundfile

from bassnet_jax import bounce, song_input, sonification
from data_pipeline import audio


def noise(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
  return np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate), channels)).astype(np.float32)


def whole(mix: song_input.Mix) -> np.ndarray:
  return np.concatenate(list(mix.blocks()))


def test_one_input_comes_back_as_it_is(tmp_path):
  content = noise(15.3, 44_100, 2, 0)
  soundfile.write(tmp_path / 'a.wav', content, 44_100, subtype='FLOAT')
  mono, mix = song_input.read([str(tmp_path / 'a.wav')])
  np.testing.assert_array_equal(whole(mix), content)
  assert (mix.rate, mix.channels, mix.samples) == (44_100, 2, len(content))
  np.testing.assert_array_equal(mono, audio.load(tmp_path / 'a.wav'))


@pytest.mark.parametrize(('others', 'channels'), [([1], 2), ([1, 2], 2), ([3], 1)])
def test_inputs_are_added(tmp_path, others, channels):
  parts = [noise(9.0, 22_050, 2, 0)] + [noise(4.0 + i, 22_050, count, i + 1) for i, count in enumerate(others)]
  paths = [str(tmp_path / f'{i}.wav') for i in range(len(parts))]
  for path, part in zip(paths, parts, strict=True):
    soundfile.write(path, part, 22_050, subtype='FLOAT')
  expected = np.zeros((len(parts[0]), channels), np.float32)
  for part in parts:
    expected[: len(part)] += part if part.shape[1] in (1, channels) else part.mean(axis=1, keepdims=True)
  _, mix = song_input.read(paths)
  np.testing.assert_allclose(whole(mix), expected, atol=1e-6)


def test_another_rate_is_resampled_to_the_first(tmp_path):
  clock = np.arange(8 * 16_000) / 16_000
  tone = 0.3 * np.sin(2 * np.pi * 440 * clock)
  soundfile.write(tmp_path / 'a.wav', np.zeros(48_000 * 7), 48_000)
  soundfile.write(tmp_path / 'b.wav', tone, 16_000, subtype='FLOAT')
  _, mix = song_input.read([str(tmp_path / 'a.wav'), str(tmp_path / 'b.wav')])
  found = whole(mix)[:, 0]
  assert len(found) == mix.samples == 8 * 48_000
  expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(len(found)) / 48_000)
  assert np.abs(found - expected)[1_000:-1_000].max() < 1e-3


class Ones:
  """A bass of a constant."""

  def __init__(self, value: float):
    self.value = value

  def render(self, start, stop):
    return np.full(stop - start, self.value, np.float32)


def test_levels_of_a_bounce(tmp_path):
  content = noise(7.0, 44_100, 2, 0)
  soundfile.write(tmp_path / 'a.wav', content, 44_100, subtype='FLOAT')
  _, mix = song_input.read([str(tmp_path / 'a.wav')])
  with bounce.Bounce(Ones(0.5), mix, 1.0) as quiet:
    assert quiet.bass_scale == 1.0
    np.testing.assert_array_equal(np.concatenate(list(quiet.bass())), np.full(len(content), 0.5, np.float32))
    wanted, scale = sonification.preview_mix(content, np.full(len(content), 0.5, np.float32), 1.0)
    assert quiet.preview_scale == pytest.approx(scale)
    np.testing.assert_allclose(np.concatenate(list(quiet.preview())), wanted, atol=1e-6)
  with bounce.Bounce(Ones(0.5), mix, 1.0, energy=4.0 * len(content)) as loud:
    assert np.concatenate(list(loud.bass())).max() == pytest.approx(0.98) and loud.bass_scale == pytest.approx(0.49)
