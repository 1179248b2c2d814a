"""What the browser's tests do in the studio's page: wait, drop files, drag the dot, listen."""

import base64
import contextlib
import itertools
import pathlib
import time

import numpy as np
from starlette.responses import Response

from bassnet_jax.studio import app

SLOW = 90.0
READY = '() => Boolean(window.studio?.ready)'

RECORDER = """
const strike = BassSynth.prototype.strike;
BassSynth.prototype.strike = function (note, at, position) {
  const { onset, pitch, hertz } = note;
  this.port.postMessage({ type: 'strike', onset, pitch, hertz, line: this.id, at: currentTime + at / sampleRate, position });
  strike.call(this, note, at, position);
};
registerProcessor('recorder', class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(4096);
    this.filled = 0;
  }
  process([input]) {
    if (!input.length) return true;
    if (!this.filled) this.first = currentFrame;
    this.block.set(input[0], this.filled);
    this.filled += input[0].length;
    if (this.filled < this.block.length) return true;
    this.port.postMessage({ first: this.first, block: this.block });
    this.filled = 0;
    return true;
  }
});
"""
"""Goes at the end of the synthesiser's worklet: tells of each strike, and can record every sample with its place in the context's time."""

RECORD = """() => {
  const { transport } = studio;
  window.taken = { blocks: [], strikes: [], rolls: [] };
  const recorder = new AudioWorkletNode(transport.context, 'recorder');
  recorder.port.onmessage = ({ data }) => taken.blocks.push(data);
  transport.bass.connect(recorder).connect(transport.context.destination); // silent; what isn't connected isn't run
  transport.addEventListener('synth', ({ detail }) => detail.type === 'strike' && taken.strikes.push(detail));
  const send = transport.sendLine.bind(transport);
  transport.sendLine = (header, codes) => {
    taken.rolls.push({ line: header.id, at: transport.context.currentTime, notes: studio.notes.map(({ onset, pitch }) => [onset, pitch]) });
    send(header, codes);
  };
}"""
"""Begins to take down what sounds, what is struck, and what the piano roll shows."""

TAKEN = """() => {
  const { blocks, strikes, rolls } = taken;
  const samples = new Float32Array(blocks.reduce((sum, { block }) => sum + block.length, 0));
  const gaps = blocks.filter(({ first }, i) => i && first !== blocks[i - 1].first + blocks[i - 1].block.length).length;
  let place = 0;
  for (const { block } of blocks) {
    samples.set(block, place);
    place += block.length;
  }
  const bytes = new Uint8Array(samples.buffer);
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return { audio: btoa(text), rate: studio.transport.context.sampleRate, first: blocks[0].first, gaps, strikes, rolls };
}"""

CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const over = (colour, below) => {
    canvas.fillStyle = `rgb(${below.join(' ')})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => over(getComputedStyle(node).backgroundColor, node.parentElement ? behind(node.parentElement) : [255, 255, 255]);
  const shown = (node) => node.checkVisibility() && !node.closest(':disabled') &&
    (node.matches('input[type=text], input[type=number], select') || node.querySelector(':scope > svg') ||
      [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()));
  return [...document.querySelectorAll('body *')].filter(shown).map((node) => {
    const ground = behind(node);
    const [a, b] = [light(over(getComputedStyle(node).color, ground)), light(ground)];
    const what = node.textContent.trim().slice(0, 30);
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), `${node.tagName} ${node.id || node.className}: ${what}`];
  });
}"""
"""Contrast of every text that can be read, by WCAG 2.2, with what it is."""


def with_recorder(guard):
  """The studio, whose synthesiser can be listened to; what a browser fetches for a worklet, Playwright can't change on the way."""

  async def answer(scope, receive, send):
    if scope['type'] == 'http' and scope['path'] == '/synth.worklet.js':
      source = pathlib.Path(app.STATIC, 'synth.worklet.js').read_text(encoding='utf-8')
      await Response(source + RECORDER, media_type='text/javascript')(scope, receive, send)
    else:
      await guard(scope, receive, send)

  return answer


@contextlib.contextmanager
def opened(browser, address: str, **options):
  """The studio in a fresh browser context; anything on the console that is an error fails the test."""
  context = browser.new_context(viewport={'width': 1440, 'height': 900}, accept_downloads=True, **options)
  page = context.new_page()
  page.faults = []
  page.on('pageerror', lambda error: page.faults.append(str(error)))
  page.on('console', lambda message: page.faults.append(message.text) if message.type == 'error' else None)
  page.goto(address)
  wait(page, READY)
  yield page
  context.close()
  assert not [fault for fault in page.faults if 'status of 400' not in fault]


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
  reach = 3.5
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
  """(MIDI pitch of what sounds now, that of the piano roll's note at that time), taken in the middle of a note.

  Not until the notes have been the same for 0.3 s: what was heard last would hold the end of a note that a new line took away.
  """
  sample = wait(
    page,
    """() => {
      const { transport, notes } = studio;
      if (window.lastNotes !== notes) [window.lastNotes, window.lastChange] = [notes, performance.now()];
      if (performance.now() - window.lastChange < 300) return null;
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
