import { expect, test } from "vitest";
import { type AskedProcess, ClaudeAsks, type SessionQuestion } from "./asks.ts";

const question: SessionQuestion = { name: "plan", query: "", mode: null };
const letGo = new AbortController().signal;

/** A process in the test's hands: what it was asked, by id. */
function process({ takes = true } = {}) {
  const exited = Promise.withResolvers<void>();
  const ids: string[] = [];
  const asked: AskedProcess = {
    ending: false,
    process: {
      processId: "proc_1",
      alive: true,
      exited: exited.promise,
      async send(line, lineId) {
        if (!takes) throw new Error("the guest does not take it");
        expect((JSON.parse(line) as { request_id: string }).request_id).toBe(lineId);
        ids.push(lineId);
      },
    },
  };
  return { asked, ids, exit: () => exited.resolve() };
}

const asksOf = (answerMs = 60_000) => new ClaudeAsks({ sessionId: "sesn_1", clock: { now: () => 0 }, answerMs });

const says = (asks: ClaudeAsks<AskedProcess>, requestId: string, response: unknown = { exists: false }) => {
  const taken = asks.take({ requestId, ok: true, response, error: null }, { mode: null, show: (path) => path });
  taken?.after?.();
  return taken;
};

test("the same question is asked once while it is open, and again afterwards", async () => {
  const asks = asksOf();
  const { asked, ids } = process();
  const both = [asks.ask(asked, question, letGo), asks.ask(asked, question, letGo)];
  const other = asks.ask(asked, { ...question, name: "files", query: "a" }, letGo);
  expect(ids).toHaveLength(2);
  expect(says(asks, ids[0] ?? "")?.also).toBeTypeOf("function");
  says(asks, ids[1] ?? "", { suggestions: [] });
  expect(await Promise.all([...both, other])).toEqual(Array(3).fill({ kind: "answered" }));
  const again = asks.ask(asked, question, letGo);
  says(asks, ids[2] ?? "");
  expect([await again, ids.length]).toEqual([{ kind: "answered" }, 3]);
});

test("an answer counts for its own question alone", async () => {
  const asks = asksOf();
  const { asked, ids } = process();
  const asking = asks.ask(asked, question, letGo);
  expect(says(asks, "settings-1-model")).toBeUndefined();
  expect(says(asks, "claude-state-of-another-session")).toEqual({});
  const [id = ""] = ids;
  says(asks, id);
  expect(await asking).toEqual({ kind: "answered" });
  expect(says(asks, id)).toEqual({});
});

test("one more than may wait is refused at once", async () => {
  const asks = asksOf();
  const { asked, ids, exit } = process();
  const open = Array.from({ length: 16 }, (_, n) =>
    asks.ask(asked, { ...question, name: "files", query: `${n}` }, letGo),
  );
  expect(await asks.ask(asked, question, letGo)).toMatchObject({ kind: "failed", code: "claude_did_not_answer" });
  expect(ids).toHaveLength(16);
  exit();
  expect(await Promise.all(open)).toEqual(Array(16).fill({ kind: "nobody" }));
});

test("silence, a line that is not taken, and a session that is let go of end the wait", async () => {
  expect(await asksOf(5).ask(process().asked, question, letGo)).toMatchObject({ code: "claude_did_not_answer" });
  expect(await asksOf().ask(process({ takes: false }).asked, question, letGo)).toEqual({
    kind: "failed",
    code: "claude_did_not_answer",
    detail: "Claude Code could not be asked for plan: the guest does not take it",
  });
  const stop = new AbortController();
  const asking = asksOf().ask(process().asked, question, stop.signal);
  stop.abort(new Error("the server stops"));
  expect(await asking).toMatchObject({ kind: "failed", detail: expect.stringContaining("the server stops") });
});

test("whoever waits for a process gets the next one, or why there is none", async () => {
  const asks = asksOf();
  const { asked } = process();
  const waiting = asks.whenHeld();
  expect(asks.wantsProcess).toBe(true);
  asks.held(asked);
  expect([await waiting, asks.wantsProcess]).toEqual([asked, false]);
  const refused = asks.whenHeld();
  asks.notHeld(new Error("no sandbox"));
  await expect(refused).rejects.toThrow("no sandbox");
});
