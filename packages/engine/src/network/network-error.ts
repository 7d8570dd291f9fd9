/** Says what happened, why, and what to do about it. */
export class NetworkError extends Error {
  override readonly name = "NetworkError";
  readonly what: string;
  readonly why: string;
  readonly todo: string;

  constructor(parts: { what: string; why: string; todo: string; cause?: unknown }) {
    super(`${parts.what} ${parts.why} ${parts.todo}`, { cause: parts.cause });
    this.what = parts.what;
    this.why = parts.why;
    this.todo = parts.todo;
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
