import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isNoRoom } from "../disk-reserve.ts";
import { maxSlot } from "./names.ts";

const policySchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("open") }),
  z.object({ kind: z.literal("public"), cidrs: z.array(z.string()) }),
  z.object({ kind: z.literal("blocked") }),
  z.object({ kind: z.literal("allowlist"), cidrs: z.array(z.string()), domains: z.array(z.string()) }),
]);

const stateSchema = z.object({
  version: z.literal(1),
  nextSlot: z.number().int().min(1).max(maxSlot),
  /** Addresses of published names: stable, since they stand in the hosts files of running sandboxes. */
  services: z.record(z.string(), z.string()),
  sandboxes: z.record(z.string(), z.object({ slot: z.number().int(), policy: policySchema })),
});

/** What the next engine must know of the namespaces of this one. */
export type NetworkState = z.infer<typeof stateSchema>;

export interface StateFile {
  value: NetworkState;
  /** A full disk is no failure: it is written with the next change, and until then this process knows it. */
  save(): void;
  remove(): void;
}

/** Reads the state; one that is missing or unreadable (which is reported) begins empty. */
export function openState(
  directory: string,
  onUnreadable: (error: unknown) => void,
  onFull: (error: unknown) => void,
): StateFile {
  const path = join(directory, "network.json");
  const value = read(path, onUnreadable) ?? { version: 1, nextSlot: 1, services: {}, sandboxes: {} };
  return {
    value,
    save() {
      // Small, rare, and namespaces do not survive a power cut either: no fsync.
      try {
        writeFileSync(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
        renameSync(`${path}.new`, path);
      } catch (error) {
        if (!isNoRoom(error)) throw error;
        onFull(error);
      }
    },
    remove() {
      rmSync(path, { force: true });
    },
  };
}

function read(path: string, onUnreadable: (error: unknown) => void): NetworkState | undefined {
  try {
    return stateSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") onUnreadable(error);
    return undefined;
  }
}
