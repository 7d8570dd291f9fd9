import type { EndedExec } from "./exec-shelf.ts";
import type { OutputBook } from "./output-ledger.ts";
import { Spool } from "./spool.ts";

/** An exec of which only files are left: an earlier keeper ran it. */
export class RestoredExec implements EndedExec {
  readonly #spools: Record<1 | 2, Spool>;

  constructor(dir: string, book: OutputBook) {
    const onChange = () => undefined;
    this.#spools = {
      1: new Spool({ dir, name: "stdout", book, onChange }),
      2: new Spool({ dir, name: "stderr", book, onChange }),
    };
    for (const spool of Object.values(this.#spools)) spool.finish();
  }

  counts(): { stdoutBytes: number; stderrBytes: number; stdoutStart: number; stderrStart: number } {
    const { 1: stdout, 2: stderr } = this.#spools;
    return {
      stdoutBytes: stdout.bytes,
      stderrBytes: stderr.bytes,
      stdoutStart: stdout.start,
      stderrStart: stderr.start,
    };
  }

  attach(fd: 1 | 2, offset: number): number {
    return this.#spools[fd].attach(offset);
  }

  acknowledge(fd: 1 | 2, below: number): void {
    this.#spools[fd].acknowledge(below);
  }

  forget(): void {
    for (const spool of Object.values(this.#spools)) spool.forget();
  }
}
