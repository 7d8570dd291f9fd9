import { maxToolResultBytes, type NewEvent } from "@holdfast/protocol";
import { clipDetails, clipText, countLines, shorten, utf8Bytes } from "./clip.ts";
import { asArray, asObject, asString, isObject, type JsonObject } from "./json.ts";
import { parentOf } from "./map-assistant.ts";
import { noteTodos } from "./map-todos.ts";
import { noteWakeup } from "./map-wakeups.ts";
import { emit, type Mapping, notice } from "./mapping.ts";
import { closeTool, toolEvent } from "./state.ts";

/** `user`: tool results, echoes of our messages, and what the CLI puts into the model's ear. */
export function mapUser(mapping: Mapping, line: JsonObject): void {
  const content = asObject(line.message).content;
  const blocks = typeof content === "string" ? [{ type: "text", text: content }] : asArray(content).map(asObject);
  const results = blocks.filter((block) => block.type === "tool_result");
  for (const block of results) mapToolResult(mapping, line, block);
  const rest = blocks.filter((block) => block.type !== "tool_result");
  if (rest.length > 0) mapWords(mapping, line, rest);
  else if (results.length === 0) mapping.quiet = "user line without content";
}

function mapWords(mapping: Mapping, line: JsonObject, blocks: readonly JsonObject[]): void {
  const text = blocks.map((block) => asString(block.text) ?? `[${String(block.type)}]`).join("\n");
  if (/^\s*<local-command-(stdout|stderr|caveat)>/.test(text) || /^\s*<command-name>/.test(text)) {
    mapping.quiet = "echo of a local command";
    noteCommand(mapping, line, text);
  } else if (line.isReplay === true) {
    mapping.quiet = "echo of a user message";
    const uuid = asString(line.uuid);
    if (uuid !== undefined) mapping.signals.push({ type: "echo", uuid, state: "replayed" });
  } else if (line.parent_tool_use_id != null) {
    mapping.quiet = "prompt of a subagent, shown with its tool call";
  } else if (/^\[Request interrupted by user/.test(text)) {
    notice(mapping, line, { kind: "interrupted", text: "Stopped by the user" });
  } else if (line.isSynthetic === true && mapping.state.summaryComes === true) {
    mapping.state = { ...mapping.state, summaryComes: false };
    mapping.quiet = "what the model is told instead of a compacted conversation";
  } else {
    const kind = line.isSynthetic === true ? "synthetic" : "user_text";
    notice(mapping, line, { kind, text: shorten(text, 4096) });
  }
}

/** The message that called it, as the CLI writes it into its transcript. */
function noteCommand(mapping: Mapping, line: JsonObject, text: string): void {
  const name = /<command-name>\/?([^<]*)<\/command-name>/.exec(text)?.[1];
  if (line.isReplay !== true || name === undefined) return;
  const args = /<command-args>([^<]*)<\/command-args>/.exec(text)?.[1] ?? "";
  mapping.signals.push({ type: "local_command", name, args: args.trim() });
}

type ResultContent = Extract<NewEvent, { type: "agent.tool_result" }>["content"];

/** Larger images are left to the raw line. */
const maxImageBytes = 200_000;

function mapToolResult(mapping: Mapping, line: JsonObject, block: JsonObject): void {
  const toolUseId = asString(block.tool_use_id) ?? "";
  const { content, texts, clipped } = resultContent(block.content);
  const whole = texts.join("\n");
  // A line with several results has one `tool_use_result`: it cannot be said whose.
  const alone = asArray(asObject(line.message).content).length === 1;
  const details = alone ? clipDetails(line.tool_use_result) : undefined;
  const { wakeup, todo } = mapping.state.tools.find(({ id }) => id === toolUseId) ?? {};
  if (wakeup !== undefined && alone && block.is_error !== true) noteWakeup(mapping, wakeup, line.tool_use_result);
  const changesTodos = todo !== undefined && alone && block.is_error !== true;
  mapping.state = closeTool(mapping.state, toolUseId);
  emit(mapping, line, {
    type: "agent.tool_result",
    tool_use_id: toolEvent(mapping.state, mapping.context.sessionId, toolUseId),
    content,
    is_error: block.is_error === true,
    holdfast: {
      ...parentOf(mapping, line),
      lines: countLines(whole),
      size_bytes: utf8Bytes(whole),
      ...(clipped ? { clipped } : {}),
      ...(details === undefined ? {} : { details }),
    },
  });
  if (changesTodos) noteTodos(mapping, line, { call: todo, value: line.tool_use_result });
}

function resultContent(value: unknown): { content: ResultContent; texts: string[]; clipped: boolean } {
  const blocks = typeof value === "string" ? [{ type: "text", text: value }] : asArray(value);
  const content: ResultContent = [];
  const texts: string[] = [];
  let left = maxToolResultBytes;
  let clipped = false;
  for (const block of blocks) {
    const image = imageOf(block);
    if (image !== undefined) {
      content.push(image);
      clipped ||= image.type === "text";
      continue;
    }
    const text = textOf(block);
    texts.push(text);
    const kept = clipText(text, left);
    clipped ||= kept.length < text.length;
    left -= utf8Bytes(kept);
    if (kept !== "" || text === "") content.push({ type: "text", text: kept });
  }
  return { content, texts, clipped };
}

function imageOf(block: unknown): ResultContent[number] | undefined {
  if (!isObject(block) || block.type !== "image") return undefined;
  const source = asObject(block.source);
  const data = asString(source.data);
  const mediaType = asString(source.media_type) ?? "image/png";
  if (source.type !== "base64" || data === undefined) return { type: "text", text: "[image]" };
  if (data.length > maxImageBytes) {
    const kilobytes = Math.round((data.length * 3) / 4 / 1000);
    return { type: "text", text: `[${mediaType} of ${kilobytes} kB: too large to be shown here]` };
  }
  return { type: "image", source: { type: "base64", media_type: mediaType, data } };
}

function textOf(block: unknown): string {
  if (typeof block === "string") return block;
  const fields = asObject(block);
  if (fields.type === "text") return asString(fields.text) ?? "";
  if (fields.type === "tool_reference") return `Tool found: ${String(fields.tool_name)}`;
  return JSON.stringify(block) ?? "";
}
