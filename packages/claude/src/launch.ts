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
}

/** Arguments after `claude`, for a process that serves many turns over pipes. */
export function claudeArgs(options: ClaudeArgs): string[] {
  const { conversation, model, appendSystemPrompt, settings } = options;
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
    ...(settings === undefined ? [] : ["--settings", JSON.stringify(settings)]),
  ];
}

/** Settings that win over a workspace's `.claude/settings.json`, which could else send the model's traffic elsewhere. */
export function claudeSettings(options: { baseUrl: string }): Record<string, unknown> {
  return { env: { ANTHROPIC_BASE_URL: options.baseUrl } };
}

export interface ClaudeEnvironment {
  /** Where the account's state volume is mounted: `/mnt/state`. */
  readonly stateMount: string;
  /** How often a failed model call is repeated; the CLI's own ten take three minutes. */
  readonly maxRetries?: number;
}

/** Environment of a Claude process, without the address and the token of the gateway (they come as a secret). */
export function claudeEnvironment(options: ClaudeEnvironment): Record<string, string> {
  return {
    // The mount itself: a HOME that does not exist costs the conversation, silently.
    HOME: options.stateMount,
    CLAUDE_CONFIG_DIR: `${options.stateMount}/.claude`,
    LANG: "C.UTF-8",
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    CLAUDE_CODE_STARTUP_FAILURE_RESULTS: "1",
    CLAUDE_CODE_ENABLE_TODO_TOOLS: "1",
    ...(options.maxRetries === undefined ? {} : { CLAUDE_CODE_MAX_RETRIES: String(options.maxRetries) }),
  };
}
