import type { DraftFrame } from "@holdfast/protocol";
import { asNumber, asObject, asString, type JsonObject } from "./json.ts";
import type { Mapping } from "./mapping.ts";
import { type Draft, type DraftBlock, nextBlockId } from "./state.ts";

/** Tells that every open block of the draft comes to nothing, and closes the draft. */
export function dropDraft(mapping: Mapping): void {
  const { draft } = mapping.state;
  if (draft === null) return;
  for (const block of draft.blocks) voidBlock(mapping, block);
  mapping.state = { ...mapping.state, draft: null };
}

function voidBlock(mapping: Mapping, block: DraftBlock): void {
  if (block.started) mapping.drafts.push({ type: "holdfast.draft_void", event_id: block.eventId });
}

/** The first open block of this type becomes an event: its id. Undefined when no such block is open. */
export function commitDraftBlock(mapping: Mapping, messageId: string, type: DraftBlock["type"]): string | undefined {
  const { draft } = mapping.state;
  if (draft === null || draft.messageId !== messageId) return undefined;
  const block = draft.blocks.find((candidate) => candidate.type === type);
  if (block === undefined) return undefined;
  setDraft(mapping, { ...draft, blocks: draft.blocks.filter((other) => other !== block) });
  return block.eventId;
}

function setDraft(mapping: Mapping, draft: Draft | null): void {
  mapping.state = { ...mapping.state, draft };
}

/** `stream_event`: the raw event of the Messages API. Only the main thread streams. */
export function mapStreamEvent(mapping: Mapping, line: JsonObject): void {
  const event = asObject(line.event);
  const type = asString(event.type) ?? "unknown";
  mapping.quiet = `stream_event ${type}`;
  if (line.parent_tool_use_id != null) return;
  if (type === "message_start") {
    dropDraft(mapping);
    const messageId = asString(asObject(event.message).id);
    if (messageId !== undefined) setDraft(mapping, { messageId, blocks: [], ended: false });
    return;
  }
  const { draft } = mapping.state;
  if (draft === null) return;
  if (type === "message_delta") setDraft(mapping, { ...draft, ended: true });
  if (type === "message_stop") dropDraft(mapping);
  const index = asNumber(event.index);
  if (index === undefined) return;
  if (type === "content_block_start") startBlock(mapping, index, asObject(event.content_block));
  if (type === "content_block_delta") appendDelta(mapping, index, asObject(event.delta));
  if (type === "content_block_stop") stopBlock(mapping, index);
}

function startBlock(mapping: Mapping, index: number, block: JsonObject): void {
  const { draft } = mapping.state;
  const type = block.type;
  if (draft === null || (type !== "text" && type !== "thinking")) return;
  const { sessionId } = mapping.context;
  const { state, eventId } = nextBlockId(mapping.state, { sessionId, messageId: draft.messageId, type });
  const opened: DraftBlock = { index, type, eventId, started: false, held: "" };
  mapping.state = { ...state, draft: { ...draft, blocks: [...draft.blocks, opened] } };
  addText(mapping, opened, asString(block[type]) ?? "");
}

function appendDelta(mapping: Mapping, index: number, delta: JsonObject): void {
  const block = mapping.state.draft?.blocks.find((candidate) => candidate.index === index);
  if (block === undefined) return;
  // `input_json_delta` and `signature_delta` have nothing to show.
  addText(mapping, block, asString(delta[block.type]) ?? "");
}

function addText(mapping: Mapping, block: DraftBlock, added: string): void {
  const { draft } = mapping.state;
  const text = block.held + added;
  if (draft === null || text === "") return;
  // A surrogate pair may be split over two deltas; half of one cannot be sent as UTF-8.
  const last = text.charCodeAt(text.length - 1);
  const held = last >= 0xd800 && last <= 0xdbff ? text.slice(-1) : "";
  const ready = held === "" ? text : text.slice(0, -1);
  const next = { ...block, held, started: block.started || ready !== "" };
  if (ready !== "") mapping.drafts.push(...frames(block, ready));
  setDraft(mapping, { ...draft, blocks: draft.blocks.map((other) => (other.index === block.index ? next : other)) });
}

function frames(block: DraftBlock, text: string): DraftFrame[] {
  const type = block.type === "text" ? "agent.message" : "agent.thinking";
  const start: DraftFrame[] = block.started ? [] : [{ type: "event_start", event: { type, id: block.eventId } }];
  const delta = { type: "content_delta" as const, index: 0, content: { type: "text" as const, text } };
  return [...start, { type: "event_delta", event_id: block.eventId, delta }];
}

/** The `assistant` line of a block comes before its end: a block that ends without one belongs to a broken stream. */
function stopBlock(mapping: Mapping, index: number): void {
  const { draft } = mapping.state;
  const block = draft?.blocks.find((candidate) => candidate.index === index);
  if (draft === null || block === undefined) return;
  voidBlock(mapping, block);
  setDraft(mapping, { ...draft, blocks: draft.blocks.filter((other) => other !== block) });
}
