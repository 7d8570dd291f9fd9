/** Thrown when an answer holds the real key; the rest of it is not passed on. */
export class SecretLeakError extends Error {
  override name = "SecretLeakError";
}

/** Sees to it that no whole copy of a secret goes by, also not in two pieces, without holding any byte back. */
export class SecretGuard {
  readonly #secret: Buffer;
  #tail: Buffer = Buffer.alloc(0);

  constructor(secret: string) {
    this.#secret = Buffer.from(secret);
  }

  /** Throws `SecretLeakError` before the chunk that would complete a copy is passed on. */
  check(chunk: Buffer): void {
    const joined =
      this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk.subarray(0, this.#secret.length)]);
    if (chunk.includes(this.#secret) || joined.includes(this.#secret)) {
      throw new SecretLeakError("the upstream's answer holds the credential");
    }
    const keep = this.#secret.length - 1;
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-keep)]).subarray(-keep);
  }

  /** For whole texts: the secret replaced. */
  redact(text: string): string {
    return text.replaceAll(this.#secret.toString(), "[redacted]");
  }
}
