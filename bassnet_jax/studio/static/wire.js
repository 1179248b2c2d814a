// Reads the server's binary messages: the length of a header, the header as JSON, then one table of amplitude codes a note.

export const HARMONICS = 48;

export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const codes = new Uint8Array(buffer.slice(4 + length));
  let place = 0;
  header.notes = header.notes.map(([onset, offset, pitch, velocity, hertz, first, frames, open]) => {
    const note = { onset, offset, pitch, velocity, hertz, first, frames, open: Boolean(open), place, id: header.id };
    place += frames * HARMONICS;
    return note;
  });
  return { header, codes };
}
