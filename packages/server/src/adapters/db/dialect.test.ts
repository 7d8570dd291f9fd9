import { Kysely, sql } from "kysely";
import { expect, test } from "vitest";
import { sqliteDialect } from "./dialect.ts";

const open = () => new Kysely<Record<string, never>>({ dialect: sqliteDialect(":memory:") });

test("after the database was closed everyone who asks is refused at once, and not only the first", async () => {
  const db = open();
  await sql`select 1`.execute(db);
  // Kysely itself refuses what comes later; these wait in the queue of the one connection.
  const gate = Promise.withResolvers<void>();
  const began = Promise.withResolvers<void>();
  const holder = db.connection().execute(async () => {
    began.resolve();
    await gate.promise;
  });
  await began.promise;
  const waiting = Array.from({ length: 5 }, () => sql`select 1`.execute(db));
  for (const each of waiting) each.catch(() => undefined);
  await db.destroy();
  gate.resolve();
  await holder;
  const results = await Promise.allSettled(waiting);
  expect(results.map((result) => (result.status === "rejected" ? String(result.reason) : "done"))).toEqual(
    waiting.map(() => "Error: the database is closed"),
  );
});

test("a transaction whose database is closed under it never says that it is kept", async () => {
  const db = open();
  await sql`create table t (n integer)`.execute(db);
  const began = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const transaction = db.transaction().execute(async (tx) => {
    await sql`insert into t values (1)`.execute(tx);
    began.resolve();
    await gate.promise;
  });
  transaction.catch(() => undefined);
  await began.promise;
  await db.destroy();
  gate.resolve();
  await expect(transaction).rejects.toThrow("the database is closed");
});
