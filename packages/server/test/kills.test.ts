import { afterAll, beforeAll, expect, test } from "vitest";
import { begin, lifecycle, result, text, toolResult, toolUse, wordsOf } from "./_claude-lines.ts";
import type { LocalClaude } from "./_local-claude.ts";
import { endsOf, type LocalSession, type LocalSystem, localSystem } from "./_local-server.ts";

/** How many turns; a long run sets more. */
const rounds = Number(process.env.HOLDFAST_KILL_ROUNDS ?? 40);
const seed = Number(process.env.HOLDFAST_KILL_SEED ?? 20_261_127);

let it: LocalSystem;
beforeAll(async () => {
  it = await localSystem();
});
afterAll(() => it?.[Symbol.asyncDispose]());

/** A small generator of its own, so that a failure can be repeated. */
function random(from: number): (below: number) => number {
  let state = from;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const kinds = ["claude", "guest", "link", "sandbox", "server", "interrupt"] as const;
type Kind = (typeof kinds)[number];

async function hit(kind: Kind, claude: LocalClaude, session: LocalSession): Promise<void> {
  const { last } = it.sandboxes;
  if (kind === "claude") process.kill(claude.pid, "SIGKILL");
  else if (kind === "guest") last.killGuest();
  else if (kind === "link") last.cutLinks();
  else if (kind === "sandbox") await last.end();
  else if (kind === "server") await it.restart();
  else await session.interrupt();
}

test(`after ${rounds} turns that were hit anywhere the session is idle, and the next message works`, async () => {
  const next = random(seed);
  const session = await it.session();
  const outcomes = new Map<string, number>();
  let hitAt = { line: -1, kind: "link" as Kind };
  let hitting: Promise<void> = Promise.resolve();
  let reached = Promise.withResolvers<void>();
  it.sandboxes.stage.script = async (claude) => {
    for (;;) {
      const line = await claude.next();
      if (line.type === "end" || line.type === "signal") return await claude.exit(0);
      if (line.type !== "user") continue;
      const aim = hitAt;
      hitAt = { ...aim, line: -1 };
      let printed = 0;
      const step = async (...lines: Parameters<LocalClaude["print"]>) => {
        if (printed++ === aim.line) {
          hitting = hit(aim.kind, claude, session);
          reached.resolve();
          // What it prints next races with what hits it.
          if (next(2) === 0) await hitting;
        }
        claude.print(...lines);
      };
      await step(lifecycle(line, "queued"));
      if (printed === 1) begin(claude, line);
      for (let tool = 0; tool < 3; tool++) {
        await step(toolUse(`toolu_${claude.pid}_${printed}`));
        await step(toolResult(`toolu_${claude.pid}_${printed - 1}`, "ok"));
      }
      await step(text(wordsOf(line)));
      await step(result([line]));
    }
  };
  for (let round = 0, ends = 0; round < rounds; round++) {
    const kind = kinds[next(kinds.length)] ?? "link";
    hitAt = { line: next(9), kind };
    const what = `round ${round}, seed ${seed}: ${kind} at line ${hitAt.line}`;
    reached = Promise.withResolvers<void>();
    await session.send(`hit ${round}`);
    await reached.promise;
    // The server may be away for a moment.
    await hitting;
    await session.until(what, (events) => endsOf(events).length > ends, 40_000);
    expect(await session.status(), what).toBe("idle");
    await session.send(`check ${round}`);
    const events = await session.until(`the message after ${what}`, (all) => endsOf(all).length > ends + 1, 40_000);
    const [hitEnd, checkEnd] = endsOf(events).slice(ends);
    expect(checkEnd?.holdfast?.outcome, `the message after ${what}`).toBe("completed");
    const outcome = `${kind}: ${hitEnd?.holdfast?.outcome}`;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    ends = endsOf(events).length;
    const seqs = events.map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.map((_, index) => (seqs[0] ?? 0) + index));
  }
  console.log([...outcomes].map(([outcome, count]) => `${outcome} ×${count}`).join(", "));
  expect(it.rows("select id from messages where state <> 'done'")).toEqual([]);
  expect(it.sandboxes.stage.failures).toEqual([]);
}, 600_000);
