import Anthropic from "@anthropic-ai/sdk";
import type { SessionEvent } from "@holdfast/protocol";
import { sleep } from "@holdfast/std";

const waitMs = 180_000;

/** A prompt that tells the scripted model what to do, step by step. */
export const scripted = (...turns: object[]) => `Please.\n\`\`\`holdfast-script\n${JSON.stringify(turns)}\n\`\`\``;

/** A model's turn that runs one command. */
export const bash = (command: string) => ({ toolUse: { name: "Bash", input: { command, description: "test" } } });

/** One account at a server of any age: only what has always been in the API. */
export class Conversations {
  readonly #client: Anthropic;
  readonly #url: string;
  readonly #apiKey: string;

  constructor(url: string, apiKey: string) {
    this.#url = url;
    this.#apiKey = apiKey;
    this.#client = new Anthropic({ baseURL: url, apiKey });
  }

  /** Sends it in a new session, under an agent that asks before every tool when `asks`. */
  async begin(text: string, { asks = false }: { asks?: boolean } = {}): Promise<string> {
    const agent = asks ? (await this.#client.beta.agents.create(askingAgent)).id : "agent_default";
    const { id } = await this.#client.beta.sessions.create({ agent, environment_id: "env_default" });
    await this.send(id, { type: "user.message", content: [{ type: "text", text }] });
    return id;
  }

  async send(sessionId: string, event: Anthropic.Beta.Sessions.EventSendParams["events"][number]): Promise<void> {
    await this.#client.beta.sessions.events.send(sessionId, { events: [event] });
  }

  async log(sessionId: string): Promise<SessionEvent[]> {
    const all: SessionEvent[] = [];
    for await (const event of this.#client.beta.sessions.events.list(sessionId, { order: "asc", limit: 500 }))
      all.push(event as unknown as SessionEvent);
    return all;
  }

  /** The log as soon as it holds such an event. */
  async until(sessionId: string, what: string, matches: (event: SessionEvent) => boolean): Promise<SessionEvent[]> {
    const deadline = Date.now() + waitMs;
    for (;;) {
      const log = await this.log(sessionId);
      if (log.some(matches)) return log;
      if (Date.now() > deadline) throw new Error(`${what} did not come; the log: ${JSON.stringify(log.slice(-5))}`);
      await sleep(100);
    }
  }

  async sandboxes(): Promise<{ id: string; provider_id: string; state: string }[]> {
    return ((await this.#request("/v1/sandboxes")) as { data: { id: string; provider_id: string; state: string }[] })
      .data;
  }

  async stopSandboxes(): Promise<void> {
    for (const { id } of await this.sandboxes()) await this.#request(`/v1/sandboxes/${id}/stop`, "POST");
    const deadline = Date.now() + waitMs;
    while ((await this.sandboxes()).some(({ state }) => state !== "ended")) {
      if (Date.now() > deadline) throw new Error("the sandbox did not end");
      await sleep(100);
    }
  }

  async #request(path: string, method = "GET"): Promise<unknown> {
    const headers = { "x-api-key": this.#apiKey };
    const response = await fetch(this.#url + path, { method, headers });
    if (!response.ok) throw new Error(`${method} ${path}: HTTP ${response.status} ${await response.text()}`);
    return response.status === 204 ? undefined : await response.json();
  }
}

const askingAgent: Anthropic.Beta.Agents.AgentCreateParams = {
  name: "asks",
  model: "claude-opus-5-5",
  tools: [{ type: "agent_toolset_20260401", default_config: { permission_policy: { type: "always_ask" } } }],
};

export const isIdle = (event: SessionEvent) =>
  event.type === "session.status_idle" && event.stop_reason.type !== "requires_action";

export const isSaved = (event: SessionEvent) =>
  event.type === "holdfast.step" && event.step === "sync" && event.state !== "running";
