/** Bytes that were typed and of which the terminal has not said yet that it has them. */
export class Unconfirmed {
  #start = 0;
  #bytes: Buffer = Buffer.alloc(0);

  /** Offset behind the last byte. */
  get end(): number {
    return this.#start + this.#bytes.length;
  }

  get size(): number {
    return this.#bytes.length;
  }

  add(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
  }

  /** Everything below `offset` is in the terminal. */
  confirm(offset: number): void {
    const known = Math.min(Math.max(offset - this.#start, 0), this.#bytes.length);
    this.#bytes = this.#bytes.subarray(known);
    this.#start += known;
  }

  /** From `offset` on, in pieces of at most `most` bytes. */
  *from(offset: number, most: number): Generator<{ offset: number; bytes: Uint8Array }> {
    for (let at = Math.max(offset, this.#start); at < this.end; at += most)
      yield { offset: at, bytes: this.#bytes.subarray(at - this.#start, at - this.#start + most) };
  }
}
