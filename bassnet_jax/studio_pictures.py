"""Takes the pictures of the studio for the documentation: `python -m bassnet_jax.studio_pictures --output=docs [--song=FILE]`.

Writes studio.png, 1440 pixels wide, and studio_phone.png, 390 pixels wide: the studio with a song, recorded moves, a measured map and two
takes, as it looks in a browser. Needs Chromium (Debian: apt-get install chromium) and playwright (pip install playwright).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
from absl import flags

from bassnet_jax import generate_benchmark
from data_pipeline import commands

WIDE, NARROW = 'studio.png', 'studio_phone.png'
_ARGUMENTS = ('--headless', '--no-sandbox', '--disable-gpu', '--autoplay-policy=no-user-gesture-required')
_PHONE_HEIGHT = 844
_PATH = ((-1.2, -0.8), (-0.3, 0.9), (1.4, 1.1), (0.9, -0.6), (-0.4, 0.2))
"""Where the dot is dragged while it is recorded."""


class PictureError(RuntimeError):
  """The pictures can't be taken; the message says why."""


@contextlib.contextmanager
def _studio(checkpoint: str | None) -> Iterator[str]:
  """A running studio's address."""
  command = [sys.executable, '-m', 'bassnet_jax.studio', '--port=0', *([f'--checkpoint={checkpoint}'] if checkpoint else [])]
  process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  try:
    line = process.stdout.readline()
    found = re.search(r'http://\S+', line)
    if not found:
      raise PictureError(f'The studio did not start; it said: {line.strip() or "nothing (see above)"}')
    yield found[0]
  finally:
    process.terminate()
    process.wait(20)


def _wait(page, condition: str, seconds: float = 300) -> None:
  end = time.monotonic() + seconds
  while not page.evaluate(condition):
    if time.monotonic() > end:
      raise PictureError(f'Not within {seconds:.0f} s: {condition}. The page says: {page.inner_text("#banner") or "nothing"}')
    time.sleep(0.05)


def _settled(page) -> None:
  _wait(page, '() => Boolean(studio.song) && studio.whole >= 0 && studio.whole === studio.line')


def _drag(page, seconds: float) -> None:
  """Drags the dot along the path, for so many seconds of the song, however slow the machine is."""
  page.evaluate('() => document.querySelector("#plane").scrollIntoView({block: "center"})')
  box = page.locator('#plane').bounding_box()
  reach = page.evaluate('() => studio.plane.reach')
  clock = '() => studio.transport.position()'
  begin = page.evaluate(clock)
  share, held = 0.0, False
  while share < 1:
    share = min(max(page.evaluate(clock) - begin, 0.0) / seconds, 1.0)
    x, y = (float(np.interp(share * (len(_PATH) - 1), range(len(_PATH)), [point[i] for point in _PATH])) for i in (0, 1))
    page.mouse.move(box['x'] + box['width'] * (0.5 + x / reach / 2), box['y'] + box['height'] * (0.5 - y / reach / 2))
    if not held:
      page.mouse.down()
      held = True
  page.mouse.up()


def _keep(page, name: str) -> None:
  page.click('#keep')
  page.fill('#takes li:last-child input', name)
  page.keyboard.press('Enter')


def _use(page, song: str) -> None:
  """Does what a musician does with a song."""
  page.set_input_files('#files', song)
  _settled(page)
  _keep(page, 'Verse, steady')
  page.evaluate('() => studio.transport.seek(studio.transport.length / 6)')
  page.click('#record')
  _drag(page, min(10.0, page.evaluate('() => studio.transport.length') / 3))
  page.click('#record')
  page.click('#play')
  _settled(page)
  _keep(page, 'Chorus')
  page.mouse.move(1, 1)
  page.select_option('#map', 'density')
  _wait(page, "() => studio.plane.progress === ''")
  # To where the dot was moved and the bass sounds.
  page.evaluate(
    """() => {
      const { moves, notes, transport } = studio;
      const middle = (moves.points[0][0] + moves.points.at(-1)[0]) / 2;
      const note = notes.find(({ onset }) => onset > middle);
      const position = note ? (note.onset + note.offset) / 2 : middle;
      transport.seek(position);
      studio.plane.show(...moves.at(position));
      document.activeElement.blur();
    }"""
  )


def take(output: str, song: str, checkpoint: str | None, chromium: str, scheme: str) -> list[str]:
  """Takes both pictures. Returns their paths."""
  try:
    from playwright.sync_api import sync_playwright
  except ImportError as error:
    raise PictureError('playwright is missing: pip install playwright') from error
  os.makedirs(output, exist_ok=True)
  paths = [os.path.join(output, name) for name in (WIDE, NARROW)]
  with _studio(checkpoint) as address, sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
    page = browser.new_page(viewport={'width': 1440, 'height': 1000}, color_scheme=scheme)
    page.goto(address)
    _wait(page, '() => Boolean(window.studio?.ready)')
    _use(page, song)
    for path, width, height in ((paths[0], 1440, None), (paths[1], 390, _PHONE_HEIGHT)):
      page.set_viewport_size({'width': width, 'height': height or 400})
      if height is None:  # as high as the page is: nothing of it lies below
        page.set_viewport_size({'width': width, 'height': page.evaluate('() => document.documentElement.scrollHeight')})
      time.sleep(0.5)  # the pictures in the page are drawn anew
      page.screenshot(path=path)
    browser.close()
  return paths


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'output', 'docs', 'folder for the pictures')
  define(flags.DEFINE_string, 'song', None, 'mix without bass, 15 s or longer (default: a made-up one)')
  define(flags.DEFINE_string, 'checkpoint', None, 'trained model (default: the ones that come with the package)')
  define(flags.DEFINE_enum, 'scheme', 'dark', ['dark', 'light'], 'colours')
  define(flags.DEFINE_string, 'chromium', shutil.which('chromium'), 'the browser')


@commands.with_flags(_define_flags, PictureError, bare='output')
def main(defined: flags.FlagValues) -> int:
  """Prints the pictures' paths."""
  if not defined.chromium:
    raise PictureError('Chromium is missing: apt-get install chromium, or give its path with --chromium.')
  with tempfile.TemporaryDirectory() as folder:
    song = defined.song
    if song is None:
      song = os.path.join(folder, 'Keys and drums.flac')
      generate_benchmark.write_song(song, 60)
    elif not os.path.isfile(song):
      raise PictureError(f'--song={song}: there is no such file. Give an audio file, or leave --song out.')
    print('\n'.join(take(defined.output, song, defined.checkpoint, defined.chromium, defined.scheme)))
  return 0


if __name__ == '__main__':
  sys.exit(main())
