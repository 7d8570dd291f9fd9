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
  readonly lastUserText: string;
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

/** Reads a parsed body. Throws `BadRequestError` in the words of the API. */
export function readModelRequest(
  body: unknown,
  context: { sessionId?: string | undefined; sizeBytes: number },
): ModelRequest {
  if (!isObject(body)) throw new BadRequestError("The request body is not a JSON object.");
  if (typeof body.model !== "string" || body.model === "") throw new BadRequestError("model: Field required");
  if (!Array.isArray(body.messages)) throw new BadRequestError("messages: Field required");
  const messages = body.messages.filter(isObject);
  if (messages.length === 0) throw new BadRequestError("messages: at least one message is required");
  const conversation = readConversation(messages);
  const systemText = [textOf(body.system), ...conversation.systemTexts].join("\n");
  const lastUserText = conversation.prompts.at(-1) ?? "";
  const sessionId = context.sessionId ?? sessionOf(body.metadata);
  return {
    model: body.model,
    stream: body.stream === true,
    maxTokens: typeof body.max_tokens === "number" ? body.max_tokens : 4096,
    tools: toolNames(body.tools, conversation.loadedTools),
    deferredTools: deferredTools(systemText),
    cwd: cwdOf(systemText),
    ...(sessionId === undefined ? {} : { sessionId }),
    prompts: conversation.prompts,
    lastUserText,
    answered: conversation.answered,
    promptKey: [sessionId ?? "", conversation.prompts.length, hash(lastUserText)].join("|"),
    sizeBytes: context.sizeBytes,
  };
}

interface Conversation {
  prompts: string[];
  systemTexts: string[];
  answered: PastToolUse[][];
  loadedTools: Set<string>;
}

function readConversation(messages: readonly Json[]): Conversation {
  const found: Conversation = { prompts: [], systemTexts: [], answered: [], loadedTools: new Set() };
  let previousRole = "";
  for (const message of messages) {
    const role = String(message.role);
    if (role === "system") {
      found.systemTexts.push(textOf(message.content));
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
  const last = found.answered.at(-1);
  if (continued && last) last.push(...uses);
  else found.answered.push(uses);
}

function readUserMessage(found: Conversation, content: unknown): void {
  const blocks = blocksOf(content);
  for (const block of blocks) {
    if (block.type === "tool_result") attachResult(found, block);
  }
  const text = blocks
    .filter((block) => block.type === "text")
    .map((block) => promptText(String(block.text)))
    .filter((part) => part !== "")
    .join("\n");
  if (text === "") return;
  found.prompts.push(text);
  found.answered = [];
}

function attachResult(found: Conversation, block: Json): void {
  for (const item of blocksOf(block.content)) {
    if (item.type === "tool_reference") found.loadedTools.add(String(item.tool_name));
  }
  const result = { text: textOf(block.content), isError: block.is_error === true };
  for (const uses of found.answered) {
    const index = uses.findIndex((use) => use.id === block.tool_use_id);
    const use = uses[index];
    if (use) uses[index] = { ...use, result };
  }
}

/** The words of the user in a text block: without reminders, and nothing for what the CLI says by itself. */
function promptText(text: string): string {
  const words = text.replaceAll(/<system-reminder>[\s\S]*?<\/system-reminder>/g, "").trim();
  const machine = /^(\[Request interrupted by user|<local-command-|<command-name>|Caveat: The messages below)/;
  return machine.test(words) ? "" : words;
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
  const list = /deferred tools are now available via ToolSearch[^\n]*\n((?:[A-Za-z_][\w-]*\n)+)/.exec(systemText)?.[1];
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
