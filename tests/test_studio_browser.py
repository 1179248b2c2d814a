"""The studio in a real browser: what a person does with it, and what it sounds like. Needs Chromium and playwright."""

import base64
import contextlib
import io
import itertools
import json
import pathlib
import threading
import zipfile

import numpy as np
import pytest
import soundfile
import studio_model
import uvicorn
from scipy import ndimage, signal
from studio_page import CONTRASTS, READY, RECORD, TAKEN, drag, drop, heard_pitch, opened, settled, wait, with_recorder

from bassnet_jax import midi_export, studio_pictures
from bassnet_jax.studio import main, security
from bassnet_jax.studio_browser import ARGUMENTS, CHROMIUM

ARGUMENTS = (*ARGUMENTS, '--host-resolver-rules=MAP studio.test 127.0.0.1')
SECONDS = 24.0

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(CHROMIUM is None, reason='Chromium is missing: apt-get install chromium, then the studio is tested in a browser'),
]


@contextlib.contextmanager
def serving(guard, host: str = '127.0.0.1'):
  """A running studio; gives its address under a name of this computer."""
  listener = main._listen('127.0.0.1', 0)
  server = uvicorn.Server(uvicorn.Config(guard, log_level='warning', loop='asyncio'))
  thread = threading.Thread(target=server.run, kwargs={'sockets': [listener]})
  thread.start()
  yield f'http://{host}:{listener.getsockname()[1]}/'
  server.should_exit = True
  thread.join(20)
  assert not thread.is_alive()


@pytest.fixture(scope='module')
def address(tmp_path_factory):
  """A running studio with the stand-in models."""
  guard = studio_model.application(tmp_path_factory.mktemp('model'), others=(studio_model.Restless(),))
  with serving(with_recorder(guard)) as address:
    yield address


@pytest.fixture(scope='module')
def browser():
  playwright = pytest.importorskip('playwright.sync_api', reason='playwright is missing: pip install playwright')
  with playwright.sync_playwright() as running:
    browser = running.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, address):
  with opened(browser, address) as page:
    yield page


@pytest.fixture(scope='module')
def tracks(tmp_path_factory) -> dict[str, bytes]:
  folder = tmp_path_factory.mktemp('tracks')
  paths = {
    'Keys.wav': studio_model.write(folder / 'keys.wav', studio_model.chords(SECONDS)),
    'Drums.wav': studio_model.write(folder / 'drums.wav', studio_model.clicks(SECONDS)),
  }
  return {name: pathlib.Path(path).read_bytes() for name, path in paths.items()}


@pytest.fixture(scope='module')
def song(browser, address, tracks):
  """One page with a song for several tests: what each leaves behind it takes back."""
  with opened(browser, address, has_touch=True) as page:
    drop(page, tracks)
    settled(page)
    page.evaluate(RECORD)
    yield page


def z_of(page) -> list[float]:
  return page.evaluate('() => studio.plane.z')


def pitches(page) -> set[int]:
  """Those of the line, once it is there."""
  return {note['pitch'] for note in settled(page)}


def download(page, kind: str, path) -> str:
  with page.expect_download() as event:
    page.click(f'[data-export={kind}]')
  event.value.save_as(path)
  return str(path)


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
    if kind == 'project':
      page.select_option('#tempo', 'fixed')
      page.fill('#bpm', '97')
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
  wait(page, READY)
  page.set_input_files('#project-file', saved['project'])
  wait(page, '() => Boolean(studio.song)')
  assert settled(page) == notes
  assert page.evaluate('() => studio.moves.points') == path
  assert page.input_value('#takes input') == 'Chorus'
  assert page.input_value('#bpm') == '97' and page.is_visible('#bpm')
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


def test_dot_maps_and_models(song):
  drag(song, (0, 0), (-1, 0))
  touch = song.context.new_cdp_session(song)
  box = song.locator('#plane').bounding_box()
  for kind, share in (('touchStart', 0.5), *(('touchMove', 0.5 + step / 35) for step in range(1, 11)), ('touchEnd', None)):
    points = [] if share is None else [{'x': box['x'] + share * box['width'], 'y': box['y'] + 0.5 * box['height']}]
    touch.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': points})
  assert z_of(song) == pytest.approx([2, 0], abs=0.05) and pitches(song) == {44}

  song.focus('#dot')
  for key, step in (('ArrowRight', (0.1, 0)), ('Shift+ArrowUp', (0, 0.5)), ('Shift+ArrowLeft', (-0.5, 0)), ('ArrowDown', (0, -0.1))):
    before = z_of(song)
    song.keyboard.press(key)
    assert z_of(song) == pytest.approx([a + b for a, b in zip(before, step, strict=True)], abs=0.002), key
  song.keyboard.press('Home')
  assert z_of(song) == [0, -0.5] and pitches(song) == {40}

  for kind, unit in (('density', '/s'), ('register', '→'), ('diatonic', '%'), ('syncopation', '%')):
    song.select_option('#map', kind)
    legend = wait(song, f"() => {{ const t = document.querySelector('#legend').textContent; return t.includes('{unit}') && t; }}")
    assert '→' in legend
  song.select_option('#map', 'data')
  assert song.inner_text('#legend').startswith('Filled')

  half_seconds = settled(song)
  song.select_option('#model', '1')
  wait(song, "() => studio.model.id === '1'")
  restless = settled(song)
  assert z_of(song) == [0.5, 0.5], "the other model's own position, for the dot stood at the first one's"
  assert len({note['pitch'] for note in restless}) >= 3 and len(restless) != len(half_seconds)
  song.click('#undo')
  wait(song, "() => studio.model.id === '0'")
  assert settled(song) == half_seconds


def test_style_of_another_song_is_no_track_of_this_one(song, tracks):
  song.evaluate("() => document.querySelector('details.style').open = true")
  for field, name in (('#style-mix', 'Keys.wav'), ('#style-bass', 'Drums.wav')):
    song.set_input_files(field, {'name': name, 'mimeType': 'audio/wav', 'buffer': tracks[name]})
  with song.expect_request('**/style/tracks'):
    song.click('#style-go')
  wait(song, '() => studio.plane.z[0] === 1.5')
  assert z_of(song) == [1.5, -0.5] and pitches(song) == {43} and song.locator('#tracks li').count() == 2
  song.click('#undo')
  assert z_of(song) == [0, -0.5] and pitches(song) == {40}
  song.evaluate("() => document.querySelector('details.style').open = false")


def test_tracks_loop_and_takes(song):
  keys, gain = '[aria-label="Mute Keys.wav"]', '() => [...studio.transport.tracks.values()].map((track) => track.gain.gain.value)'
  assert song.evaluate(gain) == pytest.approx([1, 1])
  song.click(keys)
  assert song.get_attribute(keys, 'aria-pressed') == 'true' and song.is_visible('#stale')
  wait(song, f'() => ({gain})()[0] < 0.01')
  song.click(keys)
  assert song.is_hidden('#stale')
  song.fill('[aria-label="Gain of Drums.wav"]', '0.5')
  wait(song, f'() => {{ const [keys, drums] = ({gain})(); return keys > 0.99 && Math.abs(drums - 0.5) < 0.01; }}')
  song.click('#listen')
  assert song.is_hidden('#stale')
  wait(song, "() => document.querySelector('#busy').hidden && JSON.parse(studio.asked)[1].gain === 0.5")
  assert len(settled(song)) > 10

  song.locator('#wave').scroll_into_view_if_needed()
  box = song.locator('#wave').bounding_box()
  middle = box['y'] + box['height'] / 2
  song.mouse.move(box['x'] + 0.25 * box['width'], middle)
  song.mouse.down()
  song.mouse.move(box['x'] + 0.4 * box['width'], middle)
  song.mouse.move(box['x'] + 0.5 * box['width'], middle)
  song.mouse.up()
  assert song.evaluate('() => studio.transport.loop') == pytest.approx([6, 12], abs=0.2)
  assert (song.input_value('#loop-start'), song.input_value('#loop-end')) == ('6.0', '12.0')
  song.evaluate('() => studio.transport.seek(11.5)')
  song.click('#play')
  wait(song, '() => studio.transport.position() < 11')
  assert 6 <= song.evaluate('() => studio.transport.position()') < 12
  song.click('#play')
  song.click('#loop')
  assert song.evaluate('() => studio.transport.loop') is None and song.is_hidden('#loop-range')
  song.mouse.click(box['x'] + 0.75 * box['width'], middle)
  assert song.evaluate('() => studio.transport.position()') == pytest.approx(18, abs=0.2)

  song.click('#keep')
  drag(song, (0, 0), (2, 0))
  song.click('#keep')
  assert pitches(song) == {44} and song.locator('#takes li').count() == 2
  for pitch in (40, 44):
    song.click('#compare')
    assert pitches(song) == {pitch}
  song.click('[aria-label="Delete Take 1"]')
  assert song.locator('#takes input').evaluate_all('(nodes) => nodes.map((node) => node.value)') == ['Take 2']
  song.click('#undo')
  assert song.locator('#takes input').evaluate_all('(nodes) => nodes.map((node) => node.value)') == ['Take 1', 'Take 2']
  song.click('[aria-label="Hear Take 1"]')
  assert pitches(song) == {40}


def record(page, start: float, *points) -> list[list[float]]:
  """Records moves from a time of the song on. Returns all moves that there are then."""
  page.evaluate(f'() => studio.transport.seek({start})')
  page.click('#record')
  wait(page, f'() => studio.transport.position() > {start + 0.2}')
  drag(page, *points, pause=0.02)
  page.click('#record')
  page.evaluate('() => studio.transport.pause()')
  return page.evaluate('() => studio.moves.points')


def test_moves_are_recorded_over_replayed_and_always_exported(song, tmp_path):
  first = record(song, 2, (-3, 1), (3, 1), (-3, 1), (3, 1))
  assert len(first) > 15
  middle = first[len(first) // 3][0]
  both = record(song, middle, (0, -3), (1, -3))
  new = [point for point in both if point[2] < -2.9]
  assert len(new) >= 3 and middle < new[0][0]
  assert [point for point in both if point[0] < middle - 0.01] == [point for point in first if point[0] < middle - 0.01]
  end = max(point[0] for point in both if point[2] < -2.9)
  assert [point for point in both if point[0] > end + 0.1] == [point for point in first if point[0] > end + 0.1]
  assert all(a[0] < b[0] for a, b in itertools.pairwise(both))

  song.evaluate('() => studio.transport.seek(2)')
  song.click('#play')
  seen = []
  while len(seen) < 10 or seen[-1][0] < middle:
    position, z = song.evaluate(
      '() => new Promise((done) => requestAnimationFrame(() => done([studio.transport.position(), studio.plane.z])))'
    )
    seen.append((position, *z))
  song.click('#play')
  times = [point[0] for point in both]
  path = [[np.interp(position, times, [point[i] for point in both]) for i in (1, 2)] for position, *_ in seen]
  assert np.ptp([x for _, x, _ in seen]) > 1
  assert np.median(np.abs(np.array(path) - np.array(seen)[:, 1:])) < 0.5

  drag(song, (0, 0), (1, 1))
  assert song.get_attribute('#replay', 'aria-pressed') == 'false'
  rows = json.loads(pathlib.Path(download(song, 'path', tmp_path / 'path.json')).read_text())
  assert [[row['time'], row['x'], row['y']] for row in rows] == both
  midi = midi_export.read_notes(download(song, 'midi', tmp_path / 'bass.mid'))
  assert set(midi.pitch.tolist()) == {42}, 'what is heard, which is no replay'
  with zipfile.ZipFile(download(song, 'project', tmp_path / 'project.zip')) as archive:
    assert json.loads(archive.read('project.json'))['state']['path'] == both
  song.click('#clear-path')
  assert song.is_disabled('#replay')
  assert len(json.loads(pathlib.Path(download(song, 'path', tmp_path / 'path.json')).read_text())) == 1


BAD_STATES = {
  'list of takes is an object': {'takes': {}},
  'take 1 is nothing': {'takes': [None]},
  "name of take 1 is '7'": {'takes': [{'id': 1, 'name': 7, 'notes': 3, 'state': {}}]},
  'number of take 2': {'takes': [{'id': 1, 'name': 'a', 'notes': 3, 'state': {}}] * 2},
  "take 1's position": {'takes': [{'id': 1, 'name': 'a', 'notes': 3, 'state': {'z': [0, 'b']}}]},
  'list of moves': {'path': 'abc'},
  'move 2 is a list of 2': {'path': [[0, 0, 0], [1, 2]]},
  "move 2's time": {'path': [[1, 0, 0], [1, 2, 0]]},
  'threshold': {'threshold': 'high'},
  'position is nothing': {'z': None},
  'strings': {'strings': '9-string'},
  'mixer': {'mixer': 5},
  'gain of a track': {'mixer': [{'id': 1, 'gain': -1}]},
  'loop': {'loop': [3, 1]},
}


def test_damaged_project_and_faults_of_the_page_get_plain_words(page, tracks, tmp_path):
  drop(page, tracks)
  settled(page)
  saved = download(page, 'project', tmp_path / 'project.zip')
  check = """async (state) => {
    const { checkProject } = await import('/project_state.js');
    try { checkProject(state); } catch (error) { return error.constructor.name + ': ' + error.message; }
    return '';
  }"""
  with zipfile.ZipFile(saved) as archive:
    kept = {name: archive.read(name) for name in archive.namelist()}
  settings = json.loads(kept['project.json'])
  assert page.evaluate(check, settings['state']) == ''
  for words, state in BAD_STATES.items():
    said = page.evaluate(check, settings['state'] | state)
    assert said.startswith('StudioError: the ') and words in said and 'expected' in said, said

  settings['state']['takes'] = {}
  damaged = io.BytesIO()
  with zipfile.ZipFile(damaged, 'w') as archive:
    for name, content in (kept | {'project.json': json.dumps(settings).encode()}).items():
      archive.writestr(name, content)
  page.evaluate('() => { studio.whole = -1; }')
  drop(page, {'mine.zip': damaged.getvalue()})
  said = wait(page, "() => document.querySelector('#banner-text').textContent")
  assert said.startswith('mine.zip: The list of takes is an object; expected a list.') and 'not a function' not in said
  assert settled(page) and page.locator('#tracks li').count() == 2

  page.evaluate('() => { studio.transport.play = () => null.nothing; }')
  page.click('#play')
  wait(page, "() => document.querySelector('#banner-text').textContent.startsWith('Something went wrong in this page')")
  assert any('null' in fault for fault in page.faults), 'the trace is kept'
  page.faults.clear()


def test_without_sound_all_else_works(browser, tracks, tmp_path):
  guard = studio_model.application(tmp_path, access=security.Access('0.0.0.0', 'token'))
  with serving(guard, 'studio.test') as address, opened(browser, f'{address}?token=token') as page:
    assert not page.evaluate('() => isSecureContext')
    said = wait(page, "() => document.querySelector('#banner-text').textContent")
    assert all(words in said for words in ('refuses', 'http', '--certificate', '--key', 'on the computer'))
    page.click('#banner-close')
    drop(page, tracks)
    drag(page, (0, 0), (2, 0))
    assert pitches(page) == {44} and page.locator('#tracks li').count() == 2
    assert page.is_hidden('#banner')
    assert page.evaluate('() => studio.transport.length') == pytest.approx(SECONDS, abs=0.01)
    page.evaluate('() => studio.transport.seek(5)')
    assert page.inner_text('#time') != '' and soundfile.info(download(page, 'bass', tmp_path / 'bass.wav')).duration == SECONDS
    for button in ('#play', '#record'):
      page.click(button)
      assert wait(page, "() => !document.querySelector('#banner').hidden") and '--certificate' in page.inner_text('#banner')
      page.click('#banner-close')
    page.click('[aria-label="Mute Keys.wav"]')
    page.click('[aria-label="Remove Keys.wav"]')
    assert page.is_hidden('#banner')
    page.faults[:] = [fault for fault in page.faults if 'Cross-Origin-Opener-Policy' not in fault]  # Chromium heeds it over https alone


@pytest.mark.parametrize('scheme', ['dark', 'light'])
def test_text_can_be_read(song, scheme):
  song.emulate_media(color_scheme=scheme)
  song.evaluate(
    """() => {
      for (const node of document.querySelectorAll('#banner, #stale, #busy, #loop-range, #bpm, #drop, details.style')) {
        if (node.matches('details')) node.open = true;
        else [node.hidden, node.was] = [false, node.hidden];
      }
      for (const id of ['replay', 'record', 'loop']) document.getElementById(id).ariaPressed = 'true';
      for (const node of document.querySelectorAll('button')) [node.disabled, node.off] = [false, node.disabled];
    }"""
  )
  found = song.evaluate(CONTRASTS)
  song.evaluate(
    """() => {
      for (const node of document.querySelectorAll('*')) if (node.was !== undefined) node.hidden = node.was;
      for (const id of ['replay', 'record', 'loop']) document.getElementById(id).ariaPressed = 'false';
      for (const node of document.querySelectorAll('button')) node.disabled = node.off;
    }"""
  )
  song.emulate_media(color_scheme='null')
  assert len(found) > 40 and any('choose' in what for _, what in found) and any('BUTTON play' in what for _, what in found)
  assert not [(round(ratio, 2), what) for ratio, what in found if ratio < 4.5]


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
  // Ten seconds of one line after another, every 30 ms: about a note every half second, its pitch, its harmonics, its length and its onset
  // (by up to 15 ms) different in each line. Rendered offline, so that every sample is there.
  const rate = 48000, seconds = 10, step = 0.03;
  const context = new OfflineAudioContext(1, rate * seconds, rate);
  await context.audioWorklet.addModule('synth.worklet.js');
  const synth = new AudioWorkletNode(context, 'bass-synth', { numberOfInputs: 0, outputChannelCount: [1] });
  synth.connect(context.destination);
  const random = (n) => { const x = Math.sin(n * 311.7) * 43758.5453; return x - Math.floor(x); };
  const line = (id, whole, from) => {
    const of = (n) => random(n + id * 0.4073);
    const notes = [];
    for (let n = 0; n < 2 * seconds; n += 1) {
      const onset = 0.1 + n / 2 + 0.1 * random(n) + 0.03 * (of(n) - 0.5);
      const offset = onset + 0.15 + 0.2 * of(n + 50), hertz = 60 + 60 * of(99);
      notes.push({ onset, offset, hertz, pitch: 40, velocity: 90, first: Math.floor(onset * 80), frames: 40, place: 0, id, open: false });
    }
    const kept = whole ? notes : notes.filter(({ onset }) => onset >= from - 0.05 && onset < from + 1.6);
    const codes = new Uint8Array(48 * 40 * kept.length);
    kept.forEach((note, i) => {
      note.place = i * 48 * 40;
      for (let f = 0; f < 40; f += 1) {
        codes[note.place + f * 48] = 185 - f / 4;
        for (let h = 1; h < 6; h += 1) codes[note.place + f * 48 + h] = 185 - 15 * h - 40 * of(i + 100 * h) - f / 2;
      }
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
  const onsets = Array.from({ length: 2 * seconds }, (_, n) => 0.1 + n / 2 + 0.1 * random(n));
  const bytes = new Uint8Array(buffer.getChannelData(0).buffer);
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return { audio: btoa(text), onsets };
}"""


def test_dragging_for_ten_seconds_makes_no_click_and_strikes_nothing_twice(page):
  rate = 48_000
  made = page.evaluate(DRAGGING)
  audio, expected = np.frombuffer(base64.b64decode(made['audio']), dtype=np.float32), made['onsets']
  assert len(audio) == 10 * rate
  loudest = 10 ** ((-90 + (185 - 15 * np.arange(6) - 1) / 254 * 108) / 20)  # of each harmonic
  loud = loudest[0]
  assert 0.9 * loud < np.abs(audio).max() < 1.3 * loudest.sum()
  # A harmonic is a sinusoid; its attack of 5 ms adds pi / 2 / 5 ms to its steepest slope. Two notes may overlap for 30 ms.
  radians = 2 * np.pi * 120 * np.arange(1, 7)
  steepest = 2 * loudest @ (radians + np.pi / 2 / 0.005) / rate
  assert np.abs(np.diff(audio)).max() < steepest
  assert np.abs(np.diff(audio, 2)).max() < 2 * loudest @ (radians + np.pi / 0.005) ** 2 / rate**2
  # Onsets: where the level rises from silence. One for each note, and nowhere else.
  level = np.sqrt(np.convolve(audio**2, np.ones(960) / 960, mode='same'))[::48]
  sounding = level > 0.25 * loud
  begins = np.flatnonzero(sounding[1:] & ~sounding[:-1]) / 1000
  assert len(begins) == len(expected), begins
  np.testing.assert_allclose(begins, expected, atol=0.045)


def test_pictures_say_what_they_need(capsys, tmp_path):
  assert studio_pictures.main(['pictures', '--chromium=']) == 2
  assert 'apt-get install chromium' in capsys.readouterr().err
  assert studio_pictures.main(['pictures', f'--song={tmp_path / "none.wav"}', f'--output={tmp_path}']) == 2
  assert 'there is no such file' in capsys.readouterr().err


def wander(page, seconds: float) -> None:
  """Drags the dot along a curve through the whole plane, for so many seconds of audio."""
  page.evaluate('() => document.querySelector("#plane").scrollIntoView({block: "center"})')
  box = page.locator('#plane').bounding_box()
  clock = '() => studio.transport.context.currentTime'
  begin = page.evaluate(clock)
  for step in itertools.count():
    gone = page.evaluate(clock) - begin
    x, y = 2.5 * np.cos(1.9 * gone), 3 * np.cos(3.1 * gone)
    page.mouse.move(box['x'] + box['width'] * (0.5 + x / 7), box['y'] + box['height'] * (0.5 - y / 7))
    if step == 0:
      page.mouse.down()
    if gone > seconds:
      break
  page.mouse.up()


def rises(audio: np.ndarray, rate: float) -> np.ndarray:
  """Seconds at which the level rises by half or more within 20 ms."""
  hop = round(0.002 * rate)
  level = level_of(audio, rate)[::hop]
  rise = np.zeros(len(level))
  rise[10:-10] = np.log(level[15:-5] + 0.05) - np.log(level[5:-15] + 0.05)
  return np.flatnonzero((rise > np.log(1.5)) & (rise == ndimage.maximum_filter1d(rise, 15))) * hop / rate


def level_of(audio: np.ndarray, rate: float) -> np.ndarray:
  """Root mean square over 20 ms around every sample, as a part of the highest."""
  window = np.hanning(round(0.02 * rate))
  level = np.sqrt(np.maximum(signal.fftconvolve(audio.astype(np.float64) ** 2, window / window.sum(), mode='same'), 0))
  return level / level.max()


def test_dragging_the_dot_over_a_playing_song_makes_no_click_and_strikes_only_what_the_roll_shows(song):
  song.evaluate('() => studio.transport.seek(0.5)')
  song.select_option('#model', '1')
  wait(song, "() => studio.model.id === '1'")
  song.fill('#timbre', '0')  # few harmonics: the smoother the tone, the smaller a jump is seen
  drag(song, (0, 0), (2.5, 3))
  settled(song)
  song.evaluate('() => { for (const list of Object.values(taken)) list.length = 0; }')
  song.evaluate('() => taken.rolls.push({ line: studio.line, at: 0, notes: studio.notes.map(({ onset, pitch }) => [onset, pitch]) })')
  song.click('#play')
  wait(song, '() => studio.transport.position() > 4.5')
  moved = song.evaluate('() => studio.transport.context.currentTime')
  wander(song, 10)
  rested = song.evaluate('() => studio.transport.context.currentTime')
  wait(song, f'() => studio.transport.context.currentTime > {rested + 0.5}')
  playing = song.evaluate('() => studio.transport.playing')
  assert playing, 'the song was over before the dot had been dragged for 10 s'
  taken = song.evaluate(TAKEN)
  song.click('#play')
  song.fill('#timbre', '0.5')
  audio = np.frombuffer(base64.b64decode(taken['audio']), dtype=np.float32)
  rate, first = taken['rate'], taken['first'] / taken['rate']
  assert taken['gaps'] == 0 and len(audio) > 14 * rate
  strikes = [strike for strike in taken['strikes'] if playing['start'] + 0.5 < strike['at'] < first + len(audio) / rate]
  dragging = [strike for strike in strikes if moved < strike['at'] < rested]
  assert len(dragging) >= 25 and len({strike['pitch'] for strike in dragging}) >= 6 and len({strike['line'] for strike in dragging}) >= 10

  # Every strike is a note of the line that the piano roll showed, and the newest line is the one that is played.
  rolls = taken['rolls']
  for strike in strikes:
    shown = [roll for roll in rolls if roll['line'] == strike['line']]
    assert any(abs(onset - strike['onset']) < 1e-6 and pitch == strike['pitch'] for roll in shown for onset, pitch in roll['notes']), strike
    assert strike['line'] >= max(roll['line'] for roll in rolls if roll['at'] < strike['at'] - 0.5), strike
    late = strike['at'] - playing['start'] + playing['offset'] - strike['onset']
    assert -0.001 < late < 0.035, f'a note that had begun {late:.3f} s before is struck: {strike}'
  onsets = np.array([strike['onset'] for strike in strikes])
  assert np.diff(onsets).min() >= 0.035 - 1e-6, 'a note is struck twice'

  # No click: what a jump makes of a smooth wave is a large second difference. Two notes may overlap, one of them released.
  split = round((moved - first) * rate)
  steady, dragged = audio[round(0.5 * rate) : split], audio[split:]
  smooth = 2.2 * np.abs(np.diff(steady, 2)).max()
  assert smooth < 0.005 * np.abs(steady).max(), 'a jump of 0.5 % of the level would be seen'
  assert np.abs(np.diff(dragged, 2)).max() < smooth
  assert np.abs(np.diff(dragged)).max() < 2.2 * np.abs(np.diff(steady)).max()

  # Every onset that is heard is one of these strikes, and those after silence are heard.
  heard, level = rises(audio, rate), level_of(audio, rate)
  struck = np.array([strike['at'] for strike in strikes]) - first
  heard = heard[(heard > struck.min() - 0.01) & (heard < struck.max() + 0.01)]
  away = np.array([np.abs(struck - moment).min() for moment in heard])
  assert away.max() < 0.015, f'heard, but never struck: {heard[away >= 0.015]}'
  after_silence = [moment for moment in struck[:-1] if level[int((moment - 0.03) * rate)] < 0.15]
  missed = [moment for moment in after_silence if np.abs(heard - moment).min() >= 0.015]
  assert len(after_silence) >= 15 and len(missed) <= 0.1 * len(after_silence), missed
