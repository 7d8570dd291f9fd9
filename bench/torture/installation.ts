import { existsSync, readFileSync } from "node:fs";
import { newId, type SessionEvent } from "@holdfast/protocol";
import type { RecordEntry } from "@holdfast/scripted-model";
import { sleep } from "@holdfast/std";
import { createTestKit, type TestKit } from "@holdfast/testkit";
import { instanceOf, isInit, type MachineProcess, processesOf } from "./machine.ts";
import type { TortureScript } from "./script.ts";
import { SpoolTap } from "./spool-tap.ts";
import { StreamReader } from "./stream-reader.ts";

export interface InstallationOptions {
  dataDir?: string;
  /** Instead of a SQLite file. */
  databaseUrl?: string;
}

/** How often sandboxes are compared with rows here. */
export const sweepEveryMs = 2_000;

/** One running Holdfast that is to be hurt, with eyes on everything in it. */
export class Installation implements AsyncDisposable {
  readonly kit: TestKit;
  readonly tap: SpoolTap;
  readonly #options: ReadonlyMap<string, Record<string, unknown>>;
  readonly #instance: string;

  private constructor(kit: TestKit, options: ReadonlyMap<string, Record<string, unknown>>) {
    this.kit = kit;
    this.#options = options;
    this.#instance = instanceOf(kit.dataDir);
    this.tap = new SpoolTap(() =>
      this.processes()
        .filter(isInit)
        .map(({ pid }) => pid),
    );
  }

  static async start(options: InstallationOptions = {}): Promise<Installation> {
    const given = new Map<string, Record<string, unknown>>();
    const kit = await createTestKit({
      ...options,
      adjust: (name, before) => {
        const adjusted = own(name, before);
        given.set(name, adjusted);
        return adjusted;
      },
    });
    return new Installation(kit, given);
  }

  /** Options that a service was started with. */
  optionsOf(service: "server" | "engine" | "gateway" | "s3"): Record<string, unknown> {
    return this.#options.get(service) ?? {};
  }

  /** All processes of this installation, sandboxes included. */
  processes(): MachineProcess[] {
    return processesOf(this.kit.dataDir, this.#instance);
  }

  /** As our clients do: with a key, so that a repetition is known as one. */
  async newSession(): Promise<string> {
    const signal = AbortSignal.timeout(60_000);
    const body = JSON.stringify({ agent: "agent_default", environment_id: "env_default" });
    const headers = { "idempotency-key": newId("event") };
    const answer = await this.untilAnswered(
      () => this.kit.fetch("/v1/sessions", { method: "POST", body, headers, signal }),
      signal,
    );
    return ((await answer.json()) as { id: string }).id;
  }

  reader(sessionId: string): StreamReader {
    return new StreamReader((headers, signal) =>
      this.kit.fetch(`/v1/sessions/${sessionId}/events/stream`, { headers, signal }),
    );
  }

  /** Sends a message as our clients do: again with the same key when the connection broke. */
  async send(sessionId: string, text: string, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify({ events: [{ type: "user.message", content: [{ type: "text", text }] }] });
    const headers = { "idempotency-key": newId("event") };
    await this.untilAnswered(
      () => this.kit.fetch(`/v1/sessions/${sessionId}/events`, { method: "POST", body, headers, signal }),
      signal,
    );
  }

  async deleteSession(sessionId: string, signal: AbortSignal): Promise<void> {
    await this.untilAnswered(() => this.kit.fetch(`/v1/sessions/${sessionId}`, { method: "DELETE", signal }), signal);
    this.tap.forget(sessionId);
  }

  async sessionStatus(sessionId: string, signal: AbortSignal): Promise<string> {
    const answer = await this.untilAnswered(() => this.kit.fetch(`/v1/sessions/${sessionId}`, { signal }), signal);
    return ((await answer.json()) as { status: string }).status;
  }

  log(sessionId: string): Promise<SessionEvent[]> {
    return this.kit.log(sessionId);
  }

  /** Resolves when the API answers again. */
  async answers(signal: AbortSignal): Promise<void> {
    await this.untilAnswered(() => this.kit.fetch("/v1/status", { signal }), signal);
  }

  /** Asks again while nobody answers, or an error of the server does. */
  async untilAnswered(request: () => Promise<Response>, signal: AbortSignal): Promise<Response> {
    for (let last: unknown; ; await sleep(50, signal)) {
      signal.throwIfAborted();
      try {
        const response = await request();
        if (response.status < 500) {
          if (!response.ok) throw new Refused(`HTTP ${response.status}: ${await response.text()}`);
          return response;
        }
        last = await response.text();
      } catch (error) {
        if (error instanceof Refused) throw error;
        last = error;
      }
      if (signal.aborted) throw new Error(`no answer: ${String(last)}`);
    }
  }

  /** What the scripted model is to say from now on, instead of what it was told before. */
  async setScripts(scripts: readonly TortureScript[]): Promise<void> {
    await this.#gateway("/admin/scripts", { method: "DELETE" });
    await this.#gateway("/admin/scripts", { method: "POST", body: JSON.stringify(scripts) });
  }

  /** What the scripted model said to prompts with this tag. */
  async recordOf(tag: string): Promise<RecordEntry[]> {
    const { record } = (await (await this.#gateway("/admin/record")).json()) as { record: RecordEntry[] };
    return record.filter((entry) => entry.lastUserText.includes(tag));
  }

  async #gateway(path: string, init: RequestInit = {}): Promise<Response> {
    const gateway = this.optionsOf("server").gateway as { adminUrl: string; adminToken: string };
    const headers = { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" };
    const response = await fetch(gateway.adminUrl + path, { ...init, headers });
    if (!response.ok) throw new Error(`the gateway refused ${path}: ${await response.text()}`);
    return response;
  }

  /** The end of what the services logged. */
  serviceLogs(): Record<string, string[]> {
    const { services } = this.kit.system;
    return Object.fromEntries(
      Object.entries(services).map(([name, service]) => {
        const text = existsSync(service.logFile) ? readFileSync(service.logFile, "utf8") : "";
        return [name, text.split("\n").slice(-400)];
      }),
    );
  }

  /** The provider's own list of what runs for this installation. */
  async sandboxesAtProvider(): Promise<string[]> {
    const { installationId } = this.optionsOf("server").modal as { installationId: string };
    const ids: string[] = [];
    for await (const sandbox of this.kit
      .modal()
      .sandboxes.list({ tags: { "holdfast.installation": installationId } })) {
      ids.push(sandbox.sandboxId);
      sandbox.detach();
    }
    return ids.toSorted();
  }

  /** Those that the server knows of. */
  async sandboxesInRows(signal: AbortSignal): Promise<string[]> {
    const answer = await this.untilAnswered(() => this.kit.fetch("/v1/sandboxes?limit=100", { signal }), signal);
    const { data } = (await answer.json()) as { data: { provider_id: string | null; state: string }[] };
    return data.map(({ provider_id, state }) => provider_id ?? `(${state}, without an id)`).toSorted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.tap[Symbol.dispose]();
    await this.kit[Symbol.asyncDispose]();
  }
}

class Refused extends Error {
  override name = "Refused";
}

function own(name: string, options: Record<string, unknown>): Record<string, unknown> {
  if (name === "gateway") {
    return { ...options, scriptedModel: { allowScripts: true, deltaDelayMs: 4, deltaChars: 60, recordLimit: 400 } };
  }
  // Storage has a bench of its own; a sync after every turn would only take time from this one.
  return name === "server" ? { ...options, s3: undefined, sweepEveryMs } : options;
}
