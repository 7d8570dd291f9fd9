import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { App, Image, ModalClient, Sandbox } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientFor, sh } from "./_engine.ts";
import { type EngineProcess, held, instanceOf, processesWith, spawnEngine, stopEngine } from "./_process.ts";

/** A real disk of its own, which a real file fills to the last byte. */
const diskBytes = 160 * 1024 * 1024;
const options = { diskReserveBytes: 8 * 1024 * 1024, logLevel: "info", housekeepingMs: 500 };

let disk = "";
let dataDir = "";
let engine: EngineProcess;
let modal: ModalClient;
let app: App;
let image: Image;
let instance = "";

const filler = () => join(disk, "filler");
const reserve = () => join(dataDir, "runtime", "reserve");

function fill(): void {
  const file = openSync(filler(), "a");
  try {
    for (let size = 1024 * 1024; size >= 1; ) {
      try {
        writeSync(file, Buffer.alloc(size));
      } catch {
        // No room for as much: less, until there is none for a byte.
        size = Math.floor(size / 2);
      }
    }
  } finally {
    closeSync(file);
  }
}

const makeRoom = () => rmSync(filler(), { force: true });

/** Its log lies on the same disk. */
async function start(): Promise<void> {
  const log = openSync(join(disk, "engine.log"), "a");
  try {
    engine = await spawnEngine(dataDir, options, log);
  } finally {
    closeSync(log);
  }
}

const create = () => modal.sandboxes.create(app, image, { command: ["sleep", "infinity"], timeoutMs: 3_600_000 });

async function list(): Promise<string[]> {
  const found: string[] = [];
  for await (const sandbox of modal.sandboxes.list()) found.push(sandbox.sandboxId);
  return found;
}

beforeAll(async () => {
  disk = mkdtempSync(join(tmpdir(), "hfd-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskBytes}`, "holdfast-test", disk]);
  dataDir = join(disk, "data");
  execFileSync("mkdir", ["-m", "700", dataDir]);
  await start();
  instance = instanceOf(dataDir);
  modal = clientFor(engine.url);
  app = await modal.apps.fromName("full", { createIfMissing: true });
  image = await modal.images.fromRegistry("debian:12-slim").build(app);
});

afterAll(async () => {
  makeRoom();
  if (engine !== undefined) await stopEngine(engine.child, "SIGINT");
  expect(processesWith(dataDir)).toEqual([]);
  expect(held(dataDir, instance)).toMatchObject({ cgroups: [], processes: [], namespaces: [] });
  execFileSync("umount", [disk]);
  rmdirSync(disk);
});

describe("an engine whose disk is full", () => {
  let first: Sandbox;
  let second: Sandbox;
  let third: Sandbox;

  it("ends sandboxes and says how they ended", async () => {
    first = await create();
    second = await create();
    third = await create();
    await expect.poll(() => existsSync(reserve())).toBe(true);
    fill();
    expect(await first.terminate({ wait: true })).toBe(137);
    expect(await first.poll()).toBe(137);
    expect(await list()).not.toContain(first.sandboxId);
    await expect.poll(() => held(dataDir, instance).cgroups).not.toContain(first.sandboxId);
    expect(await list()).toContain(second.sandboxId);
  });

  it("has given up its reserve, and says in words what it cannot do", async () => {
    fill();
    expect(existsSync(reserve())).toBe(false);
    const refused = await create().then(
      () => "made",
      (error: unknown) => String(error),
    );
    // Either there was room for one after all, or the reason is the disk; never a fault of the engine's.
    expect(refused).not.toMatch(/INTERNAL/);
    if (refused !== "made") expect(refused).toMatch(/full|space|RESOURCE_EXHAUSTED/i);
  });

  it("starts again, with what it knew, and goes on ending", async () => {
    await stopEngine(engine.child, "SIGKILL");
    fill();
    await start();
    const found = await list();
    expect(found).toEqual(expect.arrayContaining([second.sandboxId, third.sandboxId]));
    expect(await second.terminate({ wait: true })).toBe(137);
    expect(await list()).not.toContain(second.sandboxId);
  });

  it("survives the end of its keeper: the next one ends what still runs", async () => {
    fill();
    const keeper = processesWith(dataDir).find(({ command }) => command.includes("keeper/main.ts"));
    process.kill(keeper?.pid ?? 0, "SIGKILL");
    expect(await third.wait()).toBe(137);
    await expect.poll(() => held(dataDir, instance).processes).toEqual([]);
  });

  it("works as before once there is room, with a reserve again", async () => {
    makeRoom();
    const next = await create();
    expect((await sh(next, "echo works")).stdout).toBe("works\n");
    await expect.poll(() => existsSync(reserve())).toBe(true);
    await next.terminate();
    expect(await first.poll()).toBe(137);
  });
});
