import { type ChildProcess, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleGuest } from "@holdfast/guest/bundle";
import type { ExecOptions, RunningExec, SandboxHandle, SandboxProvider } from "../src/ports/sandbox-provider.ts";

const { code } = await bundleGuest();
const fakeClaude = join(import.meta.dirname, "_fake-claude.mjs");

interface Stored {
  id: string;
  tags: Record<string, string>;
}

/**
 * "Sandboxes" that are folders of this machine: the guest in them is the real one with its real daemon, reached by real
 * processes; Claude is a program that prints the CLI's lines. Survives the server, like the engine does.
 */
export class LocalProvider implements SandboxProvider, AsyncDisposable {
  readonly folder: string;
  readonly execs: string[][] = [];
  readonly #children = new Set<ChildProcess>();
  readonly #ends = new Map<string, PromiseWithResolvers<undefined>>();
  readonly #isOwner: boolean;

  /** With `folder`, one that another process made and removes. */
  constructor(folder?: string) {
    this.#isOwner = folder === undefined;
    this.folder = folder ?? mkdtempSync(join(tmpdir(), "holdfast-local-"));
    if (this.#isOwner) writeFileSync(join(this.folder, "guest.mjs"), code);
  }

  runDir(id: string): string {
    return join(this.folder, id, "run");
  }

  /** Of the guest's daemon; undefined while none runs. */
  daemonPid(id = "sb-1"): number | undefined {
    const log = join(this.runDir(id), "guest.log");
    const last = existsSync(log) ? [...readFileSync(log, "utf8").matchAll(/"ready","pid":(\d+)/g)].at(-1) : undefined;
    if (last === undefined) return undefined;
    const pid = Number(last[1]);
    return existsSync(`/proc/${pid}`) ? pid : undefined;
  }

  /** Bytes of standard output that the guest holds, of all processes. */
  spooledBytes(id = "sb-1"): number {
    const folder = join(this.runDir(id), "spool");
    if (!existsSync(folder)) return 0;
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.includes("/stdout."),
    );
    return files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  }

  buildImage(): Promise<string> {
    return Promise.resolve("im-1");
  }

  async create({ tags }: { tags: Readonly<Record<string, string>> }): Promise<SandboxHandle> {
    const all = this.#stored();
    const id = `sb-${all.length + 1}`;
    mkdirSync(join(this.folder, id), { recursive: true });
    writeFileSync(join(this.folder, "sandboxes.json"), JSON.stringify([...all, { id, tags }]));
    return this.#handle(id);
  }

  async find(tags: Readonly<Record<string, string>>): Promise<SandboxHandle[]> {
    return this.#stored()
      .filter((each) => Object.entries(tags).every(([name, value]) => each.tags[name] === value))
      .map(({ id }) => this.#handle(id));
  }

  async tags({ id }: SandboxHandle): Promise<Record<string, string>> {
    return this.#stored().find((each) => each.id === id)?.tags ?? {};
  }

  async look(id: string): Promise<"running" | "missing"> {
    return this.#stored().some((each) => each.id === id) ? "running" : "missing";
  }

  deleteVolume(): Promise<void> {
    return Promise.resolve();
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    if (!this.#isOwner) return;
    for (const { id } of this.#stored()) {
      const pid = this.daemonPid(id);
      if (pid === undefined) continue;
      process.kill(pid, "SIGTERM");
      while (existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "")
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  #stored(): Stored[] {
    const file = join(this.folder, "sandboxes.json");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Stored[]) : [];
  }

  #handle(id: string): SandboxHandle {
    const ended = this.#ends.get(id) ?? Promise.withResolvers<undefined>();
    this.#ends.set(id, ended);
    return {
      id,
      exec: async (args, options) => this.#exec(id, args, options),
      waitEnd: (signal) =>
        Promise.race([
          ended.promise,
          new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        ]),
      isRunning: () => Promise.resolve(true),
      terminate: async () => ended.resolve(undefined),
      detach: () => undefined,
    };
  }

  #exec(id: string, args: readonly string[], { secrets }: ExecOptions): RunningExec {
    this.execs.push([...args]);
    if (args[0] === "socat") return attach(join(this.runDir(id), "guest.sock"));
    const [command = "true", ...rest] = this.#translate(id, args);
    const child = spawn(command, rest, {
      env: { PATH: process.env.PATH ?? "", ...secrets },
      stdio: "pipe",
    });
    this.#children.add(child);
    const exit = new Promise<number>((resolve) =>
      child.once("close", (status) => {
        this.#children.delete(child);
        resolve(status ?? 137);
      }),
    );
    child.stdin.on("error", () => undefined);
    return {
      write: (bytes) =>
        new Promise((resolve, reject) => child.stdin.write(bytes, (error) => (error ? reject(error) : resolve()))),
      closeStdin: async () => {
        child.stdin.end();
      },
      stdout: child.stdout,
      stderr: child.stderr,
      wait: () => exit,
    };
  }

  /** The sandbox's paths become this folder's. */
  #translate(id: string, args: readonly string[]): string[] {
    const runDir = this.runDir(id);
    if (args.includes("permissions")) return ["true"];
    const [, , verb, ...rest] = args;
    if (args[0] !== "node" || verb === undefined) return [...args];
    const guest = [process.execPath, join(this.folder, "guest.mjs"), verb, "--run-dir", runDir];
    if (verb !== "start") return [...guest, ...rest];
    const end = rest.indexOf("--");
    const options = rest.slice(0, end).map((arg, index) => (rest[index - 1] === "--cwd" ? this.folder : arg));
    return [...guest, ...options, "--", process.execPath, fakeClaude];
  }
}

/** What `socat` does in a sandbox, without it: this machine need not have it. */
function attach(path: string): RunningExec {
  const socket = connect(path);
  let failed = "";
  socket.on("error", (error) => (failed = error.message));
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  async function* output(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of socket) yield chunk as Uint8Array;
    } catch {
      // The reader learns it from stderr, as it would from socat.
    }
  }
  async function* errors(): AsyncGenerator<Uint8Array> {
    await closed;
    if (failed !== "") yield Buffer.from(failed);
  }
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => socket.write(bytes, (error) => (error ? reject(error) : resolve()))),
    closeStdin: async () => {
      socket.end();
    },
    stdout: output(),
    stderr: errors(),
    wait: () => closed.then(() => (failed === "" ? 0 : 1)),
  };
}

/** For `testServer`: a gateway that is never asked for anything that matters. */
export const localOptions = {
  modal: { serverUrl: "http://127.0.0.1:1", tokenId: "x", tokenSecret: "x", installationId: "mine" },
  gateway: { adminUrl: "http://127.0.0.1:1", adminToken: "x", tokenSecret: "x".repeat(32) },
};
