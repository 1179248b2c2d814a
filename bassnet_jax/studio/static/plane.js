// The latent plane: filled density or a measured map, iso-contours of the training songs, a 4x4 grid and the dot.

import { fitted, ramp, theme } from './colours.js';

const STEP = 0.1;
const BIG_STEP = 0.5;
const UNITS = {
  density: ['few notes', 'many', (v) => `${v.toFixed(1)}/s`],
  register: ['low', 'high', (v) => noteName(Math.round(v))],
  diatonic: ['out of key', 'in key', (v) => `${Math.round(100 * v)} %`],
  syncopation: ['on the beat', 'off', (v) => `${Math.round(100 * v)} %`],
};

export function noteName(pitch) {
  return `${['C', 'C♯', 'D', 'E♭', 'E', 'F', 'F♯', 'G', 'A♭', 'A', 'B♭', 'B'][pitch % 12]}${Math.floor(pitch / 12) - 1}`;
}

export class Plane extends EventTarget {
  constructor(root, canvas, dot, readout, legend) {
    super();
    Object.assign(this, { root, canvas, dot, readout, legend });
    this.reach = 3.5;
    this.z = [0, 0];
    this.home = [0, 0]; // where the model's own position is
    this.density = null;
    this.kind = 'data';
    this.cells = new Map(); // "row,column" to measured values
    this.size = 9;
    root.addEventListener('pointerdown', (event) => this.#grab(event));
    root.addEventListener('pointermove', (event) => this.dragging === event.pointerId && this.#pointed(event));
    for (const name of ['pointerup', 'pointercancel']) root.addEventListener(name, (event) => this.#drop(event));
    dot.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(root);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  #grab(event) {
    if (event.button > 0) return;
    event.preventDefault();
    this.dragging = event.pointerId;
    this.root.setPointerCapture(event.pointerId);
    this.dot.focus({ preventScroll: true });
    this.dispatchEvent(new Event('begin'));
    this.#pointed(event);
  }

  #pointed(event) {
    const box = this.root.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 2 - 1;
    const y = 1 - ((event.clientY - box.top) / box.height) * 2;
    this.move(x * this.reach, y * this.reach, event.timeStamp);
  }

  #drop(event) {
    if (this.dragging !== event.pointerId) return;
    this.dragging = null;
    this.dispatchEvent(new Event('end'));
  }

  #key(event) {
    const by = event.shiftKey ? BIG_STEP : STEP;
    const moves = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] };
    if (event.key !== 'Home' && !moves[event.key]) return;
    event.preventDefault();
    this.dispatchEvent(new Event('begin'));
    const [x, y] = event.key === 'Home' ? this.home : [this.z[0] + moves[event.key][0], this.z[1] + moves[event.key][1]];
    this.move(x, y, event.timeStamp);
    this.dispatchEvent(new Event('end'));
  }

  get atHome() {
    return this.home.every((value, i) => Math.abs(this.z[i] - value) < 0.001);
  }

  // A person's move: shown, and told to the rest of the page.
  move(x, y, stamp = performance.now()) {
    this.show(x, y);
    this.dispatchEvent(new CustomEvent('move', { detail: { z: [...this.z], stamp } }));
  }

  show(x, y) {
    const inside = (value) => Math.round(Math.min(Math.max(value, -this.reach), this.reach) * 1000) / 1000;
    this.z = [inside(x), inside(y)];
    this.dot.style.left = `${50 + (50 * this.z[0]) / this.reach}%`;
    this.dot.style.top = `${50 - (50 * this.z[1]) / this.reach}%`;
    this.readout.textContent = `${this.z[0].toFixed(2)}, ${this.z[1].toFixed(2)}`;
    this.dot.setAttribute('aria-valuenow', this.z[0]);
    this.dot.setAttribute('aria-valuetext', `x ${this.z[0].toFixed(1)}, y ${this.z[1].toFixed(1)}`);
  }

  setDensity(density) {
    this.density = density;
    this.reach = density.reach;
    document.querySelector('#map option[value=data]').textContent = density.source === 'training' ? 'Training songs' : 'Where songs lie';
    this.show(...this.z);
    this.draw();
  }

  choose(kind) {
    this.kind = kind;
    this.draw();
  }

  clearMap() {
    this.cells.clear();
    this.draw();
  }

  setCell(message) {
    this.size = message.size;
    this.cells.set(`${message.row},${message.column}`, message.values);
    this.progress = `${message.done} of ${message.of} measured`;
    if (message.done === message.of) this.progress = '';
    if (this.kind !== 'data') this.draw();
  }

  setPath(points, drawn) {
    this.path = points;
    this.pathDrawn = drawn;
    this.draw();
  }

  #background(colours) {
    const { density, size, kind } = this;
    const image = new ImageData(size, size);
    if (kind === 'data') {
      if (!density) return null;
      const picture = new ImageData(density.size, density.size);
      for (let row = 0; row < density.size; row += 1) {
        for (let column = 0; column < density.size; column += 1) {
          const value = density.cells[(density.size - 1 - row) * density.size + column] / 255;
          picture.data.set([...ramp(value ** 0.6 * 0.82, colours.dark, false), 255], 4 * (row * density.size + column));
        }
      }
      this.legend.textContent = density.source === 'training' ? 'Filled: where training songs lie' : 'Filled: where the model expects songs (prior)';
      this.legend.title = density.note;
      return picture;
    }
    const values = [...this.cells.values()].map((cell) => cell[kind]).filter((value) => value !== null);
    if (!values.length) {
      this.legend.textContent = this.cells.size ? 'Nothing to measure here' : 'Measured once a song is there';
      return null;
    }
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const [few, many, unit] = UNITS[kind];
    this.legend.textContent = `${few} ${unit(low)} → ${many} ${unit(high)}${this.progress ? ` (${this.progress})` : ''}`;
    this.legend.title = 'Measured for this song';
    if (high - low < 1e-9) high = low + 1;
    for (let row = 0; row < size; row += 1) {
      for (let column = 0; column < size; column += 1) {
        const value = this.#nearest(size - 1 - row, column, kind);
        image.data.set(value === null ? [0, 0, 0, 0] : [...ramp((value - low) / (high - low), colours.dark, true), 255], 4 * (row * size + column));
      }
    }
    return image;
  }

  // The cell's value, or its neighbours' mean while it isn't measured yet.
  #nearest(row, column, kind) {
    const own = this.cells.get(`${row},${column}`);
    if (own) return own[kind];
    const around = [];
    for (const [r, c] of [[row - 1, column], [row + 1, column], [row, column - 1], [row, column + 1], [row - 1, column - 1], [row + 1, column + 1], [row - 1, column + 1], [row + 1, column - 1]]) {
      const value = this.cells.get(`${r},${c}`)?.[kind];
      if (value !== undefined && value !== null) around.push(value);
    }
    return around.length ? around.reduce((a, b) => a + b) / around.length : null;
  }

  draw() {
    const { context, width, height } = fitted(this.canvas);
    if (!width) return;
    const colours = theme();
    context.fillStyle = colours.field;
    context.fillRect(0, 0, width, height);
    const image = this.#background(colours);
    if (image) {
      const small = new OffscreenCanvas(image.width, image.height);
      small.getContext('2d').putImageData(image, 0, 0);
      context.imageSmoothingEnabled = true;
      context.imageSmoothingQuality = 'high';
      context.drawImage(small, 0, 0, width, height);
    }
    context.strokeStyle = colours.grid;
    context.lineWidth = 1;
    context.beginPath();
    for (let i = 1; i < 4; i += 1) {
      const at = Math.round((i * width) / 4) + 0.5;
      context.moveTo(at, 0);
      context.lineTo(at, height);
      context.moveTo(0, at);
      context.lineTo(width, at);
    }
    context.stroke();
    if (this.density) this.#contours(context, width, height, colours);
    if (this.path?.length) {
      context.strokeStyle = this.kind === 'data' ? colours.accent : colours.text; // the maps are of the accent's colour
      context.lineWidth = 2;
      context.lineJoin = 'round';
      context.globalAlpha = 0.75;
      context.beginPath();
      for (const [, x, y] of this.path) context.lineTo(width * (0.5 + (0.5 * x) / this.reach), height * (0.5 - (0.5 * y) / this.reach));
      context.stroke();
      context.globalAlpha = 1;
    }
  }

  // Lines of equal density, by marching squares over the cells' centres.
  #contours(context, width, height, colours) {
    const { size, cells, levels, masses } = this.density;
    const px = (column) => ((column + 0.5) / size) * width;
    const py = (row) => height - ((row + 0.5) / size) * height;
    const labels = [];
    levels.forEach((level, index) => {
      context.strokeStyle = colours.dark ? `rgba(255,255,255,${0.5 - 0.09 * index})` : `rgba(10,40,70,${0.5 - 0.08 * index})`;
      context.lineWidth = 1.1;
      context.beginPath();
      let top = null;
      for (let row = 0; row < size - 1; row += 1) {
        for (let column = 0; column < size - 1; column += 1) {
          const corners = [[row, column], [row, column + 1], [row + 1, column + 1], [row + 1, column]];
          const crossings = [];
          for (let side = 0; side < 4; side += 1) {
            const [r0, c0] = corners[side];
            const [r1, c1] = corners[(side + 1) % 4];
            const [a, b] = [cells[r0 * size + c0], cells[r1 * size + c1]];
            if (a < level !== b < level) {
              const share = (level - a) / (b - a);
              crossings.push([px(c0 + share * (c1 - c0)), py(r0 + share * (r1 - r0))]);
            }
          }
          for (let i = 0; i + 1 < crossings.length; i += 2) {
            context.moveTo(...crossings[i]);
            context.lineTo(...crossings[i + 1]);
            if (!top || crossings[i][1] < top[1]) top = crossings[i];
          }
        }
      }
      context.stroke();
      if (top && top[1] > 16 && labels.every(([x, y]) => Math.abs(y - top[1]) > 13 || Math.abs(x - top[0]) > 34)) {
        labels.push(top);
        const label = [`${Math.round(100 * masses[index])} %`, top[0] + 4, top[1] - 3];
        context.font = '10px system-ui, sans-serif';
        context.lineJoin = 'round';
        context.lineWidth = 3;
        context.strokeStyle = colours.field; // readable on whatever map lies behind
        context.strokeText(...label);
        context.fillStyle = colours.text;
        context.fillText(...label);
      }
    });
  }
}
