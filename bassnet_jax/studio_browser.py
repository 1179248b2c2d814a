"""A running studio and a browser on it, for what measures the page and takes its pictures."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

CHROMIUM = shutil.which('chromium')
ARGUMENTS = (
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--autoplay-policy=no-user-gesture-required',
)


class BrowserError(RuntimeError):
  """The studio can't be used in a browser; the message says why."""


@contextlib.contextmanager
def running_studio(checkpoint: str | None) -> Iterator[str]:
  """The address of a studio that is started, and ended at the end. Raises BrowserError: it didn't start."""
  command = [sys.executable, '-m', 'bassnet_jax.studio', '--port=0', *([f'--checkpoint={checkpoint}'] if checkpoint else [])]
  studio = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  try:
    line = studio.stdout.readline()
    found = re.search(r'http://\S+', line)
    if not found:
      raise BrowserError(f'The studio did not start{": " + line.strip() if line.strip() else "; what it said stands above"}.')
    yield found[0]
  finally:
    studio.terminate()
    studio.wait(20)


@contextlib.contextmanager
def new_page(chromium: str | None, **options) -> Iterator:
  """An empty page of a headless Chromium.

  Args:
    chromium: path of the browser.
    options: of Playwright's `Browser.new_page`.

  Raises:
    BrowserError: the browser or playwright is missing, or the browser does not start.
  """
  if not chromium:
    raise BrowserError('Chromium is missing: apt-get install chromium, or give its path with --chromium.')
  try:
    from playwright.sync_api import Error, sync_playwright
  except ImportError as error:
    raise BrowserError('playwright is missing: pip install playwright') from error
  with sync_playwright() as playwright:
    try:
      browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
    except Error as error:
      reason = str(error).splitlines()[0]
      raise BrowserError(f'{chromium} does not start as a browser ({reason}). Give the path of a Chromium with --chromium.') from error
    yield browser.new_page(**options)
    browser.close()


def wait(page, condition: str, seconds: float) -> float:
  """Seconds until an expression is true in the page. Raises BrowserError: it isn't in time."""
  begin = time.perf_counter()
  while not page.evaluate(condition):
    if time.perf_counter() - begin > seconds:
      raise BrowserError(f'Not within {seconds:.0f} s: {condition}. The page says: {page.inner_text("#banner") or "nothing"}')
    time.sleep(0.01)
  return time.perf_counter() - begin
