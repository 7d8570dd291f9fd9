import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Anthropic from "@anthropic-ai/sdk";
import { type RunningSystem, type StartOptions, startSystem } from "@holdfast/cli";
import type { EventOf, SessionEvent, SessionEventType, Status } from "@holdfast/protocol";
import { openAccounts } from "@holdfast/server";
import { withDeadline } from "@holdfast/std";
import { ModalClient, type Sandbox } from "modal";
import { startWireRecorder, type WireRecorder } from "./wire-recorder.ts";

export interface TestAccount {
  id: string;
  name: string;
  apiKey: string;
  /** The official SDK, given nothing but address and key. */
  client: Anthropic;
}

export interface TestKitOptions {
  /** Puts a recorder between the server's SDK and the engine. */
  record?: boolean;
  /** Changes what the services are started with. */
  adjust?: NonNullable<StartOptions["adjust"]>;
  /** PostgreSQL instead of a SQLite file. */
  databaseUrl?: string;
  /** False: no S3 is set, for tests that do not look at what is saved; it would take a processor a second per turn. */
  saves?: boolean;
  /** Otherwise a rejection that nobody handled, or a service that ended by an exception, fails the kit's disposal. */
  expectsFaults?: boolean;
  /** Kept after the end, and used again when given; default: a temporary one. */
  dataDir?: string;
}

export interface Turn {
  sessionId: string;
  events: SessionEvent[];
}

/** The whole system of one test file: every process real, on a data directory of its own. */
export interface TestKit extends AsyncDisposable {
  system: RunningSystem;
  url: string;
  dataDir: string;
  account: TestAccount;
  recorder: WireRecorder;
  addAccount(name: string): Promise<TestAccount>;
  /** A request with the account's key. */
  fetch(path: string, init?: RequestInit & { account?: TestAccount }): Promise<Response>;
  status(): Promise<Status>;
  /** Sends a prompt, in a new session unless one is given, and waits until the session is idle again. */
  turn(
    prompt: string,
    options?: { sessionId?: string; account?: TestAccount; metadata?: Record<string, string>; timeoutMs?: number },
  ): Promise<Turn>;
  /** Every event of the log so far, oldest first. */
  log(sessionId: string, account?: TestAccount): Promise<SessionEvent[]>;
  /** The official SDK, pointed at the engine. */
  modal(): ModalClient;
  /** The live sandbox of an account, found by its tags. */
  sandbox(account?: TestAccount): Promise<Sandbox>;
  /** Runs a command as root in the live sandbox of the account. */
  exec(
    args: string[],
    options?: { account?: TestAccount; env?: Record<string, string>; stdin?: string },
  ): Promise<ExecResult>;
}

export interface ExecResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Images are built once per checkout, not once per test file. */
export const imageCacheDir = fileURLToPath(new URL("../../../.cache/engine-images", import.meta.url));

export async function createTestKit(options: TestKitOptions = {}): Promise<TestKit> {
  const stack = new AsyncDisposableStack();
  try {
    return await buildKit(options, stack);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function buildKit(options: TestKitOptions, stack: AsyncDisposableStack): Promise<TestKit> {
  const dataDir = options.dataDir ?? temporaryDataDir(stack);
  mkdirSync(imageCacheDir, { recursive: true });
  const recorder = stack.use(await startWireRecorder());
  let engineUrl = "";
  let modalOptions = { tokenId: "", tokenSecret: "" };
  const system = await startSystem({
    dataDir,
    port: 0,
    imageCacheDir,
    ...(options.databaseUrl === undefined ? {} : { databaseUrl: options.databaseUrl }),
    adjust: (name, given) => {
      const adjusted = options.adjust?.(name, given) ?? given;
      if (name !== "server") return adjusted;
      const modal = adjusted.modal as { serverUrl: string; tokenId: string; tokenSecret: string };
      engineUrl = modal.serverUrl;
      modalOptions = { tokenId: modal.tokenId, tokenSecret: modal.tokenSecret };
      recorder.target = engineUrl;
      const set = options.saves === false ? { ...adjusted, s3: null } : adjusted;
      return options.record === true ? { ...set, modal: { ...modal, serverUrl: recorder.url } } : set;
    },
  });
  if (options.expectsFaults !== true) stack.defer(() => refuseFaults(system));
  stack.defer(() => system.stop({ endTurns: true }));
  const serverDir = join(dataDir, "server");
  const database = {
    dataDir: serverDir,
    ...(options.databaseUrl === undefined ? {} : { databaseUrl: options.databaseUrl }),
  };
  const kit = new Kit({
    system,
    dataDir,
    database,
    recorder,
    stack,
    engine: () => ({ url: engineUrl, ...modalOptions }),
  });
  // A data directory that is used again has the testers of before.
  kit.account = await kit.addAccount(`tester ${Math.random().toString(36).slice(2)}`);
  return kit;
}

/** Run when everything has ended: what happens while it ends counts too. */
function refuseFaults(system: RunningSystem): void {
  const found = Object.entries(system.faults()).flatMap(([kind, counts]) =>
    Object.entries(counts).flatMap(([name, count]) => (count === 0 ? [] : [`${kind} in ${name}: ${count}`])),
  );
  if (found.length === 0) return;
  const logs = Object.values(system.services).flatMap(({ logFile }) =>
    existsSync(logFile) ? readFileSync(logFile, "utf8").split("\n") : [],
  );
  throw new Error(
    `faults that nobody handled: ${found.join(", ")}\n${logs.filter((line) => line.includes('"fault":')).join("\n")}`,
  );
}

function temporaryDataDir(stack: AsyncDisposableStack): string {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-test-"));
  chmodSync(dir, 0o711);
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

interface KitParts {
  system: RunningSystem;
  dataDir: string;
  database: Parameters<typeof openAccounts>[0];
  recorder: WireRecorder;
  stack: AsyncDisposableStack;
  engine: () => { url: string; tokenId: string; tokenSecret: string };
}

class Kit implements TestKit {
  readonly system: RunningSystem;
  readonly url: string;
  readonly dataDir: string;
  readonly recorder: WireRecorder;
  readonly #stack: AsyncDisposableStack;
  readonly #database: KitParts["database"];
  readonly #engine: KitParts["engine"];
  #modal: ModalClient | undefined;
  account: TestAccount = { id: "", name: "", apiKey: "", client: new Anthropic({ apiKey: "unset" }) };

  constructor(parts: KitParts) {
    this.system = parts.system;
    this.url = parts.system.url;
    this.dataDir = parts.dataDir;
    this.recorder = parts.recorder;
    this.#stack = parts.stack;
    this.#database = parts.database;
    this.#engine = parts.engine;
  }

  async addAccount(name: string): Promise<TestAccount> {
    await using accounts = await openAccounts(this.#database);
    const { id, apiKey } = await accounts.add(name);
    return { id, name, apiKey, client: new Anthropic({ baseURL: this.url, apiKey }) };
  }

  fetch(path: string, init: RequestInit & { account?: TestAccount } = {}): Promise<Response> {
    const { account = this.account, ...rest } = init;
    const headers = new Headers(rest.headers);
    if (!headers.has("x-api-key")) headers.set("x-api-key", account.apiKey);
    if (typeof rest.body === "string" && !headers.has("content-type")) headers.set("content-type", "application/json");
    return fetch(`${this.url}${path}`, { ...rest, headers });
  }

  async status(): Promise<Status> {
    return (await (await this.fetch("/v1/status")).json()) as Status;
  }

  async turn(prompt: string, options: Parameters<TestKit["turn"]>[1] = {}): Promise<Turn> {
    const { account = this.account, timeoutMs = 90_000 } = options;
    const sessionId = options.sessionId ?? (await this.#newSession(account, options.metadata));
    const sent = await account.client.beta.sessions.events.send(sessionId, {
      events: [{ type: "user.message", content: [{ type: "text", text: prompt }] }],
    });
    const first = sent.data?.[0] as unknown as SessionEvent | undefined;
    const events = await withDeadline((signal) => this.#untilIdle(sessionId, account, signal, first?.seq ?? 0), {
      what: `the turn "${prompt.slice(0, 60)}" in ${sessionId}`,
      timeoutMs,
    });
    return { sessionId, events };
  }

  async #newSession(account: TestAccount, metadata: Record<string, string> = {}): Promise<string> {
    const session = await account.client.beta.sessions.create({
      agent: "agent_default",
      environment_id: "env_default",
      metadata,
    });
    return session.id;
  }

  async #untilIdle(
    sessionId: string,
    account: TestAccount,
    signal: AbortSignal,
    after: number,
  ): Promise<SessionEvent[]> {
    const events: SessionEvent[] = [];
    const stream = await account.client.beta.sessions.events.stream(sessionId, undefined, { signal });
    for await (const each of stream) {
      const event = each as unknown as SessionEvent;
      if (event.seq === undefined || event.seq < after) continue;
      events.push(event);
      if (event.type === "session.status_idle") break;
    }
    return events;
  }

  async log(sessionId: string, account = this.account): Promise<SessionEvent[]> {
    const all: SessionEvent[] = [];
    for await (const event of account.client.beta.sessions.events.list(sessionId, { order: "asc", limit: 500 }))
      all.push(event as unknown as SessionEvent);
    return all;
  }

  modal(): ModalClient {
    if (this.#modal !== undefined) return this.#modal;
    const { url, tokenId, tokenSecret } = this.#engine();
    // The SDK reads its server's address from the environment, once, in the constructor.
    const before = process.env.MODAL_SERVER_URL;
    process.env.MODAL_SERVER_URL = url;
    this.#modal = new ModalClient({ tokenId, tokenSecret, logLevel: "error" });
    if (before === undefined) delete process.env.MODAL_SERVER_URL;
    else process.env.MODAL_SERVER_URL = before;
    return this.#modal;
  }

  async sandbox(account = this.account): Promise<Sandbox> {
    for await (const sandbox of this.modal().sandboxes.list({ tags: { "holdfast.account": account.id } }))
      return sandbox;
    throw new Error(`account ${account.id} has no live sandbox`);
  }

  async exec(args: string[], options: Parameters<TestKit["exec"]>[1] = {}): Promise<ExecResult> {
    const sandbox = await this.sandbox(options.account);
    const process = await sandbox.exec(args, {
      mode: "text",
      ...(options.env === undefined ? {} : { env: options.env }),
    });
    if (options.stdin !== undefined) await process.stdin.writeText(options.stdin);
    await process.stdin.close();
    const [stdout, stderr] = await Promise.all([process.stdout.readText(), process.stderr.readText()]);
    const code = await process.wait();
    sandbox.detach();
    return { code, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#modal?.close();
    await this.#stack.disposeAsync();
  }
}

/** The events of one type, in order. */
export function eventsOf<T extends SessionEventType>(events: SessionEvent[], type: T): EventOf<T>[] {
  return events.filter((event): event is EventOf<T> => event.type === type);
}

/** All text that the agent said. */
export function spokenText(events: SessionEvent[]): string {
  return eventsOf(events, "agent.message")
    .flatMap((event) => event.content.map((block) => block.text))
    .join("\n");
}
