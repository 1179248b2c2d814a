// Checks what a project file says of the page: the file may be damaged, or edited by hand.

import { StudioError } from './messages.js';

const SHARES = ['bassLevel', 'threshold', 'articulation', 'timbre'];
const FURTHEST = 10; // in the plane
const finite = (value) => typeof value === 'number' && Number.isFinite(value);
const within = (low, high) => (value) => finite(value) && value >= low && value <= high;
const text = (value) => typeof value === 'string';

function what(value) {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object') return 'an object';
  return `'${String(value).slice(0, 20)}'`;
}

function expect(value, right, name, expected) {
  if (value !== undefined && !right(value)) throw new StudioError(`the ${name} is ${what(value)}; expected ${expected}.`);
}

const isPoint = (row) => Array.isArray(row) && row.length === 3 && within(0, 1e6)(row[0]) && row.slice(1).every(within(-FURTHEST, FURTHEST));

// Settings: those of a project, or of a take.
function checkSettings(state, where) {
  expect(state.z, (z) => Array.isArray(z) && z.length === 2 && z.every(within(-FURTHEST, FURTHEST)), `${where}position`, `two numbers from -${FURTHEST} to ${FURTHEST}`);
  expect(state.path, Array.isArray, `${where}list of moves`, 'a list of points: time, x, y');
  for (const [i, row] of (state.path ?? []).entries()) {
    expect(row, isPoint, `${where}move ${i + 1}`, `a point of three numbers: time, x, y`);
    expect(row[0], (time) => i === 0 || time > state.path[i - 1][0], `${where}move ${i + 1}'s time`, 'one after that of the move before it');
  }
  for (const name of SHARES) expect(state[name], within(0, 1), `${where}${name}`, 'a number from 0 to 1');
  const ranges = [...document.getElementById('strings').options].map((option) => option.value);
  expect(state.strings, (value) => ranges.includes(value), `${where}range of strings`, ranges.join(', '));
}

// Throws a StudioError where something has another form than the page writes; what is missing is left as it is.
export function checkProject(state) {
  checkSettings(state, '');
  expect(state.takes, Array.isArray, 'list of takes', 'a list');
  for (const [i, take] of (state.takes ?? []).entries()) {
    const where = `take ${i + 1}`;
    const known = new Set(state.takes.slice(0, i).map((other) => other.id));
    expect(take ?? null, (value) => value !== null && typeof value === 'object' && value.state !== null && typeof value.state === 'object', where, 'a name with settings');
    expect(take.id ?? null, (id) => within(1, 2 ** 31)(id) && Number.isInteger(id) && !known.has(id), `number of ${where}`, 'a whole number of its own');
    expect(take.name ?? null, text, `name of ${where}`, 'a text');
    expect(take.notes ?? null, within(0, 1e6), `number of notes of ${where}`, 'a number');
    checkSettings(take.state, `${where}'s `);
  }
  expect(state.mixer, Array.isArray, 'mixer', 'a list');
  for (const row of state.mixer ?? []) {
    expect(row ?? null, (value) => value !== null && typeof value === 'object', 'row of the mixer', "a track's gain and mute");
    expect(row.gain, within(0, 2), 'gain of a track', 'a number from 0 to 2');
    expect(row.mute, (value) => typeof value === 'boolean', 'mute of a track', 'true or false');
  }
  if (state.loop !== null) {
    expect(state.loop, (loop) => Array.isArray(loop) && loop.length === 2 && loop.every(within(0, 1e6)) && loop[1] - loop[0] >= 0.2, 'loop', 'two times in seconds, 0.2 s apart or more');
  }
  expect(state.tempo, (value) => ['auto', 'fixed'].includes(value), 'MIDI tempo', 'auto or fixed');
  expect(state.bpm, within(0, 1000), 'beats a minute', 'a number from 0 to 1000');
}
