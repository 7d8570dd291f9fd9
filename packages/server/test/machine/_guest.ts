import {
  encodeFrame,
  FrameDecoder,
  type GuestErrorCode,
  type GuestMessage,
  type GuestProcess,
  type GuestRequest,
} from "@holdfast/guest";
import { ClaudeModel } from "./_claude.ts";
import type { ClaudeNotes } from "./_claude-notes.ts";
import type { Lane, Pipe } from "./_pipes.ts";
import type { Random } from "./_random.ts";
import type { Life } from "./_time.ts";

/** One process as the guest keeps it. */
class Hosted {
  readonly processId: string;
  readonly sessionId: string;
  stdout = Buffer.alloc(0);
  stderr = Buffer.alloc(0);
  /** Below it all was committed and let go of. */
  dropped = 0;
  exit: { code: number | null; signal: string | null } | null = null;
  readonly lineIds = new Set<string>();
  readonly watchers = new Set<() => void>();
  isClosed = false;
  readonly claude: ClaudeModel;

  constructor(
    ids: { processId: string; sessionId: string; argv: readonly string[] },
    notes: ClaudeNotes,
    random: Random,
  ) {
    this.processId = ids.processId;
    this.sessionId = ids.sessionId;
    const output = {
      print: (text: string) => this.#print("stdout", text),
      complain: (text: string) => this.#print("stderr", text),
      exit: (code: number | null, signal: string | null) => {
        this.exit ??= { code, signal };
        this.#tell();
      },
    };
    this.claude = new ClaudeModel(ids, { output, notes, random });
  }

  /** The guest died, and its pipes with it. */
  lose(): void {
    this.claude.ended = true;
    this.exit ??= { code: null, signal: "lost" };
    this.#tell();
  }

  #print(stream: "stdout" | "stderr", text: string): void {
    if (this.exit !== null) return;
    this[stream] = Buffer.concat([this[stream], Buffer.from(text)]);
    this.#tell();
  }

  #tell(): void {
    for (const watcher of this.watchers) watcher();
  }
}

export class Refusal extends Error {
  readonly code: GuestErrorCode;
  readonly facts: object;
  constructor(code: GuestErrorCode, facts: object = {}) {
    super(code);
    this.code = code;
    this.facts = facts;
  }
}

/** The guest of one sandbox, as far as a session sees it: processes, spools, lines written once, fences. */
export class MemoryGuest {
  isRunning = false;
  readonly processes = new Map<string, Hosted>();
  readonly connections = new Set<Connection>();
  /** On its disk. */
  readonly #fences = new Map<string, number>();
  readonly #notes: ClaudeNotes;
  readonly #random: Random;
  /** The next line for a process is refused. */
  refusesLine = false;
  /** The next line is written, and the connection breaks before anybody learns it. */
  hidesLine = false;

  constructor(notes: ClaudeNotes, random: Random) {
    this.#notes = notes;
    this.#random = random;
  }

  /** Whatever is asked of it by a command starts it. */
  wake(): void {
    this.isRunning = true;
  }

  /** Killed: when it comes back it ends what it held. */
  die(): void {
    this.isRunning = false;
    for (const hosted of this.processes.values()) hosted.lose();
    this.cut();
  }

  /** Somebody removed its folder. */
  forget(): void {
    for (const hosted of this.processes.values()) hosted.claude.ended = true;
    this.processes.clear();
    this.cut();
  }

  /** Of one server's, or of all. */
  cut(life?: Life): void {
    for (const connection of [...this.connections])
      if (life === undefined || connection.life === life) connection.close();
  }

  running(): Hosted[] {
    return [...this.processes.values()].filter(({ exit }) => exit === null);
  }

  fence(sessionId: string, generation: number): void {
    const highest = this.#fences.get(sessionId) ?? 0;
    if (generation < highest) throw new Refusal("stale_generation", { generation: highest });
    this.#fences.set(sessionId, generation);
  }

  start(ids: { processId: string; sessionId: string; generation: number; argv: readonly string[] }): void {
    this.fence(ids.sessionId, ids.generation);
    if (this.processes.has(ids.processId)) return;
    if (this.running().some(({ sessionId }) => sessionId === ids.sessionId)) throw new Refusal("already_running");
    const hosted = new Hosted(ids, this.#notes, this.#random);
    this.processes.set(ids.processId, hosted);
    hosted.claude.start();
  }

  get(processId: string): Hosted {
    const hosted = this.processes.get(processId);
    if (hosted === undefined) throw new Refusal("unknown_process");
    return hosted;
  }

  claim(processId: string, generation: number): Hosted {
    const hosted = this.get(processId);
    this.fence(hosted.sessionId, generation);
    return hosted;
  }

  describe(): GuestProcess[] {
    return [...this.processes.values()].map((hosted) => ({
      processId: hosted.processId,
      sessionId: hosted.sessionId,
      generation: this.#fences.get(hosted.sessionId) ?? 0,
      pid: 1,
      stdoutBytes: hosted.stdout.length,
      stderrBytes: hosted.stderr.length,
      exit: hosted.exit,
    }));
  }
}

interface Subscription {
  hosted: Hosted;
  stdout: number;
  stderr: number;
}

type Of<T extends GuestRequest["type"]> = Extract<GuestRequest, { type: T }>;

/** One client of a guest. */
export class Connection {
  readonly #guest: MemoryGuest;
  readonly #out: Pipe;
  readonly #lane: Lane;
  readonly #decoder = new FrameDecoder<GuestRequest>();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #fenced = new Map<string, number>();
  readonly #pump = () => this.#send();
  isClosed = false;
  /** Whose it is. */
  readonly life: Life;

  constructor(guest: MemoryGuest, { out, lane, life }: { out: Pipe; lane: Lane; life: Life }) {
    this.life = life;
    this.#guest = guest;
    this.#out = out;
    this.#lane = lane;
    guest.connections.add(this);
    this.#write({ type: "hello", version: 1, pid: 1, processes: guest.describe() });
  }

  receive(bytes: Uint8Array): void {
    for (const { header, body } of this.#decoder.push(bytes)) {
      const text = new TextDecoder().decode(body);
      this.#lane.to(() => this.#answer(header, text));
    }
  }

  close(): void {
    this.isClosed = true;
    this.#guest.connections.delete(this);
    for (const id of [...this.#subscriptions.keys()]) this.#unsubscribe(id);
    this.#out.end();
  }

  #answer(request: GuestRequest, text: string): void {
    if (this.isClosed) return;
    const { requestId } = request;
    try {
      this.#handle(request, text);
      if (this.isClosed) return;
      this.#write({ type: "reply", requestId, ok: true });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { code, facts } = error;
      this.#write({ type: "reply", requestId, ok: false, code, message: code, ...facts });
      return;
    }
    this.#send();
  }

  #handle(request: GuestRequest, text: string): void {
    const guest = this.#guest;
    if (request.type === "subscribe") this.#subscribe(request);
    else if (request.type === "stdin") this.#stdin(request, text);
    else if (request.type === "close_stdin") {
      const hosted = guest.claim(request.processId, request.generation);
      hosted.isClosed = true;
      hosted.claude.endOfInput();
    } else if (request.type === "signal") {
      const hosted = guest.claim(request.processId, request.generation);
      if (hosted.exit === null) hosted.claude.signal(request.signal);
    } else if (request.type === "end_orphans") guest.claim(request.processId, request.generation);
    else if (request.type === "fence") this.#fence(request);
    else if (request.type === "committed") {
      const hosted = guest.claim(request.processId, request.generation);
      hosted.dropped = Math.max(hosted.dropped, request.stdoutOffset);
    } else if (request.type === "remove") {
      const hosted = guest.claim(request.processId, request.generation);
      if (hosted.exit === null) throw new Refusal("bad_request");
      guest.processes.delete(request.processId);
      this.#unsubscribe(request.processId);
    }
  }

  #fence({ sessionId, generation }: Of<"fence">): void {
    this.#guest.fence(sessionId, generation);
    this.#fenced.set(sessionId, generation);
    // Whoever worked on the session before is gone, or must notice that.
    for (const other of [...this.#guest.connections])
      if ((other.#fenced.get(sessionId) ?? generation) < generation) other.close();
  }

  #stdin({ processId, generation, lineId }: Of<"stdin">, text: string): void {
    const guest = this.#guest;
    const hosted = guest.claim(processId, generation);
    if (hosted.lineIds.has(lineId)) return;
    if (hosted.exit !== null || hosted.isClosed) throw new Refusal("stdin_closed");
    if (guest.refusesLine) {
      guest.refusesLine = false;
      throw new Refusal("spool_full");
    }
    hosted.lineIds.add(lineId);
    hosted.claude.hear(text);
    if (!guest.hidesLine) return;
    guest.hidesLine = false;
    guest.cut();
  }

  #subscribe({ processId, stdoutOffset, stderrOffset }: Of<"subscribe">): void {
    const hosted = this.#guest.get(processId);
    const stdout = { start: hosted.dropped, end: hosted.stdout.length };
    const stderr = { start: 0, end: hosted.stderr.length };
    const isHeld = stdoutOffset >= stdout.start && stdoutOffset <= stdout.end && stderrOffset <= stderr.end;
    if (!isHeld) throw new Refusal("offset_unavailable", { spools: { stdout, stderr } });
    this.#subscriptions.set(processId, { hosted, stdout: stdoutOffset, stderr: stderrOffset });
    hosted.watchers.add(this.#pump);
  }

  #unsubscribe(processId: string): void {
    this.#subscriptions.get(processId)?.hosted.watchers.delete(this.#pump);
    this.#subscriptions.delete(processId);
  }

  #send(): void {
    for (const [processId, subscription] of [...this.#subscriptions]) {
      const { hosted } = subscription;
      for (const stream of ["stdout", "stderr"] as const) {
        const bytes = hosted[stream].subarray(subscription[stream]);
        if (bytes.length === 0) continue;
        this.#write({ type: stream, processId, offset: subscription[stream] }, bytes);
        subscription[stream] += bytes.length;
      }
      if (hosted.exit === null) continue;
      this.#unsubscribe(processId);
      const sizes = { stdoutBytes: hosted.stdout.length, stderrBytes: hosted.stderr.length };
      this.#write({ type: "exit", processId, ...hosted.exit, ...sizes });
    }
  }

  #write(message: GuestMessage, body?: Uint8Array): void {
    const frame = encodeFrame(message, body);
    this.#lane.from(() => {
      if (!this.isClosed) this.#out.push(frame);
    });
  }
}
