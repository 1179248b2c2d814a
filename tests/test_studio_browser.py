"""The studio in a real browser: what a person does with it, and what it sounds like. Needs Chromium and playwright."""

import base64
import itertools
import json
import pathlib
import shutil
import threading
import time
import zipfile

import numpy as np
import pytest
import soundfile
import studio_model
import uvicorn

from bassnet_jax import midi_export
from bassnet_jax.studio import main

CHROMIUM = shutil.which('chromium')
ARGUMENTS = (
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--autoplay-policy=no-user-gesture-required',
)
SECONDS = 24.0
SLOW = 90.0

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(CHROMIUM is None, reason='Chromium is missing: apt-get install chromium, then the studio is tested in a browser'),
]


@pytest.fixture(scope='module')
def address(tmp_path_factory):
  """A running studio with the stand-in model."""
  guard = studio_model.application(tmp_path_factory.mktemp('model'))
  listener = main._listen('127.0.0.1', 0)
  server = uvicorn.Server(uvicorn.Config(guard, log_level='warning', loop='asyncio'))
  thread = threading.Thread(target=server.run, kwargs={'sockets': [listener]})
  thread.start()
  yield f'http://127.0.0.1:{listener.getsockname()[1]}/'
  server.should_exit = True
  thread.join(20)
  assert not thread.is_alive()


@pytest.fixture(scope='module')
def browser():
  playwright = pytest.importorskip('playwright.sync_api', reason='playwright is missing: pip install playwright')
  with playwright.sync_playwright() as running:
    browser = running.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, address):
  """The opened studio; anything on the console that is an error fails the test."""
  context = browser.new_context(viewport={'width': 1440, 'height': 900}, accept_downloads=True)
  page = context.new_page()
  faults = []
  page.on('pageerror', lambda error: faults.append(str(error)))
  page.on('console', lambda message: faults.append(message.text) if message.type == 'error' else None)
  page.goto(address)
  wait(page, '() => Boolean(window.studio?.ready)')
  page.faults = faults
  yield page
  context.close()
  assert not [fault for fault in faults if 'status of 400' not in fault]


def wait(page, condition: str, seconds: float = SLOW):
  """Waits until an expression is true in the page (whose security policy forbids Playwright's own way)."""
  end = time.monotonic() + seconds
  while not (value := page.evaluate(condition)):
    assert time.monotonic() < end, f'not within {seconds:.0f} s: {condition}; banner: {page.inner_text("#banner") or "none"}'
    time.sleep(0.05)
  return value


def drop(page, files: dict[str, bytes]) -> None:
  """Drops files on the page, as from a file manager."""
  coded = [[name, base64.b64encode(content).decode()] for name, content in files.items()]
  page.evaluate(
    """(files) => {
      const data = new DataTransfer();
      for (const [name, content] of files) data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
      for (const type of ['dragenter', 'drop']) document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true }));
    }""",
    coded,
  )


def drag(page, *points, pause=0.03, steps=12) -> None:
  """Drags the dot with the mouse from one position of the plane to the next."""
  box, reach = page.locator('#plane').bounding_box(), 3.5
  page.evaluate('() => document.querySelector("#plane").scrollIntoView({block: "center"})')
  box = page.locator('#plane').bounding_box()
  pixels = [(box['x'] + box['width'] * (0.5 + x / reach / 2), box['y'] + box['height'] * (0.5 - y / reach / 2)) for x, y in points]
  page.mouse.move(*pixels[0])
  page.mouse.down()
  for start, end in itertools.pairwise(pixels):
    for step in range(1, steps + 1):
      page.mouse.move(*(a + (b - a) * step / steps for a, b in zip(start, end, strict=True)))
      time.sleep(pause)
  page.mouse.up()


def settled(page) -> list[dict]:
  """The notes, once the newest line is there as a whole."""
  wait(page, '() => studio.whole >= 0 && studio.whole === studio.line')
  return page.evaluate('() => studio.notes.map(({onset, offset, pitch}) => ({onset, offset, pitch}))')


def heard_pitch(page) -> tuple[float, float]:
  """(MIDI pitch of what sounds now, that of the piano roll's note at that time), taken in the middle of a note."""
  sample = wait(
    page,
    """() => {
      const { transport, notes } = studio;
      const seconds = 4096 / transport.context.sampleRate;
      const now = transport.position() - 0.01;
      const note = notes.find((n) => n.onset + 0.03 < now - seconds && n.offset > now);
      if (!note || !transport.playing) return null;
      const wave = new Float32Array(8192);
      transport.tap.getFloatTimeDomainData(wave);
      const later = transport.position();
      if (later > note.offset || !wave.slice(-4096).some((value) => Math.abs(value) > 1e-3)) return null;
      return { wave: [...wave.slice(-4096)], rate: transport.context.sampleRate, pitch: note.pitch };
    }""",
  )
  wave = np.asarray(sample['wave']) * np.hanning(4096)
  spectrum = np.abs(np.fft.rfft(wave, 1 << 17))
  spectrum[: int(30 / sample['rate'] * (1 << 17))] = 0
  hertz = np.argmax(spectrum) * sample['rate'] / (1 << 17)
  return 69 + 12 * np.log2(hertz / 440), sample['pitch']


@pytest.fixture
def tracks(tmp_path) -> dict[str, bytes]:
  paths = {
    'Keys.wav': studio_model.write(tmp_path / 'keys.wav', studio_model.chords(SECONDS)),
    'Drums.wav': studio_model.write(tmp_path / 'drums.wav', studio_model.clicks(SECONDS)),
  }
  return {name: pathlib.Path(path).read_bytes() for name, path in paths.items()}


def test_a_musician_uses_it(page, tracks, tmp_path):
  page.evaluate(
    """() => {
      window.seen = [];
      const watch = () => !document.querySelector('#busy').hidden && seen.push(document.querySelector('#busy-text').textContent);
      const all = { attributes: true, childList: true, subtree: true, characterData: true };
      new MutationObserver(watch).observe(document.querySelector('#busy'), all);
    }"""
  )
  drop(page, tracks)
  assert {note['pitch'] for note in settled(page)} == {40}
  seen = page.evaluate('() => seen')
  assert any('Keys.wav' in text for text in seen) and any('Listening' in text for text in seen)
  assert page.is_hidden('#busy') and page.locator('#tracks li').count() == 2

  page.evaluate('() => studio.transport.setLoop([0, studio.transport.length - 1])')  # however slow this machine is, it plays
  page.click('#play')
  heard, shown = heard_pitch(page)
  assert shown == 40 and heard == pytest.approx(40, abs=0.3)

  assert page.evaluate('() => studio.plane.z') == [0, -0.5], "the model's own position"
  drag(page, (0, 0), (2, 0))
  assert {note['pitch'] for note in settled(page)} == {44}
  heard, shown = heard_pitch(page)
  assert shown == 44 and heard == pytest.approx(44, abs=0.3)
  assert page.evaluate('() => studio.latencies.length') >= 5

  page.click('#keep')
  page.fill('#takes input', 'Chorus')
  page.keyboard.press('Enter')
  page.focus('#dot')
  page.keyboard.press('Home')
  assert page.evaluate('() => studio.plane.z') == [0, -0.5]
  assert {note['pitch'] for note in settled(page)} == {40}
  page.click('[aria-label="Hear Chorus"]')
  assert {note['pitch'] for note in settled(page)} == {44}
  page.click('#undo')
  assert {note['pitch'] for note in settled(page)} == {40}

  page.evaluate('() => { studio.transport.setLoop(null); studio.transport.seek(0); }')
  page.click('#record')
  wait(page, '() => studio.transport.position() > 0.5')
  drag(page, (0, 0), (2.5, 1), (-2.5, 0), steps=25, pause=0.05)
  page.click('#record')
  notes = settled(page)
  path = page.evaluate('() => studio.moves.points')
  assert len(path) > 10 and all(a[0] < b[0] for a, b in itertools.pairwise(path))
  assert len({note['pitch'] for note in notes}) >= 2  # the line follows the moves
  expected = [np.interp(note['onset'], [p[0] for p in path], [p[1] for p in path]) for note in notes]
  assert sum(abs(studio_model.pitch_of(x) - note['pitch']) <= 1 for x, note in zip(expected, notes, strict=True)) == len(notes)
  assert page.get_attribute('#replay', 'aria-pressed') == 'true'
  page.click('#play')

  saved = {}
  for kind in ('midi', 'bass', 'mix', 'path', 'project'):
    with page.expect_download() as download:
      page.click(f'[data-export={kind}]')
    saved[kind] = str(tmp_path / download.value.suggested_filename)
    download.value.save_as(saved[kind])
  midi = midi_export.read_notes(saved['midi'])
  assert midi.pitch.tolist() == [note['pitch'] for note in notes]
  np.testing.assert_allclose(midi.onset, [note['onset'] for note in notes], atol=0.002)
  bass, rate = soundfile.read(saved['bass'])
  assert rate == 22_050 and len(bass) == SECONDS * rate and np.abs(bass).max() > 0.01
  assert [[row['time'], row['x'], row['y']] for row in json.loads(pathlib.Path(saved['path']).read_text())] == path
  assert zipfile.is_zipfile(saved['project'])

  page.reload()
  wait(page, '() => Boolean(window.studio?.ready)')
  page.set_input_files('#project-file', saved['project'])
  wait(page, '() => Boolean(studio.song)')
  assert settled(page) == notes
  assert page.evaluate('() => studio.moves.points') == path
  assert page.input_value('#takes input') == 'Chorus'
  assert page.locator('#tracks li').count() == 2


def test_wrong_file_gets_plain_words_and_the_page_goes_on(page, tracks):
  drop(page, {'notes.wav': b'these are my notes'})
  wait(page, '() => !document.querySelector("#banner").hidden')
  said = page.inner_text('#banner')
  assert 'notes.wav' in said and 'not audio' in said and '/' not in said.replace('and/or', '')
  page.click('#banner-close')
  drop(page, tracks)
  assert len(settled(page)) > 10
  page.click('[aria-label="Remove Keys.wav"]')
  page.click('[aria-label="Remove Drums.wav"]')
  assert page.is_visible('#drop') and page.is_disabled('#play')


def test_files_that_come_before_the_studio_or_its_model_is_there(page, tracks):
  page.evaluate('() => { window.kept = studio.api; studio.api = null; }')
  drop(page, tracks)
  wait(page, "() => document.querySelector('#banner-text').textContent.startsWith('The studio is not ready')")
  page.evaluate('() => { studio.api = kept; studio.model = null; }')
  drop(page, tracks)
  wait(page, "() => document.querySelector('#banner-text').textContent.startsWith('No model is loaded')")
  assert page.is_hidden('#busy') and page.locator('#tracks li').count() == 2
  page.evaluate("() => document.querySelector('#model').dispatchEvent(new Event('change'))")
  assert settled(page)


@pytest.mark.parametrize('width', [360, 390, 820, 1440])
def test_nothing_is_cut_off_and_everything_has_a_name(page, width):
  page.set_viewport_size({'width': width, 'height': 800})
  assert page.evaluate('() => document.documentElement.scrollWidth') <= width
  nameless = page.evaluate(
    """() => [...document.querySelectorAll('button, input:not([hidden]), select, [role=slider], canvas')].filter((node) =>
      !(node.getAttribute('aria-label') || node.labels?.length || node.textContent.trim())).map((node) => node.outerHTML)"""
  )
  assert not nameless


DRAGGING = """async () => {
  // Ten seconds of one line after another, every 30 ms: a note every half second, its pitch and its onset (by up to 10 ms) different
  // in each line. Rendered offline, so that every sample is there.
  const rate = 48000, seconds = 10, step = 0.03;
  const context = new OfflineAudioContext(1, rate * seconds, rate);
  await context.audioWorklet.addModule('synth.worklet.js');
  const synth = new AudioWorkletNode(context, 'bass-synth', { numberOfInputs: 0, outputChannelCount: [1] });
  synth.connect(context.destination);
  const line = (id, whole, from) => {
    const random = (n) => { const x = Math.sin(id * 127.1 + n * 311.7) * 43758.5453; return x - Math.floor(x); };
    const notes = [];
    for (let n = 0; n < 2 * seconds; n += 1) {
      const onset = 0.1 + n / 2 + 0.02 * (random(n) - 0.5);
      const offset = onset + 0.25 + 0.2 * random(n + 50), hertz = 60 + 60 * random(99);
      notes.push({ onset, offset, hertz, pitch: 40, velocity: 90, first: Math.floor(onset * 80), frames: 40, place: 0, id, open: false });
    }
    const kept = whole ? notes : notes.filter(({ onset }) => onset >= from - 0.05 && onset < from + 1.6);
    const codes = new Uint8Array(48 * 40 * kept.length);
    kept.forEach((note, i) => {
      note.place = i * 48 * 40;
      for (let f = 0; f < 40; f += 1) codes[note.place + f * 48] = 185;
    });
    const here = notes.findLast((note) => note.onset <= from), next = notes.find((note) => note.onset > from);
    const hold = here && here.offset > from ? Math.min(here.offset, next?.onset ?? 99) : from;
    return { type: 'line', id, whole, span: [from - 0.05, from + 1.6], hold, notes: kept, codes };
  };
  const settle = () => new Promise((resolve) => setTimeout(resolve, 4));
  synth.port.postMessage(line(1, true, 0));
  synth.port.postMessage({ type: 'start', start: 0, offset: 0, loop: null });
  await settle();
  for (let move = 1; move * step < seconds - 0.1; move += 1) {
    const at = Math.ceil((move * step * rate) / 128) * 128 / rate;
    context.suspend(at).then(async () => {
      synth.port.postMessage(line(move + 1, move % 7 === 0, Math.max(at - 0.02, 0)));
      await settle();
      context.resume();
    });
  }
  const buffer = await context.startRendering();
  const bytes = new Uint8Array(buffer.getChannelData(0).buffer);
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}"""


def test_dragging_for_ten_seconds_makes_no_click_and_strikes_nothing_twice(page):
  rate = 48_000
  audio = np.frombuffer(base64.b64decode(page.evaluate(DRAGGING)), dtype=np.float32)
  assert len(audio) == 10 * rate
  loud = 10 ** ((-90 + (185 - 1) / 254 * 108) / 20)
  assert 0.9 * loud < np.abs(audio).max() < 1.6 * loud
  # A note is one sinusoid of at most 120 Hz; its attack of 5 ms adds pi / 2 / 5 ms to its steepest slope. Two may overlap for 30 ms.
  steepest = 2 * loud * (2 * np.pi * 120 + np.pi / 2 / 0.005) / rate
  assert np.abs(np.diff(audio)).max() < steepest
  assert np.abs(np.diff(audio, 2)).max() < steepest * (2 * np.pi * 120 + np.pi / 0.005) / rate
  # Onsets: where the level rises from silence. Every half second one, and nowhere else.
  level = np.sqrt(np.convolve(audio**2, np.ones(960) / 960, mode='same'))[::48]
  sounding = level > 0.25 * loud
  begins = np.flatnonzero(sounding[1:] & ~sounding[:-1]) / 1000
  expected = 0.1 + np.arange(20) / 2
  assert len(begins) == len(expected), begins
  np.testing.assert_allclose(begins, expected, atol=0.045)
