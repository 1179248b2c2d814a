"""The measurement of generation: its song, its processes, and (slow) the bound on memory for an hour of music."""

import sys

import numpy as np
import pytest

from bassnet_jax import generate_benchmark


def test_the_song_is_as_long_as_asked_and_the_same_every_time():
  blocks = list(generate_benchmark.made_up_song(31.5))
  audio = np.concatenate(blocks)
  assert audio.shape == (round(31.5 * 44_100), 2) and len(blocks) == 2
  assert 0.1 < np.abs(audio).max() < 1.0
  np.testing.assert_array_equal(audio, np.concatenate(list(generate_benchmark.made_up_song(31.5))))


def test_time_and_memory_are_those_of_the_process():
  seconds, memory, said = generate_benchmark.run([sys.executable, '-c', 'print("a"); x = bytearray(200 << 20); print(len(x))'])
  assert said.split() == ['a', str(200 << 20)]
  assert 200 < memory < 300 and 0 < seconds < 60
  assert generate_benchmark.run([sys.executable, '-c', 'pass'])[1] < 100
  with pytest.raises(RuntimeError, match='no such thing'):
    generate_benchmark.run([sys.executable, '-c', 'raise SystemExit("no such thing")'])


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells of the processes that a process starts')
def test_memory_is_added_up_over_the_processes_of_a_command():
  child = 'import time; x = bytearray(150 << 20); time.sleep(2)'
  program = f'import subprocess, sys; x = bytearray(150 << 20)\nsubprocess.run([sys.executable, "-c", "{child}"], check=True)'
  assert 300 < generate_benchmark.run([sys.executable, '-c', program])[1] < 400


def test_help_and_mistakes(capsys):
  assert generate_benchmark.main(['benchmark', '--help']) == 0
  assert '--minutes' in capsys.readouterr().out
  assert generate_benchmark.main(['benchmark', '--minutes=four']) == 2
  assert 'four' in capsys.readouterr().err


def test_a_command_that_fails_is_told_by_its_last_words():
  with pytest.raises(RuntimeError, match=r'failed: ValueError: no such model$'):
    generate_benchmark.run([sys.executable, '-c', "raise ValueError('no such model')"])


@pytest.mark.slow
def test_an_hour_of_music_stays_below_two_gigabytes():
  figures = generate_benchmark.measure(None, [60.0], 1, say=lambda text: None)
  assert figures['generate.60min.peak_memory_mib'] <= generate_benchmark.AIMS['generate.60min.peak_memory_mib'][1]
