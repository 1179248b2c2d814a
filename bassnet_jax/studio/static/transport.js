// Plays the tracks and the bass together. Song time is a function of the audio context's time, for all of them the same.

import { StudioError } from './messages.js';

const LEAD = 0.06; // seconds between pressing play and the first sample: all nodes can be set up by then

export class Transport extends EventTarget {
  constructor() {
    super();
    this.tracks = new Map(); // id to { buffer, gain, source }
    this.length = 0;
    this.paused = 0; // song seconds while stopped
    this.playing = null; // { start, offset }
    this.loop = null;
  }

  // The context may only begin after a person's gesture; everything that needs it waits for this.
  async ready() {
    this.starting ??= this.#start();
    await this.starting;
    return this.context;
  }

  async #start() {
    if (!window.isSecureContext) {
      throw new StudioError(
        'No sound: this browser refuses it to a page that comes over http from another computer. Start the studio with --certificate and --key and open its https address, ' +
        'or open it on the computer that it runs on. All but the sound works: the piano roll, and the downloads.',
      );
    }
    if (!window.AudioContext || !window.AudioWorkletNode) {
      throw new StudioError('No sound: this browser has no AudioWorklet, which the bass is played with. Use a current Firefox, Chrome, Edge or Safari. All but the sound works here.');
    }
    this.context = new AudioContext({ latencyHint: 'interactive' });
    await this.context.audioWorklet.addModule('synth.worklet.js');
    this.synth = new AudioWorkletNode(this.context, 'bass-synth', { numberOfInputs: 0, outputChannelCount: [1] });
    this.bass = new GainNode(this.context, { gain: 1 });
    this.tap = new AnalyserNode(this.context, { fftSize: 8192, smoothingTimeConstant: 0 });
    this.master = new GainNode(this.context, { gain: 0.8 });
    this.synth.connect(this.tap).connect(this.bass).connect(this.master).connect(this.context.destination);
    this.synth.port.onmessage = (event) => this.dispatchEvent(new CustomEvent('synth', { detail: event.data }));
  }

  // Where this browser has no sound, a track still has its waveform and its length.
  async addTrack(id, wav) {
    const context = await this.ready().catch(() => null);
    const buffer = await (context ?? new OfflineAudioContext(1, 1, 44_100)).decodeAudioData(wav);
    const gain = context && new GainNode(context, { gain: 1 });
    gain?.connect(this.master);
    this.tracks.set(id, { buffer, gain, source: null });
    this.#measure();
    if (this.playing) this.#begin(this.tracks.get(id), this.context.currentTime + 0.01);
    return buffer;
  }

  removeTrack(id) {
    const track = this.tracks.get(id);
    if (!track) return;
    this.#end(track);
    track.gain?.disconnect();
    this.tracks.delete(id);
    this.#measure();
  }

  #measure() {
    this.length = Math.max(0, ...[...this.tracks.values()].map((track) => track.buffer.duration));
  }

  setTrackGain(id, value) {
    this.tracks.get(id)?.gain?.gain.setTargetAtTime(value, this.context.currentTime, 0.01);
  }

  setBass(value) {
    this.bass?.gain.setTargetAtTime(value, this.context.currentTime, 0.01);
  }

  sendLine(header, codes) {
    const { id, span, hold, notes } = header;
    this.synth.port.postMessage({ type: 'line', id, whole: header.type === 'whole', span, hold: hold ?? 0, notes, codes }, [codes.buffer]);
  }

  setTimbre(value) {
    this.synth?.port.postMessage({ type: 'timbre', value });
  }

  // Song seconds that are heard now (`heard`) or that are being made now.
  position(heard = false) {
    if (!this.playing) return this.paused;
    const delay = heard ? this.context.outputLatency || this.context.baseLatency || 0 : 0;
    const gone = Math.max(this.context.currentTime - delay - this.playing.start, 0);
    const plain = this.playing.offset + gone;
    if (!this.loop || this.playing.offset >= this.loop[1] || plain < this.loop[1]) return plain;
    const [first, last] = this.loop;
    return first + ((plain - first) % (last - first));
  }

  #begin(track, at) {
    const position = this.playing.offset + Math.max(at - this.playing.start, 0);
    const source = new AudioBufferSourceNode(this.context, { buffer: track.buffer });
    if (this.loop && this.playing.offset < this.loop[1]) Object.assign(source, { loop: true, loopStart: this.loop[0], loopEnd: this.loop[1] });
    source.connect(track.gain);
    // A loop beyond a short track's end would make it loop early: silence is what lies there.
    if (source.loop && this.loop[1] > track.buffer.duration) source.buffer = this.#extended(track, this.loop[1]);
    if (position < source.buffer.duration || source.loop) source.start(at, Math.min(position, source.buffer.duration));
    else return;
    track.source = source;
  }

  #extended(track, seconds) {
    const { buffer } = track;
    const longer = new AudioBuffer({ length: Math.ceil(seconds * buffer.sampleRate) + 1, numberOfChannels: buffer.numberOfChannels, sampleRate: buffer.sampleRate });
    for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) longer.copyToChannel(buffer.getChannelData(channel), channel);
    return longer;
  }

  #end(track) {
    track.source?.stop();
    track.source?.disconnect();
    track.source = null;
  }

  async play() {
    const context = await this.ready();
    await context.resume();
    if (this.playing) return;
    if (this.paused >= this.length - 0.05) this.paused = this.loop?.[0] ?? 0;
    this.#go(this.paused);
    this.dispatchEvent(new Event('state'));
  }

  #go(offset) {
    this.playing = { start: this.context.currentTime + LEAD, offset };
    for (const track of this.tracks.values()) this.#begin(track, this.playing.start);
    this.synth.port.postMessage({ type: 'start', start: this.playing.start, offset, loop: this.loop });
  }

  pause() {
    if (!this.playing) return;
    const at = Math.min(this.position(), this.length);
    for (const track of this.tracks.values()) this.#end(track);
    this.synth.port.postMessage({ type: 'stop' });
    this.playing = null;
    this.paused = at;
    this.dispatchEvent(new Event('state'));
  }

  seek(seconds) {
    const at = Math.min(Math.max(seconds, 0), Math.max(this.length - 0.01, 0));
    this.paused = at;
    if (this.playing) {
      for (const track of this.tracks.values()) this.#end(track);
      this.#go(at);
    }
    this.dispatchEvent(new Event('state'));
  }

  setLoop(range) {
    const at = this.position();
    this.loop = range;
    if (this.playing) this.seek(range && (at < range[0] || at >= range[1]) ? range[0] : at);
  }

  clear() {
    this.pause();
    for (const id of [...this.tracks.keys()]) this.removeTrack(id);
    this.paused = 0;
    this.synth?.port.postMessage({ type: 'clear' });
  }
}
