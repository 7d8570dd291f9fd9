import { withDeadline } from "@holdfast/std";
import { sql } from "kysely";
import type { Missing } from "./context.ts";
import type { Database } from "./ports/database.ts";
import type { ModelGateway } from "./ports/model-gateway.ts";
import type { SandboxProvider } from "./ports/sandbox-provider.ts";

const timeoutMs = 5_000;
/** Anyone may ask: the parts are asked once in this time. */
const rememberMs = 1_000;

/** Asks every part that a turn needs. Reasons are fixed words: who asks need not be logged in. */
export function readiness(parts: {
  db: Database;
  gateway: ModelGateway;
  provider: SandboxProvider;
}): () => Promise<Missing[]> {
  const { db, gateway, provider } = parts;
  let last: { at: number; answer: Promise<Missing[]> } | undefined;
  const ask = async () => {
    const answers = await Promise.all([
      probe("database", () => sql`select 1`.execute(db)),
      probe("engine", (signal) => provider.ping(signal)),
      probe("gateway", (signal) => gateway.status(signal)),
    ]);
    return answers.filter((answer) => answer !== undefined);
  };
  return () => {
    if (last === undefined || Date.now() - last.at > rememberMs) last = { at: Date.now(), answer: ask() };
    return last.answer;
  };
}

const reasons = {
  database: "The database does not answer",
  engine: "Modal, or the engine, does not answer",
  gateway: "The model gateway does not answer",
} as const satisfies Record<Missing["part"], string>;

async function probe(
  part: Missing["part"],
  work: (signal: AbortSignal) => Promise<unknown>,
): Promise<Missing | undefined> {
  try {
    await withDeadline(work, { what: part, timeoutMs });
    return undefined;
  } catch {
    // Which part it is says enough to a stranger; the part's own log has the cause.
    return { part, reason: reasons[part] };
  }
}
