import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { sleep, withDeadline } from "@holdfast/std";
import type { TestAccount, TestKit } from "@holdfast/testkit";
import type { Order } from "./attack-process.ts";

const child = fileURLToPath(new URL("attack-process.ts", import.meta.url));
const endMs = 90_000;

/**
 * An account that attacks from `begin` to `stop` and is deleted then: nothing of it lasts into the next phase, neither
 * processes that outlive their exec, nor files, nor messages that wait.
 */
export class Phase {
  readonly account: TestAccount;
  /** What A was told so far, by how often. */
  readonly told = new Map<string, number>();
  readonly #kit: TestKit;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;

  private constructor(kit: TestKit, account: TestAccount, process: ChildProcess) {
    this.#kit = kit;
    this.account = account;
    this.#process = process;
    this.#process.on("message", (what) => this.told.set(String(what), (this.told.get(String(what)) ?? 0) + 1));
    this.#exited = once(process, "exit");
    // Of one that cannot be started, `begin` tells.
    this.#exited.catch(() => undefined);
  }

  /** With a sandbox that runs; resolves when A has begun. */
  static async begin(kit: TestKit, name: string, attacks: string[]): Promise<Phase> {
    const account = await kit.addAccount(name);
    const { sessionId } = await kit.turn("Create a file a.txt that says a", { account });
    const { data } = (await (await kit.fetch("/v1/sandboxes", { account })).json()) as { data: { id: string }[] };
    const phase = new Phase(kit, account, fork(child, { execArgv: ["--disable-warning=ExperimentalWarning"] }));
    await once(phase.#process, "spawn");
    const foothold = { url: kit.url, apiKey: account.apiKey, sessionId, sandboxId: data[0]?.id ?? "" };
    phase.#process.send({ attacks, foothold } satisfies Order);
    return phase;
  }

  /** A's clients let go of what they have asked for, and end. */
  async stop(): Promise<void> {
    // Attacks that end by themselves end their process.
    if (this.#process.connected) this.#process.send("stop");
    await withDeadline(() => this.#exited, { what: "the end of A's clients", timeoutMs: endMs });
    if (this.#process.exitCode !== 0) throw new Error(`A's clients ended with code ${this.#process.exitCode}`);
  }

  /** After `stop`. Throws when something of A is still there after a while. */
  async delete(): Promise<void> {
    let last = "no answer";
    const login = await fetch(this.#kit.system.loginUrl, { redirect: "manual" });
    const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
    const headers = { cookie, origin: this.#kit.url };
    const deleted = async (signal: AbortSignal) => {
      for (;;) {
        const answer = await fetch(`${this.#kit.url}/v1/accounts/${this.account.id}`, {
          method: "DELETE",
          headers,
          signal,
        });
        last = await answer.text();
        if (answer.status === 404 || (answer.ok && last.includes('"pending":[]'))) return;
        await sleep(500, signal);
      }
    };
    await withDeadline(deleted, { what: "the end of A", timeoutMs: endMs }).catch((error: unknown) => {
      throw new Error(`A is still there: ${last}`, { cause: error });
    });
  }
}
