import type { SessionEvent } from "@holdfast/protocol";
import { createTestKit, eventsOf, spokenText, type TestKit, type TestKitOptions } from "@holdfast/testkit";
import { expect } from "vitest";

/** A kit in which what ran is looked for at once. */
export async function createSteppedKit(options: TestKitOptions = {}): Promise<{ kit: TestKit; steps: Steps }> {
  const kit = await createTestKit({
    ...options,
    adjust: (name, given) => {
      const before = options.adjust?.(name, given) ?? given;
      if (name === "server") return { ...before, sweepEveryMs: 500 };
      return name === "gateway" ? { ...before, scriptedModel: { deltaDelayMs: 4, deltaChars: 60 } } : before;
    },
  });
  return { kit, steps: new Steps(kit) };
}

/** Turns of many steps: one that was cut, doubled or lost in between is seen. */
export class Steps {
  readonly #kit: TestKit;

  constructor(kit: TestKit) {
    this.#kit = kit;
  }

  /** A prompt whose turn is `steps` commands, each of which takes a moment. It needs nothing of the model's memory. */
  prompt(tag: string, steps: number): string {
    const turns = Array.from({ length: steps }, (_, n) => ({
      text: `Step ${n}.`,
      toolUse: [{ name: "Bash", input: { command: `echo ${tag}-${n} >> /mnt/workspace/${tag}; sleep 0.3` } }],
      delayMs: 2,
    }));
    return `${tag}\n\`\`\`holdfast-script\n${JSON.stringify({ turns: [...turns, { text: "Done.", delayMs: 2 }] })}\n\`\`\``;
  }

  /** Resolves when the agent has said this. */
  async said(sessionId: string, text: string): Promise<void> {
    await this.#seen(sessionId, (events) => spokenText(events).split("\n").includes(text));
  }

  /** Resolves when the session is at rest again. */
  async idle(sessionId: string): Promise<void> {
    await this.#seen(sessionId, (events) => eventsOf(events, "session.status_idle").length > 0);
  }

  async #seen(sessionId: string, wanted: (events: SessionEvent[]) => boolean): Promise<void> {
    const look = async () => {
      try {
        return wanted(await this.#kit.log(sessionId));
      } catch {
        // The server is just being started again.
        return false;
      }
    };
    await expect.poll(look, { timeout: 60_000 }).toBe(true);
  }

  /** `events`: of the turn alone. Default: the session's whole log. */
  async checkWhole(
    sessionId: string,
    tag: string,
    { steps, events }: { steps: number; events?: SessionEvent[] },
  ): Promise<void> {
    const log = await this.#kit.log(sessionId);
    const turn = events ?? log;
    const all = Array.from({ length: steps }, (_, n) => n);
    expect(eventsOf(turn, "session.error")).toEqual([]);
    expect(eventsOf(turn, "session.status_idle")[0]?.holdfast?.outcome).toBe("completed");
    const said = eventsOf(turn, "agent.message").flatMap((event) => event.content.map((block) => block.text));
    expect(said).toEqual([...all.map((n) => `Step ${n}.`), "Done."]);
    const ran = (await this.#kit.exec(["cat", `/mnt/workspace/${tag}`])).stdout.trim().split("\n");
    expect(ran).toEqual(all.map((n) => `${tag}-${n}`));
    expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
  }
}
