// The list of tracks: each with gain and mute.

export class Mixer extends EventTarget {
  constructor(list, empty) {
    super();
    Object.assign(this, { list, empty });
    this.tracks = [];
  }

  add(track) {
    this.tracks.push({ gain: 1, mute: false, ...track });
    this.draw();
  }

  // What the server calls channels.
  channels() {
    return this.tracks.map(({ id, gain, mute }) => ({ id, gain, mute }));
  }

  heard(track) {
    return track.mute ? 0 : track.gain;
  }

  clear() {
    this.tracks = [];
    this.draw();
  }

  #changed() {
    this.dispatchEvent(new Event('changed'));
  }

  draw() {
    this.empty.hidden = this.tracks.length > 0;
    this.list.replaceChildren(
      ...this.tracks.map((track) => {
        const row = document.createElement('li');
        const name = Object.assign(document.createElement('span'), { className: 'name', textContent: track.name, title: track.name });
        const mute = Object.assign(document.createElement('button'), { textContent: 'Mute' });
        mute.setAttribute('aria-pressed', track.mute);
        mute.setAttribute('aria-label', `Mute ${track.name}`);
        mute.addEventListener('click', () => {
          track.mute = !track.mute;
          mute.setAttribute('aria-pressed', track.mute);
          this.#changed();
        });
        const remove = Object.assign(document.createElement('button'), { textContent: '✕', className: 'quiet' });
        remove.setAttribute('aria-label', `Remove ${track.name}`);
        remove.addEventListener('click', () => {
          this.tracks = this.tracks.filter((other) => other !== track);
          this.draw();
          this.dispatchEvent(new CustomEvent('removed', { detail: track }));
        });
        const gain = Object.assign(document.createElement('input'), { type: 'range', min: 0, max: 2, step: 0.01, value: track.gain });
        gain.setAttribute('aria-label', `Gain of ${track.name}`);
        const fill = () => gain.style.setProperty('--share', `${50 * track.gain}%`);
        fill();
        gain.addEventListener('input', () => {
          track.gain = Number(gain.value);
          fill();
          this.#changed();
        });
        row.append(name, mute, remove, gain);
        return row;
      }),
    );
  }
}
