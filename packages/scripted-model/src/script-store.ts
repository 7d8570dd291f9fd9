import { parseScript } from "./parse-script.ts";
import type { ModelRequest } from "./request.ts";
import type { Script, ScriptTurn } from "./types.ts";

const FENCE = "```holdfast-script";
/** Conversations whose place in a script is remembered; the oldest is forgotten first. */
const MAX_CURSORS = 10_000;
const OVER: ScriptTurn = { text: "The script has no more turns." };

/** Scripts that tests gave, and each conversation's place in them. */
export class ScriptStore {
  readonly #scripts: { script: Script; regex: RegExp | undefined; prompts: Set<string> }[] = [];
  readonly #cursors = new Map<string, number>();

  /** Adds a script; the first one added that matches is played. */
  add(script: Script): void {
    const source = script.when?.regex;
    this.#scripts.push({
      script,
      regex: source === undefined ? undefined : new RegExp(source, "s"),
      prompts: new Set(),
    });
  }

  clear(): void {
    this.#scripts.length = 0;
    this.#cursors.clear();
  }

  /** The scripted turn for this request; undefined when no script is meant. */
  next(request: ModelRequest): ScriptTurn | undefined {
    const fenced = fencedScript(request.lastUserText);
    if (fenced !== undefined) return this.#fromPrompt(fenced, request);
    for (const [index, entry] of this.#scripts.entries()) {
      if (!matches(entry.script, entry.regex, request)) continue;
      const known = entry.prompts.has(request.promptKey);
      if (!known && entry.prompts.size >= (entry.script.times ?? Number.POSITIVE_INFINITY)) continue;
      entry.prompts.add(request.promptKey);
      return this.#advance(`${index}|${request.promptKey}`, entry.script.turns, request);
    }
    return undefined;
  }

  #fromPrompt(source: string, request: ModelRequest): ScriptTurn {
    try {
      const parsed = parseScript(JSON.parse(source));
      return this.#advance(`fence|${request.promptKey}`, parsed.turns, request);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { text: `The holdfast-script block cannot be played: ${reason}` };
    }
  }

  /** Every request takes one turn, also a retry of the CLI after an error or a cut: scripts count requests. */
  #advance(key: string, turns: readonly ScriptTurn[], request: ModelRequest): ScriptTurn {
    const at = this.#cursors.get(key) ?? request.answered.length;
    this.#cursors.set(key, at + 1);
    if (this.#cursors.size > MAX_CURSORS) {
      for (const oldest of this.#cursors.keys()) {
        this.#cursors.delete(oldest);
        break;
      }
    }
    return turns[at] ?? OVER;
  }
}

/** The text between the fences; the closing one stands at the beginning of a line. */
function fencedScript(prompt: string): string | undefined {
  const open = prompt.indexOf(FENCE);
  const start = open < 0 ? -1 : prompt.indexOf("\n", open);
  const end = start < 0 ? -1 : prompt.indexOf("\n```", start);
  return end < 0 ? undefined : prompt.slice(start + 1, end);
}

function matches(script: Script, regex: RegExp | undefined, request: ModelRequest): boolean {
  const { when } = script;
  if (!when) return true;
  if (when.session !== undefined && when.session !== request.sessionId) return false;
  if (when.userTextIncludes !== undefined && !request.lastUserText.includes(when.userTextIncludes)) return false;
  return regex?.test(request.lastUserText) ?? true;
}
