import type { NewEvent } from "@holdfast/protocol";
import { apiErrorEvent } from "./api-errors.ts";
import { eventIdOf } from "./hash.ts";
import { asArray, asNumber, asObject, asString, type JsonObject } from "./json.ts";
import { commitDraftBlock, dropDraft } from "./map-stream.ts";
import { todoCall } from "./map-todos.ts";
import { wakeupCall } from "./map-wakeups.ts";
import { emit, type Mapping, notice } from "./mapping.ts";
import { addTool, nextBlockId, toolEvent } from "./state.ts";

/** `parent_event_id` of a subagent's line. */
export function parentOf(mapping: Mapping, line: JsonObject): { parent_event_id?: string } {
  const parent = asString(line.parent_tool_use_id);
  if (parent === undefined) return {};
  return { parent_event_id: toolEvent(mapping.state, mapping.context.sessionId, parent) };
}

/** `assistant`: one finished content block each. */
export function mapAssistant(mapping: Mapping, line: JsonObject): void {
  const message = asObject(line.message);
  const messageId = asString(message.id) ?? asString(line.uuid) ?? `line-${mapping.state.lines}`;
  // A message that did not stream: whatever was streaming has been given up.
  if (line.parent_tool_use_id == null && mapping.state.draft?.messageId !== messageId) dropDraft(mapping);
  for (const block of asArray(message.content)) mapBlock(mapping, { line, messageId, block: asObject(block) });
  if (mapping.events.length === 0) mapping.quiet = "assistant line without content";
}

interface BlockOptions {
  readonly line: JsonObject;
  readonly messageId: string;
  readonly block: JsonObject;
}

function mapBlock(mapping: Mapping, options: BlockOptions): void {
  const { line, block } = options;
  if (block.type === "text") mapText(mapping, options);
  else if (block.type === "thinking" || block.type === "redacted_thinking") mapThinking(mapping, options);
  else if (toolUseTypes.has(block.type)) mapToolUse(mapping, line, block);
  else {
    const type = asString(block.type) ?? "unknown";
    notice(mapping, line, { kind: "content_block", text: `Claude sent a block of type ${type}`, data: { type } });
  }
}

const toolUseTypes = new Set<unknown>(["tool_use", "server_tool_use", "mcp_tool_use"]);

function blockId(mapping: Mapping, options: BlockOptions, type: "text" | "thinking"): string {
  const isMain = options.line.parent_tool_use_id == null;
  const committed = isMain ? commitDraftBlock(mapping, options.messageId, type) : undefined;
  if (committed !== undefined) return committed;
  const next = nextBlockId(mapping.state, {
    sessionId: mapping.context.sessionId,
    messageId: options.messageId,
    type,
  });
  mapping.state = next.state;
  return next.eventId;
}

function mapText(mapping: Mapping, options: BlockOptions): void {
  const { line, block } = options;
  const text = asString(block.text) ?? "";
  const error = asString(line.error);
  const details = {
    ...parentOf(mapping, line),
    ...(line.aborted === true ? { aborted: true } : {}),
    ...(error === undefined ? {} : { error }),
  };
  const event: NewEvent = {
    id: blockId(mapping, options, "text"),
    type: "agent.message",
    content: [{ type: "text", text }],
    ...(Object.keys(details).length === 0 ? {} : { holdfast: details }),
  };
  emit(mapping, line, event);
  if (asObject(line.message).model === "<synthetic>")
    mapping.state = { ...mapping.state, localSaid: eventIdOf(text.trim()) };
  if (error !== undefined) emit(mapping, line, apiErrorEvent(error, text, asNumber(line.api_error_status)));
}

function mapThinking(mapping: Mapping, options: BlockOptions): void {
  const text = asString(options.block.thinking);
  // A redacted block does not stream text and must not take the place of one that does.
  const streams = options.block.type === "thinking";
  const id = streams
    ? blockId(mapping, options, "thinking")
    : blockId(mapping, { ...options, messageId: `${options.messageId}/redacted` }, "thinking");
  const parent = parentOf(mapping, options.line);
  const hasDetails = text !== undefined || parent.parent_event_id !== undefined;
  emit(mapping, options.line, {
    id,
    type: "agent.thinking",
    ...(hasDetails ? { holdfast: { ...parent, text: text ?? "" } } : {}),
  });
}

const pathFields = new Set(["file_path", "path", "notebook_path"]);

function mapToolUse(mapping: Mapping, line: JsonObject, block: JsonObject): void {
  const { sessionId, workspaceMount } = mapping.context;
  const toolUseId = asString(block.id) ?? `line-${mapping.state.lines}`;
  const parent = parentOf(mapping, line);
  const tool = addTool(mapping.state, {
    sessionId,
    toolUseId,
    parent: asString(line.parent_tool_use_id),
    name: asString(block.name),
    todo: todoCall(asString(block.name), line, asObject(block.input)),
    wakeup: wakeupCall(asString(block.name), asObject(block.input)),
  });
  mapping.state = tool.state;
  const root = mapping.state.volumeRoot;
  const shown = Object.entries(asObject(block.input)).map(([key, value]): [string, unknown] => [
    key,
    root !== null && typeof value === "string" && pathFields.has(key) ? showPath(value, root, workspaceMount) : value,
  ]);
  emit(mapping, line, {
    id: tool.eventId,
    type: "agent.tool_use",
    name: asString(block.name) ?? "unknown",
    input: Object.fromEntries(shown),
    // A question, if there is one, comes with a line of its own.
    evaluated_permission: "allow",
    holdfast: { ...parent, tool_use_id: toolUseId },
  });
}

/** A path below the volume as the user knows it. */
export function showPath(path: string, volumeRoot: string, mount: string): string {
  if (path === volumeRoot) return mount;
  return path.startsWith(`${volumeRoot}/`) ? mount + path.slice(volumeRoot.length) : path;
}
