import type Anthropic from "@anthropic-ai/sdk";

/** What one account has while it is at it. */
export interface Foothold {
  url: string;
  apiKey: string;
  sessionId: string;
  sandboxId: string;
}

/** Account A: what it does ends with the signal it is given; that it is refused is no failure. */
export class Attacker {
  readonly sessionId: string;
  readonly #foothold: Foothold;
  readonly #client: Anthropic;
  /** Hears what A was told. */
  readonly #note: (what: string) => void;

  constructor(foothold: Foothold, { client, note }: { client: Anthropic; note: (what: string) => void }) {
    this.sessionId = foothold.sessionId;
    this.#foothold = foothold;
    this.#client = client;
    this.#note = note;
  }

  /** A request whose answer is read to its end, or not at all. */
  async request(path: string, init: RequestInit & { read?: boolean }): Promise<void> {
    const { read = true, ...rest } = init;
    const headers = { "x-api-key": this.#foothold.apiKey, "content-type": "application/json" };
    try {
      const answer = await fetch(`${this.#foothold.url}${path}`, { ...rest, headers });
      this.#note(`${init.method ?? "GET"} ${path.replace(/_[0-9A-Z]{26}/g, "_…")}: ${answer.status}`);
      if (read) await answer.body?.pipeTo(new WritableStream());
      else await untilAborted(init.signal ?? undefined);
    } catch (error) {
      if (init.signal?.aborted !== true) this.#note(`${path}: ${error instanceof Error ? error.message : error}`);
    }
  }

  post(path: string, body: Buffer<ArrayBuffer>, signal: AbortSignal): Promise<void> {
    return this.request(path, { method: "POST", body, signal });
  }

  /** A shell command in A's sandbox, as root or as Claude's user; killed with the signal. */
  exec(command: string, options: { signal: AbortSignal; user?: "root" | "claudeuser"; read?: boolean }): Promise<void> {
    return this.#execIn(this.#foothold.sandboxId, command, options);
  }

  #execIn(
    sandboxId: string,
    command: string,
    { signal, user = "claudeuser", read = true }: Parameters<Attacker["exec"]>[1],
  ): Promise<void> {
    const body = JSON.stringify({ command: ["sh", "-c", command], user, timeout_ms: 120_000 });
    return this.request(`/v1/sandboxes/${sandboxId}/exec`, { method: "POST", body, signal, read });
  }

  /** The same command in every sandbox that runs. */
  async execEverywhere(command: string, signal: AbortSignal): Promise<void> {
    const ids = await this.#running(signal);
    await Promise.all(ids.map((id) => this.#execIn(id, command, { signal })));
  }

  async #running(signal: AbortSignal): Promise<string[]> {
    try {
      const headers = { "x-api-key": this.#foothold.apiKey };
      const answer = await fetch(`${this.#foothold.url}/v1/sandboxes?limit=100`, { headers, signal });
      const { data } = (await answer.json()) as { data: { id: string; state: string }[] };
      return data.flatMap(({ id, state }) => (state === "running" ? [id] : []));
    } catch (error) {
      if (!signal.aborted) this.#note(`the list of sandboxes: ${error instanceof Error ? error.message : error}`);
      return [];
    }
  }

  /** A turn in a workspace of its own, and so in a sandbox of its own. */
  async turnElsewhere(workspace: string, signal: AbortSignal): Promise<void> {
    const { events } = this.#client.beta.sessions;
    try {
      const metadata = { "holdfast.workspace": workspace };
      const session = { agent: "agent_default", environment_id: "env_default", metadata };
      const { id } = await this.#client.beta.sessions.create(session, { signal });
      const text = "Create a file x.txt that says x";
      const sent = [{ type: "user.message" as const, content: [{ type: "text" as const, text }] }];
      await events.send(id, { events: sent }, { signal });
      for await (const event of await events.stream(id, undefined, { signal }))
        if (event.type === "session.status_idle") return;
    } catch (error) {
      if (!signal.aborted) this.#note(`a sandbox more: ${error instanceof Error ? error.message : error}`);
    }
  }
}

function untilAborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal === undefined || signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
