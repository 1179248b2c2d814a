// Talks to the studio's server. Every failure becomes a StudioError: its message can be shown.

import { StudioError } from './messages.js';

const unexplained = (status) => `The studio answered ${status}, without a reason. Reload the page; its terminal may say more.`;

async function answer(response) {
  if (response.ok) return response;
  let message = unexplained(response.status);
  try {
    message = (await response.json()).error ?? message;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new StudioError(message);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new StudioError('The studio does not answer. Is it still running in its terminal? If not, start it again, then reload this page.');
  }
  return answer(response);
}

const json = (value) => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) });

export class Api {
  constructor(session) {
    this.session = session;
    this.base = `/api/sessions/${session}`;
  }

  static async models() {
    return (await ask('/api/models')).json();
  }

  static async model(id) {
    return (await ask(`/api/models/${encodeURIComponent(id)}`)).json();
  }

  static async open() {
    return new Api((await (await ask('/api/sessions', { method: 'POST' })).json()).id);
  }

  // fetch can't tell how much of a body has gone out; XMLHttpRequest can.
  upload(path, file, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open('POST', `${this.base}/${path}`);
      request.setRequestHeader('x-file-name', encodeURIComponent(file.name ?? ''));
      request.setRequestHeader('content-type', 'application/octet-stream');
      request.upload.onprogress = (event) => event.lengthComputable && progress?.(event.loaded / event.total);
      request.onerror = () => reject(new StudioError('The upload was cut off. Is it a folder, or has the file been moved? If not: is the studio still running in its terminal?'));
      request.onload = () => {
        let content = {};
        try {
          content = JSON.parse(request.responseText);
        } catch {
          return reject(new StudioError(unexplained(request.status)));
        }
        return request.status < 300 ? resolve(content) : reject(new StudioError(content.error ?? unexplained(request.status)));
      };
      request.send(file);
    });
  }

  async remove(track) {
    await ask(`${this.base}/tracks/${track}`, { method: 'DELETE' });
  }

  async audio(track) {
    return (await ask(`${this.base}/tracks/${track}/audio`)).arrayBuffer();
  }

  async style(mix, bass, model) {
    return (await (await ask(`${this.base}/style`, json({ mix, bass, model }))).json()).z;
  }

  async exported(kind, message) {
    return (await ask(`${this.base}/export/${kind}`, json(message))).blob();
  }

  leave() {
    fetch(this.base, { method: 'DELETE', keepalive: true });
  }

  connect(handlers) {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${this.base}/socket`);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = (event) => (typeof event.data === 'string' ? handlers.message(JSON.parse(event.data)) : handlers.binary(event.data));
    socket.onclose = () => handlers.closed();
    this.socket = socket;
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new StudioError('The studio does not answer. Is it still running in its terminal? If not, start it again, then reload this page.'));
    });
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
