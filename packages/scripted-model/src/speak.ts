import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { sleep } from "@holdfast/std";
import type { ModelRequest } from "./request.ts";
import type { EmittedBlock, ModelUsage, ScriptToolUse, ScriptTurn } from "./types.ts";

/** How the words come out. */
export interface Pace {
  /** Wait before each delta. */
  readonly delayMs: number;
  /** Characters per text delta. */
  readonly deltaChars: number;
}

export interface Spoken {
  readonly outcome: "complete" | "aborted" | "cut";
  readonly blocks: readonly EmittedBlock[];
  readonly stopReason?: string;
  readonly usage: ModelUsage;
}

interface Speech {
  readonly request: ModelRequest;
  readonly messageId: string;
  readonly res: ServerResponse;
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

/** A thinking block of ours carries this signature, so that a proxy can tell it from a real one. */
export const SCRIPTED_SIGNATURE = "aG9sZGZhc3Qtc2NyaXB0ZWQtbW9kZWw";

/** More deltas than this help nobody: longer texts come in bigger ones. */
const MAX_DELTAS = 5000;
const TOOL_DELTA_FACTOR = 4;
const CUT_DELAY_MS = 30;

export function messageId(): string {
  return `msg_${randomBytes(12).toString("hex")}`;
}

/** Says a turn as server-sent events. Resolves when the last byte is handed over or the listener left; never rejects for that. */
export async function speakStream(turn: ScriptTurn, speech: Speech): Promise<Spoken> {
  const { request, res } = speech;
  const usage = estimateUsage(request, turn);
  const blocks: EmittedBlock[] = [];
  res.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" });
  const voice = new Voice(speech, turn);
  try {
    const message = { ...messageHead(speech), content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } };
    await voice.event("message_start", { message });
    await voice.event("ping", {});
    for (const block of blocksOf(turn)) {
      if (!(await sayBlock(voice, block, blocks))) {
        // A listener that gets words and end at once may throw the words away: let it read them first.
        await sleep(CUT_DELAY_MS, speech.signal);
        res.destroy();
        return { outcome: "cut", blocks, usage };
      }
    }
    const stopReason = stopReasonOf(turn);
    const final = { input_tokens: usage.input_tokens, output_tokens: usage.output_tokens };
    await voice.event("message_delta", { delta: { stop_reason: stopReason, stop_sequence: null }, usage: final });
    await voice.event("message_stop", {});
    res.end();
    return { outcome: "complete", blocks, stopReason, usage };
  } catch (error) {
    if (!speech.signal.aborted) throw error;
    res.destroy();
    return { outcome: "aborted", blocks, usage };
  }
}

/** Says a turn as one JSON message. */
export function speakWhole(turn: ScriptTurn, speech: Speech): Spoken {
  const usage = estimateUsage(speech.request, turn);
  const blocks = blocksOf(turn);
  if (turn.cut) {
    speech.res.destroy();
    return { outcome: "cut", blocks: [], usage };
  }
  const stopReason = stopReasonOf(turn);
  const content = blocks.map((block) =>
    block.type === "thinking" ? { ...block, signature: SCRIPTED_SIGNATURE } : block,
  );
  const body = JSON.stringify({ ...messageHead(speech), content, stop_reason: stopReason, usage });
  speech.res.writeHead(200, { "content-type": "application/json" });
  speech.res.end(body);
  return { outcome: "complete", blocks, stopReason, usage };
}

class Voice {
  readonly turn: ScriptTurn;
  readonly #speech: Speech;
  #index = 0;
  #stalled = false;

  constructor(speech: Speech, turn: ScriptTurn) {
    this.#speech = speech;
    this.turn = turn;
  }

  get index(): number {
    return this.#index;
  }

  nextBlock(): void {
    this.#index++;
  }

  async event(type: string, data: object): Promise<void> {
    const { res, signal } = this.#speech;
    signal.throwIfAborted();
    if (!res.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`))
      await once(res, "drain", { signal });
  }

  async delta(delta: object): Promise<void> {
    const delayMs = this.turn.delayMs ?? this.#speech.pace.delayMs;
    if (delayMs > 0) await sleep(delayMs, this.#speech.signal);
    await this.event("content_block_delta", { index: this.#index, delta });
    if (this.turn.stallMs && !this.#stalled) {
      this.#stalled = true;
      await sleep(this.turn.stallMs, this.#speech.signal);
    }
  }

  pieces(text: string, factor = 1): string[] {
    const characters = Array.from(text);
    const size = Math.max(this.#speech.pace.deltaChars * factor, Math.ceil(characters.length / MAX_DELTAS));
    const pieces: string[] = [];
    for (let at = 0; at < characters.length; at += size) pieces.push(characters.slice(at, at + size).join(""));
    return pieces;
  }
}

/** False when the script wants the connection cut here. `said` always holds what really went out. */
async function sayBlock(voice: Voice, block: EmittedBlock, said: EmittedBlock[]): Promise<boolean> {
  const { turn, index } = voice;
  const plan = delivery(voice, block);
  const cutHere =
    (turn.cut === "mid_text" && block.type === "text") || (turn.cut === "mid_tool" && block.type === "tool_use");
  const pieces = cutHere ? plan.pieces.slice(0, Math.ceil(plan.pieces.length / 2)) : plan.pieces;
  let sent = "";
  const partial = () => partialBlock(block, sent);
  said.push(partial());
  await voice.event("content_block_start", { index, content_block: plan.start });
  for (const piece of pieces) {
    await voice.delta(plan.delta(piece));
    sent += piece;
    said[said.length - 1] = partial();
  }
  if (cutHere) return false;
  if (block.type === "thinking") {
    const delta = { type: "signature_delta", signature: SCRIPTED_SIGNATURE };
    await voice.event("content_block_delta", { index, delta });
  }
  await voice.event("content_block_stop", { index });
  said[said.length - 1] = block;
  voice.nextBlock();
  return turn.cut !== "after_block";
}

interface Delivery {
  start: object;
  pieces: readonly string[];
  delta(piece: string): object;
}

function delivery(voice: Voice, block: EmittedBlock): Delivery {
  switch (block.type) {
    case "thinking":
      return {
        start: { type: "thinking", thinking: "", signature: "" },
        pieces: voice.pieces(block.thinking),
        delta: (piece) => ({ type: "thinking_delta", thinking: piece }),
      };
    case "text":
      return {
        start: { type: "text", text: "" },
        pieces: voice.turn.deltas ?? voice.pieces(block.text),
        delta: (piece) => ({ type: "text_delta", text: piece }),
      };
    case "tool_use":
      return {
        start: { type: "tool_use", id: block.id, name: block.name, input: {} },
        pieces: voice.pieces(JSON.stringify(block.input), TOOL_DELTA_FACTOR),
        delta: (piece) => ({ type: "input_json_delta", partial_json: piece }),
      };
  }
}

function partialBlock(block: EmittedBlock, sent: string): EmittedBlock {
  if (block.type === "thinking") return { type: "thinking", thinking: sent, partial: true };
  if (block.type === "text") return { type: "text", text: sent, partial: true };
  return { ...block, input: sent, partial: true };
}

function blocksOf(turn: ScriptTurn): EmittedBlock[] {
  const blocks: EmittedBlock[] = [];
  const text = turn.deltas ? turn.deltas.join("") : turn.text;
  if (turn.thinking !== undefined) blocks.push({ type: "thinking", thinking: turn.thinking });
  if (text !== undefined) blocks.push({ type: "text", text });
  for (const use of toolUsesOf(turn)) {
    const id = use.id ?? `toolu_${randomBytes(12).toString("hex")}`;
    blocks.push({ type: "tool_use", id, name: use.name, input: use.input });
  }
  return blocks;
}

function toolUsesOf(turn: ScriptTurn): readonly ScriptToolUse[] {
  if (turn.toolUse === undefined) return [];
  return "name" in turn.toolUse ? [turn.toolUse] : turn.toolUse;
}

function stopReasonOf(turn: ScriptTurn): string {
  return turn.stopReason ?? (toolUsesOf(turn).length > 0 ? "tool_use" : "end_turn");
}

function messageHead({ messageId: id, request }: Speech) {
  return { id, type: "message", role: "assistant", model: request.model, stop_sequence: null };
}

/** About four characters per token, and a cache that knows everything but the newest message. */
export function estimateUsage(request: ModelRequest, turn: ScriptTurn): ModelUsage {
  const input = Math.ceil(request.sizeBytes / 4);
  const cached = request.prompts.length > 1 || request.answered.length > 0 ? Math.floor(input * 0.9) : 0;
  const characters = blocksOf(turn).reduce((sum, block) => sum + JSON.stringify(block).length, 0);
  return {
    input_tokens: input - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: Math.max(1, Math.ceil(characters / 4)),
  };
}
