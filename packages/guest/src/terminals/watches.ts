import type { GuestMessage } from "../frames.ts";
import type { Terminal, TerminalReader } from "./terminal.ts";

interface Watch extends TerminalReader {
  offset: number;
}

/** What one connection reads of terminals. */
export class Watches {
  readonly #watches = new Map<string, { terminal: Terminal; watch: Watch }>();
  readonly #pump: () => void;

  constructor(pump: () => void) {
    this.#pump = pump;
  }

  /** From `offset` on, or from where the ring begins by now; gives which. */
  add(terminal: Terminal, offset: number): number {
    this.drop(terminal.terminalId);
    const { start, end } = terminal.ring;
    const watch: Watch = { offset: Math.min(Math.max(offset, start), end), tell: this.#pump };
    this.#watches.set(terminal.terminalId, { terminal, watch });
    terminal.readers.add(watch);
    return watch.offset;
  }

  drop(terminalId: string): void {
    const found = this.#watches.get(terminalId);
    this.#watches.delete(terminalId);
    if (found === undefined) return;
    found.terminal.readers.delete(found.watch);
    if (found.terminal.isRunning) found.terminal.flow();
  }

  dropAll(): void {
    for (const terminalId of [...this.#watches.keys()]) this.drop(terminalId);
  }

  /** One chunk of each; whether there may be more. */
  send(chunk: Uint8Array, write: (message: GuestMessage, body?: Uint8Array) => boolean): boolean {
    let again = false;
    for (const [terminalId, { terminal, watch }] of [...this.#watches]) {
      // A terminal that was ended waits for no reader: its ring may have gone on.
      watch.offset = Math.max(watch.offset, terminal.ring.start);
      const size = terminal.ring.read(watch.offset, chunk);
      if (size > 0) {
        const { offset } = watch;
        watch.offset += size;
        again = write({ type: "terminal_output", terminalId, offset }, chunk.subarray(0, size)) || again;
        terminal.flow();
      } else if (terminal.exit !== null) {
        const { exit, ring } = terminal;
        this.drop(terminalId);
        write({ type: "terminal_exit", terminalId, code: exit.code, end: ring.end });
      }
    }
    return again;
  }
}
