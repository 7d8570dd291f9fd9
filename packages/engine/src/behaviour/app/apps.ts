import { refuse } from "../../errors.ts";
import { newId, shown } from "../../ids.ts";
import { isTaken, type Store } from "../../state/store.ts";

export interface App {
  id: string;
  name: string;
  /** Seconds since 1970. */
  createdAt: number;
}

/** Apps: names that group sandboxes. */
export interface Apps {
  getOrCreate(name: string, create: boolean): App;
  /** Throws NOT_FOUND. */
  byId(id: string): App;
  byName(name: string): App | undefined;
  list(): App[];
}

/** An App is a name that lasts: there is no call that ends one. */
const maxApps = 10_000;

export function createApps(store: Store): Apps {
  const byName = (name: string) => {
    const row = store.get("SELECT * FROM apps WHERE name = ?", name);
    return row && toApp(row);
  };
  return {
    byName,
    byId: (id) => {
      const row = store.get("SELECT * FROM apps WHERE id = ?", id);
      if (!row) throw refuse.appIdNotFound(shown(id));
      return toApp(row);
    },
    getOrCreate: (name, create) => {
      const known = byName(name);
      if (known) return known;
      if (!create) throw refuse.appNotFound(shown(name));
      if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
        throw refuse.invalid(
          `Invalid App name '${shown(name)}': use 1 to 64 letters, digits, dashes, dots and underscores`,
        );
      }
      if (Number(store.get("SELECT count(*) AS n FROM apps")?.n ?? 0) >= maxApps) throw refuse.tooManyApps(maxApps);
      const app = { id: newId("ap"), name, createdAt: Date.now() / 1000 };
      try {
        store.run("INSERT INTO apps (id, name, created_at) VALUES (?, ?, ?)", app.id, app.name, app.createdAt);
      } catch (error) {
        if (!isTaken(error)) throw error;
        return byName(name) ?? app;
      }
      return app;
    },
    list: () => store.all("SELECT * FROM apps ORDER BY created_at").map(toApp),
  };
}

function toApp(row: Record<string, unknown>): App {
  return { id: String(row.id), name: String(row.name), createdAt: Number(row.created_at) };
}
