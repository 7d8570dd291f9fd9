import { posix } from "node:path";
import type { Flow } from "./flow.ts";
import { ABILITIES, longText, MARKDOWN_SAMPLE, numberParts } from "./phrases.ts";
import { parsePlan, type Step, shellQuote } from "./plan.ts";
import { type ModelRequest, withoutReminders } from "./request.ts";
import { TodoList } from "./todo.ts";
import type { ScriptToolUse, ScriptTurn } from "./types.ts";

/** A conversation's next turn, decided anew from the request alone: the flow is replayed over the recorded results. */
export function nextDemoTurn(request: ModelRequest): ScriptTurn {
  const flow = play(request);
  let step = flow.next();
  for (const answer of request.answered) {
    if (step.done) break;
    step = flow.next(answer);
  }
  return step.value ?? { text: "That was all I had to do here." };
}

interface Outcome {
  readonly ok: boolean;
  /** Past tense, for the summary: "created `a.txt`". */
  readonly did: string;
  /** What to show below the summary. */
  readonly output?: string;
}

/** What is said with the next tool call or, when none follows, at the end. */
interface Pending {
  thinking: string;
  text: string;
  /** Numbers that are streamed one by one. */
  counted: string[];
}

interface Stage {
  readonly request: ModelRequest;
  readonly pending: Pending;
  readonly todo: TodoList | undefined;
  /** Files whose content the CLI has seen in this turn; it refuses to edit others. */
  readonly known: Set<string>;
  /** What was done, in order. */
  readonly outcomes: Outcome[];
}

function* play(request: ModelRequest): Flow<ScriptTurn> {
  const steps = parsePlan(request.lastUserText);
  const doable = steps.filter((step) => step.kind !== "unknown");
  if (doable.length === 0 && request.steered.length === 0) return { text: ABILITIES };
  const acts = doable.filter((step) => !isTalk(step));
  const stage: Stage = {
    request,
    pending: { thinking: "", text: acts.length > 0 ? introduction(acts) : "", counted: [] },
    todo: acts.length >= 3 ? TodoList.choose(request, acts.map(title)) : undefined,
    known: new Set(),
    outcomes: [],
  };
  if (acts.length >= 3 && !stage.todo) stage.pending.text += `\n\n${numbered(acts)}`;
  if (stage.todo) yield* stage.todo.open((turn) => withPending(stage, turn));
  if (!(yield* perform(stage, doable))) return withPending(stage, { text: failure(stage.outcomes, acts) });
  if (stage.todo) yield* stage.todo.close();
  // What the user said in the middle of the turn comes after what was begun.
  const later = request.steered.flatMap((text) => parsePlan(text));
  const added = later.filter((step) => step.kind !== "unknown");
  const all = [...acts, ...added.filter((step) => !isTalk(step))];
  if (!(yield* perform(stage, added))) return withPending(stage, { text: failure(stage.outcomes, all) });
  const missed = [...steps, ...later].filter((step) => step.kind === "unknown").map((step) => `"${step.text}"`);
  return withPending(stage, { text: summary(stage.outcomes, missed) });
}

/** Does the steps in turn; false as soon as one fails. */
function* perform(stage: Stage, steps: readonly Step[]): Flow<boolean> {
  for (const step of steps) {
    if (isTalk(step)) {
      talk(stage, step);
      continue;
    }
    stage.todo?.start(stage.outcomes.length);
    const outcome = yield* act(stage, step);
    stage.outcomes.push(outcome);
    if (!outcome.ok) return false;
  }
  return true;
}

function numbered(steps: readonly Step[]): string {
  return steps.map((step, i) => `${i + 1}. ${title(step)}`).join("\n");
}

const isTalk = (step: Step) => ["think", "count", "long", "markdown"].includes(step.kind);

function talk(stage: Stage, step: Step): void {
  const { pending } = stage;
  const say = (text: string) => {
    pending.text = pending.text === "" ? text : `${pending.text}\n\n${text}`;
  };
  if (step.kind === "think") {
    const topic = step.topic === "" ? "what was asked" : step.topic;
    pending.thinking = `The user wants me to think about ${topic}. I am a script, so my thinking is written in advance: first see what is asked, then what could go wrong, then do the smallest thing that works.`;
    if (pending.text === "") say(`I have thought about ${topic}, as far as a script can.`);
  }
  if (step.kind === "count") pending.counted.push(...numberParts(step.to));
  if (step.kind === "long") say(longText(step.words));
  if (step.kind === "markdown") say(MARKDOWN_SAMPLE);
}

/** Puts what was waiting to be said in front of a turn's own text. */
function withPending(stage: Stage, turn: ScriptTurn): ScriptTurn {
  const { pending } = stage;
  const before = pending.text;
  const text = [before, turn.text ?? ""].filter((part) => part !== "").join("\n\n");
  const { thinking, counted } = pending;
  pending.thinking = "";
  pending.text = "";
  pending.counted = [];
  const said: ScriptTurn = { ...turn, ...(thinking === "" ? {} : { thinking }), ...(text === "" ? {} : { text }) };
  if (counted.length === 0) return said;
  const lead = text === "" ? [] : [`${text}\n\n`];
  return { ...said, text: [...lead, ...counted].join(""), deltas: [...lead, ...counted], delayMs: 250 };
}

/** Makes one tool call and waits for its result. */
function* call(stage: Stage, use: ScriptToolUse): Flow<{ ok: boolean; text: string }> {
  const updates = stage.todo?.pendingCalls() ?? [];
  const answered = yield withPending(stage, { toolUse: [...updates, use] });
  const mine = answered.findLast((past) => past.name === use.name);
  if (!mine?.result) return { ok: false, text: "no result came back" };
  return { ok: !mine.result.isError, text: mine.result.text };
}

function* act(stage: Stage, step: Step): Flow<Outcome> {
  switch (step.kind) {
    case "write":
      return yield* writeFile(stage, step);
    case "append": {
      const command = `printf '%s' ${shellQuote(step.content)} >> ${shellQuote(step.path)}`;
      return yield* runBash(stage, { command, did: `appended to \`${step.path}\``, title: title(step) });
    }
    case "replace":
      return yield* replaceInFile(stage, step);
    case "read":
      return yield* readFile(stage, step.path);
    case "fail": {
      const command = `echo "This command fails on purpose." >&2; exit ${step.code}`;
      const result = yield* call(stage, { name: "Bash", input: { command, description: "Fail on purpose" } });
      if (result.ok) return { ok: false, did: "fail on purpose", output: "the command did not fail" };
      const did = `ran a command that fails on purpose. It ended as planned, with an error (exit code ${step.code})`;
      return { ok: true, did, output: result.text };
    }
    case "ask":
      return yield* askQuestion(stage);
    case "bash":
      return yield* runBash(stage, step);
    default:
      return { ok: true, did: "said it" };
  }
}

function* runBash(stage: Stage, step: { command: string; did: string; title: string }): Flow<Outcome> {
  if (!stage.request.tools.has("Bash")) return unavailable("Bash", step.did);
  const input = { command: step.command, description: step.title.slice(0, 80) };
  const result = yield* call(stage, { name: "Bash", input });
  return { ok: result.ok, did: step.did, output: result.text };
}

function* writeFile(stage: Stage, step: { path: string; content: string }): Flow<Outcome> {
  const did = `wrote \`${step.path}\` (${Buffer.byteLength(step.content)} bytes)`;
  if (!stage.request.tools.has("Write")) {
    const command = `printf '%s' ${shellQuote(step.content)} > ${shellQuote(step.path)}`;
    return yield* runBash(stage, { command, did, title: `Write ${step.path}` });
  }
  const path = absolute(stage, step.path);
  const use = { name: "Write", input: { file_path: path, content: step.content } };
  let result = yield* call(stage, use);
  if (!result.ok && /has not been read|read it first/i.test(result.text) && stage.request.tools.has("Read")) {
    // The file exists: the CLI wants it read before it is overwritten.
    const seen = yield* call(stage, { name: "Read", input: { file_path: path } });
    if (!seen.ok) return { ok: false, did, output: seen.text };
    result = yield* call(stage, use);
  }
  if (result.ok) stage.known.add(path);
  return { ok: result.ok, did, ...(result.ok ? {} : { output: result.text }) };
}

function* replaceInFile(stage: Stage, step: { path: string; from: string; to: string }): Flow<Outcome> {
  const did = `replaced "${step.from}" with "${step.to}" in \`${step.path}\``;
  const { tools } = stage.request;
  if (!tools.has("Edit") || !tools.has("Read")) return unavailable("Edit", did);
  const path = absolute(stage, step.path);
  if (!stage.known.has(path)) {
    const seen = yield* call(stage, { name: "Read", input: { file_path: path } });
    if (!seen.ok) return { ok: false, did, output: seen.text };
    stage.known.add(path);
  }
  const input = { file_path: path, old_string: step.from, new_string: step.to, replace_all: true };
  const result = yield* call(stage, { name: "Edit", input });
  return { ok: result.ok, did, ...(result.ok ? {} : { output: result.text }) };
}

function* readFile(stage: Stage, path: string): Flow<Outcome> {
  const did = `read \`${path}\``;
  if (!stage.request.tools.has("Read"))
    return yield* runBash(stage, { command: `cat -- ${shellQuote(path)}`, did, title: `Read ${path}` });
  const result = yield* call(stage, { name: "Read", input: { file_path: absolute(stage, path) } });
  if (result.ok) stage.known.add(absolute(stage, path));
  const bare = withoutReminders(result.text);
  return { ok: result.ok, did, output: bare.replaceAll(/^\s*\d+(?:→|\t)/gm, "") };
}

function* askQuestion(stage: Stage): Flow<Outcome> {
  const question = "Which colour do you like best?";
  const did = "asked you a question";
  if (!stage.request.tools.has("AskUserQuestion")) return unavailable("AskUserQuestion", did);
  const options = [
    { label: "Blue", description: "Like the sky" },
    { label: "Green", description: "Like the grass" },
    { label: "Red", description: "Like a brick" },
  ];
  const input = { questions: [{ question, header: "Colour", multiSelect: false, options }] };
  const result = yield* call(stage, { name: "AskUserQuestion", input });
  return { ok: result.ok, did, output: result.text };
}

function absolute(stage: Stage, path: string): string {
  return path.startsWith("~") ? path : posix.resolve(stage.request.cwd, path);
}

function unavailable(tool: string, did: string): Outcome {
  return { ok: false, did, output: `The tool ${tool} is not offered to me in this session.` };
}

function title(step: Step): string {
  switch (step.kind) {
    case "write":
      return `Write ${step.path}`;
    case "append":
      return `Append to ${step.path}`;
    case "replace":
      return `Replace "${step.from}" with "${step.to}" in ${step.path}`;
    case "read":
      return `Read ${step.path}`;
    case "bash":
      return step.title;
    case "fail":
      return "Fail on purpose";
    case "ask":
      return "Ask a question";
    default:
      return step.kind;
  }
}

function introduction(steps: readonly Step[]): string {
  if (steps.length > 2) return `I'll do this in ${steps.length} steps.`;
  const parts = steps.map((step) => {
    if (step.kind === "write") return `write \`${step.path}\``;
    if (step.kind === "bash" && step.title.startsWith("Run ")) return `run \`${step.command}\``;
    return title(step).replace(/^./, (letter) => letter.toLowerCase());
  });
  return `I'll ${parts.join(" and then ")}.`;
}

function summary(outcomes: readonly Outcome[], missed: readonly string[]): string {
  const parts: string[] = [];
  const only = outcomes.length === 1 ? outcomes[0] : undefined;
  if (only) parts.push(`Done: I ${only.did}.${quote(only.output)}`);
  else if (outcomes.length > 1) {
    parts.push(`Done:\n\n${outcomes.map((outcome) => `- ${outcome.did}${quote(outcome.output)}`).join("\n")}`);
  }
  if (missed.length > 0) {
    parts.push(
      `I did not understand ${missed.join(", ")}: I am a scripted demo, not Claude, and know only a few phrases.`,
    );
  }
  return parts.join("\n\n");
}

function failure(outcomes: readonly Outcome[], acts: readonly Step[]): string {
  const last = outcomes.at(-1);
  const failed = acts[outcomes.length - 1];
  const lines = [
    `This did not work: ${failed ? title(failed) : "the last step"}. The answer was:${quote(last?.output)}`,
  ];
  const done = outcomes.slice(0, -1).map((outcome) => outcome.did);
  if (done.length > 0) lines.push(`Before that I ${done.join(", then ")}.`);
  const left = acts.slice(outcomes.length).map(title);
  if (left.length > 0) lines.push(`I stopped here; not done: ${left.join("; ")}.`);
  return lines.join("\n\n");
}

/** Output as a fenced block, clipped to what a reader wants. */
function quote(output: string | undefined): string {
  const text = output?.replaceAll(/<\/?tool_use_error>/g, "").trimEnd() ?? "";
  if (text === "" || text === "(Bash completed with no output)") return "";
  const lines = text.split("\n");
  const clipped = lines.slice(0, 20).join("\n").slice(0, 2000);
  const fence = clipped.includes("```") ? "````" : "```";
  const rest = clipped.length < text.length ? `\n… (${lines.length} lines in all)` : "";
  return `\n\n${fence}\n${clipped}${rest}\n${fence}`;
}
