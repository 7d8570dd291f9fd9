import { createHash } from "node:crypto";
import { posix } from "node:path";

/** What the model remembers of a tool call it made. */
export interface PastToolUse {
  readonly id: string;
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** Undefined while no result came. */
  readonly result?: { readonly text: string; readonly isError: boolean };
}

/** A request of the Messages API, read tolerantly: only what the scripts need. */
export interface ModelRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly maxTokens: number;
  /** Names of the tools that may be called in this request. */
  readonly tools: ReadonlySet<string>;
  /** Names that `ToolSearch` can load. */
  readonly deferredTools: ReadonlySet<string>;
  /** Absolute working directory of the agent. */
  readonly cwd: string;
  readonly sessionId?: string;
  /** All prompts of the user, oldest first, without what the CLI put around them. */
  readonly prompts: readonly string[];
  /** The prompts to answer now, joined: more than one when the CLI merged queued messages. */
  readonly lastUserText: string;
  /** The prompts before those. */
  readonly earlierPrompts: readonly string[];
  /** What the user sent while this turn was running. */
  readonly steered: readonly string[];
  /** The answers given since the last prompt, with the results of their tool calls. */
  readonly answered: readonly (readonly PastToolUse[])[];
  /** Names this prompt of this conversation. */
  readonly promptKey: string;
  /** Bytes of the body, for the usage estimate. */
  readonly sizeBytes: number;
}

/** The request is not one of the Messages API; the message is for the caller. */
export class BadRequestError extends Error {
  override name = "BadRequestError";
}

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const DEFAULT_CWD = "/mnt/workspace";

/** Where the prompts of this turn begin among all prompts; `openFrom` is the first since the last answer. */
export type TurnStart = (conversation: { key: string; count: number; openFrom: number }) => number;

/** Reads a parsed body. Throws `BadRequestError` in the words of the API. */
export function readModelRequest(
  body: unknown,
  context: { sessionId?: string | undefined; sizeBytes: number; turnStart?: TurnStart },
): ModelRequest {
  if (!isObject(body)) throw new BadRequestError("The request body is not a JSON object.");
  if (typeof body.model !== "string" || body.model === "") throw new BadRequestError("model: Field required");
  if (!Array.isArray(body.messages)) throw new BadRequestError("messages: Field required");
  const messages = body.messages.filter(isObject);
  if (messages.length === 0) throw new BadRequestError("messages: at least one message is required");
  const conversation = readConversation(messages);
  const systemText = [textOf(body.system), ...conversation.systemTexts].join("\n");
  const sessionId = context.sessionId ?? sessionOf(body.metadata);
  const { prompts, openFrom } = conversation;
  const key = sessionId === undefined ? "" : `${sessionId}|${hash(prompts[0] ?? "")}`;
  const start = context.turnStart?.({ key, count: prompts.length, openFrom }) ?? openFrom;
  const lastUserText = prompts.slice(start).join("\n");
  return {
    model: body.model,
    stream: body.stream === true,
    maxTokens: typeof body.max_tokens === "number" ? body.max_tokens : 4096,
    tools: toolNames(body.tools, conversation.loadedTools),
    deferredTools: deferredTools(systemText),
    cwd: cwdOf(systemText),
    ...(sessionId === undefined ? {} : { sessionId }),
    prompts,
    lastUserText,
    earlierPrompts: prompts.slice(0, start),
    steered: conversation.steered,
    answered: conversation.answered,
    promptKey: [sessionId ?? "", prompts.length, hash(lastUserText)].join("|"),
    sizeBytes: context.sizeBytes,
  };
}

interface Conversation {
  prompts: string[];
  /** Index of the first prompt that no answer followed before this turn. */
  openFrom: number;
  steered: string[];
  systemTexts: string[];
  answered: PastToolUse[][];
  /** Where in `answered` a call stands, by its id: a conversation may have thousands. */
  places: Map<string, { uses: PastToolUse[]; index: number }>;
  loadedTools: Set<string>;
}

function readConversation(messages: readonly Json[]): Conversation {
  const found: Conversation = {
    prompts: [],
    openFrom: 0,
    steered: [],
    systemTexts: [],
    answered: [],
    places: new Map(),
    loadedTools: new Set(),
  };
  let previousRole = "";
  for (const message of messages) {
    const role = String(message.role);
    if (role === "system") {
      const text = textOf(message.content);
      found.systemTexts.push(text);
      found.steered.push(...steeredIn(text));
      // A system message stands between a prompt and its answer; it does not end anybody's turn.
      continue;
    }
    if (role === "assistant") readAnswer(found, message.content, previousRole === "assistant");
    else readUserMessage(found, message.content);
    previousRole = role;
  }
  return found;
}

function readAnswer(found: Conversation, content: unknown, continued: boolean): void {
  const uses: PastToolUse[] = blocksOf(content)
    .filter((block) => block.type === "tool_use")
    .map((block) => ({
      id: String(block.id),
      name: String(block.name),
      input: isObject(block.input) ? block.input : {},
    }));
  const last = continued ? found.answered.at(-1) : undefined;
  const list = last ?? [];
  if (last === undefined) found.answered.push(list);
  for (const use of uses) {
    found.places.set(use.id, { uses: list, index: list.length });
    list.push(use);
  }
}

function readUserMessage(found: Conversation, content: unknown): void {
  for (const block of blocksOf(content)) {
    if (block.type === "tool_result") attachResult(found, block);
    if (block.type !== "text") continue;
    const text = String(block.text);
    found.steered.push(...steeredIn(text));
    const words = withoutReminders(text).trim();
    // After an interrupt nothing is left to answer of what came before.
    if (words.startsWith("[Request interrupted by user")) beginTurn(found);
    if (words === "" || MACHINE_TEXT.test(words)) continue;
    if (found.answered.length > 0) beginTurn(found);
    found.prompts.push(words);
  }
}

function beginTurn(found: Conversation): void {
  found.openFrom = found.prompts.length;
  found.answered = [];
  found.places = new Map();
  found.steered = [];
}

/** What the CLI says by itself in the user's name: no prompt, and no end of the turn. */
const MACHINE_TEXT =
  /^(?:\[Request interrupted by user|<local-command-|<command-name>|<command-message>|Caveat: The messages below|Tool loaded\.$|\[Your previous response had no visible output|Output token limit hit\. Resume|Your (?:previous )?response (?:above )?was (?:stopped|cut off)|\[structured-output-enforce\]|Stop hook feedback:|Continue from where you left off\.$)/;

/** Takes linear time, whatever a sandbox sends: the gateway shares one thread among all of them. */
export function withoutReminders(text: string): string {
  const [open, shut] = ["<system-reminder>", "</system-reminder>"];
  const kept: string[] = [];
  let at = 0;
  for (let start = text.indexOf(open); start >= 0; start = text.indexOf(open, at)) {
    const end = text.indexOf(shut, start);
    if (end < 0) break;
    kept.push(text.slice(at, start));
    at = end + shut.length;
  }
  return kept.join("") + text.slice(at);
}

function steeredIn(text: string): string[] {
  const marked =
    /The user sent a new message while you were working:\n([\s\S]*?)(?:\n\n(?:This is how|IMPORTANT)|<\/system-reminder>|$)/g;
  return [...text.matchAll(marked)].map((match) => match[1]?.trim() ?? "").filter((words) => words !== "");
}

function attachResult(found: Conversation, block: Json): void {
  for (const item of blocksOf(block.content)) {
    if (item.type === "tool_reference") found.loadedTools.add(String(item.tool_name));
  }
  const result = { text: textOf(block.content), isError: block.is_error === true };
  const place = found.places.get(String(block.tool_use_id));
  const use = place?.uses[place.index];
  if (place && use) place.uses[place.index] = { ...use, result };
}

function blocksOf(content: unknown): Json[] {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? content.filter(isObject) : [];
}

function textOf(content: unknown): string {
  return blocksOf(content)
    .filter((block) => block.type === "text")
    .map((block) => String(block.text))
    .join("\n");
}

function toolNames(tools: unknown, loaded: ReadonlySet<string>): Set<string> {
  const names = new Set<string>();
  for (const tool of Array.isArray(tools) ? tools.filter(isObject) : []) {
    const name = tool.name;
    if (typeof name !== "string") continue;
    if (tool.defer_loading === true && !loaded.has(name)) continue;
    names.add(name);
  }
  return names;
}

function deferredTools(systemText: string): Set<string> {
  const marker = systemText.lastIndexOf("deferred tools are now available via ToolSearch");
  if (marker < 0) return new Set();
  const list = /^[^\n]*\n((?:[A-Za-z_][\w-]*\n)+)/.exec(systemText.slice(marker, marker + 20_000))?.[1];
  return new Set(list?.trim().split("\n") ?? []);
}

function cwdOf(systemText: string): string {
  const told = /(?:Primary working directory|Working directory|cwd):\s*(\/[^\n<]*)/i.exec(systemText)?.[1]?.trim();
  return told ? posix.normalize(told) : DEFAULT_CWD;
}

function sessionOf(metadata: unknown): string | undefined {
  const userId = isObject(metadata) ? metadata.user_id : undefined;
  if (typeof userId !== "string" || !userId.startsWith("{")) return undefined;
  try {
    const parsed: unknown = JSON.parse(userId);
    return isObject(parsed) && typeof parsed.session_id === "string" ? parsed.session_id : undefined;
  } catch {
    // Any other client may put what it likes into user_id.
    return undefined;
  }
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 16);
}
