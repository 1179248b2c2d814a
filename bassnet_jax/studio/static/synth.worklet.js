// Plays the bass line: additive synthesis from the amplitude tables that the server sends with every note.
//
// A change of the line never strikes a sounding note again: the note goes on to its old or its new end, whichever is sooner; new notes
// begin at their own onsets. Song time is a function of the context's time, so sound, waveform and piano roll stay together.

const HARMONICS = 48;
const FRAME_RATE = 80;
const ATTACK = 0.005;
const RELEASE = 0.03;
const SAME = 0.035; // seconds within which two onsets are one stroke; a line's own onsets are further apart
const LATE = 0.03; // seconds by which a new line's note may come too late and is still played
const TILT = 9; // dB an octave at the ends of the timbre's range
const FADE = 0.006; // seconds, of stopping and seeking

const AMPLITUDE = new Float32Array(256);
for (let code = 1; code < 256; code += 1) AMPLITUDE[code] = 10 ** ((-90 + ((code - 1) / 254) * 108) / 20);

class BassSynth extends AudioWorkletProcessor {
  constructor() {
    super();
    this.notes = [];
    this.voices = [];
    this.playing = null; // { start: context seconds, offset: song seconds, loop: [from, to] or null }
    this.position = 0; // song seconds at the end of the last block
    this.struck = -1; // song seconds of the last stroke
    this.id = -1;
    this.stamps = [];
    this.tilt = new Float32Array(HARMONICS).fill(1);
    this.now = new Float32Array(HARMONICS);
    this.next = new Float32Array(HARMONICS);
    this.port.onmessage = (event) => this.take(event.data);
  }

  take(message) {
    if (message.type === 'line') this.takeLine(message);
    else if (message.type === 'start') {
      this.fadeAll();
      this.playing = message;
      this.position = message.offset;
      this.struck = -1;
      this.entering = true;
    } else if (message.type === 'loop') {
      if (this.playing) this.playing.loop = message.loop;
    } else if (message.type === 'stop') {
      this.playing = null;
      this.fadeAll();
    } else if (message.type === 'timbre') {
      const slope = ((message.value - 0.5) * 2 * TILT) / (20 * Math.log10(2));
      for (let h = 0; h < HARMONICS; h += 1) this.tilt[h] = (h + 1) ** slope;
    } else if (message.type === 'clear') {
      this.notes = [];
      this.id = -1;
      this.fadeAll();
    }
  }

  takeLine({ id, whole, span, hold, notes, codes }) {
    if (id < this.id) return; // an answer to an older move
    for (const note of notes) note.table = codes.subarray(note.place, note.place + note.frames * HARMONICS);
    const kept = whole ? [] : this.notes.filter((note) => note.onset < span[0] || note.onset >= span[1]);
    this.notes = kept.concat(notes).sort((a, b) => a.onset - b.onset);
    const newLine = id !== this.id;
    this.id = id;
    const until = whole ? this.holdFromNotes() : hold;
    for (const voice of this.voices) {
      if (voice.released >= 0) continue;
      if (voice.id === id) {
        const own = this.notes.find((note) => Math.abs(note.onset - voice.onset) < 1e-3);
        if (own) {
          voice.note = own;
          voice.end = own.open ? Infinity : own.offset;
        }
      } else if (newLine || (whole && voice.unsure)) {
        voice.end = Math.min(newLine && !voice.unsure ? voice.end : Infinity, Math.max(until, this.position), voice.cap);
        voice.unsure = !whole && until >= span[1];
        if (newLine && !voice.unsure) voice.cap = voice.end;
      }
    }
    if (newLine && this.playing) {
      const late = this.notes.find((note) => note.id === id && note.onset < this.position && note.onset >= this.position - LATE);
      if (late && this.mayStrike(late)) this.strike(late, 0, this.position);
    }
    this.stamps.push(id);
  }

  // Until when a note that sounds now goes on in the line: to the end of the note that the line has here, or to its next onset.
  holdFromNotes() {
    const here = this.notes.findLast((note) => note.onset <= this.position);
    const next = this.notes.find((note) => note.onset > this.position);
    return Math.min(here ? here.offset : this.position, next ? next.onset : Infinity);
  }

  mayStrike(note) {
    return Math.abs(note.onset - this.struck) >= SAME;
  }

  strike(note, at, position) {
    for (const voice of this.voices) if (voice.released < 0) voice.released = 0;
    const cap = Infinity;
    this.voices.push({ note, id: note.id, onset: note.onset, end: note.open ? Infinity : note.offset, cap, unsure: false, phase: 0, age: 0, released: -1, fading: false, wait: at });
    if (position === note.onset || position - note.onset < SAME) this.struck = note.onset;
  }

  fadeAll() {
    for (const voice of this.voices) {
      if (voice.released < 0) voice.released = 0;
      else if (!voice.fading) voice.released *= FADE / RELEASE; // goes on from the same level, faster
      voice.fading = true;
    }
  }

  // Amplitudes of a note's harmonics at a song time, with the timbre's tilt at the same loudness.
  amplitudes(note, seconds, result) {
    const place = Math.min(Math.max(seconds * FRAME_RATE - note.first, 0), note.frames - 1);
    const frame = Math.min(Math.floor(place), note.frames - 1);
    const after = Math.min(frame + 1, note.frames - 1);
    const share = place - frame;
    let before = 0;
    let power = 0;
    for (let h = 0; h < HARMONICS; h += 1) {
      const a = AMPLITUDE[note.table[frame * HARMONICS + h]];
      const b = AMPLITUDE[note.table[after * HARMONICS + h]];
      const value = a + (b - a) * share;
      const tilted = value * this.tilt[h];
      before += value * value;
      power += tilted * tilted;
      result[h] = tilted;
    }
    const scale = power > 0 ? Math.sqrt(before / power) : 0;
    for (let h = 0; h < HARMONICS; h += 1) result[h] *= scale;
  }

  // Adds samples [from, to) of a voice, during which the song goes from `position` on (or stands still when it is fading after a stop).
  render(voice, output, from, to, position) {
    const length = to - from;
    const { note, fading } = voice;
    this.amplitudes(note, position, this.now);
    this.amplitudes(note, position + length / sampleRate, this.next);
    const { now, next } = this;
    let top = HARMONICS;
    while (top > 1 && now[top - 1] < 1e-6 && next[top - 1] < 1e-6) top -= 1;
    for (let h = 0; h < top; h += 1) next[h] = (next[h] - now[h]) / length;
    const step = note.hertz / sampleRate;
    const attack = ATTACK * sampleRate;
    const release = (fading ? FADE : RELEASE) * sampleRate;
    for (let i = from; i < to; i += 1) {
      const angle = 2 * Math.PI * voice.phase;
      const twice = 2 * Math.cos(angle);
      let older = 0;
      let sine = Math.sin(angle);
      let sum = 0;
      for (let h = 0; h < top; h += 1) {
        sum += now[h] * sine;
        now[h] += next[h];
        const following = twice * sine - older; // sin((h + 2) x) from the two before it
        older = sine;
        sine = following;
      }
      let gain = voice.age < attack ? 0.5 - 0.5 * Math.cos((Math.PI * voice.age) / attack) : 1;
      if (voice.released >= 0) {
        gain *= voice.released < release ? 0.5 + 0.5 * Math.cos((Math.PI * voice.released) / release) : 0;
        voice.released += 1;
      }
      output[i] += sum * gain;
      voice.age += 1;
      voice.phase += step;
      if (voice.phase >= 1) voice.phase -= 1;
    }
    voice.gone = voice.released >= release;
  }

  // Plays samples [from, to) of a block, in which the song runs from `position` without a jump.
  segment(output, from, to, position) {
    const end = position + (to - from) / sampleRate;
    if (this.entering) {
      const here = this.notes.findLast((note) => note.onset < position);
      if (here && here.offset > position + 0.02) this.strike(here, from, position);
      this.entering = false;
    }
    for (const note of this.notes) {
      if (note.onset >= end) break;
      if (note.onset >= position - 1e-5 && this.mayStrike(note)) {
        const at = Math.min(from + Math.max(Math.ceil((note.onset - position) * sampleRate), 0), to - 1);
        // The voice before it goes on to this sample, then is released.
        this.voicesUntil(output, from, at, position);
        this.strike(note, at, note.onset);
        this.voicesUntil(output, at, to, position + (at - from) / sampleRate);
        this.position = end;
        return;
      }
    }
    this.voicesUntil(output, from, to, position);
    this.position = end;
  }

  voicesUntil(output, from, to, position) {
    if (to <= from) return;
    for (const voice of this.voices) {
      const ends = voice.released < 0 ? Math.round((voice.end - position) * sampleRate) : Infinity;
      if (ends <= 0) voice.released = 0;
      if (ends > 0 && ends < to - from) {
        this.render(voice, output, from, from + ends, position);
        voice.released = 0;
        this.render(voice, output, from + ends, to, position + ends / sampleRate);
      } else this.render(voice, output, from, to, position);
    }
    this.voices = this.voices.filter((voice) => !voice.gone);
  }

  process(_, outputs) {
    const output = outputs[0][0];
    const length = output.length;
    if (this.stamps.length) {
      const position = this.playing ? this.position : null;
      for (const id of this.stamps) this.port.postMessage({ type: 'stamp', id, position, context: currentTime, wall: Date.now() });
      this.stamps = [];
    }
    const transport = this.playing;
    const ready = transport ? Math.round((transport.start - currentTime) * sampleRate) : Infinity;
    if (ready >= length) {
      this.voicesUntil(output, 0, length, this.position);
    } else {
      let from = 0;
      if (ready > 0) {
        this.voicesUntil(output, 0, ready, this.position);
        from = ready;
      }
      let position = transport.offset + (currentTime + from / sampleRate - transport.start);
      if (transport.loop) {
        const [first, last] = transport.loop;
        if (position >= last && transport.offset < last) position = first + ((position - first) % (last - first));
        const left = Math.max(Math.ceil((last - position) * sampleRate), 0);
        if (transport.offset < last && left < length - from) {
          this.segment(output, from, from + left, position);
          for (const voice of this.voices) if (voice.released < 0) voice.released = 0;
          this.struck = -1;
          this.segment(output, from + left, length, first);
          from = length;
        }
      }
      if (from < length) this.segment(output, from, length, position);
    }
    for (let channel = 1; channel < outputs[0].length; channel += 1) outputs[0][channel].set(output);
    return true;
  }
}

registerProcessor('bass-synth', BassSynth);
