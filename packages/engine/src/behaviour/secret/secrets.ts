import { refuse } from "../../errors.ts";
import { newId, shown } from "../../ids.ts";
import type { SecretSource } from "../../proto/messages.ts";
import { fingerprint, seal, unseal } from "../../state/seal.ts";
import type { Store } from "../../state/store.ts";

export type Variables = Record<string, string>;

/** Ephemeral secrets are kept in memory only, for as long as one image build may take. */
const ephemeralLifeMs = 2 * 3600_000;
/** More than these at once, and the oldest end. */
const maxEphemeral = 10_000;
const maxKeyLength = 16_384;
const maxValueLength = 32_768;

/** Secrets: sets of environment variables. Named ones are stored encrypted, ephemeral ones never touch the disk. */
export interface Secrets {
  getOrCreate(request: {
    name: string;
    ephemeral: boolean;
    create: "no" | "if_missing" | "fail_if_exists" | "overwrite";
    variables: Variables;
    requiredKeys: string[];
  }): { id: string; keys: string[] };
  delete(id: string): void;
  /** Throws NOT_FOUND. */
  variables(id: string): Variables;
  /** Merges sources in order, the last one wins. */
  merge(sources: SecretSource[]): Variables;
  /** A name for these values that gives none of them away; part of an image recipe. */
  fingerprint(ids: string[]): string;
  /** Forgets ephemeral ones whose time is over. */
  collect(): void;
}

export function createSecrets(store: Store): Secrets {
  const ephemeral = new Map<string, { variables: Variables; untilMs: number }>();
  const named = (name: string) => store.get("SELECT id, sealed FROM secrets WHERE name = ?", name);

  const variables = (id: string): Variables => {
    const kept = ephemeral.get(id);
    if (kept) return kept.variables;
    const row = store.get("SELECT sealed FROM secrets WHERE id = ?", id);
    if (!row) throw refuse.secretIdNotFound(shown(id));
    return unseal(store.keys, row.sealed as Uint8Array);
  };

  const collect = () => {
    const now = Date.now();
    // They are in the order of their ends.
    for (const [id, entry] of ephemeral) {
      if (entry.untilMs > now) return;
      ephemeral.delete(id);
    }
  };

  const keepEphemeral = (values: Variables) => {
    collect();
    const [oldest] = ephemeral.size >= maxEphemeral ? ephemeral.keys() : [];
    if (oldest !== undefined) ephemeral.delete(oldest);
    const id = newId("st");
    ephemeral.set(id, { variables: values, untilMs: Date.now() + ephemeralLifeMs });
    return { id, keys: Object.keys(values) };
  };

  const write = (name: string, values: Variables, known: { id: string } | undefined) => {
    const id = known?.id ?? newId("st");
    store.run(
      `INSERT INTO secrets (id, name, sealed, created_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed`,
      id,
      name,
      seal(store.keys, values),
      Date.now() / 1000,
    );
    return { id, keys: Object.keys(values) };
  };

  return {
    collect,
    getOrCreate: ({ name, ephemeral: short, create, variables: values, requiredKeys }) => {
      checkVariables(values);
      if (short) return keepEphemeral(values);
      if (name === "") throw refuse.invalid("A Secret needs a name");
      const row = named(name);
      const known = row && { id: String(row.id) };
      if (known && create === "fail_if_exists") throw refuse.secretExists(shown(name));
      if (!known && create === "no") throw refuse.secretNotFound(shown(name));
      if (!known || create === "overwrite") return write(name, values, known);
      const keys = Object.keys(variables(known.id));
      const missing = requiredKeys.filter((key) => !keys.includes(key));
      if (missing.length > 0) throw refuse.secretMissingKeys(missing);
      return { id: known.id, keys };
    },
    delete: (id) => {
      const gone = ephemeral.delete(id) || store.run("DELETE FROM secrets WHERE id = ?", id) > 0;
      if (!gone) throw refuse.secretIdNotFound(shown(id));
    },
    variables,
    merge: (sources) => {
      const merged: Variables = {};
      for (const source of sources) {
        const values = source.secretId ? variables(source.secretId) : (source.env?.contents ?? {});
        checkVariables(values);
        Object.assign(merged, values);
      }
      return merged;
    },
    fingerprint: (ids) => {
      if (ids.length === 0) return "";
      const values = ids.map((id) => Object.entries(variables(id)).sort(([a], [b]) => (a < b ? -1 : 1)));
      return fingerprint(store.keys, JSON.stringify(values));
    },
  };
}

/** Environment variables as execve takes them. */
export function checkVariables(values: Variables): void {
  for (const [key, value] of Object.entries(values)) {
    if (!/^[A-Za-z_]\w*$/.test(key) || key.length > maxKeyLength) {
      throw refuse.invalid(`Invalid environment variable name '${shown(key)}': use letters, digits and underscores`);
    }
    if (value.includes("\0")) throw refuse.invalid(`The value of environment variable ${key} holds a NUL character`);
    if (value.length > maxValueLength) {
      throw refuse.invalid(`The value of environment variable ${key} is longer than ${maxValueLength} characters`);
    }
  }
}
