import type { Logger } from "pino";
import type { Database, Tx } from "../../ports/database.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { runExec } from "../sandboxes/run-exec.ts";
import { transcriptEraser } from "./transcript-eraser.ts";

export interface ErasuresDeps {
  db: Database;
  logger: Logger;
  /** The workspace's sandbox, if this server has one that runs. */
  current(workspaceId: string): Promise<LiveSandbox> | undefined;
  /** All that this server has. */
  running(): readonly LiveSandbox[];
}

const eraseTimeoutMs = 20_000;
/** In one command; the rest comes with the next one. */
const atOnce = 200;

/**
 * What Claude Code itself keeps of a session (its transcript, tool results, lines of its history) lies in the
 * workspace's state volume, which only a sandbox can reach. That of a deleted session is removed at once where a
 * sandbox runs, else when the next one has started.
 */
export class Erasures {
  readonly #deps: ErasuresDeps;

  constructor(deps: ErasuresDeps) {
    this.#deps = deps;
  }

  /** Now, where a sandbox runs. What fails stays noted. */
  async erase(workspaceId: string): Promise<void> {
    const live = await this.#deps.current(workspaceId)?.catch(() => undefined);
    if (live !== undefined) await this.eraseIn(live);
  }

  /** All that is noted for the workspace of a sandbox that has just started, or was found. */
  async eraseIn(live: LiveSandbox): Promise<void> {
    const { db, logger } = this.#deps;
    const workspaceId = live.workspace.id;
    try {
      const rows = await db
        .selectFrom("erasures")
        .select("claude_session_id as id")
        .where("workspace_id", "=", workspaceId)
        .limit(atOnce)
        .execute();
      if (rows.length === 0) return;
      const ids = rows.map(({ id }) => id);
      const signal = AbortSignal.any([live.gone, AbortSignal.timeout(eraseTimeoutMs)]);
      const { code, stderr } = await runExec(live.handle, eraseCommand(ids), { timeoutMs: eraseTimeoutMs, signal });
      if (code !== 0) throw new Error(`it ended with exit code ${code}: ${stderr.trim().slice(-500)}`);
      await db
        .deleteFrom("erasures")
        .where("workspace_id", "=", workspaceId)
        .where("claude_session_id", "in", ids)
        .execute();
    } catch (error) {
      const message = "transcripts of deleted sessions are still in the workspace; the next round tries again";
      if (!live.gone.aborted) logger.warn({ err: error, workspace: workspaceId }, message);
    }
  }

  /** Where sandboxes run, and what is noted did not succeed, or was noted by another server. */
  async retry(signal: AbortSignal): Promise<void> {
    for (const live of this.#deps.running()) {
      signal.throwIfAborted();
      await this.eraseIn(live);
    }
  }
}

/** In the transaction that deletes the session. */
export async function noteErasure(
  tx: Tx,
  session: { workspace_id: string; claude_session_id: string },
  nowMs: number,
): Promise<void> {
  const { workspace_id, claude_session_id } = session;
  await tx
    .insertInto("erasures")
    .values({ workspace_id, claude_session_id, created_at: nowMs })
    .onConflict((conflict) => conflict.columns(["workspace_id", "claude_session_id"]).doNothing())
    .execute();
}

/** As claudeuser: whatever the workspace's links point to, it can remove nothing but its own. */
export function eraseCommand(ids: readonly string[]): string[] {
  const wanted = ids.filter((id) => /^[0-9a-f-]{36}$/.test(id));
  return ["runuser", "-u", "claudeuser", "--", "node", "-e", transcriptEraser, "/mnt/state/.claude", "/tmp", ...wanted];
}
