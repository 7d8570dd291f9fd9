import type { TerminalSize } from "@holdfast/protocol";
import type { Machine } from "../machines/machine.ts";
import type { GuestLink } from "../sandboxes/guest-link.ts";
import { asProblem } from "./problems.ts";

/** Where a terminal's output goes. Nothing more is read until the promise has settled. */
export interface TerminalSink {
  output(offset: number, bytes: Uint8Array): Promise<void>;
  exit(code: number | null): void;
}

/** Somebody at a terminal: a connection of their own to the sandbox's guest, which holds up nobody else. */
export class Attachment implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #link: GuestLink;
  readonly #terminalId: string;
  readonly #writer: string;
  readonly #leave: () => void;

  constructor(
    machine: Machine,
    link: GuestLink,
    { terminalId, writer, leave }: { terminalId: string; writer: string; leave: () => void },
  ) {
    this.#machine = machine;
    this.#link = link;
    this.#terminalId = terminalId;
    this.#writer = writer;
    this.#leave = leave;
  }

  /** Aborts when the sandbox has ended, or when the guest cannot be reached on this way any more. */
  get lost(): AbortSignal {
    return AbortSignal.any([this.#machine.sandbox.gone, this.#link.lost]);
  }

  /** Gives the offset from which the output comes: later than asked for where that is gone. */
  async watch(offset: number, sink: TerminalSink, signal: AbortSignal): Promise<number> {
    const terminalId = this.#terminalId;
    this.#link.listenTerminal(terminalId, {
      output: (at, bytes) => sink.output(at, bytes),
      exit: async ({ code }) => sink.exit(code),
    });
    const reply = await this.#link.call({ type: "watch_terminal", terminalId, offset }, { signal }).catch(asProblem);
    return reply.offset ?? 0;
  }

  /** `offset`: of these bytes in all that this writer types. Resolves when they are in the terminal. */
  async type(offset: number, body: Uint8Array, signal: AbortSignal): Promise<void> {
    const call = { type: "type_in_terminal", terminalId: this.#terminalId, writer: this.#writer, offset } as const;
    await this.#link.call(call, { body, signal }).catch(asProblem);
  }

  async resize({ rows, cols }: TerminalSize, signal: AbortSignal): Promise<void> {
    const call = { type: "resize_terminal", terminalId: this.#terminalId, rows, cols } as const;
    await this.#link.call(call, { signal }).catch(asProblem);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave();
    this.#machine[Symbol.dispose]();
    await this.#link[Symbol.asyncDispose]();
  }
}
