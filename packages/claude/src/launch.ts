import type { PermissionMode } from "./writers.ts";

export interface ClaudeArgs {
  /** `new` for the first process of a conversation, `resume` afterwards. A UUID. */
  readonly conversation: { readonly kind: "new" | "resume"; readonly id: string };
  /** Always said: the CLI's own default is not stable. */
  readonly permissionMode: PermissionMode;
  readonly model?: string;
  readonly appendSystemPrompt?: string;
  /** Merged over the workspace's own settings; see `claudeSettings`. */
  readonly settings?: Record<string, unknown>;
  /** What is asked for must not be done by what lies in the workspace or in HOME; see `distrust`. */
  readonly distrusts?: "commands" | "commands and rules";
}

/** Arguments after `claude`, for a process that serves many turns over pipes. */
export function claudeArgs(options: ClaudeArgs): string[] {
  const { conversation, model, appendSystemPrompt } = options;
  return [
    "-p",
    ...["--output-format", "stream-json", "--input-format", "stream-json"],
    // Compulsory with stream-json output.
    "--verbose",
    "--include-partial-messages",
    "--replay-user-messages",
    ...["--permission-prompt-tool", "stdio"],
    ...["--permission-mode", options.permissionMode],
    // Without this the CLI refuses to start in, or change to, bypassPermissions.
    ...(options.permissionMode === "bypassPermissions" ? ["--dangerously-skip-permissions"] : []),
    ...[conversation.kind === "new" ? "--session-id" : "--resume", conversation.id],
    ...(model === undefined ? [] : ["--model", model]),
    ...(appendSystemPrompt === undefined ? [] : ["--append-system-prompt", appendSystemPrompt]),
    ...distrust(options),
  ];
}

/**
 * Hooks and the servers of `.mcp.json` are commands that run without any question, and so does what an `allow` rule of
 * the local or the user's settings names (a project's counts only in a workspace that was trusted): all of them are files
 * that Claude can write, for its next start. Memory files (`CLAUDE.md`) of the project are read all the same.
 */
function distrust({ distrusts, settings }: ClaudeArgs): string[] {
  const all = distrusts === undefined ? settings : { ...settings, disableAllHooks: true };
  return [
    ...(all === undefined ? [] : ["--settings", JSON.stringify(all)]),
    ...(distrusts === undefined ? [] : ["--strict-mcp-config"]),
    ...(distrusts === "commands and rules" ? ["--setting-sources", "project"] : []),
  ];
}

export interface ClaudeEnvironment {
  /** Where the account's state volume is mounted: `/mnt/state`. */
  readonly stateMount: string;
  /** How the CLI behaves; see `claudeBehaviour`. */
  readonly behaviour: Readonly<Record<string, string>>;
}

/** Environment of a Claude process, without the address and the token of the gateway (they come as a secret). */
export function claudeEnvironment({ stateMount, behaviour }: ClaudeEnvironment): Record<string, string> {
  return {
    HOME: `${stateMount}/home`,
    CLAUDE_CONFIG_DIR: `${stateMount}/.claude`,
    LANG: "C.UTF-8",
    // No settings file chooses a provider, a credential or a way to them, and Bash and hooks are not given the token.
    CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST: "1",
    ...behaviour,
  };
}

/** Variables that settings files must not change either. `maxRetries`: of a failed model call. */
export function claudeBehaviour({ maxRetries }: { maxRetries: number }): Record<string, string> {
  return {
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    CLAUDE_CODE_STARTUP_FAILURE_RESULTS: "1",
    CLAUDE_CODE_ENABLE_TODO_TOOLS: "1",
    CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS: "1",
    CLAUDE_CODE_MAX_RETRIES: String(maxRetries),
  };
}
