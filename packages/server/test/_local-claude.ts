import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** What the program that stands for the CLI tells the test. */
export type ToTest =
  | { type: "hello"; pid: number; argv: string[]; env: Record<string, string> }
  | { type: "stdin"; line: string }
  | { type: "stdin_end" }
  | { type: "signal"; name: string }
  | { type: "child"; pid: number };

/** What the test tells it to do. */
export type ToProgram =
  | { type: "print" | "complain"; text: string }
  | { type: "exit"; code: number }
  | { type: "spawn"; command: string; detached: boolean };

export type Line = Record<string, unknown>;

type Hello = Extract<ToTest, { type: "hello" }>;
/** End of input counts as a line of this type; so does a signal. */
const endOfInput: Line = { type: "end" };

/** One process that stands for Claude Code, in the hands of the test: what it hears, what it prints. */
export class LocalClaude {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Everything on its stdin so far; signals as `{ type: "signal", name }`, the end of input as `{ type: "end" }`. */
  readonly heard: Line[] = [];
  readonly #socket: Socket;
  readonly #waiting = new Set<() => void>();
  readonly #children: PromiseWithResolvers<number>[] = [];
  #read = 0;
  #gone = false;

  constructor(socket: Socket, hello: Hello) {
    this.#socket = socket;
    this.pid = hello.pid;
    this.argv = hello.argv;
    this.env = hello.env;
    socket.on("close", () => {
      this.#gone = true;
      this.#wake();
    });
  }

  /** Of `--session-id` or `--resume`. */
  get sessionId(): string {
    return this.#flag("--session-id") ?? this.#flag("--resume") ?? "";
  }

  get isResumed(): boolean {
    return this.argv.includes("--resume");
  }

  get isGone(): boolean {
    return this.#gone;
  }

  /** The next line that was not read yet; with `matches`, others before it are skipped. Rejects when the process ends. */
  async next(matches: (line: Line) => boolean = () => true): Promise<Line> {
    for (;;) {
      while (this.#read < this.heard.length) {
        const line = this.heard[this.#read++];
        if (line !== undefined && matches(line)) return line;
      }
      await this.#change();
    }
  }

  /** The next user message. */
  nextUser(): Promise<Line> {
    return this.next((line) => line.type === "user");
  }

  /** Waits until something that was heard, read or not, matches. */
  async hears(matches: (line: Line) => boolean): Promise<Line> {
    for (;;) {
      const found = this.heard.find(matches);
      if (found !== undefined) return found;
      await this.#change();
    }
  }

  print(...lines: (Line | string)[]): void {
    const texts = lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`);
    this.#order({ type: "print", text: texts.join("") });
  }

  /** Bytes of a line that does not end. */
  printPart(text: string): void {
    this.#order({ type: "print", text });
  }

  complain(text: string): void {
    this.#order({ type: "complain", text });
  }

  /** Resolves when the process is gone. */
  async exit(code = 0): Promise<void> {
    this.#order({ type: "exit", code });
    await this.ended();
  }

  async ended(): Promise<void> {
    while (!this.#gone) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** A process of its own, as a tool would start it; gives its pid. */
  async spawn(command: string, { detached = false } = {}): Promise<number> {
    const started = Promise.withResolvers<number>();
    this.#children.push(started);
    this.#order({ type: "spawn", command, detached });
    return await started.promise;
  }

  take(message: ToTest): void {
    if (message.type === "stdin") this.heard.push(JSON.parse(message.line) as Line);
    else if (message.type === "stdin_end") this.heard.push(endOfInput);
    else if (message.type === "signal") this.heard.push({ type: "signal", name: message.name });
    else if (message.type === "child") this.#children.shift()?.resolve(message.pid);
    this.#wake();
  }

  #flag(name: string): string | undefined {
    const at = this.argv.indexOf(name);
    return at === -1 ? undefined : this.argv[at + 1];
  }

  #order(order: ToProgram): void {
    if (!this.#gone) this.#socket.write(`${JSON.stringify(order)}\n`);
  }

  async #change(): Promise<void> {
    if (this.#gone) throw new ClaudeGoneError(`the process ${this.pid} has ended`);
    await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}

/** A script that waits for what its process will not hear any more. */
export class ClaudeGoneError extends Error {
  override name = "ClaudeGoneError";
}

/** What every process that is started from now on does. */
export type ClaudeScript = (claude: LocalClaude) => Promise<void>;

/** Where these processes report. */
export class ClaudeStage implements AsyncDisposable {
  /** In the order of their starts. */
  readonly started: LocalClaude[] = [];
  /** Why scripts failed, other than by their process's end. */
  readonly failures: unknown[] = [];
  readonly socketPath: string;
  /** What the program is started by, which may end in its stead: faster than anything that a test decides. */
  wrapper: readonly string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #waiting: (() => void)[] = [];
  script: ClaudeScript;

  private constructor(socketPath: string, script: ClaudeScript) {
    this.socketPath = socketPath;
    this.script = script;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async open(socketPath: string, script: ClaudeScript): Promise<ClaudeStage> {
    const stage = new ClaudeStage(socketPath, script);
    stage.#server.listen(socketPath);
    await once(stage.#server, "listening");
    return stage;
  }

  /** The n-th process that was started, from 0; waits for it. */
  async claude(index: number): Promise<LocalClaude> {
    for (;;) {
      const claude = this.started[index];
      if (claude !== undefined) return claude;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    let claude: LocalClaude | undefined;
    let text = "";
    socket.setEncoding("utf8");
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk: string) => {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const message of lines.map((line) => JSON.parse(line) as ToTest)) {
        if (message.type === "hello") claude = this.#begin(socket, message);
        else claude?.take(message);
      }
    });
  }

  #begin(socket: Socket, hello: Hello): LocalClaude {
    const claude = new LocalClaude(socket, hello);
    this.started.push(claude);
    this.script(claude).catch((error) => {
      if (!(error instanceof ClaudeGoneError)) this.failures.push(error);
    });
    for (const wake of this.#waiting.splice(0)) wake();
    return claude;
  }
}
