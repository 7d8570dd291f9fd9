import { guestBundlePath } from "@holdfast/guest";
import type { NewEvent } from "@holdfast/protocol";
import type { Logger } from "pino";
import { z } from "zod";
import type { Database } from "../../ports/database.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { filesMount, stateMount } from "../sandboxes/mounts.ts";
import { runExec } from "../sandboxes/run-exec.ts";
import { lastAnswers, rebuiltTranscript } from "./record.ts";

export interface RecallInput {
  sessionId: string;
  /** Claude Code's id of the conversation. */
  conversationId: string;
  sandbox: LiveSandbox;
  /** Ids of messages that are about to be said to it. */
  without: readonly string[];
  /** Claude Code has just said that it does not know the conversation. */
  refused: boolean;
  append: (events: readonly NewEvent[]) => Promise<void>;
  signal: AbortSignal;
}

/** What the guest found (its `memory look`), as claudeuser: whoever has that user's rights can have changed it. */
const Look = z.object({
  state: z.enum(["whole", "missing", "empty", "damaged", "unreadable", "not_a_file"]),
  detail: z.string().max(1_000).nullable(),
  mended: z.array(z.string().max(1_000)).max(10),
});
type Look = z.infer<typeof Look>;

const reasons: Record<Exclude<Look["state"], "whole">, string> = {
  missing: "is gone",
  empty: "is empty",
  damaged: "is damaged",
  unreadable: "cannot be read",
  not_a_file: "is no file any more",
};

const timeoutMs = 2 * 60 * 1000;
/** UTF-16 code units that are handed on at once, others' work in between. */
const pieceChars = 256 * 1024;

/**
 * Before a conversation goes on: what Claude Code has of it is looked at, and where that is not whole, made anew from
 * what it has printed. Says so in the session's log, and what is forgotten all the same. Gives how to start.
 */
export async function recall(deps: { db: Database; logger: Logger }, input: RecallInput): Promise<"new" | "resume"> {
  const found = await look(deps, input);
  // A guest that knows nothing of this: Claude Code says for itself what it knows.
  if (found === undefined) return input.refused ? "new" : "resume";
  if (found.mended.length > 0) await input.append([mendedEvent(found.mended)]);
  if (found.state === "whole" && !input.refused) return "resume";
  const { sessionId, conversationId, without, signal } = input;
  const rebuilt = await rebuiltTranscript(deps.db, { sessionId, conversationId, without, signal });
  const rows = rebuilt.isAnswered && found.state !== "whole" ? rebuilt.rows : [];
  const failure = await replace(input, rows);
  const { left } = rebuilt;
  deps.logger.warn({ session: sessionId, ...found, rows: rows.length, left, failure }, "a memory is not whole");
  if (rows.length > 0 && failure === undefined) {
    await input.append([rebuiltEvent(found, left)]);
    return "resume";
  }
  // Where nothing was answered yet nothing is forgotten.
  if (await hasAnswers(deps.db, sessionId)) await input.append([forgottenEvent(found, failure)]);
  // What is damaged is still better than nothing.
  if (found.state === "damaged" && failure !== undefined && !input.refused) return "resume";
  if (failure !== undefined) await replace(input, []);
  return "new";
}

async function hasAnswers(db: Database, sessionId: string): Promise<boolean> {
  const answers = db.selectFrom("events").select("seq").where("session_id", "=", sessionId);
  const found = await answers.where("type", "in", ["agent.message", "agent.tool_use"]).limit(1).executeTakeFirst();
  return found !== undefined;
}

async function look({ db, logger }: { db: Database; logger: Logger }, input: RecallInput): Promise<Look | undefined> {
  const has = (await lastAnswers(db, input)).flatMap((id) => ["--has", id]);
  const { code, stdout, stderr } = await runMemory(input, "look", has);
  const said = code === 0 ? Look.safeParse(jsonOf(stdout)) : undefined;
  if (said?.success === true) return said.data;
  logger.warn({ session: input.sessionId, code, stderr, stdout }, "what Claude Code remembers cannot be looked at");
  return undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // It fits no shape.
    return undefined;
  }
}

/** Why it could not be done; undefined when it was. */
async function replace(input: RecallInput, rows: readonly string[]): Promise<string | undefined> {
  const { code, stderr } = await runMemory(input, "replace", [], chunks(rows));
  return code === 0 ? undefined : (stderr.trim().split("\n").at(-1) ?? `exit code ${code}`).slice(-500);
}

/** As claudeuser: whatever its links lead to, nothing but its own is read or written. */
async function runMemory(
  { sandbox, conversationId, signal }: RecallInput,
  verb: "look" | "replace",
  more: readonly string[],
  input: Iterable<Uint8Array> = [],
) {
  const place = ["--config", `${stateMount}/.claude`, "--cwd", filesMount, "--conversation", conversationId];
  const args = ["runuser", "-u", "claudeuser", "--", "node", guestBundlePath, "memory", verb, ...place, ...more];
  return await runExec(sandbox.handle, args, { timeoutMs, input, signal: AbortSignal.any([signal, sandbox.gone]) });
}

function* chunks(rows: readonly string[]): Generator<Uint8Array> {
  let piece = "";
  for (const row of rows) {
    piece += `${row}\n`;
    if (piece.length < pieceChars) continue;
    yield Buffer.from(piece);
    piece = "";
  }
  if (piece !== "") yield Buffer.from(piece);
}

function whatIsWrong({ state, detail }: Look): string {
  if (state === "whole") return "was not taken by it";
  return `${reasons[state]}${detail === null ? "" : ` (${detail})`}`;
}

function rebuiltEvent(found: Look, left: number): NewEvent {
  const rest =
    left === 0
      ? "Claude remembers what was said."
      : `Claude remembers what was said last; the first ${left} entries had no room and are forgotten.`;
  return {
    type: "holdfast.notice",
    kind: "memory_rebuilt",
    level: left === 0 ? "info" : "warning",
    text: `Claude Code's own record of this conversation ${whatIsWrong(found)}. It was made anew from Holdfast's. ${rest}`,
    data: { found: found.state, left },
  };
}

function forgottenEvent(found: Look, failure: string | undefined): NewEvent {
  const why = failure === undefined ? "" : ` It could not be made anew: ${failure}.`;
  const what = found.state === "damaged" && failure !== undefined ? "parts of this conversation" : "this conversation";
  return {
    type: "holdfast.notice",
    kind: "memory_forgotten",
    level: "warning",
    text: `Claude has forgotten ${what}: Claude Code's own record of it ${whatIsWrong(found)}.${why} What was said stays here to read, and the files are as they were; tell Claude again what it needs to know.`,
    data: { found: found.state },
  };
}

function mendedEvent(mended: readonly string[]): NewEvent {
  return {
    type: "holdfast.notice",
    kind: "memory_mended",
    level: "info",
    text: `What kept Claude Code from its own files was put aside or opened: ${mended.join(", ")}`,
    data: { paths: mended },
  };
}
