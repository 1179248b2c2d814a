"""Measures the studio in a real browser: `python -m bassnet_jax.studio_benchmark --checkpoint=WORKDIR [--json=FILE]`.

Starts the studio as a person does, drops in a song, presses play and drags the dot with the mouse. The time from a pointer's event to
the first block of audio that is rendered from the new position is taken in the browser, by stamps of the AudioWorklet. Needs Chromium
(Debian: apt-get install chromium) and playwright (pip install playwright).
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
from absl import flags

from data_pipeline import commands, storage

ARGUMENTS = (
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--autoplay-policy=no-user-gesture-required',
)
_RATE = 44_100
_MOVES_A_SECOND = 60


class BenchmarkError(RuntimeError):
  """The studio can't be measured; the message says why."""


def made_up_song(seconds: float) -> np.ndarray:
  """[samples, 2] float32 at 44.1 kHz: four chords with a noise on every beat, 120 a minute."""
  clock = np.arange(round(seconds * _RATE)) / _RATE
  chord = (clock // 2).astype(int) % 4
  audio = np.zeros_like(clock)
  for degree in (0, 4, 7):
    pitch = np.array([57, 53, 48, 55])[chord] + degree
    audio += np.sin(2 * np.pi * np.cumsum(440 * 2 ** ((pitch - 69) / 12)) / _RATE) * np.exp(-2 * (clock % 0.5))
  audio += np.random.default_rng(0).normal(0, 0.5, len(clock)) * np.exp(-40 * (clock % 0.5))
  return np.repeat((0.1 * audio)[:, None], 2, axis=1).astype(np.float32)


def _wait(page, condition: str, seconds: float) -> float:
  """Seconds until an expression is true in the page."""
  begin = time.perf_counter()
  while not page.evaluate(condition):
    if time.perf_counter() - begin > seconds:
      raise BenchmarkError(f'Not within {seconds:.0f} s: {condition}. It says: {page.inner_text("#banner") or "nothing"}')
    time.sleep(0.01)
  return time.perf_counter() - begin


def _drag(page, seconds: float) -> None:
  """Drags the dot in circles around the middle of the plane, 60 events a second."""
  box = page.locator('#plane').bounding_box()
  middle, radius = (box['x'] + box['width'] / 2, box['y'] + box['height'] / 2), box['width'] / 4
  page.mouse.move(middle[0] + radius, middle[1])
  page.mouse.down()
  begin = time.perf_counter()
  for step in range(1, round(seconds * _MOVES_A_SECOND) + 1):
    angle = 2 * math.pi * step / (2 * _MOVES_A_SECOND)
    page.mouse.move(middle[0] + radius * math.cos(angle), middle[1] + radius * math.sin(angle))
    time.sleep(max(begin + step / _MOVES_A_SECOND - time.perf_counter(), 0))
  page.mouse.up()


def measure(checkpoint: str | None, seconds: float, drag_seconds: float, chromium: str) -> dict:
  """Runs the studio and the browser. Returns the figures by name."""
  try:
    from playwright.sync_api import sync_playwright
  except ImportError as error:
    raise BenchmarkError('playwright is missing: pip install playwright') from error
  import soundfile

  with tempfile.TemporaryDirectory() as folder:
    song = os.path.join(folder, 'song.wav')
    soundfile.write(song, made_up_song(seconds), _RATE)
    command = [sys.executable, '-m', 'bassnet_jax.studio', '--port=0', *([f'--checkpoint={checkpoint}'] if checkpoint else [])]
    started = time.perf_counter()
    studio = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
      line = studio.stdout.readline()
      found = re.search(r'http://\S+', line)
      if not found:
        raise BenchmarkError(f'The studio did not start; it said: {line.strip() or "nothing (see above)"}')
      with urllib.request.urlopen(found[0]) as answer:
        answer.read()
      opened = time.perf_counter() - started
      with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page(viewport={'width': 1440, 'height': 900})
        page.goto(found[0])
        _wait(page, '() => Boolean(window.studio?.ready)', 120)
        page.set_input_files('#files', song)
        read = _wait(page, '() => studio.asked.length > 0', 300)
        analysed = _wait(page, '() => Boolean(studio.song)', 300)
        _wait(page, '() => studio.whole >= 0 && studio.whole === studio.line', 60)
        page.click('#play')
        time.sleep(1)
        _drag(page, 1)
        page.evaluate('() => { studio.latencies.length = 0; }')
        _drag(page, drag_seconds)
        whole = _wait(page, '() => studio.whole === studio.line', 60)
        latencies = np.array(page.evaluate('() => studio.latencies'))
        browser.close()
    finally:
      studio.terminate()
      studio.wait(20)
  if len(latencies) < 10:
    raise BenchmarkError(f'Only {len(latencies)} moves were heard; expected {drag_seconds * _MOVES_A_SECOND:.0f}.')
  return {
    'song_seconds': seconds,
    'opens_seconds': opened,
    'upload_seconds': read,
    'analysis_seconds': analysed,
    'move_to_sound_ms': {'p50': float(np.percentile(latencies, 50)), 'p95': float(np.percentile(latencies, 95)), 'moves': len(latencies)},
    'whole_song_seconds': whole,
  }


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'checkpoint', None, 'trained model (default: the one that comes with the package)')
  define(flags.DEFINE_float, 'seconds', 240.0, 'length of the song', lower_bound=10, upper_bound=1200)
  define(flags.DEFINE_float, 'drag_seconds', 10.0, 'how long the dot is dragged', lower_bound=1, upper_bound=120)
  define(flags.DEFINE_string, 'chromium', shutil.which('chromium'), 'the browser')
  define(flags.DEFINE_string, 'json', None, 'file for the figures')


@commands.with_flags(_define_flags, BenchmarkError)
def main(defined: flags.FlagValues) -> int:
  """Prints the figures."""
  if not defined.chromium:
    raise BenchmarkError('Chromium is missing: apt-get install chromium, or give its path with --chromium.')
  figures = measure(defined.checkpoint, defined.seconds, defined.drag_seconds, defined.chromium)
  text = json.dumps(figures, indent=2)
  print(text)
  if defined.json:
    storage.write_text(defined.json, text + '\n')
  return 0


if __name__ == '__main__':
  sys.exit(main())
