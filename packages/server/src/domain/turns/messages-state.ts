import type { Tx } from "../../ports/database.ts";

export async function markMessage(tx: Tx, id: string, state: "sent" | "taken" | "done"): Promise<void> {
  await tx.updateTable("messages").set({ state }).where("id", "=", id).execute();
}

/** Claude has it: from now on it is part of the conversation. */
export async function markTaken(tx: Tx, id: string): Promise<void> {
  await tx.updateTable("messages").set({ state: "taken" }).where("id", "=", id).where("state", "=", "sent").execute();
}

/** Back into the queue, under another id: Claude was given the first one. */
export async function queueAgain(tx: Tx, id: string, newId: string): Promise<void> {
  await tx.updateTable("messages").set({ id: newId, state: "queued" }).where("id", "=", id).execute();
}

/** Another id, for a process that may know the first one and would take it for said already. */
export async function renameMessage(tx: Tx, id: string, newId: string): Promise<void> {
  await tx.updateTable("messages").set({ id: newId, state: "sent" }).where("id", "=", id).execute();
}
