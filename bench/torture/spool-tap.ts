import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { inside } from "./machine.ts";

interface Segment {
  start: number;
  descriptor: number;
}

interface Tapped {
  processId: string;
  sessionId: string;
  segments: Map<number, Segment>;
}

const newSandboxesMs = 1_000;
const spoolFolder = "/run/holdfast/spool";

/**
 * What the guests spooled, read by the machine beside them: every file is opened when it appears, so that it can be
 * read to its end after the guest has dropped it, or the sandbox is gone.
 */
export class SpoolTap implements Disposable {
  readonly #tapped = new Map<string, Tapped>();
  readonly #initPids: () => number[];
  readonly #timer: NodeJS.Timeout;
  #pids: { found: number[]; atMs: number } = { found: [], atMs: 0 };

  constructor(initPids: () => number[]) {
    this.#initPids = initPids;
    this.#timer = setInterval(() => this.#glance(), 150);
  }

  /** Opens what is new. */
  look(): void {
    this.#pids = { found: this.#initPids(), atMs: Date.now() };
    this.#glance();
  }

  /** The same, and looks for new sandboxes once in a while only: that takes time from those who are watched. */
  #glance(): void {
    if (Date.now() - this.#pids.atMs > newSandboxesMs) this.#pids = { found: this.#initPids(), atMs: Date.now() };
    for (const pid of this.#pids.found) {
      try {
        const folder = inside(pid, spoolFolder);
        for (const processId of readdirSync(folder)) this.#lookAt(processId, join(folder, processId));
      } catch {
        // No guest yet, or the sandbox ended while we looked.
      }
    }
  }

  /** Whole lines that each process of a session printed, oldest process first. */
  spoolsOf(sessionId: string): string[][] {
    const processes = [...this.#tapped.values()].filter((each) => each.sessionId === sessionId);
    return processes.toSorted((a, b) => (a.processId < b.processId ? -1 : 1)).map(linesOf);
  }

  /** Lets go of the spools of a session. */
  forget(sessionId: string): void {
    for (const [processId, tapped] of this.#tapped) {
      if (tapped.sessionId !== sessionId) continue;
      for (const { descriptor } of tapped.segments.values()) closeSync(descriptor);
      this.#tapped.delete(processId);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const { sessionId } of [...this.#tapped.values()]) this.forget(sessionId);
  }

  #lookAt(processId: string, folder: string): void {
    try {
      let tapped = this.#tapped.get(processId);
      if (tapped === undefined) {
        const record = JSON.parse(readFileSync(join(folder, "process.json"), "utf8")) as { sessionId: string };
        tapped = { processId, sessionId: record.sessionId, segments: new Map() };
        this.#tapped.set(processId, tapped);
      }
      for (const file of readdirSync(folder)) {
        const start = /^stdout\.(\d+)$/.exec(file)?.[1];
        if (start === undefined || tapped.segments.has(Number(start))) continue;
        tapped.segments.set(Number(start), { start: Number(start), descriptor: openSync(join(folder, file), "r") });
      }
    } catch {
      // It is just being made, or just being removed; the next look tells.
    }
  }
}

function linesOf({ processId, segments }: Tapped): string[] {
  const chunks: Buffer[] = [];
  let end = 0;
  for (const { start, descriptor } of [...segments.values()].toSorted((a, b) => a.start - b.start)) {
    if (start !== end) throw new Error(`the tap on ${processId} misses bytes ${end} to ${start}`);
    const chunk = Buffer.alloc(fstatSync(descriptor).size);
    end = start + readSync(descriptor, chunk, 0, chunk.length, 0);
    chunks.push(chunk);
  }
  const lines = Buffer.concat(chunks).toString("utf8").split("\n");
  // What has no line end was not said to the end, unless only that did not fit.
  const rest = lines.pop() ?? "";
  return isWhole(rest) ? [...lines, rest] : lines;
}

function isWhole(text: string): boolean {
  try {
    return typeof JSON.parse(text) === "object";
  } catch {
    // Cut off in the middle.
    return false;
  }
}
