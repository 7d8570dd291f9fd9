import type { EventOf } from "@holdfast/protocol";
import type { Database } from "../../ports/database.ts";
import type { EventLog } from "../../ports/event-log.ts";
import type { Storage } from "../../ports/object-store.ts";
import { fenceGuest } from "../machines/guest-fence.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import { accountPrefix } from "./account-prefix.ts";
import { writeManifest } from "./manifest.ts";
import type { SyncLease, SyncRow, SyncRows } from "./sync-rows.ts";

export interface TakeOverParts {
  db: Database;
  log: EventLog;
  storage: Storage;
  rows: SyncRows;
  generation: (sessionId: string) => Promise<number>;
  sandbox: (workspaceId: string, signal: AbortSignal) => Promise<LiveSandbox | undefined>;
  /** Saves the workspace anew. */
  again: (input: { sessionId: string; sandbox: LiveSandbox; generation: number }) => void;
  signal: AbortSignal;
}

type Step = EventOf<"holdfast.step">;

/**
 * A save that another server began. One whose manifest is written down is as good as done: it gets that manifest. Any
 * other is ended, with its processes in the sandbox, and made anew: nothing counts in the bucket without a manifest.
 */
export async function takeOverSync(parts: TakeOverParts, row: SyncRow): Promise<void> {
  const lease = await leaseOf(parts, row.session_id);
  const state = await parts.storage.open(parts.signal);
  if (row.state === "committing" && row.manifest_json !== null && state.on) {
    const prefix = `${accountPrefix(row.account_id)}${row.timestamp}/`;
    await writeManifest(state.store, { prefix, manifest: row.manifest_json, signal: parts.signal });
    await parts.rows.advance(row.id, { from: "committing", to: "done" }, lease);
    return await endSteps(parts, lease, { state: "done", detail: `Saved in s3://${state.store.bucket}/${prefix}` });
  }
  const sandbox = await parts.sandbox(row.workspace_id, parts.signal);
  if (sandbox !== undefined && lease !== undefined) {
    const session = { id: lease.sessionId, generation: lease.generation };
    await fenceGuest(session, { sandbox, end: [row.id], signal: parts.signal });
  }
  await parts.rows.advance(row.id, { from: row.state, to: "failed" }, lease);
  const detail = "Not saved: the server that did so is gone. It is saved anew";
  await endSteps(parts, lease, { state: "failed", detail });
  if (sandbox !== undefined && lease !== undefined) parts.again({ ...lease, sandbox });
}

/** Undefined when the session was deleted. */
async function leaseOf({ db, generation }: TakeOverParts, sessionId: string): Promise<SyncLease> {
  const row = await db.selectFrom("sessions").select("id").where("id", "=", sessionId).executeTakeFirst();
  return row === undefined ? undefined : { sessionId, generation: await generation(sessionId) };
}

/** What the other server's log left open: a save that seems to go on for ever. */
async function endSteps(
  { db, log }: TakeOverParts,
  lease: SyncLease,
  end: { state: "done" | "failed"; detail: string },
): Promise<void> {
  if (lease === undefined) return;
  const rows = await db
    .selectFrom("events")
    .select("event_json")
    .where("session_id", "=", lease.sessionId)
    .where("type", "=", "holdfast.step")
    .orderBy("seq", "desc")
    .limit(100)
    .execute();
  const ended = new Set<string>();
  for (const { event_json: json } of rows) {
    const { step, step_id: id, title, state } = JSON.parse(json) as Step;
    if (step === "sync" && state === "running" && !ended.has(id))
      await log.append({ ...lease, events: [{ type: "holdfast.step", step, step_id: id, title, ...end }] });
    ended.add(id);
  }
}
