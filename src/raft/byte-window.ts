/** A queue of (index, bytes) in index order: what is on its way and how much that is. */
export class ByteWindow {
  private items: { readonly index: number; readonly bytes: number }[] = [];
  private head = 0;
  private total = 0;

  get count(): number {
    return this.items.length - this.head;
  }

  get bytes(): number {
    return this.total;
  }

  push(index: number, bytes: number): void {
    this.items.push({ index, bytes });
    this.total += bytes;
  }

  /** Forgets everything up to and including `index`. */
  release(index: number): void {
    for (;;) {
      const item = this.items[this.head];
      if (item === undefined || item.index > index) break;
      this.total -= item.bytes;
      this.head++;
    }
    if (this.head === this.items.length) this.clear();
    else if (this.head > 64 && this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
  }

  clear(): void {
    if (this.items.length > 0) this.items = [];
    this.head = 0;
    this.total = 0;
  }
}
