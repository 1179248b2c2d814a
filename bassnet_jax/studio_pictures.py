"""Takes the pictures of the studio for the documentation: `python -m bassnet_jax.studio_pictures --output=docs [--song=FILE]`.

Writes studio.png, 1440 pixels wide, and studio_phone.png, 390 pixels wide: the studio with a song, recorded moves, a measured map and two
takes, as it looks in a browser. Needs Chromium (Debian: apt-get install chromium) and playwright (pip install playwright).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

import numpy as np
from absl import flags

from bassnet_jax import generate_benchmark, studio_browser
from bassnet_jax.studio_browser import BrowserError, wait
from data_pipeline import commands

WIDE, NARROW = 'studio.png', 'studio_phone.png'
_PHONE_HEIGHT = 844
_LONGEST = 300.0  # seconds of waiting for the page
_PATH = ((-1.2, -0.8), (-0.3, 0.9), (1.4, 1.1), (0.9, -0.6), (-0.4, 0.2))
"""Where the dot is dragged while it is recorded."""


def _settled(page) -> None:
  wait(page, '() => Boolean(studio.song) && studio.whole >= 0 && studio.whole === studio.line', _LONGEST)


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
  wait(page, "() => studio.plane.progress === ''", _LONGEST)
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
  os.makedirs(output, exist_ok=True)
  paths = [os.path.join(output, name) for name in (WIDE, NARROW)]
  with (
    studio_browser.new_page(chromium, viewport={'width': 1440, 'height': 1000}, color_scheme=scheme) as page,
    studio_browser.running_studio(checkpoint) as address,
  ):
    page.goto(address)
    wait(page, '() => Boolean(window.studio?.ready)', _LONGEST)
    _use(page, song)
    for path, width, height in ((paths[0], 1440, None), (paths[1], 390, _PHONE_HEIGHT)):
      page.set_viewport_size({'width': width, 'height': height or 400})
      if height is None:  # as high as the page is: nothing of it lies below
        page.set_viewport_size({'width': width, 'height': page.evaluate('() => document.documentElement.scrollHeight')})
      time.sleep(0.5)  # the pictures in the page are drawn anew
      page.screenshot(path=path)
  return paths


def _define_flags(define: commands.Define) -> None:
  define(flags.DEFINE_string, 'output', 'docs', 'folder for the pictures')
  define(flags.DEFINE_string, 'song', None, 'mix without bass, 15 s or longer (default: a made-up one)')
  define(flags.DEFINE_string, 'checkpoint', None, 'trained model (default: the ones that come with the package)')
  define(flags.DEFINE_enum, 'scheme', 'dark', ['dark', 'light'], 'colours')
  define(flags.DEFINE_string, 'chromium', studio_browser.CHROMIUM, 'the browser')


@commands.with_flags(_define_flags, BrowserError, bare='output')
def main(defined: flags.FlagValues) -> int:
  """Prints the pictures' paths."""
  with tempfile.TemporaryDirectory() as folder:
    song = defined.song
    if song is None:
      song = os.path.join(folder, 'Keys and drums.flac')
      generate_benchmark.write_song(song, 60)
    elif not os.path.isfile(song):
      raise BrowserError(f'--song={song}: there is no such file. Give an audio file, or leave --song out.')
    print('\n'.join(take(defined.output, song, defined.checkpoint, defined.chromium, defined.scheme)))
  return 0


if __name__ == '__main__':
  sys.exit(main())
