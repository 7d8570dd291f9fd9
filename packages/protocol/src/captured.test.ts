import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { wrongAt } from "../test/_kit.ts";
import { SessionEvent } from "./event.ts";

/*
 * What the real Claude Code printed, in the places of events that carry its values as they are: texts, calls, results,
 * images, lists. How its lines become events is another package's; here the schemas meet real values of every kind.
 */

type Line = Record<string, unknown>;

const folder = join(import.meta.dirname, "../../claude/fixtures");
const isOutput = (name: string) => name.endsWith(".ndjson") && !name.endsWith(".stdin.ndjson");
const files = ["", "v2.1.197"].flatMap((version) =>
  readdirSync(join(folder, version))
    .filter(isOutput)
    .map((name) => join(folder, version, name)),
);

function linesOf(path: string): Line[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((text) => {
      try {
        const line: unknown = JSON.parse(text);
        return typeof line === "object" && line !== null ? [line as Line] : [];
      } catch {
        // Words of its own, or a line that was cut when it was killed.
        return [];
      }
    });
}

const lines = files.flatMap(linesOf);
const ofType = (type: string) => lines.filter((line) => line.type === type);
const blocksOf = (type: string, kind: string) =>
  ofType(type)
    .map((line) => (line.message as { content?: unknown } | undefined)?.content)
    .flatMap((content) => (Array.isArray(content) ? (content as Line[]) : []))
    .filter((block) => block.type === kind);

const common = { id: "sevt_1", seq: 1, processed_at: "2026-03-01T09:00:00Z" };

/** Every event is taken, and is the same behind a connection. */
function checkAll(events: readonly object[], atLeast: number) {
  expect(events.length).toBeGreaterThan(atLeast);
  for (const event of events) {
    const sent = { ...common, ...event };
    const { data, error } = SessionEvent.safeParse(sent);
    expect(error?.issues, JSON.stringify(sent).slice(0, 500)).toBeUndefined();
    expect(JSON.parse(JSON.stringify(data))).toEqual(JSON.parse(JSON.stringify(sent)));
  }
}

test("lines of both versions are there", () => {
  expect(files.length).toBeGreaterThan(400);
  expect(lines.length).toBeGreaterThan(4_000);
});

describe("what Claude says", () => {
  test("is a message", () => {
    const texts = blocksOf("assistant", "text").map(({ text }) => text);
    checkAll(
      texts.map((text) => ({ type: "agent.message", content: [{ type: "text", text }] })),
      100,
    );
  });

  test("to itself is thinking", () => {
    const thoughts = blocksOf("assistant", "thinking").map(({ thinking }) => thinking);
    checkAll(
      thoughts.map((text) => ({ type: "agent.thinking", holdfast: { text } })),
      0,
    );
  });
});

describe("what Claude does", () => {
  const calls = blocksOf("assistant", "tool_use").map(({ id, name, input }) => ({
    type: "agent.tool_use",
    name,
    input,
    evaluated_permission: "allow",
    holdfast: { tool_use_id: id },
  }));

  test("is a call with any input", () => {
    checkAll(calls, 100);
    expect(new Set(calls.map(({ name }) => name)).size).toBeGreaterThan(8);
  });

  test("misses its input nowhere", () => {
    for (const { input: _input, ...call } of calls)
      expect(wrongAt(SessionEvent, { ...common, ...call })).toEqual(["input"]);
  });

  test("is the todo list, where it writes one", () => {
    const lists = calls
      .filter(({ name }) => name === "TodoWrite")
      .map(({ input }) => (input as { todos?: Line[] }).todos ?? []);
    const todos = lists.map((list) => list.map(({ content, status }, index) => ({ id: `${index}`, content, status })));
    checkAll(
      todos.map((list) => ({ type: "holdfast.todos", todos: list })),
      0,
    );
  });

  test("is a question with choices, where it asks one", () => {
    interface Asked {
      question: string;
      header: string;
      multiSelect?: boolean;
      options: object[];
    }
    const asked = calls
      .filter(({ name }) => name === "AskUserQuestion")
      .flatMap(({ input }) => (input as { questions?: Asked[] }).questions ?? [])
      .filter(({ options }) => Array.isArray(options));
    const requests = asked.map(({ question, header, multiSelect = false, options }) => ({
      type: "holdfast.permission_request",
      tool_use_id: "sevt_2",
      kind: "question",
      tool_name: "AskUserQuestion",
      title: question,
      description: "",
      input: {},
      reason: null,
      blocked_path: null,
      can_allow: true,
      suggestions: [],
      questions: [{ question, header, multi_select: multiSelect, options }],
    }));
    checkAll(requests, 0);
  });
});

describe("what comes back", () => {
  const results = blocksOf("user", "tool_result");
  const event = (content: unknown, result: Line) => ({
    type: "agent.tool_result",
    tool_use_id: "sevt_2",
    content,
    is_error: result.is_error === true,
  });

  test("is a text", () => {
    const said = results.filter(({ content }) => typeof content === "string");
    checkAll(
      said.map((result) => event([{ type: "text", text: result.content }], result)),
      100,
    );
  });

  test("is a list of texts and images", () => {
    const isKnown = ({ type }: Line) => type === "text" || type === "image";
    const lists = results.filter(({ content }) => Array.isArray(content) && (content as Line[]).every(isKnown));
    checkAll(
      lists.map((result) => event(result.content, result)),
      0,
    );
  });

  test("says more than its text, which is kept", () => {
    const details = ofType("user").flatMap((line) =>
      line.tool_use_result === undefined ? [] : [line.tool_use_result],
    );
    checkAll(
      details.map((each) => ({ ...event([], {}), holdfast: { details: each } })),
      100,
    );
  });
});

describe("what Claude Code says of itself", () => {
  test("is how it begins", () => {
    const begun = ofType("system").filter(({ subtype }) => subtype === "init");
    const events = begun.map((line) => ({
      type: "holdfast.initialized",
      first: true,
      claude_session_id: line.session_id,
      model: line.model,
      cwd: line.cwd,
      permission_mode: line.permissionMode,
      claude_code_version: line.claude_code_version,
      tools: line.tools,
      mcp_servers: (line.mcp_servers as Line[]).map(({ name, status }) => ({ name, status })),
      scripted: false,
    }));
    checkAll(events, 100);
  });

  test("is how a turn ends, and what it used", () => {
    const ended = ofType("result").map((line) => ({
      type: "holdfast.turn_result",
      outcome: line.is_error === true ? "failed" : "completed",
      subtype: line.subtype,
      terminal_reason: typeof line.terminal_reason === "string" ? line.terminal_reason : null,
      is_error: line.is_error,
      errors: line.errors ?? [],
      num_turns: line.num_turns,
      duration_ms: line.duration_ms,
      duration_api_ms: line.duration_api_ms,
      cost_usd: line.total_cost_usd,
      total_cost_usd: line.total_cost_usd,
      usage: usageOf(line.usage as Line),
    }));
    checkAll(ended, 100);
  });

  test("may be any line at all, kept whole", () => {
    checkAll(
      lines.map((line) => ({ type: "holdfast.other", line_type: `${String(line.type)}`, line })),
      4_000,
    );
  });

  test("stands in notices with all of its data", () => {
    const notices = ofType("system").filter(({ subtype }) => subtype !== "init");
    const events = notices.map((data) => ({
      type: "holdfast.notice",
      kind: `${String(data.subtype)}`,
      level: "info",
      text: "",
      data,
    }));
    checkAll(events, 20);
  });
});

function usageOf(usage: Line) {
  return {
    input_tokens: usage.input_tokens,
    output_tokens: usage.output_tokens,
    cache_read_input_tokens: usage.cache_read_input_tokens,
    cache_creation_input_tokens: usage.cache_creation_input_tokens,
  };
}

test("no line of Claude Code's is an event of ours by itself", () => {
  expect(lines.filter((line) => SessionEvent.safeParse({ ...common, ...line }).success)).toEqual([]);
});
