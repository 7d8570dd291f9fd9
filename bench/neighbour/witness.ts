import type { SessionEvent } from "@holdfast/protocol";
import { sleep, withDeadline } from "@holdfast/std";
import type { TestAccount, TestKit } from "@holdfast/testkit";
import { Samples } from "./samples.ts";

const turnMs = 120_000;
const restMs = 20;

/** Account B: works all the time, and notices how long everything takes. */
export class Witness {
  readonly #kit: TestKit;
  readonly #account: TestAccount;
  readonly #sessionId: string;
  #samples = new Samples();

  private constructor(kit: TestKit, account: TestAccount, sessionId: string) {
    this.#kit = kit;
    this.#account = account;
    this.#sessionId = sessionId;
  }

  /** With a sandbox that lives and a first turn behind it. */
  static async start(kit: TestKit): Promise<Witness> {
    const account = await kit.addAccount("B");
    const { sessionId } = await kit.turn("Create a file b.txt that says b", { account });
    return new Witness(kit, account, sessionId);
  }

  /** Works until the signal comes; what was begun by then is finished and counted. */
  async work(signal: AbortSignal): Promise<Samples> {
    this.#samples = new Samples();
    const saves = new AbortController();
    const following = this.#followSaves(saves.signal);
    await Promise.all([
      this.#over(signal, () => this.#turn()),
      this.#over(signal, () => this.#ask("health", "/health")),
      this.#over(signal, () => this.#ask("list", "/v1/sessions?limit=20")),
    ]);
    saves.abort();
    await following;
    return this.#samples;
  }

  async #over(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      await work();
      await sleep(restMs);
    }
  }

  async #ask(kind: "health" | "list", path: string): Promise<void> {
    const began = performance.now();
    try {
      const answer = await this.#kit.fetch(path, { account: this.#account, signal: AbortSignal.timeout(60_000) });
      await answer.text();
      if (answer.ok) this.#samples.add(kind, performance.now() - began);
      else this.#samples.fail(`${path}: HTTP ${answer.status}`);
    } catch (error) {
      this.#samples.fail(`${path}: ${String(error)}`);
    }
  }

  async #turn(): Promise<void> {
    try {
      await withDeadline((signal) => this.#timedTurn(signal), { what: "B's turn", timeoutMs: turnMs });
    } catch (error) {
      this.#samples.fail(`turn: ${String(error)}`);
    }
  }

  async #timedTurn(signal: AbortSignal): Promise<void> {
    const { events } = this.#account.client.beta.sessions;
    // A new file each time: one that is written while the save of the turn before reads it fails that save.
    const shell = "date | tee b-$(date +%s%N).txt";
    const command = { name: "Bash", input: { command: shell, description: "test" } };
    const script = JSON.stringify([{ toolUse: command }, { text: "Done." }]);
    const text = `Please.\n\`\`\`holdfast-script\n${script}\n\`\`\``;
    const began = performance.now();
    const sent = await events.send(this.#sessionId, {
      events: [{ type: "user.message", content: [{ type: "text", text }] }],
    });
    const after = (sent.data?.[0] as unknown as SessionEvent | undefined)?.seq ?? 0;
    let isFirst = true;
    let outcome = "none";
    for await (const each of await events.stream(this.#sessionId, undefined, { signal })) {
      const event = each as unknown as SessionEvent;
      if (event.seq === undefined || event.seq <= after) continue;
      if (isFirst && event.type === "agent.tool_use") {
        this.#samples.add("first event", performance.now() - began);
        isFirst = false;
      }
      if (event.type === "holdfast.turn_result") outcome = event.outcome;
      if (event.type === "session.status_idle") break;
    }
    if (outcome === "completed") this.#samples.add("turn", performance.now() - began);
    else this.#samples.fail(`turn: ${outcome}`);
  }

  /** How long each copy to S3 took, as the log has it. */
  async #followSaves(signal: AbortSignal): Promise<void> {
    const last = (await this.#kit.log(this.#sessionId, this.#account)).at(-1)?.seq ?? 0;
    const path = `/v1/sessions/${this.#sessionId}/events/stream?after=${last}`;
    try {
      const answer = await this.#kit.fetch(path, { account: this.#account, signal });
      let rest = "";
      for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line.startsWith("data: ")) this.#note(JSON.parse(line.slice(6)) as SessionEvent);
      }
      if (!signal.aborted) this.#samples.fail("the stream of B's saves ended");
    } catch (error) {
      if (!signal.aborted) this.#samples.fail(`the stream of B's saves: ${String(error)}`);
    }
  }

  #note(event: SessionEvent): void {
    if (event.type !== "holdfast.step" || event.step !== "sync") return;
    if (event.state === "done") this.#samples.add("save", event.duration_ms ?? Number.NaN);
    if (event.state === "failed") this.#samples.fail(`save: ${event.detail ?? ""}`);
  }
}
