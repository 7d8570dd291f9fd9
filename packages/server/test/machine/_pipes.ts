import type { Random } from "./_random.ts";
import type { Time } from "./_time.ts";

/** Bytes from one end to the other. */
export class Pipe implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  #hasEnded = false;
  #wake: (() => void) | undefined;

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#wake?.();
  }

  end(): void {
    this.#hasEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#hasEnded) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** How long things take that are on their way. */
export class Delays {
  readonly #time: Time;
  readonly #random: Random;
  /** The longest; 0: all is there at once. */
  mostMs = 0;

  constructor(time: Time, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  next(): number {
    // As a rule short, now and then long: what overtakes what is what is looked for.
    return this.#random.below(4) === 0
      ? this.#random.below(this.mostMs + 1)
      : this.#random.below(Math.min(this.mostMs, 2) + 1);
  }

  wait(): Promise<void> {
    return new Promise((resolve) => this.#time.later(this.next(), resolve));
  }

  lane(): Lane {
    return new Lane(this.#time, this);
  }
}

/** A way in two directions: what goes in one of them arrives in its order. */
export class Lane {
  readonly #time: Time;
  readonly #delays: Delays;
  #toAt = 0;
  #fromAt = 0;

  constructor(time: Time, delays: Delays) {
    this.#time = time;
    this.#delays = delays;
  }

  to(arrive: () => void): void {
    this.#toAt = Math.max(this.#toAt, this.#time.now + this.#delays.next());
    this.#time.later(this.#toAt - this.#time.now, arrive);
  }

  from(arrive: () => void): void {
    this.#fromAt = Math.max(this.#fromAt, this.#time.now + this.#delays.next());
    this.#time.later(this.#fromAt - this.#time.now, arrive);
  }
}
