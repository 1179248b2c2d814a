// Waveform of the whole song and piano roll around the playhead.

import { fitted, theme } from './colours.js';
import { noteName } from './plane.js';

const SECONDS = 9; // that the roll shows
const BEFORE = 0.28; // share of it before the playhead
const BLACK = new Set([1, 3, 6, 8, 10]);

// Peaks of the sum of some buffers: Float32Array of `count` values 0..1.
export function peaks(buffers, seconds, count = 1200) {
  const result = new Float32Array(count);
  for (const { buffer, gain } of buffers) {
    const data = buffer.getChannelData(0);
    const step = (seconds * buffer.sampleRate) / count;
    const stride = Math.max(Math.floor(step / 200), 1);
    for (let i = 0; i < count; i += 1) {
      let high = 0;
      const end = Math.min((i + 1) * step, data.length);
      for (let at = Math.floor(i * step); at < end; at += stride) high = Math.max(high, Math.abs(data[at]));
      result[i] += high * gain;
    }
  }
  const top = Math.max(...result, 1e-6);
  return result.map((value) => value / top);
}

export class Wave extends EventTarget {
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.peaks = null;
    this.length = 0;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.from = this.#seconds(event);
      this.dispatchEvent(new CustomEvent('seek', { detail: this.from }));
    });
    canvas.addEventListener('pointermove', (event) => {
      if (this.from === undefined) return;
      const to = this.#seconds(event);
      if (Math.abs(to - this.from) > Math.max(this.length / 80, 0.3)) this.dispatchEvent(new CustomEvent('select', { detail: [Math.min(this.from, to), Math.max(this.from, to)] }));
    });
    for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, () => (this.from = undefined));
    canvas.addEventListener('keydown', (event) => {
      const by = { ArrowLeft: -2, ArrowRight: 2, PageUp: -10, PageDown: 10 }[event.key];
      if (by) {
        event.preventDefault();
        this.dispatchEvent(new CustomEvent('seek', { detail: this.position + by }));
      }
    });
  }

  #seconds(event) {
    const box = this.canvas.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * this.length;
  }

  draw(position, notes, loop) {
    this.position = position;
    const { context, width, height } = fitted(this.canvas);
    const colours = theme();
    context.clearRect(0, 0, width, height);
    if (!this.length) return;
    const x = (seconds) => (seconds / this.length) * width;
    if (loop) {
      context.fillStyle = colours.accent;
      context.globalAlpha = 0.16;
      context.fillRect(x(loop[0]), 0, x(loop[1]) - x(loop[0]), height);
      context.globalAlpha = 1;
    }
    const base = height - 12;
    if (this.peaks) {
      for (let i = 0; i < width; i += 2) {
        const value = this.peaks[Math.floor((i / width) * this.peaks.length)];
        context.fillStyle = (i / width) * this.length < position ? colours.accent : colours.wave;
        context.globalAlpha = 0.85;
        const tall = Math.max(value * (base - 6), 1);
        context.fillRect(i, (base - tall) / 2 + 2, 1.4, tall);
      }
      context.globalAlpha = 1;
    }
    context.fillStyle = colours.accent;
    for (const note of notes) context.fillRect(x(note.onset), base + 8 - ((note.pitch - 23) / 44) * 8, Math.max(x(note.offset) - x(note.onset), 1), 2);
    context.fillStyle = colours.text;
    context.fillRect(Math.round(x(position)) - 1, 0, 2, height);
  }
}

export class Roll {
  constructor(canvas) {
    this.canvas = canvas;
    this.range = [28, 52];
  }

  fit(notes) {
    if (!notes.length) return;
    const pitches = notes.map((note) => note.pitch);
    let [low, high] = [Math.min(...pitches) - 2, Math.max(...pitches) + 2];
    while (high - low < 16) {
      low -= 1;
      high += 1;
    }
    this.range = [Math.max(low, 21), Math.min(high, 69)];
  }

  draw(position, notes, beats, length) {
    const { context, width, height } = fitted(this.canvas);
    const colours = theme();
    context.clearRect(0, 0, width, height);
    const [low, high] = this.range;
    const rows = high - low + 1;
    const tall = height / rows;
    const keys = 40;
    const from = position - SECONDS * BEFORE;
    const x = (seconds) => keys + ((seconds - from) / SECONDS) * (width - keys);
    const y = (pitch) => height - (pitch - low + 1) * tall;
    for (let pitch = low; pitch <= high; pitch += 1) {
      if (!BLACK.has(pitch % 12)) {
        context.fillStyle = colours.row;
        context.fillRect(keys, y(pitch), width - keys, tall - 0.5);
      }
      if (pitch % 12 === 0 || pitch % 12 === 4 || (pitch % 12 === 9 && tall > 9)) {
        context.fillStyle = colours.soft;
        context.font = '11px system-ui, sans-serif';
        context.textBaseline = 'middle';
        context.fillText(noteName(pitch), 8, y(pitch) + tall / 2);
      }
    }
    context.save();
    context.beginPath();
    context.rect(keys, 0, width - keys, height);
    context.clip();
    context.fillStyle = colours.beat;
    for (const beat of beats) if (beat >= from && beat <= from + SECONDS) context.fillRect(x(beat), 0, 1, height);
    if (length) {
      context.fillStyle = colours.card;
      context.globalAlpha = 0.7;
      if (from < 0) context.fillRect(keys, 0, x(0) - keys, height);
      if (from + SECONDS > length) context.fillRect(x(length), 0, width, height);
      context.globalAlpha = 1;
    }
    for (const note of notes) {
      if (note.offset < from || note.onset > from + SECONDS) continue;
      const sounding = note.onset <= position && note.offset > position;
      const [left, wide] = [x(note.onset), Math.max(x(note.offset) - x(note.onset) - 1.5, 3)];
      context.fillStyle = colours.accent;
      context.globalAlpha = sounding ? 1 : 0.68 + 0.26 * (note.velocity / 127);
      context.beginPath();
      context.roundRect(left, y(note.pitch) + 0.5, wide, Math.max(tall - 1.5, 3), Math.min(3, tall / 3));
      context.fill();
      if (sounding) {
        context.strokeStyle = colours.text;
        context.lineWidth = 1.5;
        context.stroke();
      }
      if (tall > 11 && wide > 26) {
        context.globalAlpha = 1;
        context.fillStyle = colours.accentText;
        context.font = '600 10px system-ui, sans-serif';
        context.fillText(noteName(note.pitch), left + 5, y(note.pitch) + tall / 2);
      }
    }
    context.globalAlpha = 1;
    context.fillStyle = colours.text;
    context.fillRect(Math.round(x(position)) - 1, 0, 2, height);
    context.restore();
  }
}
