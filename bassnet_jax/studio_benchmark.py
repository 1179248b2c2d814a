"""Measures the studio in a real browser: `python -m bassnet_jax.studio_benchmark --checkpoint=WORKDIR [--json=FILE]`.

Starts the studio as a person does, drops in a song, presses play and drags the dot with the mouse. The time from a pointer's event to
the first block of audio that is rendered from the new position is taken in the browser, by stamps of the AudioWorklet. Needs Chromium
(Debian: apt-get install chromium) and playwright (pip install playwright). The exit code is 1 where an aim is missed.
"""

from __future__ import annotations

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

from bassnet_jax import aims, generate_benchmark
from data_pipeline import commands

ARGUMENTS = (
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--autoplay-policy=no-user-gesture-required',
)
_MOVES_A_SECOND = 60
AIMS: aims.Aims = {
  'studio.opens.seconds': (aims.AT_MOST, 5.0),
  'studio.4min.analysis.seconds': (aims.AT_MOST, 12.0),
  'studio.move_to_sound.p50_ms': (aims.AT_MOST, 50.0),
  'studio.move_to_sound.p95_ms': (aims.AT_MOST, 120.0),
  'studio.4min.whole_song.seconds': (aims.AT_MOST, 1.5),
}


class BenchmarkError(RuntimeError):
  """The studio can't be measured; the message says why."""


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


def measure(checkpoint: str | None, seconds: float, drag_seconds: float, chromium: str) -> dict[str, float]:
  """Runs the studio and the browser. Returns all figures, by their public keys."""
  try:
    from playwright.sync_api import sync_playwright
  except ImportError as error:
    raise BenchmarkError('playwright is missing: pip install playwright') from error
  import soundfile

  with tempfile.TemporaryDirectory() as folder:
    song = os.path.join(folder, 'song.wav')
    soundfile.write(song, np.concatenate(list(generate_benchmark.made_up_song(seconds))), generate_benchmark.RATE)
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
  length = f'studio.{seconds / 60:g}min'
  return {
    'studio.opens.seconds': opened,
    f'{length}.upload.seconds': read,
    f'{length}.analysis.seconds': analysed,
    f'{length}.whole_song.seconds': whole,
    'studio.move_to_sound.p50_ms': float(np.percentile(latencies, 50)),
    'studio.move_to_sound.p95_ms': float(np.percentile(latencies, 95)),
    'studio.move_to_sound.moves': float(len(latencies)),
  }


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'checkpoint', None, 'trained model (default: the one that comes with the package)')
  define(flags.DEFINE_float, 'seconds', 240.0, 'length of the song', lower_bound=10, upper_bound=1200)
  define(flags.DEFINE_float, 'drag_seconds', 10.0, 'how long the dot is dragged', lower_bound=1, upper_bound=120)
  define(flags.DEFINE_string, 'chromium', shutil.which('chromium'), 'the browser')
  define(flags.DEFINE_string, 'json', None, 'also write the figures to this file')


@commands.with_flags(_define_flags, BenchmarkError)
def main(defined: flags.FlagValues) -> int:
  """Prints the figures."""
  if not defined.chromium:
    raise BenchmarkError('Chromium is missing: apt-get install chromium, or give its path with --chromium.')
  return aims.report(measure(defined.checkpoint, defined.seconds, defined.drag_seconds, defined.chromium), AIMS, defined.json)


if __name__ == '__main__':
  sys.exit(main())
