import type { SessionEvent } from "@holdfast/protocol";
import { expect, test } from "vitest";
import type { Frame } from "../client/sessions.ts";
import { Transcript } from "./transcript.ts";

/** Frames in, text out; the status as `[…]` lines when asked for. */
function render(frames: Partial<Frame>[], options: { deltas?: boolean; quiet?: boolean; echo?: boolean } = {}): string {
  let out = "";
  let open = false;
  const surface = {
    print: (text: string) => {
      out += `${open ? "\n" : ""}${text}\n`;
      open = false;
    },
    stream: (text: string) => {
      out += text;
      open = true;
    },
    endStream: () => {
      out += open ? "\n" : "";
      open = false;
    },
    status: () => undefined,
  };
  const transcript = new Transcript({ surface, paint: (_s, text) => text, deltas: true, echo: true, ...options });
  let seq = 0;
  for (const frame of frames) {
    seq += 1;
    const at = new Date(Date.UTC(2026, 0, 1) + seq * 100).toISOString();
    transcript.push({ id: `sevt_${seq}`, seq, processed_at: at, ...frame } as Frame);
  }
  return out;
}

const text = (said: string) => [{ type: "text" as const, text: said }];
const use = (id: string, command: string): Partial<SessionEvent> => ({
  type: "agent.tool_use",
  id,
  name: "Bash",
  input: { command },
  evaluated_permission: "allow",
  holdfast: { tool_use_id: `toolu_${id}` },
});
const result = (id: string, said: string, isError = false): Partial<SessionEvent> => ({
  type: "agent.tool_result",
  tool_use_id: id,
  content: text(said),
  is_error: isError,
});
const message = (id: string, said: string): Partial<SessionEvent> => ({
  type: "agent.message",
  id,
  content: text(said),
});
const delta = (id: string, said: string): Partial<Frame> => ({
  type: "event_delta",
  event_id: id,
  delta: { type: "content_delta", index: 0, content: { type: "text", text: said } },
});

test("deltas and the message that they become are shown once", () => {
  expect(render([delta("m", "Hel"), delta("m", "lo"), message("m", "Hello"), message("n", "Bye")])).toBe(
    "Hello\n\nBye\n",
  );
});

test("a message that ends longer than its draft is completed; one that differs is said anew", () => {
  expect(render([delta("m", "Hel"), message("m", "Hello")])).toBe("Hello\n");
  expect(render([delta("m", "Hul"), message("m", "Hello")])).toBe("Hul\n\nHello\n");
});

test("a draft that broke off is called so", () => {
  expect(render([delta("m", "Hel"), { type: "holdfast.draft_void", event_id: "m" }, message("n", "Hello")])).toBe(
    "Hel\n\n· The text above broke off and is said again\nHello\n",
  );
});

test("tools: what was called, and how it ended", () => {
  expect(render([use("a", "ls"), result("a", "x\ny"), use("b", "false"), result("b", "Exit code 1", true)])).toBe(
    "🔧 Bash  ls\n   ✓ 0.1 s\n   x\n   y\n\n🔧 Bash  false\n   ❌ failed 0.1 s\n   Exit code 1\n",
  );
});

test("tools that run side by side: each result names its call", () => {
  expect(render([use("a", "one"), use("b", "two"), result("a", ""), result("b", "")])).toBe(
    "🔧 Bash  one\n🔧 Bash  two\n   ✓ Bash  one · 0.2 s\n\n   ✓ Bash  two · 0.2 s\n".replace("\n\n   ✓", "\n   ✓"),
  );
});

test("a long result is cut, and says by how much", () => {
  const lines = Array.from({ length: 40 }, (_, i) => `line ${i + 1}`).join("\n");
  const shown = render([use("a", "seq 40"), result("a", lines)]);
  expect(shown).toContain("   line 12\n   … 28 more lines\n");
  expect(shown).not.toContain("line 13");
});

test("nothing that a tool prints reaches the terminal as a control", () => {
  const shown = render([
    use("a", "echo \u001b[2J"),
    result("a", "\u001b]52;c;AAAA\u0007"),
    message("m", "\u001b[31mred"),
  ]);
  expect(shown).not.toContain("\u001b");
});

test("secrets in commands are masked", () => {
  expect(render([use("a", "curl -H 'x-api-key: hfk_abcdefghijklmnop' x")])).not.toContain("abcdefghijklmnop");
});

test("quiet: only what Claude says, and failures", () => {
  const failure: Partial<SessionEvent> = {
    type: "session.error",
    error: { type: "billing_error", message: "No credit.", retry_status: { type: "terminal" } },
    holdfast: { code: "x", remedy: "Top up." },
  };
  expect(render([use("a", "ls"), result("a", "x"), message("m", "Done"), failure], { quiet: true })).toBe(
    "Done\n\n❌ This did not work\n   No credit.\n   What to do: Top up.\n",
  );
});

const userMessage = (id: string, said: string, delivery?: "now"): Partial<SessionEvent> => ({
  type: "user.message",
  id,
  content: text(said),
  ...(delivery === undefined ? {} : { holdfast: { delivery } }),
});
const changed = (id: string, state: "edited" | "removed" | "started" | "steered", said?: string) => ({
  type: "holdfast.message" as const,
  message_id: id,
  state,
  ...(said === undefined ? {} : { content: text(said) }),
});
const running = { type: "session.status_running" as const };
const idle = {
  type: "session.status_idle" as const,
  stop_reason: { type: "end_turn" as const },
  stop_details: null,
};

test("a message that waits is noted when it comes, and said when its turn begins", () => {
  const frames = [
    userMessage("a", "first"),
    running,
    changed("a", "started"),
    userMessage("b", "second\nin two lines"),
    message("m", "One"),
    idle,
    running,
    changed("b", "started"),
    message("n", "Two"),
    idle,
  ];
  expect(render(frames)).toBe(
    [
      "> first",
      "",
      "· A message that waits for this turn's end: second …",
      "One",
      "",
      "> second",
      "> in two lines",
      "",
      "Two",
      "",
    ].join("\n"),
  );
  expect(render(frames, { quiet: true })).toBe("One\n\nTwo\n");
  expect(render(frames, { echo: false })).toBe("One\n\nTwo\n");
});

test("what waits can be changed, removed, or run at once", () => {
  const begun = [userMessage("a", "first"), running, changed("a", "started")];
  const edited = [
    userMessage("b", "secnod"),
    changed("b", "edited", "second"),
    idle,
    changed("b", "started", "second"),
  ];
  expect(render([...begun, ...edited])).toContain(
    "for this turn's end: secnod\n· The message that waits was changed: second\n\n> second\n",
  );
  expect(render([...begun, userMessage("b", "no"), changed("b", "removed"), idle])).toMatch(
    /: no\n· The message was removed, Claude does not get it: no\n$/,
  );
  expect(render([...begun, userMessage("b", "stop that", "now"), changed("b", "steered")])).toMatch(
    /· A message that is to run now: stop that\n· The turn is stopped for the message that follows\n\n> stop that\n$/,
  );
});

test("the log's end alone: what was said before it is not made up", () => {
  expect(render([changed("x", "removed"), message("m", "One"), idle, changed("y", "started")])).toBe(
    "· The message was removed, Claude does not get it\nOne\n",
  );
});
