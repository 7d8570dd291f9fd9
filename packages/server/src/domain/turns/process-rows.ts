import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import type { ToldSettings } from "../sessions/settings.ts";
import type { Session } from "./session.ts";
import type { TurnDeps } from "./turn-deps.ts";

/** Before it is started: whoever works on the session next must be able to find it. */
export async function noteProcess(
  { log, clock }: TurnDeps,
  {
    session,
    sandbox,
    processId,
    told,
  }: { session: Session; sandbox: LiveSandbox; processId: string; told: ToldSettings },
): Promise<void> {
  await log.transact(async ({ tx, append }) => {
    const { id: sessionId, generation } = session;
    await append({ sessionId, generation, events: [], session: { process_id: processId } });
    await tx
      .insertInto("processes")
      .values({
        id: processId,
        session_id: sessionId,
        sandbox_id: sandbox.id,
        generation,
        stdout_offset: 0,
        stderr_offset: 0,
        state: "starting",
        exit_code: null,
        settings_json: JSON.stringify(told),
        created_at: clock.now(),
      })
      .execute();
  });
}

/** Only under the newest lease of the session. */
export async function markProcess(
  { log }: TurnDeps,
  { session, processId, state }: { session: Session; processId: string; state: "running" | "ended" },
): Promise<void> {
  await log.transact(async ({ tx, append }) => {
    await append({ sessionId: session.id, generation: session.generation, events: [] });
    await tx.updateTable("processes").set({ state }).where("id", "=", processId).execute();
  });
}
