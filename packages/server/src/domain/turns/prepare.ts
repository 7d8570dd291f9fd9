import {
  claudeArgs,
  claudeBehaviour,
  claudeEnvironment,
  claudeSettings,
  createMapperState,
  type MapperState,
  type PermissionMode,
} from "@holdfast/claude";
import { guestBundlePath } from "@holdfast/guest";
import { newId } from "@holdfast/protocol";
import { agentLaunch, launchModeOf } from "../agents/launch.ts";
import { checkStale, fenceGuest, leaseArgs } from "../machines/guest-fence.ts";
import { workspaceRules } from "../questions/rules.ts";
import { GuestAbsentError } from "../sandboxes/guest-link.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { filesMount, stateMount } from "../sandboxes/mounts.ts";
import { Step } from "../sessions/steps.ts";
import { ClaudeProcess } from "./claude-process.ts";
import { TurnFailure } from "./failure.ts";
import { insist } from "./insist.ts";
import type { ProcessOwner } from "./process-owner.ts";
import { markProcess, noteProcess } from "./process-rows.ts";
import type { PrepareInput, Session } from "./session.ts";
import { type SessionSettingsRow, sessionSettings } from "./settings-rows.ts";
import { startInGuest } from "./start-in-guest.ts";
import type { TurnDeps } from "./turn-deps.ts";

/** Waits of a minute and a half in all: a gateway that is started again, with all of the service, is found again. */
const behaviour = claudeBehaviour({ maxRetries: 8 });

export interface StartInput extends PrepareInput {
  sandbox: LiveSandbox;
  conversation: { kind: "new" | "resume"; id: string };
  mapper: MapperState | null;
  owner: ProcessOwner;
  /** Aborts when the process is to be let go of. */
  lifetime: AbortSignal;
}

/** Exec 2: the guest starts Claude Code, which then waits for its first line. */
export async function startProcess(deps: TurnDeps, input: StartInput): Promise<ClaudeProcess> {
  const { session, sandbox, append, signal } = input;
  const processId = newId("process");
  const step = Step.begin(append, "claude", "Starting Claude Code");
  await step.running();
  const settings = await sessionSettings(deps.db, session.id);
  const launched = settings.permission_mode ?? launchModeOf(session.agent, deps.options.permissionMode);
  const { model, effort, mode_seq } = settings;
  await noteProcess(deps, {
    session,
    sandbox,
    processId,
    told: { launched, launch_seq: mode_seq, model, effort, mode_seq },
  });
  const scripted = await isScripted(deps, signal);
  const secrets = await secretsOf(deps, input);
  const result = await insist(deps, input, async () => {
    const args = await startArgs(deps, input, { processId, settings });
    const started = await startInGuest(deps, sandbox, {
      args,
      secrets,
      signal: AbortSignal.any([signal, sandbox.gone]),
    });
    checkStale(started, session);
    return started;
  });
  if (result.code !== 0) {
    const output = `${result.stderr}\n${result.stdout}`.trim();
    deps.logger.error({ session: session.id, code: result.code, output }, "Claude Code could not be started");
    await markProcess(deps, { session, processId, state: "ended" });
    await step.end("failed", { detail: `exit code ${result.code}: ${output.slice(-1_000)}` });
    throw new TurnFailure("claude_start_failed", { exitCode: result.code, output });
  }
  await markProcess(deps, { session, processId, state: "running" });
  await step.end("done");
  return makeProcess(deps, { ...input, processId, scripted, offsets: { stdout: 0, stderr: 0 } });
}

/** The session's process of before, if it still lives in this sandbox: after a restart of ours, or of the connection. */
export async function findProcess(
  deps: TurnDeps,
  input: Omit<StartInput, "conversation">,
): Promise<ClaudeProcess | undefined> {
  const { session, sandbox, signal } = input;
  const row = await deps.db
    .selectFrom("processes")
    .selectAll()
    .where("session_id", "=", session.id)
    .where("sandbox_id", "=", sandbox.id)
    .where("state", "!=", "ended")
    .orderBy("created_at", "desc")
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  // First: what an earlier lease was about to start is refused from now on, so that the list is whole.
  await insist(deps, input, () => fenceGuest(session, { sandbox, signal }));
  try {
    // A connection of its own: the greeting lists the processes of now.
    await using link = await sandbox.ownLink(signal);
    if (!link.processes.some(({ processId }) => processId === row.id))
      return await forget(deps, { session, processId: row.id });
  } catch (error) {
    if (signal.aborted || sandbox.gone.aborted) throw error;
    if (!(error instanceof GuestAbsentError)) throw error;
    return await forget(deps, { session, processId: row.id });
  }
  const offsets = { stdout: row.stdout_offset, stderr: row.stderr_offset };
  return makeProcess(deps, { ...input, processId: row.id, scripted: await isScripted(deps, signal), offsets });
}

async function forget(deps: TurnDeps, process: { session: Session; processId: string }): Promise<undefined> {
  await markProcess(deps, { ...process, state: "ended" });
}

function makeProcess(
  deps: TurnDeps,
  input: Omit<StartInput, "conversation"> & {
    processId: string;
    scripted: boolean;
    offsets: { stdout: number; stderr: number };
  },
): ClaudeProcess {
  const { session, sandbox, mapper, owner, processId, scripted, offsets } = input;
  return new ClaudeProcess(
    {
      processId,
      sessionId: session.id,
      generation: session.generation,
      sandbox,
      mapper: mapper ?? createMapperState(),
      context: { sessionId: session.id, workspaceMount: filesMount, scripted },
      offsets,
      owner,
      lifetime: input.lifetime,
    },
    deps,
  );
}

async function startArgs(
  deps: TurnDeps,
  input: StartInput,
  { processId, settings: set }: { processId: string; settings: SessionSettingsRow },
): Promise<string[]> {
  const { session, conversation, sandbox } = input;
  const ids = [...leaseArgs(session), "--process", processId];
  const { settings, extraArgs, ...launch } = agentLaunch(session.agent, {
    permissionMode: deps.options.permissionMode,
    session: { mode: set.permission_mode as PermissionMode | null, model: set.model, effort: set.effort },
    rules: await workspaceRules(deps.db, sandbox.workspace.id),
    workspaceMount: filesMount,
  });
  const claude = claudeArgs({
    conversation,
    ...launch,
    settings: {
      ...claudeSettings({ baseUrl: deps.gateway.sandboxUrl, environment: deps.options.claudeEnv, behaviour }),
      ...settings,
    },
  });
  const asUser = ["runuser", "-u", "claudeuser", "--", "claude"];
  return ["node", guestBundlePath, "start", ...ids, "--cwd", filesMount, "--", ...asUser, ...claude, ...extraArgs];
}

/** The environment of exec 2: nothing in it is worth anything outside of this sandbox. */
async function secretsOf(deps: TurnDeps, { session, sandbox }: StartInput): Promise<Record<string, string>> {
  const token = await deps.gateway.mintToken({
    accountId: session.accountId,
    workspaceId: sandbox.workspace.id,
    sessionId: session.id,
    sandboxId: sandbox.id,
    lifetimeMs: deps.options.timeoutMs,
  });
  return {
    ...claudeEnvironment({ stateMount, behaviour }),
    ...deps.options.claudeEnv,
    ANTHROPIC_BASE_URL: deps.gateway.sandboxUrl,
    ANTHROPIC_API_KEY: token,
  };
}

/** Whether the words will come from the scripted model. A gateway that does not answer will be the turn's own error. */
async function isScripted(deps: TurnDeps, signal: AbortSignal): Promise<boolean> {
  try {
    return (await deps.gateway.status(signal)).mode === "scripted";
  } catch (error) {
    deps.logger.warn({ err: error }, "the gateway does not say which model answers");
    return false;
  }
}
