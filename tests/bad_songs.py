"""Folders of stems of which ten are damaged, each in its own way, as they come from real disks."""

from __future__ import annotations

import os
import pathlib
import struct

import numpy as np
import soundfile

RATE = 8_000

BAD = {
  'empty': 'an empty file',
  'truncated': 'cut short',
  'text': 'not audio that can be read',
  'silent': 'silence',
  'nan': 'no numbers (NaN',
  'wrong_rate': 'one of the two headers is wrong',
  'impossible_rate': 'its header claims 5 samples a second',
  'one_sample': 'of audio; at least',
  'unreadable': "a folder; a WAV|can't be read",
  'zero_length': 'without a single sample',
}
"""Song -> words of the reason for which it is skipped, alternatives separated by |."""


def good_song(folder: pathlib.Path, seconds: float = 2.2, channels: int = 1) -> None:
  """A bass that plays four notes, and drums: noise."""
  folder.mkdir(parents=True)
  rng = np.random.default_rng(sum(folder.name.encode()))
  t = np.arange(int(seconds * RATE)) / RATE
  hertz = 55 * 2 ** (rng.integers(0, 12, 8)[(t / 0.5).astype(int) % 8] / 12)
  bass = 0.3 * np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-2 * (t % 0.5))
  drums = 0.1 * rng.normal(size=len(t)) * np.exp(-20 * (t % 0.25))
  for name, wave in (('bass', bass), ('drums', drums)):
    samples = np.stack([wave] * channels, axis=1) if channels > 1 else wave
    soundfile.write(folder / f'{name}.wav', samples.astype(np.float32), RATE, subtype='FLOAT' if channels == 1 else 'PCM_16')


def bad_song(folder: pathlib.Path) -> None:
  """A good song, damaged as its name says."""
  good_song(folder)
  bass = folder / 'bass.wav'
  data = bytearray(bass.read_bytes())
  rate_at = data.index(b'fmt ') + 12
  kind = folder.name
  if kind == 'empty':
    bass.write_bytes(b'')
  elif kind == 'truncated':
    bass.write_bytes(data[: len(data) // 2])
  elif kind == 'text':
    bass.write_text('This is not audio, whatever its name says.\n' * 20)
  elif kind == 'silent':
    soundfile.write(bass, np.zeros(int(2.2 * RATE), np.float32), RATE)
  elif kind == 'nan':
    samples, _ = soundfile.read(bass, dtype='float32')
    samples[1000] = np.nan
    soundfile.write(bass, samples, RATE, subtype='FLOAT')
  elif kind in ('wrong_rate', 'impossible_rate'):
    data[rate_at : rate_at + 4] = struct.pack('<I', 44_100 if kind == 'wrong_rate' else 5)
    bass.write_bytes(data)
  elif kind == 'one_sample':
    soundfile.write(bass, np.full(1, 0.5, np.float32), RATE)
  elif kind == 'unreadable':
    if os.geteuid() == 0:  # Root reads whatever it likes; a folder of the file's name is unreadable to everyone.
      bass.unlink()
      bass.mkdir()
    else:
      bass.chmod(0)
  elif kind == 'zero_length':
    soundfile.write(bass, np.zeros(0, np.float32), RATE)
  else:
    raise ValueError(kind)


def tree(root: pathlib.Path, good: int) -> None:
  """The ten bad songs, a song of eight channels, and `good` others."""
  for name in BAD:
    bad_song(root / 'train' / name)
  good_song(root / 'train' / 'eight_channels', channels=8)
  for i in range(good):
    good_song(root / ('train' if i % 5 else 'test') / f'song_{i:03d}')


def check_reasons(skipped: dict[str, str]) -> None:
  """Every bad song is named with its own reason, and no other is skipped."""
  assert sorted(skipped) == sorted(f'train__{name}' for name in BAD)
  for name, words in BAD.items():
    reason = skipped[f'train__{name}']
    assert any(word in reason for word in words.split('|')), f'{name}: {reason}'
    assert 'unforeseen' not in reason and 'bass.wav' in reason, reason
