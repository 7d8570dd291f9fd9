import type { ClaudeArgs, PermissionMode } from "@holdfast/claude";
import { type AgentToolName, agentToolNames, type PermissionPolicy, type SessionAgent } from "@holdfast/protocol";

/** The CLI's names. Some of its versions lack Glob and Grep: there Bash does their work. */
const cliNames: Record<AgentToolName, string> = {
  bash: "Bash",
  edit: "Edit",
  read: "Read",
  write: "Write",
  glob: "Glob",
  grep: "Grep",
  web_fetch: "WebFetch",
  web_search: "WebSearch",
};

/** What Claude Code is started with on behalf of an agent. */
export interface AgentLaunch extends Pick<ClaudeArgs, "permissionMode" | "model" | "appendSystemPrompt" | "distrusts"> {
  /** Parts of `--settings`. */
  settings: Record<string, unknown>;
  /** After all others. */
  extraArgs: string[];
}

/** What the installation, the workspace and the session's answers so far say. */
export interface LaunchContext {
  /** Of the installation, for the default agent. */
  permissionMode: PermissionMode;
  /** What the session is set to; null: nothing of its own. */
  session: { mode: PermissionMode | null; model: string | null; effort: string | null };
  /** What is always allowed in the workspace. */
  rules: readonly string[];
  /** The workspace as its users name it: Claude Code knows it by where the symlink leads, and would ask before it. */
  workspaceMount: string;
}

/** The mode of a session that has none of its own. */
export function launchModeOf(agent: SessionAgent | null, installation: PermissionMode): PermissionMode {
  if (agent === null) return installation;
  // Nothing is to be asked: as the CLI itself would do it.
  return enabledTools(agent).some(({ policy }) => policy.type === "always_ask") ? "default" : "bypassPermissions";
}

/** `agent` null: the default one, with all tools of the CLI and the installation's permission mode. */
export function agentLaunch(agent: SessionAgent | null, context: LaunchContext): AgentLaunch {
  const { rules, session } = context;
  const additionalDirectories = [context.workspaceMount];
  const permissionMode = session.mode ?? launchModeOf(agent, context.permissionMode);
  const model = session.model ?? agent?.model.id;
  const effort = session.effort ?? agent?.model.effort?.type;
  const launch = { permissionMode, ...(model === undefined ? {} : { model }) };
  const withEffort = effort === undefined ? [] : ["--effort", effort];
  if (agent === null) {
    return {
      ...launch,
      // Nothing of ours stands above what their rules allow.
      ...(asksInMode(context) ? { distrusts: "commands and rules" as const } : {}),
      settings: { permissions: { allow: rules, additionalDirectories } },
      extraArgs: withEffort,
    };
  }
  const tools = enabledTools(agent);
  const named = (type: PermissionPolicy["type"]) =>
    tools.filter(({ policy }) => policy.type === type).map(({ name }) => cliNames[name]);
  const asks = named("always_ask");
  return {
    ...launch,
    // Our `ask` rules win over whatever their rules allow.
    ...(asks.length === 0 ? {} : { distrusts: "commands" as const }),
    ...(agent.system === null ? {} : { appendSystemPrompt: agent.system }),
    settings: {
      permissions: {
        allow: [...named("always_allow"), ...rules],
        // Wins over every `allow` and over hooks, also those of the workspace's own settings. A tool that somebody
        // has allowed as a whole is asked for no more.
        ask: asks.filter((name) => !rules.includes(name)),
        additionalDirectories,
      },
    },
    extraArgs: [
      ...withEffort,
      // Exactly these; an empty word means none. Last, because it takes as many words as follow.
      ...["--tools", tools.map(({ name }) => cliNames[name]).join(",")],
    ],
  };
}

function asksInMode({ permissionMode, session: { mode } }: LaunchContext): boolean {
  // Plan mode asks for nothing that would not be done without it.
  const asks = mode !== null && mode !== "bypassPermissions" && mode !== "plan";
  return asks || permissionMode !== "bypassPermissions";
}

/** What the agent's policy says of a tool by the CLI's name; null when it says nothing. */
export function policyOf(agent: SessionAgent | null, cliName: string): PermissionPolicy["type"] | null {
  if (agent === null) return null;
  return enabledTools(agent).find(({ name }) => cliNames[name] === cliName)?.policy.type ?? null;
}

function enabledTools(agent: SessionAgent): { name: AgentToolName; policy: PermissionPolicy }[] {
  const [toolset] = agent.tools;
  if (toolset === undefined) return [];
  return agentToolNames.flatMap((name) => {
    const config = toolset.configs.find((each) => each.name === name) ?? toolset.default_config;
    return config.enabled ? [{ name, policy: config.permission_policy }] : [];
  });
}
