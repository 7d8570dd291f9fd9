import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type OpenDatabase, openDatabase } from "../src/adapters/db/database.ts";
import { LeaseLostError, Membership } from "../src/domain/leases/membership.ts";
import { systemClock } from "../src/ports/clock.ts";

let stack: AsyncDisposableStack;
let database: OpenDatabase;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), "holdfast-membership-"));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  database = stack.use(await openDatabase(join(dir, "server.sqlite")));
});
afterEach(() => stack.disposeAsync());

function joining(timings = { beatMs: 60_000, deadMs: 100, lookMs: 60_000 }, noted: string[] = []) {
  const note = {
    read: () => [...noted],
    write: (ids: readonly string[]) => {
      noted.splice(0, noted.length, ...ids);
    },
  };
  const logger = pino({ level: "silent" });
  return Membership.join({ db: database.db, clock: systemClock, logger, host: "here", note, timings });
}

const servers = async () =>
  (await database.db.selectFrom("servers").selectAll().orderBy("id").execute()).map(({ id, beats }) => ({ id, beats }));

test("whoever asks after a pause beats first, and only then", async () => {
  await using it = await joining();
  await it.confirm(it.term);
  expect(await servers()).toEqual([{ id: it.term.serverId, beats: 1 }]);
  await expect.poll(() => it.term.isFresh(80)).toBe(false);
  await it.confirm(it.term);
  expect(await servers()).toEqual([{ id: it.term.serverId, beats: 2 }]);
});

test("a server that is out learns so before it does anything, and joins again under another id", async () => {
  await using it = await joining({ beatMs: 20, deadMs: 60_000, lookMs: 60_000 });
  const before = it.term;
  let dropped: unknown;
  const joined = Promise.withResolvers<void>();
  it.start({
    dropAll: async (reason) => {
      dropped = reason;
    },
    joined: joined.resolve,
  });
  await database.db.deleteFrom("servers").execute();
  await expect(it.held(before, async () => "done")).rejects.toThrow(LeaseLostError);
  await expect(it.confirm(before)).rejects.toThrow(LeaseLostError);
  await joined.promise;
  expect(dropped).toBeInstanceOf(LeaseLostError);
  expect(it.term.serverId).not.toBe(before.serverId);
  expect((await servers()).map(({ id }) => id)).toEqual([it.term.serverId]);
  expect(await it.held(it.term, async () => "done")).toBe("done");
});

test("what failed in a held transaction is not a heartbeat that counts", async () => {
  await using it = await joining();
  const failing = it.held(it.term, async () => {
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  expect(await servers()).toEqual([{ id: it.term.serverId, beats: 1 }]);
});

test("two servers by mistake on one data directory do not throw each other out again and again", async () => {
  const noted: string[] = [];
  const timings = { beatMs: 20, deadMs: 60_000, lookMs: 60_000 };
  await using one = await joining(timings, noted);
  const rejoined = Promise.withResolvers<void>();
  one.start({ dropAll: async () => undefined, joined: rejoined.resolve });
  await using two = await joining(timings, noted);
  two.start({ dropAll: async () => undefined, joined: () => rejoined.reject(new Error("the second one, too")) });
  await rejoined.promise;
  const ids = [one.term.serverId, two.term.serverId].toSorted();
  expect((await servers()).map(({ id }) => id)).toEqual(ids);
});
