import { randomUUID } from "node:crypto";
import { asArray, asObject, asString, type JsonObject } from "./json.ts";

/** One row of the CLI's own record of a conversation, with the fields that its reader needs. */
interface Row {
  type: "user" | "assistant";
  uuid: string;
  timestamp: string;
  message: JsonObject;
}

export interface RebuiltTranscript {
  /** Lines of the file, without their newlines. Empty: nothing was said. */
  rows: string[];
  /** Rows of the beginning that had no room. */
  left: number;
  /** Some of them are Claude's. */
  isAnswered: boolean;
}

interface Kept {
  row: Row;
  /** Printed once, when it comes: to print all of them at the end would hold up whatever else the process does. */
  text: string;
}

/** UTF-16 code units of all rows together; what was said last is kept. */
const maxTranscriptChars = 32 * 1024 * 1024;

/** What commands of the CLI print as if the user had said it; it is not shown to the model. */
const local = /^<(local-command-|command-name>|bash-)/;

/**
 * Gathers a conversation from what the CLI printed (`add` each line of all its processes, oldest first), in the form in
 * which it keeps it by itself. Not in it: subagents' talk, reminders, checkpoints, costs.
 */
export class TranscriptBuilder {
  readonly #maxChars: number;
  /** By their ids, oldest first. */
  readonly #rows = new Map<string, Kept>();
  #chars = 0;
  #left = 0;
  readonly #seen: Set<string>;

  /** `without`: ids of messages that are about to be said, again or for the first time. */
  constructor({
    maxChars = maxTranscriptChars,
    without = [],
  }: { maxChars?: number; without?: readonly string[] } = {}) {
    this.#maxChars = maxChars;
    this.#seen = new Set(without);
  }

  add(line: JsonObject): void {
    if (asString(line.parent_tool_use_id) !== undefined) return;
    if (line.type === "conversation_reset" || line.subtype === "compact_boundary") this.#begin();
    else if (line.type === "assistant") this.#addAnswer(line);
    else if (line.type === "user") this.#addMessage(line);
  }

  /** Ids of the last answers, the very last one last: a whole record has them. */
  lastAnswers(count: number): string[] {
    const answers = [...this.#rows.values()].filter(({ row }) => row.type === "assistant");
    return answers.slice(-count).map(({ row }) => row.uuid);
  }

  build(conversationId: string): RebuiltTranscript {
    const all = [...this.#rows.values()];
    // An answer, or a result, without what it belongs to is refused by the model's API.
    const from = this.#left === 0 ? 0 : all.findIndex(beginsTurn);
    const kept = from === -1 ? [] : all.slice(from);
    let parentUuid: string | null = null;
    const rows = answered(together(kept)).map(({ row, text }) => {
      const place = JSON.stringify({ parentUuid, isSidechain: false, sessionId: conversationId });
      parentUuid = row.uuid;
      return `${place.slice(0, -1)},${text.slice(1)}`;
    });
    const isAnswered = kept.some(({ row }) => row.type === "assistant");
    return { rows, left: this.#left + all.length - kept.length, isAnswered };
  }

  #begin(): void {
    this.#rows.clear();
    this.#chars = 0;
    this.#left = 0;
  }

  #leaveFirst(): void {
    for (const [uuid, { text }] of this.#rows) {
      this.#rows.delete(uuid);
      this.#chars -= text.length;
      this.#left++;
      return;
    }
  }

  #addAnswer(line: JsonObject): void {
    const message = asObject(line.message);
    // Errors are the CLI's own words, which it does not show to the model either.
    if (asString(line.error) !== undefined || message.model === "<synthetic>") return;
    this.#push("assistant", line, { ...message, type: "message" });
  }

  #addMessage(line: JsonObject): void {
    const { content } = asObject(line.message);
    const text = asString(content) ?? asString(asObject(asArray(content)[0]).text) ?? "";
    if (content !== undefined && !local.test(text)) this.#push("user", line, { role: "user", content });
  }

  #push(type: Row["type"], line: JsonObject, message: JsonObject): void {
    const uuid = asString(line.uuid);
    if (uuid === undefined || this.#seen.has(uuid)) return;
    this.#seen.add(uuid);
    const row = { type, uuid, timestamp: asString(line.timestamp) ?? new Date(0).toISOString(), message };
    const kept = keep(row);
    this.#rows.set(uuid, kept);
    this.#chars += kept.text.length;
    while (this.#chars > this.#maxChars) this.#leaveFirst();
  }
}

const keep = (row: Row): Kept => ({ row, text: JSON.stringify(row) });
const beginsTurn = ({ row }: Kept) => row.type === "user" && !blocks(row).some(({ type }) => type === "tool_result");
const answerId = ({ type, message }: Row) => (type === "assistant" ? (asString(message.id) ?? null) : null);
const blocks = ({ message }: Row) => asArray(message.content).map(asObject);

/** The blocks of one answer stand together, where the first of them stood. */
function together(all: readonly Kept[]): Kept[] {
  const groups = new Map<unknown, Kept[]>();
  for (const kept of all) {
    const key = answerId(kept.row) ?? kept;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [kept]);
    else group.push(kept);
  }
  return [...groups.values()].flat();
}

/** Every call has a result, as the model's API wants it; the CLI itself makes up only those of the last answer. */
function answered(all: readonly Kept[]): Kept[] {
  const given = all.flatMap(({ row }) => (row.type === "user" ? blocks(row) : []));
  const results = new Set(given.map((block) => block.tool_use_id));
  let open: string[] = [];
  return all.flatMap((kept, index) => {
    const { row } = kept;
    if (row.type !== "assistant") return [kept];
    const calls = blocks(row).filter((block) => block.type === "tool_use" && !results.has(block.id));
    open.push(...calls.map((block) => asString(block.id) ?? ""));
    const next = all[index + 1]?.row;
    if (open.length === 0 || (next !== undefined && answerId(next) === answerId(row))) return [kept];
    const content = open.map((id) => ({
      type: "tool_result",
      tool_use_id: id,
      is_error: true,
      content: "The result of this call was lost.",
    }));
    open = [];
    const message = { role: "user", content };
    return [kept, keep({ type: "user", uuid: randomUUID(), timestamp: row.timestamp, message })];
  });
}
