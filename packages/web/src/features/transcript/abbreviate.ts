import { isRecord } from "../../state/decode.ts";

/** A tool call on one line. */
export interface Abbreviation {
  /** What it was called with. */
  params: string;
  /** Paths are cut in the middle, so that the file's name stays. */
  isPath: boolean;
  /** Counts and the like: of the arguments, and of the result when it is there. */
  note: string;
}

export interface ToolOutcome {
  text: string;
  /** The CLI's own words about the result; shape by tool. */
  details: unknown;
}

const maxCommand = 120;
const maxText = 60;
const maxPath = 60;

export function cut(text: string, max: number): string {
  return text.length <= max ? text : text.slice(0, max - 1).trimEnd() + "…";
}

/** Keeps both ends: `/mnt/workspace/…/upload/route.ts`. */
export function cutMiddle(text: string, max: number): string {
  if (text.length <= max) return text;
  const tail = Math.ceil((max - 1) * 0.65);
  return text.slice(0, max - 1 - tail) + "…" + text.slice(text.length - tail);
}

const secretNamed =
  /((?:api[-_]?key|token|secret|password|passwd|authorization)["']?\s*[=:]\s*(?:bearer\s+)?["']?)([^\s"']{6,})/gi;
const secretLike = /\b(sk-[A-Za-z0-9-]{2,6}|gh[pousr]_|AKIA|xox[abp]-|eyJ)[A-Za-z0-9_./+-]{10,}/g;

/** Hides what looks like a credential; the page may be on a screen that others see. */
export function maskSecrets(text: string): string {
  return text.replace(secretLike, "$1••••").replace(secretNamed, "$1••••");
}

const str = (value: unknown) => (typeof value === "string" ? value : "");
const num = (value: unknown) => (typeof value === "number" ? value : undefined);
const linesOf = (text: string) => (text === "" ? 0 : text.replace(/\n$/, "").split("\n").length);
export const plural = (count: number, one: string, many = one + "s") => `${count} ${count === 1 ? one : many}`;

const inWorkspace = (path: string) => path.replace(/^\/mnt\/workspace\//, "");

type Input = Record<string, unknown>;
type Rule = (input: Input, outcome: ToolOutcome | null) => Partial<Abbreviation>;

const path = (value: unknown): Partial<Abbreviation> => ({
  params: cutMiddle(inWorkspace(str(value)), maxPath),
  isPath: true,
});

function countChange(input: Input, outcome: ToolOutcome | null): string {
  const hunks = isRecord(outcome?.details) ? patchOf(outcome.details) : [];
  if (hunks.length > 0) {
    const lines = hunks.flatMap((hunk) => hunk.lines);
    return `+${lines.filter((line) => line.startsWith("+")).length} −${lines.filter((line) => line.startsWith("-")).length}`;
  }
  const edits = Array.isArray(input.edits) ? input.edits.filter(isRecord) : [input];
  const added = edits.reduce((sum, edit) => sum + linesOf(str(edit.new_string)), 0);
  const removed = edits.reduce((sum, edit) => sum + linesOf(str(edit.old_string)), 0);
  return `+${added} −${removed}`;
}

const bash: Rule = (input) => {
  const lines = str(input.command).trim().split("\n");
  const more = lines.length - 1;
  return {
    params: cut(maskSecrets(lines[0] ?? ""), maxCommand),
    note: [more > 0 ? `+${plural(more, "line")}` : "", input.run_in_background === true ? "in background" : ""]
      .filter(Boolean)
      .join(" · "),
  };
};

const read: Rule = (input) => {
  const start = num(input.offset);
  const limit = num(input.limit);
  const range = start === undefined ? "" : `:${start}${limit === undefined ? "-" : `-${start + limit - 1}`}`;
  const base = path(input.file_path);
  return { ...base, params: base.params + (range || (limit === undefined ? "" : `:1-${limit}`)) };
};

const search: Rule = (input, outcome) => {
  const where = str(input.path) ? ` in ${cutMiddle(inWorkspace(str(input.path)), 40)}` : "";
  const only = str(input.glob) || str(input.type);
  const hits = outcome ? linesOf(outcome.text.replace(/^(No (matches|files) found|Found \d+ .*)\n?/, "")) : null;
  return {
    params: `"${cut(str(input.pattern), maxText)}"${where}${only ? ` (${only})` : ""}`,
    note: hits === null ? "" : plural(hits, "hit"),
  };
};

const agent: Rule = (input, outcome) => {
  const details = isRecord(outcome?.details) ? outcome.details : {};
  const tools = num(details.totalToolUseCount);
  const ms = num(details.totalDurationMs);
  const parts = [
    tools === undefined ? "" : plural(tools, "tool"),
    ms === undefined ? "" : `${Math.round(ms / 1000)} s`,
  ];
  const type = str(input.subagent_type);
  return {
    params: cut([type, str(input.description) || str(input.prompt)].filter(Boolean).join(": "), maxCommand),
    note: parts.filter(Boolean).join(", "),
  };
};

const rules: Record<string, Rule> = {
  Bash: bash,
  Read: read,
  NotebookRead: (input) => path(input.notebook_path),
  Write: (input) => ({ ...path(input.file_path), note: plural(linesOf(str(input.content)), "line") }),
  Edit: (input, outcome) => ({ ...path(input.file_path), note: countChange(input, outcome) }),
  MultiEdit: (input, outcome) => ({ ...path(input.file_path), note: countChange(input, outcome) }),
  NotebookEdit: (input) => path(input.notebook_path),
  Grep: search,
  Glob: (input, outcome) => ({
    params: cut(str(input.pattern), maxCommand),
    note: outcome ? plural(linesOf(outcome.text.replace(/^No files found\n?/, "")), "file") : "",
  }),
  WebFetch: (input) => {
    const url = URL.parse(str(input.url));
    return { params: cutMiddle(url ? url.host + url.pathname : str(input.url), maxCommand) };
  },
  WebSearch: (input) => ({ params: `"${cut(str(input.query), maxText)}"` }),
  Task: agent,
  Agent: agent,
  TodoWrite: (input) => {
    const todos = todosOf(input);
    return { params: `${todos.filter((todo) => todo.status === "completed").length} of ${todos.length} done` };
  },
};

export interface Todo {
  text: string;
  status: "pending" | "in_progress" | "completed";
}

export function todosOf(input: Input): Todo[] {
  if (!Array.isArray(input.todos)) return [];
  return input.todos.filter(isRecord).map((todo) => {
    const status = todo.status === "completed" || todo.status === "in_progress" ? todo.status : "pending";
    return { text: (status === "in_progress" && str(todo.activeForm)) || str(todo.content), status };
  });
}

export interface Hunk {
  oldStart: number;
  newStart: number;
  /** Each begins with ` `, `+` or `-`. */
  lines: string[];
}

/** The `structuredPatch` of an edit's details; empty when there is none. */
export function patchOf(details: unknown): Hunk[] {
  if (!isRecord(details) || !Array.isArray(details.structuredPatch)) return [];
  return details.structuredPatch.filter(isRecord).map((hunk) => ({
    oldStart: num(hunk.oldStart) ?? 1,
    newStart: num(hunk.newStart) ?? 1,
    lines: Array.isArray(hunk.lines) ? hunk.lines.filter((line) => typeof line === "string") : [],
  }));
}

const firstScalar = (input: Input, strings: boolean): string => {
  const found = Object.values(input).find((value) =>
    strings ? typeof value === "string" : ["string", "number", "boolean"].includes(typeof value),
  );
  return found === undefined ? "" : cut(maskSecrets(String(found).split("\n")[0] ?? ""), maxText);
};

/** The name to show, and the one line behind it. */
export function abbreviate(name: string, input: Input, outcome: ToolOutcome | null): Abbreviation & { label: string } {
  const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
  if (rule) return { label: name, params: "", isPath: false, note: "", ...rule(input, outcome) };
  const mcp = /^mcp__(.+?)__(.+)$/.exec(name);
  if (mcp) return { label: `${mcp[1]} / ${mcp[2]}`, params: firstScalar(input, true), isPath: false, note: "" };
  return { label: name, params: firstScalar(input, false), isPath: false, note: "" };
}
