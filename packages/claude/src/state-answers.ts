import type { ClaudeStateName, ClaudeStates } from "@holdfast/protocol";
import { shorten } from "./clip.ts";
import { asArray, asCount, asNumber, asObject, asString, isObject, type JsonObject, strings } from "./json.ts";
import type { StateQuestion } from "./state-request.ts";

const mostEntries = 1_000;
const mostTextChars = 500;

/** What the CLI does not say itself. */
export interface StateContext {
  /** The permission mode in which the process is. */
  readonly mode: string | null;
  /** A path below the workspace's volume as the user knows it. */
  readonly show: (path: string) => string;
}

/**
 * The answer to a `stateRequest` in our words: only the fields that are named here, texts and lists bounded. Undefined
 * when it has not the shape that such an answer has.
 */
export function stateAnswer(
  question: StateQuestion,
  response: unknown,
  context: StateContext,
): ClaudeStates[ClaudeStateName] | undefined {
  if (!isObject(response)) return undefined;
  return readers[question.name](response, { ...context, query: question.query });
}

type Reader<N extends ClaudeStateName> = (
  answer: JsonObject,
  context: StateContext & { query: string },
) => ClaudeStates[N] | undefined;

const readers: { [N in ClaudeStateName]: Reader<N> } = {
  context: readContext,
  models: readModels,
  mcp: readMcp,
  permissions: readPermissions,
  commands: readCommands,
  files: readFiles,
  settings: readSettings,
  usage: readUsage,
  hooks: readHooks,
  plan: readPlan,
};

const text = (value: unknown): string => shorten(asString(value) ?? "", mostTextChars);
const textOrNull = (value: unknown): string | null => (typeof value === "string" ? text(value) : null);
const flag = (value: unknown): boolean => value === true;
const flagOrNull = (value: unknown): boolean | null => (typeof value === "boolean" ? value : null);
const money = (value: unknown): number => Math.max(0, asNumber(value) ?? 0);
const oneOf = <const T extends string, const E>(value: unknown, known: readonly T[], other: E): T | E =>
  known.find((each) => each === value) ?? other;

/** Those that are objects, as many as are given. */
function entries(value: unknown): JsonObject[] {
  return asArray(value).filter(isObject).slice(0, mostEntries);
}

function isCut(...lists: unknown[]): boolean {
  return lists.some((list) => asArray(list).length > mostEntries);
}

/** By `id` and `kind`: names are for people. */
function readContext(answer: JsonObject, { show }: StateContext): ClaudeStates["context"] | undefined {
  if (!Array.isArray(answer.categories) || asNumber(answer.maxTokens) === undefined) return undefined;
  const threshold = asNumber(answer.autoCompactThreshold);
  const share = (each: JsonObject) => ({
    name: text(each.name ?? each.path ?? each.agentType),
    tokens: asCount(each.tokens),
  });
  return {
    model: textOrNull(answer.model),
    used_tokens: asCount(answer.totalTokens),
    max_tokens: asCount(answer.maxTokens),
    percent_used: Math.max(0, asNumber(answer.percentage) ?? 0),
    auto_compact: {
      enabled: flag(answer.isAutoCompactEnabled),
      at_tokens: threshold === undefined ? null : asCount(threshold),
    },
    categories: entries(answer.categories).map((each) => ({
      id: text(each.id),
      name: text(each.name),
      kind: oneOf(each.kind, ["used", "free", "buffer", "deferred"], "other"),
      tokens: asCount(each.tokens),
    })),
    memory_files: entries(answer.memoryFiles).map((each) => ({
      ...share(each),
      name: show(text(each.path ?? each.name)),
    })),
    mcp_tools: entries(answer.mcpTools).map((each) => ({ ...share(each), server: textOrNull(each.serverName) })),
    agents: entries(answer.agents).map((each) => ({ ...share(each), name: text(each.agentType ?? each.name) })),
    skills: entries(asObject(answer.skills).skillFrontmatter).map(share),
  };
}

function readModels(answer: JsonObject): ClaudeStates["models"] | undefined {
  if (!Array.isArray(answer.models)) return undefined;
  return {
    models: entries(answer.models).map((each) => ({
      id: text(each.value),
      model: textOrNull(each.resolvedModel),
      name: text(each.displayName),
      description: text(each.description),
      efforts: flag(each.supportsEffort) ? strings(each.supportedEffortLevels).slice(0, 20).map(text) : [],
      adaptive_thinking: flag(each.supportsAdaptiveThinking),
    })),
  };
}

/** Without `config`: it has the environments and headers of the servers. */
function readMcp(answer: JsonObject): ClaudeStates["mcp"] | undefined {
  if (!Array.isArray(answer.mcpServers)) return undefined;
  const servers = entries(answer.mcpServers);
  return {
    servers: servers.map((each) => ({
      name: text(each.name),
      status: text(each.status),
      error: textOrNull(each.error),
      transport: textOrNull(each.transport),
      scope: textOrNull(each.scope),
      server: isObject(each.serverInfo)
        ? { name: text(each.serverInfo.name), version: text(each.serverInfo.version) }
        : null,
      tools: entries(each.tools).map(({ name, annotations }) => ({
        name: text(name),
        read_only: flagOrNull(asObject(annotations).readOnly),
        destructive: flagOrNull(asObject(annotations).destructive),
      })),
    })),
    truncated: isCut(answer.mcpServers, ...servers.map(({ tools }) => tools)),
  };
}

function readPermissions(answer: JsonObject): ClaudeStates["permissions"] | undefined {
  const state = asObject(answer.state);
  if (!Array.isArray(state.rules)) return undefined;
  return {
    rules: entries(state.rules).map((each) => ({
      behavior: oneOf(each.behavior, ["allow", "ask", "deny"], "other"),
      rule: text(each.rule),
      source: text(each.source),
      editable: each.editability !== "readonly",
    })),
    directories: entries(state.workspaceDirectories).map(({ path, source }) => ({
      path: text(path),
      source: text(source),
    })),
    managed_only: flag(state.managedOnly),
    truncated: isCut(state.rules, state.workspaceDirectories),
  };
}

/** Of the answer to `initialize`, which also says whose key it is: that is left out. */
function readCommands(answer: JsonObject): ClaudeStates["commands"] | undefined {
  if (!Array.isArray(answer.commands)) return undefined;
  return {
    commands: entries(answer.commands).map((each) => ({
      name: text(each.name),
      description: text(each.description),
      argument_hint: text(each.argumentHint),
      built_in: flag(each.builtin),
    })),
    agents: entries(answer.agents).map(({ name, description, model }) => ({
      name: text(name),
      description: text(description),
      model: textOrNull(model),
    })),
    output_style: textOrNull(answer.output_style),
    output_styles: strings(answer.available_output_styles).slice(0, mostEntries).map(text),
    truncated: isCut(answer.commands, answer.agents, answer.available_output_styles),
  };
}

function readFiles(
  answer: JsonObject,
  { query, show }: StateContext & { query: string },
): ClaudeStates["files"] | undefined {
  if (!Array.isArray(answer.suggestions)) return undefined;
  // A path that was cut would be another file's.
  const files = entries(answer.suggestions).map(({ path }) => ({ path: asString(path) ?? "" }));
  return {
    query,
    files,
    directory: typeof answer.cwd === "string" ? show(text(answer.cwd)) : null,
    truncated: isCut(answer.suggestions),
  };
}

/** Only these fields: `sources` and `effective` hold every value of `env`, helpers and headers. */
function readSettings(answer: JsonObject, { mode }: StateContext): ClaudeStates["settings"] | undefined {
  if (!isObject(answer.applied)) return undefined;
  const rules = entries(answer.sources).flatMap(rulesOf);
  return {
    model: textOrNull(answer.applied.model),
    effort: textOrNull(answer.applied.effort),
    permission_mode: mode,
    output_style: textOrNull(asObject(answer.effective).outputStyle),
    permission_rules: rules.slice(0, mostEntries),
    truncated: isCut(rules),
  };
}

function rulesOf({ source, settings }: JsonObject): ClaudeStates["settings"]["permission_rules"] {
  const permissions = asObject(asObject(settings).permissions);
  const behaviors = ["deny", "ask", "allow"] as const;
  return behaviors.flatMap((behavior) =>
    strings(permissions[behavior]).map((rule) => ({ behavior, rule: text(rule), source: text(source) })),
  );
}

function readUsage(answer: JsonObject): ClaudeStates["usage"] | undefined {
  if (!isObject(answer.session)) return undefined;
  const { session } = answer;
  return {
    cost_usd: money(session.total_cost_usd),
    api_duration_ms: asCount(session.total_api_duration_ms),
    duration_ms: asCount(session.total_duration_ms),
    lines_added: asCount(session.total_lines_added),
    lines_removed: asCount(session.total_lines_removed),
    models: Object.entries(asObject(session.model_usage))
      .slice(0, mostEntries)
      .map(([model, used]) => modelUsage(text(model), asObject(used))),
  };
}

function modelUsage(model: string, used: JsonObject): ClaudeStates["usage"]["models"][number] {
  return {
    model,
    input_tokens: asCount(used.inputTokens),
    output_tokens: asCount(used.outputTokens),
    cache_read_input_tokens: asCount(used.cacheReadInputTokens),
    cache_creation_input_tokens: asCount(used.cacheCreationInputTokens),
    cost_usd: money(used.costUSD),
  };
}

function readHooks(answer: JsonObject): ClaudeStates["hooks"] | undefined {
  if (!Array.isArray(answer.hooks)) return undefined;
  const policy = asObject(answer.policy);
  return {
    hooks: entries(answer.hooks).map((each) => ({
      event: text(each.event),
      matcher: textOrNull(each.matcher),
      type: text(each.type),
      command: text(each.commandText),
      source: text(each.source),
      disabled: flag(each.disabled),
      timeout_s: asNumber(each.timeout) ?? null,
    })),
    all_disabled: flag(policy.allDisabled) || flag(policy.disabledByPolicy),
    managed_only: flag(policy.managedOnly),
    truncated: isCut(answer.hooks),
  };
}

function readPlan(answer: JsonObject): ClaudeStates["plan"] | undefined {
  if (typeof answer.exists !== "boolean") return undefined;
  return { exists: answer.exists, text: asString(answer.content) ?? null, path: textOrNull(answer.path) };
}
