import { Recent } from "@holdfast/std";
import { parseScript, ScriptFormatError } from "./parse-script.ts";
import type { ModelRequest } from "./request.ts";
import type { Script, ScriptTurn } from "./types.ts";

const FENCE = "```holdfast-script";
/** Conversations whose place in a script is remembered, and prompts that a script has answered. */
const MAX_REMEMBERED = 10_000;
const MAX_SCRIPTS = 2_000;
const OVER: ScriptTurn = { text: "The script has no more turns." };

interface Entry {
  readonly id: number;
  readonly script: Script;
  readonly regex: RegExp | undefined;
  /** Prompts so far, where their number has an end. */
  answered: number;
  /** Those that come again do not count again. */
  readonly prompts: Recent<string, true>;
}

/** Scripts that tests gave, and each conversation's place in them. */
export class ScriptStore {
  #scripts: Entry[] = [];
  readonly #cursors = new Recent<string, number>(MAX_REMEMBERED);
  #added = 0;

  /** Adds a script; the first one added that matches is played. Throws `ScriptFormatError` when too many still wait. */
  add(script: Script): void {
    const source = script.when?.regex;
    if (this.#scripts.length >= MAX_SCRIPTS) this.#scripts = this.#scripts.filter((entry) => !isOver(entry));
    if (this.#scripts.length >= MAX_SCRIPTS)
      throw new ScriptFormatError(`${MAX_SCRIPTS} scripts wait to be played already: clear them first`);
    this.#scripts.push({
      id: this.#added++,
      script,
      regex: source === undefined ? undefined : new RegExp(source, "s"),
      answered: 0,
      prompts: new Recent(MAX_REMEMBERED),
    });
  }

  clear(): void {
    this.#scripts.length = 0;
    this.#cursors.clear();
  }

  /** How many entries are kept. */
  get size(): number {
    return this.#scripts.reduce((sum, { prompts }) => sum + 1 + prompts.size, this.#cursors.size);
  }

  /** The scripted turn for this request; undefined when no script is meant. */
  next(request: ModelRequest): ScriptTurn | undefined {
    const fenced = fencedScript(request.lastUserText);
    if (fenced !== undefined) return this.#fromPrompt(fenced, request);
    for (const entry of this.#scripts) {
      if (!matches(entry.script, entry.regex, request)) continue;
      if (!counts(entry, request.promptKey)) continue;
      return this.#advance(`${entry.id}|${request.promptKey}`, entry.script.turns, request);
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
    return turns[at] ?? OVER;
  }
}

/** Whether the script answers this prompt: it was one of its own before, or is now. */
function counts(entry: Entry, promptKey: string): boolean {
  if (entry.script.times === undefined || entry.prompts.has(promptKey)) return true;
  if (isOver(entry)) return false;
  entry.answered++;
  entry.prompts.set(promptKey, true);
  return true;
}

function isOver({ script, answered }: Entry): boolean {
  return answered >= (script.times ?? Number.POSITIVE_INFINITY);
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
