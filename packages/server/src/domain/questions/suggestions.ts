import type { CanUseToolRequest } from "@holdfast/claude";
import type { PermissionSuggestion } from "@holdfast/protocol";
import { maxRuleLength, type RuleParts, readRule, ruleText } from "./rule-text.ts";

/** A suggestion with what Claude Code is told when it is taken. Nothing of it ever goes into a file of the workspace. */
export interface StoredSuggestion extends PermissionSuggestion {
  updates: unknown[];
}

/** Reasons after which nothing may be remembered. */
const onceOnly = new Set<unknown>(["safetyCheck", "mode"]);

/** The ways to say "always" to this request: what Claude Code proposes, each looked at, or what its agent's policy needs. */
export function suggestionsOf(request: CanUseToolRequest): StoredSuggestion[] {
  if (request.requires_user_interaction === true || request.suppress_always_allow_rule === true) return [];
  if (request.default_to_no === true || onceOnly.has(request.decision_reason_type)) return [];
  const found = asksByPolicy(request) ? ofPolicy(request) : proposed(request);
  return found.map((each, index) => ({ id: `always-${index + 1}`, ...each }));
}

/**
 * Whether one of these would allow it without a question if it were remembered: then every rule of it is. Rules that
 * came after the process's start are honoured so.
 */
export function allowedBy(suggestions: readonly StoredSuggestion[], rules: ReadonlySet<string>): string[] | undefined {
  return suggestions.find((each) => each.rules.length > 0 && each.rules.every((rule) => rules.has(rule)))?.rules;
}

type Found = Omit<StoredSuggestion, "id">;

/** The agent's `always_ask` is a rule of ours, under which Claude Code proposes nothing. */
export function asksByPolicy(request: CanUseToolRequest): boolean {
  const matched = request.matched_ask_rule as { source?: unknown } | undefined;
  return request.decision_reason_rule_source === "flagSettings" || matched?.source === "flagSettings";
}

function proposed(request: CanUseToolRequest): Found[] {
  const all = Array.isArray(request.permission_suggestions) ? (request.permission_suggestions as unknown[]) : [];
  return all.flatMap((each) => {
    const update = (each ?? {}) as Record<string, unknown>;
    if (update.type === "addRules" && update.behavior === "allow") return fromRules(update.rules);
    // Edits outside of the workspace would be asked for all the same.
    if (update.type === "setMode" && update.mode === "acceptEdits" && request.decision_reason_type !== "workingDir")
      return [acceptEdits];
    // Directories: they only widen what the rules and modes above mean, which nobody can see.
    return [];
  });
}

function fromRules(value: unknown): Found[] {
  const rules = Array.isArray(value) ? value.map(readRule) : [];
  if (rules.length === 0 || rules.some((rule) => rule === undefined)) return [];
  return [always(rules as RuleParts[])];
}

const acceptEdits: Found = {
  label: "Accept all edits of files in this session",
  rules: [],
  mode: "acceptEdits",
  updates: [{ type: "setMode", mode: "acceptEdits", destination: "session" }],
};

/** Exactly this command, exactly this host, or the whole tool where its calls do not differ in danger. */
function ofPolicy({ tool_name: toolName, input }: CanUseToolRequest): Found[] {
  if (toolName === "Bash") {
    const command = typeof input.command === "string" ? input.command.trim() : "";
    // A star would allow more than what stands there.
    const plain = command !== "" && !/[*\n]/.test(command) && command.length < maxRuleLength / 2;
    return plain ? [always([{ toolName, ruleContent: command }])] : [];
  }
  if (toolName === "WebFetch") {
    const host = typeof input.url === "string" && URL.canParse(input.url) ? new URL(input.url).hostname : "";
    return host === "" ? [] : [always([{ toolName, ruleContent: `domain:${host}` }])];
  }
  return readRule({ toolName }) === undefined ? [] : [always([{ toolName }])];
}

function always(rules: RuleParts[]): Found {
  const texts = rules.map(ruleText);
  return {
    label: `Always allow ${texts.join(", ")} in this workspace`,
    rules: texts,
    updates: [{ type: "addRules", rules, behavior: "allow", destination: "session" }],
  };
}
