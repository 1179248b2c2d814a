// The studio's page: joins the plane, the song, the takes and the sound to the server.

import { Api } from './api.js';
import { busy, complain, named, say, StudioError, trying } from './messages.js';
import { Mixer } from './mixer.js';
import { Moves } from './moves.js';
import { noteName, Plane } from './plane.js';
import { checkProject } from './project_state.js';
import { Roll, Wave, peaks } from './roll.js';
import { Takes } from './takes.js';
import { Transport } from './transport.js';
import { unpack } from './wire.js';

const element = (id) => document.getElementById(id);
const clock = (seconds, digits = 0) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, '0')}`;
const SLIDERS = { 'bass-level': 'bassLevel', threshold: 'threshold', articulation: 'articulation', timbre: 'timbre' };
const STATE = { z: [0, 0], path: [], following: false, bassLevel: 0.7, threshold: 0.5, articulation: 0.5, timbre: 0.5, strings: 'full' };

const transport = new Transport();
const plane = new Plane(element('plane'), element('plane-canvas'), element('dot'), element('position'), element('legend'));
const wave = new Wave(element('wave'));
const roll = new Roll(element('roll'));
const mixer = new Mixer(element('tracks'), element('tracks-empty'));
const takes = new Takes(element('takes'), element('takes-empty'), element('compare'));
const moves = new Moves();
const studio = {
  api: null, model: null, settings: { ...STATE }, song: null, notes: [], line: 0, answered: -1, whole: -1, undo: [], pending: new Map(), latencies: [], asked: {}, busy: 0,
  transport, plane, moves, takes, mixer,
};
window.studio = studio; // for tests and measurements

// --- The line ---------------------------------------------------------------------------------------------------------

function lineMessage() {
  const { settings, model } = studio;
  const message = { model: model.id, z: plane.z, threshold: settings.threshold, articulation: settings.articulation, strings: settings.strings };
  if (moves.following && moves.any) message.path = moves.points;
  return message;
}

function askForLine(stamp = null) {
  if (!studio.song || !studio.model) return;
  studio.line += 1;
  const playhead = Math.min(transport.position(), studio.song.seconds);
  const message = { type: 'line', id: studio.line, playhead, ...lineMessage() };
  if (moves.recording) message.path = moves.recent(playhead);
  if (stamp !== null) studio.pending.set(studio.line, performance.timeOrigin + stamp);
  studio.api.send(message);
}

function takeLine(buffer) {
  const { header, codes } = unpack(buffer);
  if (header.id < studio.answered) return;
  studio.answered = header.id;
  const whole = header.type === 'whole';
  const kept = whole ? [] : studio.notes.filter((note) => note.onset < header.span[0] || note.onset >= header.span[1]);
  studio.notes = kept.concat(header.notes).sort((a, b) => a.onset - b.onset);
  studio.notes.forEach((note, i) => {
    const next = studio.notes[i + 1];
    if (next && note.offset > next.onset) note.offset = next.onset;
  });
  if (transport.synth) transport.sendLine(header, codes);
  else studio.early = { header, codes };
  if (!whole) return;
  studio.whole = header.id;
  roll.fit(studio.notes);
  const pitches = studio.notes.map((note) => note.pitch);
  const span = pitches.length ? `, ${noteName(Math.min(...pitches))} to ${noteName(Math.max(...pitches))}` : '';
  element('roll').setAttribute('aria-label', `Piano roll of the bass: ${pitches.length} notes${span}`);
  say(pitches.length ? `${pitches.length} notes${span}` : 'No notes here: play more, or move the dot');
}

transport.addEventListener('synth', ({ detail }) => {
  if (detail.type !== 'stamp' || !studio.pending.has(detail.id)) return;
  const began = studio.pending.get(detail.id);
  for (const id of studio.pending.keys()) if (id <= detail.id) studio.pending.delete(id);
  if (detail.position !== null) studio.latencies.push(detail.wall - began);
});

plane.addEventListener('begin', () => remember());
plane.addEventListener('move', ({ detail }) => {
  if (!moves.recording && moves.following) {
    moves.following = false;
    showMoves();
  }
  studio.settings.z = detail.z;
  if (moves.recording) moves.note(transport.position(), detail.z);
  askForLine(detail.stamp);
});

// --- Undo -------------------------------------------------------------------------------------------------------------

function snapshot() {
  const { settings, model } = studio;
  return { ...settings, z: [...plane.z], path: moves.points, following: moves.following, model: model?.id };
}

function remember() {
  studio.undo.push({ state: snapshot(), takes: structuredClone(takes.items) });
  if (studio.undo.length > 100) studio.undo.shift();
  element('undo').disabled = false;
}

async function restore(state) {
  Object.assign(studio.settings, Object.fromEntries(Object.keys(STATE).filter((name) => state[name] !== undefined).map((name) => [name, state[name]])));
  moves.recording = null;
  moves.points = state.path ?? [];
  moves.following = Boolean(state.following) && moves.any;
  plane.show(...studio.settings.z);
  showSettings();
  showMoves();
  if (state.model !== undefined && state.model !== studio.model?.id && [...element('model').options].some((option) => option.value === state.model)) await chooseModel(state.model, false);
  askForLine();
}

function undo() {
  const last = studio.undo.pop();
  element('undo').disabled = studio.undo.length === 0;
  if (!last) return;
  takes.load(last.takes);
  studio.keptTakes = structuredClone(takes.items);
  trying(() => restore(last.state));
}

// --- Settings ---------------------------------------------------------------------------------------------------------

function showSettings() {
  for (const [id, name] of Object.entries(SLIDERS)) {
    element(id).value = studio.settings[name];
    element(id).style.setProperty('--share', `${100 * studio.settings[name]}%`);
    document.querySelector(`output[for=${id}]`).textContent = Number(studio.settings[name]).toFixed(2);
  }
  element('strings').value = studio.settings.strings;
  transport.setBass(studio.settings.bassLevel / 0.7);
  transport.setTimbre(studio.settings.timbre);
}

for (const [id, name] of Object.entries(SLIDERS)) {
  element(id).addEventListener('pointerdown', remember);
  element(id).addEventListener('keydown', (event) => event.key.startsWith('Arrow') && remember());
  element(id).addEventListener('input', () => {
    studio.settings[name] = Number(element(id).value);
    showSettings();
    if (name === 'threshold' || name === 'articulation') askForLine();
  });
  element(id).addEventListener('change', () => name === 'threshold' && askForMaps());
}
element('strings').addEventListener('change', () => {
  remember();
  studio.settings.strings = element('strings').value;
  askForLine();
});
element('tempo').addEventListener('change', () => {
  element('bpm').hidden = element('tempo').value !== 'fixed';
});

// --- Models -----------------------------------------------------------------------------------------------------------

async function chooseModel(id, adopt = true) {
  const untouched = plane.atHome;
  busy('Loading the model', 0.5);
  try {
    studio.model = await Api.model(id);
  } finally {
    busy(null);
  }
  element('model').value = id;
  plane.setDensity(studio.model.density);
  plane.home = studio.model.default_z;
  if (adopt) {
    if (untouched) {
      plane.show(...plane.home);
      studio.settings.z = plane.z;
    }
    studio.settings.threshold = Math.round(studio.model.onset_threshold * 100) / 100;
    showSettings();
  }
  if (studio.song) {
    askForLine();
    askForMaps();
  }
}
element('model').addEventListener('change', () => {
  remember();
  trying(async () => {
    await chooseModel(element('model').value);
    if (!studio.song && mixer.tracks.length) analyse(); // tracks that came when no model was loaded
  });
});

// --- Tracks and analysis ----------------------------------------------------------------------------------------------

async function addFiles(files) {
  const list = [...files];
  if (!list.length) return;
  if (!studio.api) {
    complain('The studio is not ready to take files. Wait a moment, or reload this page.');
    return;
  }
  if (list.length === 1 && list[0].name.toLowerCase().endsWith('.zip')) {
    await openProject(list[0]);
    return;
  }
  studio.busy += 1;
  let added = 0;
  for (const [i, file] of list.entries()) {
    const part = (share) => busy(`Reading ${file.name}`, (i + share) / list.length);
    part(0);
    await trying(async () => {
      try {
        const track = await studio.api.upload('tracks', file, (share) => part(0.7 * share));
        part(0.8);
        await addTrack(track);
        added += 1;
      } catch (error) {
        throw named(file, error);
      }
    });
  }
  studio.busy -= 1;
  busy(null);
  if (added) analyse();
}

async function addTrack(track) {
  await transport.addTrack(track.id, await studio.api.audio(track.id));
  mixer.add(track);
  showSong();
}

function analyse() {
  if (!mixer.tracks.some((track) => mixer.heard(track) > 0)) {
    if (mixer.tracks.length) complain('All tracks are muted: there is nothing to play a bass to. Switch one on.');
    return;
  }
  if (!studio.model) {
    complain('No model is loaded, so there is no bass yet. Choose another one of the list, or reload this page.');
    return;
  }
  studio.asked = JSON.stringify(mixer.channels());
  element('stale').hidden = true;
  busy('Listening to the mix', 0.01);
  studio.api.send({ type: 'analyse', channels: mixer.channels(), model: studio.model.id });
}

function showSong() {
  const any = mixer.tracks.length > 0;
  element('drop').hidden = any;
  element('song').hidden = !any;
  wave.length = transport.length;
  const buffers = mixer.tracks.map((track) => ({ buffer: transport.tracks.get(track.id).buffer, gain: mixer.heard(track) }));
  wave.peaks = any ? peaks(buffers, transport.length) : null;
  element('wave').setAttribute('aria-valuemax', transport.length.toFixed(1));
  element('length').textContent = clock(transport.length);
  for (const id of ['play', 'rewind', 'loop']) element(id).disabled = !any;
}

mixer.addEventListener('changed', () => {
  for (const track of mixer.tracks) transport.setTrackGain(track.id, mixer.heard(track));
  showSong();
  element('stale').hidden = JSON.stringify(mixer.channels()) === studio.asked;
});
mixer.addEventListener('removed', ({ detail }) => {
  trying(() => studio.api.remove(detail.id));
  transport.removeTrack(detail.id);
  if (!mixer.tracks.length) {
    transport.clear();
    studio.song = null;
    studio.notes = [];
    say('');
    element('song-info').textContent = '';
  } else analyse();
  showSong();
});
element('listen').addEventListener('click', analyse);

function askForMaps() {
  plane.clearMap();
  if (studio.song && studio.model) studio.api.send({ type: 'maps', model: studio.model.id, threshold: studio.settings.threshold });
}

function takeMessage(message) {
  if (message.type === 'progress') busy(message.stage, message.share);
  else if (message.type === 'analysed') {
    busy(null);
    studio.song = message;
    const tuning = Math.round(message.tuning);
    element('song-info').textContent = `${clock(message.seconds)} · ${message.bpm.toFixed(0)} BPM${tuning ? ` · ${tuning > 0 ? '+' : ''}${tuning} cents` : ''}`;
    if (element('tempo').value !== 'fixed') element('bpm').value = message.bpm.toFixed(1);
    askForLine();
    askForMaps();
  } else if (message.type === 'map') {
    if (message.key === studio.song?.key && message.model === studio.model.id) plane.setCell(message);
  } else if (message.type === 'error' || message.type === 'gone') {
    busy(null);
    complain(message.message);
  }
}

// --- Playing ----------------------------------------------------------------------------------------------------------

async function togglePlay() {
  if (transport.playing) {
    transport.pause();
    stopRecording();
    return;
  }
  await transport.play();
}

transport.addEventListener('state', () => {
  const playing = Boolean(transport.playing);
  element('play').setAttribute('aria-label', playing ? 'Pause' : 'Play');
  element('play-icon').setAttribute('d', playing ? 'M6 4.5h4.5v15H6zM13.5 4.5H18v15h-4.5z' : 'M7 4.5v15l13-7.5z');
});
element('play').addEventListener('click', () => trying(togglePlay));
element('rewind').addEventListener('click', () => transport.seek(transport.loop?.[0] ?? 0));
wave.addEventListener('seek', ({ detail }) => transport.seek(detail));
wave.addEventListener('select', ({ detail }) => setLoop(detail));

function setLoop(range) {
  transport.setLoop(range);
  element('loop').setAttribute('aria-pressed', Boolean(range));
  element('loop-range').hidden = !range;
  if (range) [element('loop-start').value, element('loop-end').value] = range.map((value) => value.toFixed(1));
}
element('loop').addEventListener('click', () => {
  if (transport.loop) return setLoop(null);
  const from = Math.min(transport.position(), Math.max(transport.length - 8, 0));
  return setLoop([from, Math.min(from + 8, transport.length)]);
});
for (const id of ['loop-start', 'loop-end']) {
  element(id).addEventListener('change', () => {
    const [from, to] = [Number(element('loop-start').value), Math.min(Number(element('loop-end').value), transport.length)];
    if (from >= 0 && to - from >= 0.2) setLoop([from, to]);
    else complain(`The loop is from ${from} s to ${to} s; it must last 0.2 s at least, inside the song. Give other times.`);
  });
}

// --- Recording the dot ------------------------------------------------------------------------------------------------

function showMoves() {
  const { recording, following, points } = moves;
  element('record').setAttribute('aria-pressed', Boolean(recording));
  element('dot').classList.toggle('recording', Boolean(recording));
  element('replay').disabled = element('clear-path').disabled = !moves.any;
  element('replay').setAttribute('aria-pressed', following);
  element('path-info').textContent = recording ? 'recording' : moves.any ? `${clock(points[0][0])} to ${clock(points.at(-1)[0])}` : '';
  plane.setPath(recording ? recording.points : following ? points : null);
}

function stopRecording() {
  if (!moves.recording) return;
  moves.end(transport.position());
  showMoves();
  askForLine();
}

element('record').addEventListener('click', () =>
  trying(async () => {
    if (moves.recording) return stopRecording();
    if (!studio.song) throw new StudioError('Drop tracks in first: the moves are recorded along the song.');
    remember();
    if (!transport.playing) await transport.play();
    moves.begin(transport.position(), plane.z);
    showMoves();
    return undefined;
  }),
);
element('replay').addEventListener('click', () => {
  remember();
  moves.following = !moves.following;
  showMoves();
  askForLine();
});
element('clear-path').addEventListener('click', () => {
  remember();
  moves.clear();
  showMoves();
  askForLine();
});

// --- Takes, style, downloads, projects --------------------------------------------------------------------------------

element('keep').addEventListener('click', () => {
  if (!studio.song) return complain('There is no line to keep yet. Drop tracks in first.');
  remember();
  return takes.keep(structuredClone(snapshot()), studio.notes.length);
});
takes.addEventListener('choose', ({ detail }) => {
  studio.undo.push({ state: snapshot(), takes: structuredClone(takes.items) });
  element('undo').disabled = false;
  trying(() => restore(detail));
});
takes.addEventListener('changed', () => {
  // `remove` and renaming come after the fact: what was there before is what is remembered.
  if (studio.keptTakes && studio.keptTakes.length >= takes.items.length) {
    studio.undo.push({ state: snapshot(), takes: studio.keptTakes });
    element('undo').disabled = false;
  }
  studio.keptTakes = structuredClone(takes.items);
});
element('undo').addEventListener('click', undo);

const stylePair = () => [element('style-mix').files[0], element('style-bass').files[0]];
for (const id of ['style-mix', 'style-bass']) {
  element(id).addEventListener('change', () => {
    element('style-go').disabled = !stylePair().every(Boolean);
  });
}
element('style-go').addEventListener('click', () =>
  trying(async () => {
    const [mix, bass] = stylePair();
    try {
      busy(`Reading ${mix.name}`, 0.1);
      const failed = (file) => (error) => {
        throw named(file, error);
      };
      const first = await studio.api.upload('style/tracks', mix).catch(failed(mix));
      busy(`Reading ${bass.name}`, 0.4);
      const second = await studio.api.upload('style/tracks', bass).catch(async (error) => {
        await studio.api.remove(first.id);
        return failed(bass)(error);
      });
      busy('Comparing the bass with its mix', 0.7);
      const [x, y] = await studio.api.style(first.id, second.id, studio.model.id);
      remember();
      plane.move(x, y);
      say(`That style stands at ${x.toFixed(2)}, ${y.toFixed(2)}`);
    } finally {
      busy(null);
    }
  }),
);

function save(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const NAMES = { midi: 'bass.mid', bass: 'bass.wav', mix: 'mix_with_bass.wav', path: 'path.json', project: 'bassnet_project.zip' };
for (const button of document.querySelectorAll('[data-export]')) {
  button.addEventListener('click', () =>
    trying(async () => {
      if (!studio.song) throw new StudioError('There is nothing to download yet. Drop tracks in first.');
      const kind = button.dataset.export;
      const { settings } = studio;
      stopRecording();
      const message = { id: studio.line, ...lineMessage(), timbre: settings.timbre, bass_level: settings.bassLevel, bpm: null };
      if (element('tempo').value === 'fixed') message.bpm = Number(element('bpm').value);
      if (kind === 'path' && moves.any) message.path = moves.points; // whether or not they are being replayed
      if (kind === 'project') message.state = projectState();
      button.disabled = true;
      say(`Writing ${NAMES[kind]}`);
      try {
        save(await studio.api.exported(kind, message), NAMES[kind]);
        say(`${NAMES[kind]} saved`);
      } finally {
        button.disabled = false;
      }
    }),
  );
}

function projectState() {
  return {
    ...snapshot(), takes: takes.items, mixer: mixer.tracks.map(({ id, gain, mute }) => ({ id, gain, mute })), loop: transport.loop,
    modelName: studio.model.name, tempo: element('tempo').value, bpm: Number(element('bpm').value),
  };
}

function damageOf(state) {
  try {
    checkProject(state);
    return '';
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    return error.message[0].toUpperCase() + error.message.slice(1);
  }
}

async function openProject(file) {
  await trying(async () => {
    busy(`Opening ${file.name}`, 0.05);
    try {
      const { tracks, state } = await studio.api.upload('project', file, (share) => busy(`Opening ${file.name}`, 0.4 * share));
      transport.clear();
      mixer.clear();
      studio.song = null;
      const { ids, ...said } = state;
      const damage = damageOf(said);
      const settings = damage ? {} : said;
      const numbers = new Map(ids);
      const mixed = new Map((settings.mixer ?? []).map((row) => [numbers.get(row.id), row]));
      for (const [i, track] of tracks.entries()) {
        busy(`Reading ${track.name}`, 0.4 + (0.4 * i) / tracks.length);
        const { gain = 1, mute = false } = mixed.get(track.id) ?? {};
        await addTrack({ ...track, gain, mute });
        transport.setTrackGain(track.id, mute ? 0 : gain);
      }
      takes.load(settings.takes);
      studio.keptTakes = structuredClone(takes.items);
      element('tempo').value = settings.tempo ?? 'auto';
      element('bpm').hidden = element('tempo').value !== 'fixed';
      if (settings.bpm) element('bpm').value = settings.bpm;
      const same = [...element('model').options].find((option) => option.textContent === settings.modelName);
      await restore({ ...settings, model: same?.value });
      if (settings.loop) setLoop(settings.loop);
      if (damage) complain(`${file.name}: ${damage} Its tracks are loaded, its settings, moves and takes are not. Save the project again from the studio.`);
      showSong();
    } finally {
      busy(null);
    }
    analyse();
  });
}

// --- Dropping and choosing files --------------------------------------------------------------------------------------

let over = 0;
addEventListener('dragenter', (event) => {
  event.preventDefault();
  over += 1;
  element('veil').hidden = false;
});
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('dragleave', () => {
  over -= 1;
  element('veil').hidden = over > 0;
});
addEventListener('drop', (event) => {
  event.preventDefault();
  over = 0;
  element('veil').hidden = true;
  if (event.dataTransfer.files.length) addFiles(event.dataTransfer.files);
});
for (const [button, input] of [['choose', 'files'], ['add', 'files'], ['open-project', 'project-file']]) {
  element(button).addEventListener('click', () => element(input).click());
}
for (const id of ['files', 'project-file']) {
  element(id).addEventListener('change', () => {
    addFiles(element(id).files);
    element(id).value = '';
  });
}

element('map').addEventListener('change', () => plane.choose(element('map').value));
addEventListener('keydown', (event) => {
  if (event.target.matches('input, select, textarea')) return;
  if (event.key === ' ' && !event.target.matches('button, summary') && mixer.tracks.length) {
    event.preventDefault();
    trying(togglePlay);
  } else if (event.key === 'z' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    undo();
  }
});

// --- Each picture -----------------------------------------------------------------------------------------------------

function draw() {
  requestAnimationFrame(draw);
  if (element('song').hidden) return;
  if (transport.playing && transport.position() >= transport.length) {
    transport.pause();
    stopRecording();
    transport.seek(transport.loop?.[0] ?? 0);
  }
  const position = Math.min(transport.position(true), transport.length);
  if (moves.following && transport.playing) plane.show(...moves.at(transport.position()));
  if (moves.recording && transport.playing) {
    moves.note(transport.position(), plane.z);
    plane.setPath(moves.recording.points);
  }
  wave.draw(position, studio.notes, transport.loop);
  roll.draw(position, studio.notes, studio.song?.beats ?? [], transport.length);
  element('time').textContent = clock(position, 1);
  element('wave').setAttribute('aria-valuenow', position.toFixed(1));
  element('wave').setAttribute('aria-valuetext', clock(position));
}

// --- Beginning --------------------------------------------------------------------------------------------------------

async function begin() {
  showSettings();
  plane.draw();
  requestAnimationFrame(draw);
  const { models, first } = await Api.models();
  element('model').replaceChildren(...models.map(({ id, name }) => Object.assign(document.createElement('option'), { value: id, textContent: name })));
  studio.api = await Api.open();
  await studio.api.connect({
    message: takeMessage,
    binary: takeLine,
    closed: () => complain('The connection to the studio is gone. Is it still running in its terminal? If not, start it again, then reload this page.'),
  });
  addEventListener('pagehide', () => studio.api.leave());
  await chooseModel(first);
  transport.ready().then(() => {
    showSettings();
    if (studio.early) transport.sendLine(studio.early.header, studio.early.codes);
  }, (error) => trying(() => Promise.reject(error)));
  studio.ready = true;
}

trying(begin);
