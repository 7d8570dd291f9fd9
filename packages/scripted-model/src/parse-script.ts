import type { Script, ScriptError, ScriptMatch, ScriptToolUse, ScriptTurn } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

/** The script is written wrongly; the message names the field. */
export class ScriptFormatError extends Error {
  override name = "ScriptFormatError";
}

/** Reads `{when?, turns, times?}`, or a bare list of turns. Throws `ScriptFormatError`. */
export function parseScript(value: unknown): Script {
  if (Array.isArray(value)) return { turns: value.map((turn, i) => parseTurn(turn, `[${i}]`)) };
  const script = object(value, "script", ["when", "turns", "times"]);
  const turns = script.turns;
  if (!Array.isArray(turns)) throw new ScriptFormatError("turns: a list of turns is needed");
  return {
    turns: turns.map((turn, i) => parseTurn(turn, `turns[${i}]`)),
    ...optional(script, "when", (when) => parseMatch(when)),
    ...optional(script, "times", number("times")),
  };
}

/** Reads one script or a list of them. */
export function parseScripts(value: unknown): Script[] {
  return Array.isArray(value) ? value.map(parseScript) : [parseScript(value)];
}

function parseMatch(value: unknown): ScriptMatch {
  const match = object(value, "when", ["userTextIncludes", "session", "regex"]);
  return {
    ...optional(match, "userTextIncludes", string("when.userTextIncludes")),
    ...optional(match, "session", string("when.session")),
    ...optional(match, "regex", (source) => {
      const text = string("when.regex")(source);
      try {
        return new RegExp(text, "s").source;
      } catch (error) {
        throw new ScriptFormatError("when.regex: not a regular expression", { cause: error });
      }
    }),
  };
}

const TURN_FIELDS = ["thinking", "text", "toolUse", "stopReason", "deltas", "delayMs", "error", "cut", "stallMs"];

function parseTurn(value: unknown, path: string): ScriptTurn {
  const turn = object(value, path, TURN_FIELDS);
  return {
    ...optional(turn, "thinking", string(`${path}.thinking`)),
    ...optional(turn, "text", string(`${path}.text`)),
    ...optional(turn, "toolUse", (uses) =>
      Array.isArray(uses)
        ? uses.map((use, i) => parseToolUse(use, `${path}.toolUse[${i}]`))
        : parseToolUse(uses, `${path}.toolUse`),
    ),
    ...optional(turn, "stopReason", string(`${path}.stopReason`)),
    ...optional(turn, "deltas", (deltas) => {
      if (!Array.isArray(deltas)) throw new ScriptFormatError(`${path}.deltas: a list of strings is needed`);
      return deltas.map((delta, i) => string(`${path}.deltas[${i}]`)(delta));
    }),
    ...optional(turn, "delayMs", number(`${path}.delayMs`)),
    ...optional(turn, "error", (error) => parseError(error, `${path}.error`)),
    ...optional(turn, "cut", (cut) => parseCut(cut, `${path}.cut`)),
    ...optional(turn, "stallMs", number(`${path}.stallMs`)),
  };
}

function parseToolUse(value: unknown, path: string): ScriptToolUse {
  const use = object(value, path, ["name", "input", "id"]);
  return {
    name: string(`${path}.name`)(use.name),
    input: object(use.input ?? {}, `${path}.input`),
    ...optional(use, "id", string(`${path}.id`)),
  };
}

function parseError(value: unknown, path: string): ScriptError {
  const error = object(value, path, ["status", "type", "message", "retryAfter"]);
  const status = number(`${path}.status`)(error.status);
  if (!Number.isInteger(status) || status < 400 || status > 599)
    throw new ScriptFormatError(`${path}.status: 400 to 599 is needed`);
  return {
    status,
    type: string(`${path}.type`)(error.type ?? "api_error"),
    message: string(`${path}.message`)(error.message ?? "A scripted error."),
    ...optional(error, "retryAfter", number(`${path}.retryAfter`)),
  };
}

function parseCut(value: unknown, path: string): "mid_text" | "after_block" | "mid_tool" {
  if (value === "mid_text" || value === "after_block" || value === "mid_tool") return value;
  throw new ScriptFormatError(`${path}: "mid_text", "after_block" or "mid_tool" is needed`);
}

/** With `fields`, a misspelt field is an error and not silence. */
function object(value: unknown, path: string, fields?: readonly string[]): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ScriptFormatError(`${path}: an object is needed`);
  const unknown = fields ? Object.keys(value).find((key) => !fields.includes(key)) : undefined;
  if (unknown !== undefined)
    throw new ScriptFormatError(`${path}: there is no field "${unknown}"; known are ${fields?.join(", ")}`);
  return value as Json;
}

function optional<K extends string, T>(from: Json, key: K, read: (value: unknown) => T): { [P in K]?: T } {
  const value = from[key];
  if (value === undefined) return {};
  return { [key]: read(value) } as { [P in K]: T };
}

function string(path: string): (value: unknown) => string {
  return (value) => {
    if (typeof value !== "string") throw new ScriptFormatError(`${path}: a string is needed`);
    return value;
  };
}

function number(path: string): (value: unknown) => number {
  return (value) => {
    if (typeof value !== "number" || !Number.isFinite(value) || value < 0)
      throw new ScriptFormatError(`${path}: a number ≥ 0 is needed`);
    return value;
  };
}
