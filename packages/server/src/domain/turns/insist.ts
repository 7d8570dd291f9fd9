import { LeaseLostError } from "../leases/membership.ts";
import { GuestStaleError } from "../machines/guest-fence.ts";
import type { LiveSandbox } from "../sandboxes/live-sandbox.ts";
import type { AppendEvents } from "../sessions/steps.ts";
import type { Session } from "./session.ts";
import type { TurnDeps } from "./turn-deps.ts";

interface InsistInput {
  session: Session;
  sandbox: LiveSandbox;
  append: AppendEvents;
}

/**
 * `work` in the sandbox, under the session's lease. A guest that has seen a higher generation refuses it: as a rule
 * another server has the session. Where this one certainly has it, an older database was put back beside a sandbox that
 * lives: then the lease is raised above all that was, and `work` done again.
 */
export async function insist<T>(
  deps: Pick<TurnDeps, "leases" | "logger">,
  input: InsistInput,
  work: () => Promise<T>,
): Promise<T> {
  const { session } = input;
  const { generation } = session;
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GuestStaleError)) throw error;
    // It may have been raised meanwhile, by what else is done for this session.
    if (session.generation === generation) await raise(deps, input, error);
    return await work();
  }
}

/** Throws the refusal where it is right. */
async function raise(
  { leases, logger }: Pick<TurnDeps, "leases" | "logger">,
  { session, sandbox, append }: InsistInput,
  refusal: GuestStaleError,
): Promise<void> {
  const { id, generation: ours } = session;
  const { highest } = refusal;
  if (highest === undefined || highest <= ours) throw refusal;
  const isRaised = await leases
    .held(sandbox.workspace.id, async (tx) => {
      const { numUpdatedRows } = await tx
        .updateTable("sessions")
        .set({ generation: highest + 1 })
        .where("id", "=", id)
        // Whoever has raised it has taken the session over.
        .where("generation", "=", ours)
        .executeTakeFirst();
      return Number(numUpdatedRows) > 0;
    })
    .catch((error) => {
      if (error instanceof LeaseLostError) return false;
      throw error;
    });
  if (!isRaised) throw refusal;
  session.generation = highest + 1;
  logger.error({ session: id, ours, highest }, "the sandbox knows later leases than the database: an older one");
  await append([
    {
      type: "holdfast.notice",
      kind: "database_older",
      level: "warning",
      text: "The database is older than what the sandbox knows of this session: some of what was said since is missing here. The workspace, and what Claude Code remembers, are as they were.",
      data: { generation: ours, sandbox_generation: highest },
    },
  ]);
}
