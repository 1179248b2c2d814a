// The dot's recorded path: points of [song seconds, x, y], recorded while playing, replayed, re-recorded in part.

const APART = 0.03; // seconds between recorded points
const STILL = 0.004; // a shorter way isn't a move

export class Moves {
  constructor() {
    this.points = [];
    this.recording = null; // { from, points }
    this.following = false;
  }

  get any() {
    return this.points.length > 0;
  }

  begin(seconds, z) {
    this.recording = { from: seconds, points: [[seconds, ...z]] };
    this.following = false;
  }

  // Notes where the dot is; the playhead may have jumped (a loop, a seek): what lies after it is recorded over.
  note(seconds, z) {
    const { recording } = this;
    if (!recording) return;
    const last = recording.points.at(-1);
    if (seconds < last[0]) {
      this.#keep(last[0]);
      this.begin(seconds, z);
      return;
    }
    if (seconds - last[0] < APART) return;
    if (Math.hypot(z[0] - last[1], z[1] - last[2]) < STILL) return;
    // The dot stood still until a moment ago: it must not glide from there.
    if (seconds - last[0] > 3 * APART) recording.points.push([seconds - APART, last[1], last[2]]);
    recording.points.push([seconds, ...z]);
  }

  end(seconds) {
    if (!this.recording) return;
    this.#keep(seconds);
    this.recording = null;
    this.following = this.any;
  }

  // Takes the recording into the path, in place of what the path had in that time.
  #keep(until) {
    const { from, points } = this.recording;
    const stop = Math.max(until, points.at(-1)[0] + 0.001);
    const before = this.points.filter((point) => point[0] < from - 0.001);
    const after = this.points.filter((point) => point[0] > stop + 0.001);
    const joined = [...before];
    if (before.length) joined.push([from - 0.0005, ...at(this.points, from)]);
    joined.push(...points, [stop, points.at(-1)[1], points.at(-1)[2]]);
    if (after.length) joined.push([stop + 0.0005, ...at(this.points, stop)]);
    this.points = joined.concat(after).map((point) => point.map((value) => Math.round(value * 1e4) / 1e4));
    this.points = this.points.filter((point, i) => point[0] >= 0 && (i === 0 || point[0] > this.points[i - 1][0]));
  }

  // What the server needs while recording: where the dot was in the last seconds, and where it is.
  recent(seconds) {
    const { points } = this.recording;
    const near = points.filter((point) => point[0] > seconds - 3);
    return near.length ? near : [points.at(-1)];
  }

  at(seconds) {
    return at(this.points, seconds);
  }

  clear() {
    this.points = [];
    this.following = false;
    this.recording = null;
  }
}

function at(points, seconds) {
  const next = points.findIndex((point) => point[0] > seconds);
  if (next === 0) return points[0].slice(1);
  if (next < 0) return points.at(-1).slice(1);
  const [t0, x0, y0] = points[next - 1];
  const [t1, x1, y1] = points[next];
  const share = (seconds - t0) / (t1 - t0);
  return [x0 + share * (x1 - x0), y0 + share * (y1 - y0)];
}
