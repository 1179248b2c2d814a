// Takes: lines that were kept. Each is the settings that make it; choosing one decodes it again.

export class Takes extends EventTarget {
  constructor(list, empty, compare) {
    super();
    Object.assign(this, { list, empty, compare });
    this.items = [];
    this.current = null;
    this.previous = null;
    this.count = 0;
    compare.addEventListener('click', () => this.previous !== null && this.choose(this.previous));
  }

  keep(state, notes) {
    this.count += 1;
    const take = { id: this.count, name: `Take ${this.count}`, notes, state };
    this.items.push(take);
    this.#mark(take.id);
    this.draw();
    this.dispatchEvent(new CustomEvent('changed'));
  }

  #mark(id) {
    if (this.current !== id) this.previous = this.current;
    this.current = id;
  }

  choose(id) {
    const take = this.items.find((item) => item.id === id);
    if (!take) return;
    this.#mark(id);
    this.draw();
    this.dispatchEvent(new CustomEvent('choose', { detail: structuredClone(take.state) }));
  }

  remove(id) {
    this.items = this.items.filter((item) => item.id !== id);
    if (this.current === id) this.current = null;
    if (this.previous === id) this.previous = null;
    this.draw();
    this.dispatchEvent(new CustomEvent('changed'));
  }

  load(items) {
    this.items = structuredClone(items ?? []);
    this.count = Math.max(this.count, 0, ...this.items.map((item) => item.id));
    if (!this.items.some((item) => item.id === this.current)) this.current = null;
    if (!this.items.some((item) => item.id === this.previous)) this.previous = null;
    this.draw();
  }

  draw() {
    this.empty.hidden = this.items.length > 0;
    this.compare.disabled = this.previous === null;
    this.list.replaceChildren(
      ...this.items.map((take) => {
        const row = document.createElement('li');
        row.classList.toggle('current', take.id === this.current);
        const name = Object.assign(document.createElement('input'), { type: 'text', value: take.name, maxLength: 60, title: `${take.notes} notes` });
        name.setAttribute('aria-label', `Name of ${take.name}`);
        name.addEventListener('change', () => {
          take.name = name.value.trim() || take.name;
          this.draw();
          this.dispatchEvent(new CustomEvent('changed'));
        });
        const hear = Object.assign(document.createElement('button'), { textContent: 'Hear' });
        hear.setAttribute('aria-label', `Hear ${take.name}`);
        hear.setAttribute('aria-pressed', take.id === this.current);
        hear.addEventListener('click', () => this.choose(take.id));
        const remove = Object.assign(document.createElement('button'), { textContent: '✕', className: 'quiet' });
        remove.setAttribute('aria-label', `Delete ${take.name}`);
        remove.addEventListener('click', () => this.remove(take.id));
        row.append(name, hear, remove);
        return row;
      }),
    );
  }
}
