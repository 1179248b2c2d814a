// What the page says to the person: a banner for what went wrong, a line of status, and how far a longer work is.

const element = (id) => document.getElementById(id);

// An error whose message is written for the person; any other one is a fault of the page.
export class StudioError extends Error {}

export function complain(message) {
  element('banner-text').textContent = message;
  element('banner').hidden = false;
}

export function say(text) {
  element('status').textContent = text;
}

export function busy(text, share) {
  element('busy').hidden = text === null;
  if (text === null) return;
  element('busy-text').textContent = text;
  element('busy-bar').value = share;
  element('busy-share').textContent = `${Math.round(100 * share)} %`;
}

// Does a work, which may fail; what went wrong is said in plain words.
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StudioError)) console.error(error);
    complain(error instanceof StudioError ? error.message : "Something went wrong in this page; the browser's console says what. Try again, or reload the page.");
    return undefined;
  }
}

// The same error, with a file's name before it.
export function named(file, error) {
  return error instanceof StudioError ? new StudioError(`${file.name}: ${error.message}`) : error;
}

element('banner-close').addEventListener('click', () => (element('banner').hidden = true));
