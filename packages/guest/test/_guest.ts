import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleGuest } from "../src/bundle.ts";
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type GuestMessage,
  type GuestProcess,
  type GuestRequest,
} from "../src/frames.ts";
import { sealKeyBytes, Unsealer } from "../src/seal.ts";

type MessageOf<T extends GuestMessage["type"]> = Extract<GuestMessage, { type: T }>;
type RequestBody = GuestRequest extends infer R ? (R extends GuestRequest ? Omit<R, "requestId"> : never) : never;

type OutputName = "stdout" | "stderr" | "terminal";

const { code } = await bundleGuest();

/** Waits for a condition without a fixed sleep; what it waits for changes outside of this process. */
export async function until<T>(what: string, check: () => T | undefined | false, timeoutMs = 10_000): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = check();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}

/** A folder for one test with the bundled guest in it, as a sandbox would have it. */
export class TestGuest implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "guest-test-"));
  readonly runDir: string;
  readonly script = join(this.folder, "guest.mjs");
  readonly #daemons: ChildProcess[] = [];
  readonly #clients: Client[] = [];

  constructor(runDir?: string) {
    this.runDir = runDir ?? join(this.folder, "run");
    writeFileSync(this.script, code);
    // Another user's programs must be able to come in, not to look around.
    chmodSync(this.folder, 0o711);
  }

  run(args: readonly string[], options: { env?: Record<string, string> } = {}) {
    const result = spawnSync(process.execPath, [this.script, ...args], {
      encoding: "utf8",
      env: { PATH: process.env.PATH ?? "", ...options.env },
      timeout: 20_000,
    });
    return { code: result.status, stdout: result.stdout, stderr: result.stderr };
  }

  start(options: { session: string; process: string; generation?: number; cwd?: string }, argv: readonly string[]) {
    const { session, process: processId, generation = 1, cwd = "/" } = options;
    return this.run([
      ...["start", "--run-dir", this.runDir, "--session", session, "--process", processId],
      ...["--generation", String(generation), "--cwd", cwd, "--", ...argv],
    ]);
  }

  /** In the foreground of the test, to be killed by it. */
  async daemon(
    options: { under?: string[]; args?: string[]; node?: string[]; env?: Record<string, string> } = {},
  ): Promise<ChildProcess> {
    const { under = [], args: more = [], node = [], env = {} } = options;
    const own = [process.execPath, ...node, this.script, "daemon", "--run-dir", this.runDir, ...more];
    const [file = "", ...args] = [...under, ...own];
    const daemon = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ...env } });
    this.#daemons.push(daemon);
    const ready = Promise.withResolvers<void>();
    let log = "";
    daemon.stderr?.on("data", (chunk: Buffer) => {
      log += String(chunk);
      if (log.includes('"ready"')) ready.resolve();
    });
    daemon.once("exit", (status) => ready.reject(new Error(`the daemon ended with ${status}: ${log}`)));
    await ready.promise;
    return daemon;
  }

  async client(): Promise<Client> {
    const client = await Client.connect(join(this.runDir, "guest.sock"));
    this.#clients.push(client);
    return client;
  }

  /** Pids are used again: only what runs this folder's program is ended. */
  #isOurs(pid: number): boolean {
    return isAlive(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(this.script);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    // A daemon that `start` made says its pid in its log; the others are our children.
    const log = join(this.runDir, "guest.log");
    const text = existsSync(log) ? readFileSync(log, "utf8") : "";
    const started = [...text.matchAll(/"ready","pid":(\d+)/g)].map((match) => Number(match[1]));
    const pids = [...started, ...this.#daemons.flatMap(({ pid }) => pid ?? [])].filter((pid) => this.#isOurs(pid));
    for (const pid of pids) process.kill(pid, "SIGTERM");
    for (const pid of pids) await until("the daemon's end", () => !isAlive(pid));
    for (const daemon of this.#daemons) daemon.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A server's end of the wire. */
export class Client {
  readonly messages: GuestMessage[] = [];
  readonly output = new Map<string, Buffer[]>();
  hello: MessageOf<"hello"> = { type: "hello", version: 0, pid: 0, processes: [] };
  /** Bytes that came in, frames included. */
  received = 0;
  readonly bytes = new Map<string, number>();
  readonly socket: Socket;
  readonly #decoder = new FrameDecoder<GuestMessage>();
  readonly #waiting = new Set<() => void>();
  /** As they came, where they are kept. */
  raw: Buffer[] | undefined;
  #unsealer: Unsealer | undefined;
  #nextId = 1;
  #closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (data: Buffer) => this.#take(data));
    socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
    socket.on("error", () => undefined);
  }

  static async connect(path: string): Promise<Client> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const client = new Client(socket);
    client.hello = await client.waitFor("hello");
    return client;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  #take(data: Buffer): void {
    this.received += data.length;
    this.raw?.push(data);
    for (const { header, body } of this.#opened(data)) {
      this.messages.push(header);
      const key = keyOf(header);
      if (key === undefined) continue;
      const parts = this.output.get(key) ?? [];
      parts.push(Buffer.from(body));
      this.output.set(key, parts);
      this.bytes.set(key, (this.bytes.get(key) ?? 0) + body.length);
    }
    this.#wake();
  }

  *#opened(data: Buffer): Generator<Frame<GuestMessage>> {
    for (const frame of this.#decoder.push(data)) {
      if (frame.header.type !== "sealed") yield frame;
      else if (this.#unsealer === undefined) throw new Error("sealed, and we have no key");
      else yield* new FrameDecoder<GuestMessage>().push(this.#unsealer.open(frame.body));
    }
  }

  /** From here on what comes is sealed. */
  async seal(): Promise<MessageOf<"reply">> {
    const key = randomBytes(sealKeyBytes);
    this.#unsealer = new Unsealer(key);
    return await this.request({ type: "seal" }, key);
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  until<T>(what: string, check: () => T | undefined, timeoutMs = 15_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = () => {
        const value = check();
        if (value === undefined && !this.#closed) return;
        clearTimeout(timer);
        this.#waiting.delete(done);
        if (value === undefined) reject(new Error(`the connection closed before ${what}`));
        else resolve(value);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(done);
        reject(new Error(`waited ${timeoutMs} ms for ${what}; got ${JSON.stringify(this.messages.slice(-5))}`));
      }, timeoutMs);
      this.#waiting.add(done);
      done();
    });
  }

  waitFor<T extends GuestMessage["type"]>(
    type: T,
    matches: (message: MessageOf<T>) => boolean = () => true,
  ): Promise<MessageOf<T>> {
    const isIt = (message: GuestMessage): message is MessageOf<T> =>
      message.type === type && matches(message as MessageOf<T>);
    return this.until(type, () => this.messages.find(isIt));
  }

  async request(request: RequestBody, body: string | Uint8Array = ""): Promise<MessageOf<"reply">> {
    const requestId = this.#nextId++;
    this.socket.write(encodeFrame({ ...request, requestId } as GuestRequest, Buffer.from(body)));
    return await this.waitFor("reply", (reply) => reply.requestId === requestId);
  }

  text(processId: string, name: OutputName = "stdout"): string {
    return Buffer.concat(this.output.get(`${processId}/${name}`) ?? []).toString();
  }

  /** Waits until so many bytes came, without looking at them each time. */
  async waitBytes(processId: string, bytes: number): Promise<void> {
    const enough = () => ((this.bytes.get(`${processId}/stdout`) ?? 0) >= bytes ? true : undefined);
    await this.until(`${bytes} bytes`, enough);
  }

  async waitText(processId: string, text: string, name: OutputName = "stdout"): Promise<string> {
    return await this.until(`${JSON.stringify(text)} on ${name}`, () => {
      const all = this.text(processId, name);
      return all.includes(text) ? all : undefined;
    });
  }

  async subscribe(processId: string, stdoutOffset = 0, stderrOffset = 0) {
    return await this.request({ type: "subscribe", processId, stdoutOffset, stderrOffset });
  }

  async started(argv: readonly string[], ids: { process?: string; session?: string; generation?: number } = {}) {
    const { process: processId = "prc_1", session = "sesn_1", generation = 1 } = ids;
    const reply = await this.request({
      type: "start",
      sessionId: session,
      processId,
      generation,
      cwd: "/",
      argv: [...argv],
      env: { PATH: process.env.PATH ?? "" },
    });
    if (!reply.ok) throw new Error(`${reply.code}: ${reply.message}`);
    return reply.pid ?? 0;
  }

  async stdin(line: string, lineId: string, options: { process?: string; generation?: number } = {}) {
    const { process: processId = "prc_1", generation = 1 } = options;
    return await this.request({ type: "stdin", processId, generation, lineId }, line);
  }

  close(): void {
    this.socket.destroy();
  }
}

function keyOf(header: GuestMessage): string | undefined {
  if (header.type === "terminal_output") return `${header.terminalId}/terminal`;
  return header.type === "stdout" || header.type === "stderr" ? `${header.processId}/${header.type}` : undefined;
}

export function processOf(client: Client, processId: string): GuestProcess | undefined {
  return client.hello.processes.find((entry) => entry.processId === processId);
}
