"""Measures the studio in a real browser: `python -m bassnet_jax.studio_benchmark --checkpoint=WORKDIR [--json=FILE]`.

Starts the studio as a person does, drops in a song, presses play and drags the dot with the mouse. The time from a pointer's event to
the first block of audio that is rendered from the new position is taken in the browser, by stamps of the AudioWorklet. Needs Chromium
(Debian: apt-get install chromium) and playwright (pip install playwright). The exit code is 1 where an aim is missed.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
import urllib.request

import numpy as np
from absl import flags

from bassnet_jax import aims, generate_benchmark, studio_browser
from bassnet_jax.studio_browser import BrowserError, wait
from data_pipeline import commands

_MOVES_A_SECOND = 60
AIMS: aims.Aims = {
  'studio.opens.seconds': (aims.AT_MOST, 5.0),
  'studio.4min.analysis.seconds': (aims.AT_MOST, 12.0),
  'studio.move_to_sound.p50_ms': (aims.AT_MOST, 50.0),
  'studio.move_to_sound.p95_ms': (aims.AT_MOST, 120.0),
  'studio.4min.whole_song.seconds': (aims.AT_MOST, 1.5),
}


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
  import soundfile

  with (
    tempfile.TemporaryDirectory() as folder,
    studio_browser.new_page(chromium, viewport={'width': 1440, 'height': 900}) as page,
  ):
    song = os.path.join(folder, 'song.wav')
    soundfile.write(song, np.concatenate(list(generate_benchmark.made_up_song(seconds))), generate_benchmark.RATE)
    started = time.perf_counter()
    with studio_browser.running_studio(checkpoint) as address:
      with urllib.request.urlopen(address) as answer:
        answer.read()
      opened = time.perf_counter() - started
      page.goto(address)
      wait(page, '() => Boolean(window.studio?.ready)', 120)
      page.set_input_files('#files', song)
      read = wait(page, '() => studio.asked.length > 0', 300)
      analysed = wait(page, '() => Boolean(studio.song)', 300)
      wait(page, '() => studio.whole >= 0 && studio.whole === studio.line', 60)
      page.click('#play')
      time.sleep(1)
      _drag(page, 1)
      page.evaluate('() => { studio.latencies.length = 0; }')
      _drag(page, drag_seconds)
      whole = wait(page, '() => studio.whole === studio.line', 60)
      latencies = np.array(page.evaluate('() => studio.latencies'))
  if len(latencies) < 10:
    raise BrowserError(f'Only {len(latencies)} moves were heard; expected {drag_seconds * _MOVES_A_SECOND:.0f}.')
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
  define(flags.DEFINE_string, 'chromium', studio_browser.CHROMIUM, 'the browser')
  define(flags.DEFINE_string, 'json', None, 'also write the figures to this file')


@commands.with_flags(_define_flags, BrowserError, bare='checkpoint')
def main(defined: flags.FlagValues) -> int:
  """Prints the figures."""
  return aims.report(measure(defined.checkpoint, defined.seconds, defined.drag_seconds, defined.chromium), AIMS, defined.json)


if __name__ == '__main__':
  sys.exit(main())
