import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/** Who writes which table: rooms (folders of `domain/`), and single files of others where the table must be theirs, too. */
const writers: Record<string, readonly string[]> = {
  accounts: ["accounts"],
  agent_versions: ["agents"],
  agents: ["agents"],
  api_keys: ["accounts"],
  blobs: ["raw"],
  environments: ["environments"],
  erasures: ["sessions"],
  // One door for the log; it writes what events say of their session in the same transaction.
  events: ["../adapters/db/event-log.ts"],
  idempotency: ["idempotency.ts"],
  logins: ["accounts"],
  messages: ["messages"],
  permission_rules: ["questions"],
  permissions: ["questions"],
  // What runs in a sandbox has ended with it.
  processes: ["turns", "sandboxes/settle.ts"],
  raw_batches: ["raw"],
  sandboxes: ["sandboxes"],
  servers: ["leases"],
  sessions: [
    "sessions",
    "../adapters/db/event-log.ts",
    // The mode that an answer brings.
    "questions/question-rows.ts",
    // Its generation, what its process is, what it has cost.
    "turns",
  ],
  strays: ["sandboxes"],
  syncs: ["storage"],
  used_login_links: ["accounts"],
  claude_state: ["claude-state"],
  wakeups: ["wakeups"],
  // The columns of the lease.
  workspaces: ["workspaces", "leases"],
};

/** Rows of every table go with their account, and when they are too old. The end of a session is its own room's. */
const endings = ["accounts/account-rows.ts", "retention.ts"];

const statement = /\b(?:insertInto|updateTable|deleteFrom|replaceInto|mergeInto)\("(\w+)"/g;

/** `table file`, each once, the file by its path from `domain/`. */
function statementsOf(directory: string): string[] {
  const files = globSync("../**/*.ts", { cwd: directory, exclude: ["**/*.test.ts"] });
  const found = files.flatMap((file) =>
    [...readFileSync(join(directory, file), "utf8").matchAll(statement)].map(
      ([, table]) => `${table} ${file.replace(/^\.\.\/domain\//, "")}`,
    ),
  );
  return [...new Set(found)].sort();
}

const isAllowed = (table: string, file: string) =>
  endings.includes(file) || writers[table]?.some((writer) => file === writer || file.startsWith(`${writer}/`)) === true;

test("every statement that writes a table is in the room that the table belongs to", () => {
  const statements = statementsOf(import.meta.dirname).map((each) => each.split(" ") as [string, string]);
  expect(statements.length).toBeGreaterThan(40);
  expect(statements.filter(([table, file]) => !isAllowed(table, file))).toEqual([]);
  // Nobody is allowed what he does not do.
  const idle = Object.entries(writers).flatMap(([table, rooms]) =>
    rooms.filter(
      (room) => !statements.some(([t, file]) => t === table && (file === room || file.startsWith(`${room}/`))),
    ),
  );
  expect(idle).toEqual([]);
});

test("every table has its room", () => {
  const source = readFileSync(join(import.meta.dirname, "../ports/database.ts"), "utf8");
  const [, schema = ""] = /export interface Schema \{\n(.*?)\n\}/s.exec(source) ?? [];
  const tables = [...schema.matchAll(/^ {2}(\w+): /gm)].map(([, table]) => table);
  expect(Object.keys(writers).sort()).toEqual(tables.sort());
});

test("a statement in another room is found", () => {
  expect(isAllowed("messages", "turns/claim.ts")).toBe(false);
  expect(isAllowed("messages", "messages/message-rows.ts")).toBe(true);
  expect(isAllowed("messages", "retention.ts")).toBe(true);
});
