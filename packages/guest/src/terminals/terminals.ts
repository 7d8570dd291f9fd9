import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { RequestError } from "../daemon/request-error.ts";
import type { GuestTerminal } from "../frames.ts";
import { isSafeName } from "../run-paths.ts";
import { Terminal, type TerminalOptions } from "./terminal.ts";

/** Each has 2 MiB of output and a few processes. */
const mostRunning = 8;
/** Those that have ended and whose end may still be asked for. */
const mostEnded = 8;

/** The terminals of this sandbox; those of before are found again. */
export class Terminals {
  readonly #folder: string;
  readonly #terminals = new Map<string, Terminal>();
  readonly #opening = new Map<string, Promise<Terminal>>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(folder)) {
      const found = isSafeName(name) ? Terminal.restore(join(folder, name), name) : undefined;
      if (found === undefined) rmSync(join(folder, name), { recursive: true, force: true });
      else this.#terminals.set(name, found);
    }
  }

  describe(): GuestTerminal[] {
    return this.#sorted().map((terminal) => terminal.describe());
  }

  get(terminalId: string): Terminal {
    const terminal = this.#terminals.get(terminalId);
    if (terminal === undefined) throw new RequestError("unknown_terminal", `there is no terminal ${terminalId} here`);
    return terminal;
  }

  /** The same id again is answered with the terminal that there is. */
  async open(options: TerminalOptions): Promise<void> {
    const { terminalId } = options;
    if (this.#terminals.has(terminalId)) return;
    const known = this.#opening.get(terminalId);
    if (known !== undefined) {
      await known;
      return;
    }
    const running = this.#sorted().filter(({ isRunning }) => isRunning);
    if (running.length + this.#opening.size >= mostRunning) {
      throw new RequestError("too_many_terminals", `${mostRunning} terminals run already`);
    }
    const opening = Terminal.open(join(this.#folder, terminalId), options);
    this.#opening.set(terminalId, opening);
    try {
      this.#terminals.set(terminalId, await opening);
    } finally {
      this.#opening.delete(terminalId);
    }
    this.#dropOld();
  }

  /** Ends it and forgets it. */
  async end(terminalId: string): Promise<void> {
    const terminal = this.get(terminalId);
    await terminal.end();
    if (this.#terminals.delete(terminalId)) terminal.remove();
  }

  async endAll(): Promise<void> {
    await Promise.all(this.#sorted().map((terminal) => terminal.end()));
  }

  #dropOld(): void {
    const over = this.#sorted().filter(({ isRunning }) => !isRunning);
    for (const terminal of over.slice(0, -mostEnded)) {
      this.#terminals.delete(terminal.terminalId);
      terminal.remove();
    }
  }

  #sorted(): Terminal[] {
    return [...this.#terminals.values()].sort((a, b) => a.createdMs - b.createdMs);
  }
}
