import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SandboxRecords } from "../behaviour/sandbox/records.ts";
import { isNoRoom } from "../disk-reserve.ts";
import { newSandboxIds } from "../ids.ts";
import { toServerError } from "../services/errors.ts";
import { openStore, type Store } from "./store.ts";

let dir: string;
let store: Store;
let records: SandboxRecords;
/** Whether a write that has no room may be given some. */
let roomToGive = false;
let asked = 0;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-full-"));
  asked = 0;
  roomToGive = false;
  store = openStore(dir, (write) => {
    try {
      return write();
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      asked += 1;
      if (!roomToGive) throw error;
      setPages(1_000_000);
      return write();
    }
  });
  records = new SandboxRecords(store);
});
afterEach(() => {
  store[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

/** SQLite itself says that it is full, by the same code as on a full disk. */
function setPages(most: number): void {
  store.get(`PRAGMA max_page_count = ${most}`);
}

function fill(): void {
  setPages(Number(store.get("PRAGMA page_count")?.page_count));
  const blob = new Uint8Array(3_000);
  for (let n = 0; ; n++) {
    try {
      store.run(
        "INSERT INTO apps (id, name, created_at) VALUES (?, ?, 0)",
        `fill-${n}-${"x".repeat(1_000)}`,
        `${blob}${n}`,
      );
    } catch {
      return;
    }
  }
}

function insert(name?: string) {
  const ids = newSandboxIds();
  return records.insert({
    id: ids.sandboxId,
    taskId: ids.taskId,
    appId: "ap-1",
    name,
    spec: {
      imageId: "im-1",
      args: [],
      volumes: [],
      policy: { kind: "open" },
      limits: {},
      timeoutMs: 1000,
      idOwner: "app:ap-1",
      openPorts: [],
    },
    env: {},
    tags: [],
    idempotencyKey: undefined,
  });
}

const page = (withFinished: boolean) =>
  records.page({ appId: undefined, before: 1e12, withFinished, tags: [], size: 10 }).map(({ id }) => id);
/** Too long for the room that is left in any page. */
const long = (status: number) => ({ status, exitcode: 1, exception: "x".repeat(20_000) });

describe("a database without room", () => {
  it("keeps no sandbox from having ended: everybody is told, and it is written when there is room", () => {
    const { id } = insert("named");
    records.setRunning(id);
    fill();
    records.intend(id, long(4));
    expect(records.byId(id)).toMatchObject({ status: "running", result: { status: 4 } });
    records.intend(id, long(3));
    records.finish(id, long(1));
    expect(records.byId(id)).toMatchObject({ status: "finished", result: { status: 4 } });
    expect(records.byId(id).finishedAt).toBeGreaterThan(0);
    expect(records.alive()).toEqual([]);
    expect(records.byName("ap-1", "named", false)).toBeUndefined();
    expect([page(false), page(true)]).toEqual([[], [id]]);
    expect(() => records.writePending()).toThrow(/full/);
    setPages(1_000_000);
    records.writePending();
    const again = new SandboxRecords(store);
    expect(again.byId(id)).toMatchObject({ status: "finished", result: { status: 4 } });
  });

  it("is given room once, and repeats a whole transaction, not a part of it", () => {
    fill();
    asked = 0;
    roomToGive = true;
    store.transaction(() => {
      store.run("INSERT INTO meta (key, value) VALUES ('a', ?)", "y".repeat(10_000));
      store.run("INSERT INTO meta (key, value) VALUES ('b', ?)", "y".repeat(10_000));
    });
    expect(asked).toBe(1);
    expect([store.meta("a"), store.meta("b")].map((value) => value?.length)).toEqual([10_000, 10_000]);
  });

  it("leaves nothing of a transaction that had no room, and goes on with the next", () => {
    fill();
    expect(() =>
      store.transaction(() => {
        store.run("INSERT INTO meta (key, value) VALUES ('c', 'small')");
        store.run("INSERT INTO meta (key, value) VALUES ('d', ?)", "y".repeat(50_000));
      }),
    ).toThrow(/full/);
    expect(store.meta("c")).toBeUndefined();
    setPages(1_000_000);
    store.setMeta("c", "later");
    expect(store.meta("c")).toBe("later");
  });

  it("is told to clients in words, and not as a fault that they repeat", () => {
    fill();
    let failure: unknown;
    try {
      store.setMeta("e", "y".repeat(50_000));
    } catch (error) {
      failure = error;
    }
    const told = toServerError(failure);
    expect(told?.details).toMatch(/disk.*full.*try again/i);
    // RESOURCE_EXHAUSTED
    expect(told?.code).toBe(8);
  });
});

describe("finished sandboxes", () => {
  it("are forgotten by age and by number, the newest last, and only without output", () => {
    const ids = Array.from({ length: 6 }, () => insert().id);
    for (const id of ids) records.finish(id, { status: 1 });
    const living = insert().id;
    expect(records.withOldOutput(0, 4).toSorted()).toEqual(ids.slice(0, 2).toSorted());
    for (const id of ids.slice(0, 5)) records.setOutputGone(id);
    records.removeFinished(0, 4);
    expect(ids.map((id) => records.exists(id))).toEqual([false, false, true, true, true, true]);
    records.removeFinished(Date.now() / 1000 + 1, 100);
    expect(ids.map((id) => records.exists(id))).toEqual([false, false, false, false, false, true]);
    expect(records.exists(living)).toBe(true);
  });
});
