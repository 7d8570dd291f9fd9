import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ClaudeScript, Line, LocalClaude } from "./_local-claude.ts";

const folder = fileURLToPath(new URL("../../claude/fixtures/", import.meta.url));

interface Meta {
  exit: { code: number | null; sig: string | null };
  line_times_ms: number[];
  stdin_times_ms?: number[];
}

interface Step {
  /** Lines of its stdin that the capture had by then. */
  heard: number;
  text: string;
}

export interface Capture {
  steps: Step[];
  stdin: Line[];
  exitCode: number;
  /** The user messages it was sent, as it knows them. */
  messages: string[];
}

/** A capture of the real CLI: `bash-background`, `v2.1.197/stream-cut`. */
export function capture(name: string): Capture {
  const read = (kind: string) => readFileSync(`${folder}${name}.${kind}`, "utf8");
  const meta = JSON.parse(read("meta.json")) as Meta;
  const lines = (text: string) => text.split("\n").filter((line) => line !== "");
  const hasStdin = existsSync(`${folder}${name}.stdin.ndjson`);
  const stdin = hasStdin ? lines(read("stdin.ndjson")).map((line) => JSON.parse(line) as Line) : [];
  const times = meta.stdin_times_ms ?? [];
  const printed = lines(read("ndjson"));
  // Times are whole milliseconds: an answer may bear that of its question.
  const asked = stdin.map((line) => printed.findIndex((text) => isQuestionOf(text, line)));
  const steps = printed.map((text, at) => {
    const later = stdin.findIndex(
      (_line, index) => (times[index] ?? 0) >= (meta.line_times_ms[at] ?? 0) || (asked[index] ?? -1) >= at,
    );
    return { text, heard: later === -1 ? stdin.length : later };
  });
  return {
    steps,
    stdin,
    exitCode: meta.exit.code ?? 0,
    messages: stdin.filter(({ type }) => type === "user").map(wordsOf),
  };
}

function isQuestionOf(text: string, answer: Line): boolean {
  if (answer.type !== "control_response") return false;
  const { request_id: id } = answer.response as { request_id: string };
  const line = JSON.parse(text) as Line;
  return line.type === "control_request" && line.request_id === id;
}

function wordsOf(line: Line): string {
  const { content } = line.message as { content: string | { text?: string }[] };
  return typeof content === "string" ? content : content.map(({ text }) => text ?? "").join("");
}

interface ReplayOptions {
  /** Whether it ends by itself after its last line; default: when it has never begun, as a start that failed. */
  ends?: boolean;
  /** Changes a line before it is printed; undefined leaves it out. */
  change?: (line: string, index: number) => string | undefined;
  /** Lines of the capture's stdin that this server never writes: they are not waited for. */
  unheard?: (line: Line) => boolean;
  /** What it does after its last line; default: nothing, until its input ends. */
  afterwards?: ClaudeScript;
}

/**
 * Prints what the capture printed. Before a line it waits for as many lines of the same kinds on its stdin as the
 * capture had by then; ids of messages, requests and of the session become those of now.
 */
export function replaying(name: string, options: ReplayOptions = {}): ClaudeScript {
  const { steps, stdin, exitCode } = capture(name);
  return async (claude) => {
    const names = new Map<string, string>();
    const first = steps.map(({ text }) => /"session_id":"([0-9a-f-]{36})"/.exec(text)?.[1]).find(Boolean);
    if (first !== undefined && claude.sessionId !== "") names.set(first, claude.sessionId);
    let heard = 0;
    for (const [index, step] of steps.entries()) {
      for (; heard < step.heard; heard++) {
        const line = stdin[heard] ?? {};
        if (options.unheard?.(line) !== true) await hear(claude, line, names);
      }
      let text: string | undefined = step.text;
      for (const [from, to] of names) text = text.replaceAll(from, to);
      if (options.change !== undefined) text = options.change(text, index);
      if (text !== undefined) claude.print(text);
    }
    if (options.afterwards !== undefined) return await options.afterwards(claude);
    const ends = options.ends ?? !steps.some(({ text }) => text.includes('"subtype":"init"'));
    if (!ends) await claude.hears(({ type }) => type === "end" || type === "signal");
    await claude.exit(exitCode);
  };
}

async function hear(claude: LocalClaude, expected: Line, names: Map<string, string>): Promise<void> {
  const line = await claude.next((each) => kindOf(each) === kindOf(expected));
  for (const field of ["uuid", "request_id"]) {
    const [from, to] = [expected[field], line[field]];
    if (typeof from === "string" && typeof to === "string") names.set(from, to);
  }
}

function kindOf(line: Line): string {
  const request = line.request as Line | undefined;
  return `${line.type}/${request?.subtype ?? ""}`;
}
