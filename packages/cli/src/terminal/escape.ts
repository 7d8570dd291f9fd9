const [enter, newline, tilde, dot, question] = [13, 10, 126, 46, 63];

/** What was typed, without what is meant for this command. */
export interface Typed {
  bytes: Uint8Array;
  /** `leave`: Enter ~ . was typed; `help`: Enter ~ ? */
  wish: "leave" | "help" | undefined;
}

/**
 * As in ssh: a `~` that begins a line waits for the next key. `~.` leaves, `~?` explains, `~~` is one `~`, and with any
 * other key both are sent.
 */
export class Escape {
  #isLineStart = true;
  #isHeld = false;

  take(typed: Uint8Array): Typed {
    const bytes: number[] = [];
    for (const [at, byte] of typed.entries()) {
      if (this.#isHeld) {
        this.#isHeld = false;
        const wish = byte === dot ? "leave" : byte === question ? "help" : undefined;
        if (wish === "leave") return { bytes: Uint8Array.from(bytes), wish };
        if (wish === "help") {
          // What comes behind it in the same piece is typed, too.
          this.#isLineStart = true;
          const rest = this.take(typed.subarray(at + 1));
          return { bytes: Uint8Array.from([...bytes, ...rest.bytes]), wish: rest.wish ?? wish };
        }
        if (byte !== tilde) bytes.push(tilde);
      } else if (byte === tilde && this.#isLineStart) {
        this.#isHeld = true;
        continue;
      }
      bytes.push(byte);
      this.#isLineStart = byte === enter || byte === newline;
    }
    return { bytes: Uint8Array.from(bytes), wish: undefined };
  }
}
