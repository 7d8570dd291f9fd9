import type { TestAccount, TestKit } from "@holdfast/testkit";

/** Account A: what it does ends with the signal it is given; that it is refused is no failure. */
export class Attacker {
  readonly account: TestAccount;
  readonly sessionId: string;
  readonly #kit: TestKit;
  readonly #sandboxId: string;
  /** What A was told, by how often. */
  readonly told = new Map<string, number>();

  private constructor(kit: TestKit, account: TestAccount, ids: { sessionId: string; sandboxId: string }) {
    this.#kit = kit;
    this.account = account;
    this.sessionId = ids.sessionId;
    this.#sandboxId = ids.sandboxId;
  }

  static async start(kit: TestKit): Promise<Attacker> {
    const account = await kit.addAccount("A");
    const { sessionId } = await kit.turn("Create a file a.txt that says a", { account });
    const { data } = (await (await kit.fetch("/v1/sandboxes", { account })).json()) as { data: { id: string }[] };
    return new Attacker(kit, account, { sessionId, sandboxId: data[0]?.id ?? "" });
  }

  /** A request whose answer is read to its end, or not at all. */
  async request(path: string, init: RequestInit & { read?: boolean }): Promise<void> {
    const { read = true, ...rest } = init;
    try {
      const answer = await this.#kit.fetch(path, { ...rest, account: this.account });
      this.#note(`${init.method ?? "GET"} ${path.replace(/_[0-9A-Z]{26}/g, "_…")}: ${answer.status}`);
      if (read) await answer.arrayBuffer();
      else await untilAborted(init.signal ?? undefined);
    } catch (error) {
      if (init.signal?.aborted !== true) this.#note(`${path}: ${error instanceof Error ? error.message : error}`);
    }
  }

  post(path: string, body: string, signal: AbortSignal): Promise<void> {
    return this.request(path, { method: "POST", body, signal });
  }

  /** A shell command in A's sandbox, as root or as Claude's user; killed with the signal. */
  exec(command: string, options: { signal: AbortSignal; user?: "root" | "claudeuser"; read?: boolean }): Promise<void> {
    const { signal, user = "claudeuser", read = true } = options;
    const body = JSON.stringify({ command: ["sh", "-c", command], user, timeout_ms: 120_000 });
    return this.request(`/v1/sandboxes/${this.#sandboxId}/exec`, { method: "POST", body, signal, read });
  }

  /** A conversation in a workspace of its own, and so a sandbox of its own. */
  async turnElsewhere(workspace: string, signal: AbortSignal): Promise<void> {
    try {
      const metadata = { "holdfast.workspace": workspace };
      const session = { agent: "agent_default", environment_id: "env_default", metadata };
      const { id } = await this.account.client.beta.sessions.create(session, { signal });
      const text = "Create a file x.txt that says x";
      const events = [{ type: "user.message" as const, content: [{ type: "text" as const, text }] }];
      await this.account.client.beta.sessions.events.send(id, { events }, { signal });
    } catch (error) {
      if (!signal.aborted) this.#note(`a sandbox more: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Ends every sandbox but the first. */
  async stopOthers(): Promise<void> {
    const answer = await this.#kit.fetch("/v1/sandboxes?limit=100", { account: this.account });
    const { data } = (await answer.json()) as { data: { id: string; state: string }[] };
    const others = data.filter(({ id, state }) => id !== this.#sandboxId && state !== "ended");
    for (const { id } of others)
      await this.#kit.fetch(`/v1/sandboxes/${id}/stop`, { method: "POST", account: this.account });
  }

  #note(what: string): void {
    this.told.set(what, (this.told.get(what) ?? 0) + 1);
  }
}

function untilAborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal === undefined || signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
