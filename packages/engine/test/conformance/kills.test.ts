import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { App, Image, ModalClient, Sandbox } from "modal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientFor, sh, temporaryDataDir } from "./_engine.ts";
import { type EngineProcess, held, instanceOf, processesWith, spawnEngine, stopEngine } from "./_process.ts";

/** A short run in the suite; `HOLDFAST_KILL_ROUNDS=120` for a long one, `HOLDFAST_KILL_STAGE` for one stage alone. */
const onlyStage = process.env.HOLDFAST_KILL_STAGE;
const rounds = Number(process.env.HOLDFAST_KILL_ROUNDS ?? 7);
const roundMs = 60_000;

let dir: ReturnType<typeof temporaryDataDir>;
let engine: EngineProcess;
let modal: ModalClient;
let app: App;
let image: Image;
let instance = "";

beforeAll(async () => {
  dir = temporaryDataDir();
  engine = await spawnEngine(dir.path);
  instance = instanceOf(dir.path);
  modal = clientFor(engine.url);
  app = await modal.apps.fromName("kills", { createIfMissing: true });
  image = await modal.images.fromRegistry("debian:12-slim").build(app);
});

afterAll(async () => {
  if (engine !== undefined) await stopEngine(engine.child, "SIGINT");
  const left = held(dir.path, instance);
  dir[Symbol.dispose]();
  expect({ ...left, directories: [], volumes: [] }).toEqual({
    cgroups: [],
    namespaces: [],
    mounts: [],
    directories: [],
    processes: [],
    volumes: [],
  });
  expect(processesWith(dir.path)).toEqual([]);
});

const create = (tags: Record<string, string> = {}, volumes = {}) =>
  modal.sandboxes.create(app, image, {
    command: ["sleep", "infinity"],
    tags: { run: "kills", ...tags },
    volumes,
    timeoutMs: 3_600_000,
  });

async function list(): Promise<Sandbox[]> {
  const found: Sandbox[] = [];
  for await (const sandbox of modal.sandboxes.list({ tags: { run: "kills" } })) found.push(sandbox);
  return found;
}

/** Settles within a minute, one way or the other: nothing hangs because the engine was away. */
async function settled<T>(work: Promise<T>): Promise<{ value: T } | { error: unknown }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("a call hangs since the engine was killed")), roundMs);
  });
  return await Promise.race([
    work.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    late,
  ]).finally(() => clearTimeout(timer));
}

/** A client that saw its engine die waits a moment before it connects again. */
async function onceConnected<T>(work: () => Promise<T>): Promise<T> {
  for (const until = performance.now() + 20_000; ; await delay(20)) {
    try {
      return await work();
    } catch (error) {
      if (!/UNAVAILABLE|CANCELLED/.test(String(error)) || performance.now() > until) throw error;
    }
  }
}

interface Stage {
  /** How long after its beginning the kill may come. */
  withinMs: number;
  run(n: number): Promise<unknown>;
}

const stages: Record<string, Stage> = {
  create: { withinMs: 60, run: (n) => create({ round: String(n) }) },
  "create with volumes": {
    withinMs: 80,
    run: async (n) => {
      const volume = await modal.volumes.fromName(`made-${n}`, { createIfMissing: true });
      return await create({ round: String(n) }, { "/mnt/made": volume });
    },
  },
  terminate: {
    withinMs: 40,
    run: async (n) => {
      const [doomed] = (await list()).filter(({ sandboxId }) => sandboxId !== witness.sandboxId);
      await (doomed ?? (await create({ round: String(n) }))).terminate();
    },
  },
  "volume create": { withinMs: 15, run: (n) => modal.volumes.fromName(`vol-${n}`, { createIfMissing: true }) },
  "volume delete": {
    withinMs: 15,
    run: async (n) => {
      await modal.volumes.fromName(`gone-${n}`, { createIfMissing: true });
      await modal.volumes.delete(`gone-${n}`);
    },
  },
  "image build": {
    withinMs: 400,
    run: (n) => image.dockerfileCommands([`RUN sleep 0.1; echo ${n} > /built`]).build(app),
  },
  "exec start": { withinMs: 30, run: () => sh(witness, "echo started") },
};

let witness: Sandbox;
const downMs: number[] = [];

async function oneRound(n: number, name: string): Promise<void> {
  const stage = stages[name];
  if (stage === undefined) throw new Error(`no stage ${name}`);
  const code = 3 + (n % 100);
  // It ends while nobody is there to see it.
  const away = await witness.exec(["sh", "-c", `sleep 0.15; exit ${code}`]);
  const begun = stage.run(n);
  begun.catch(() => undefined);
  const delayMs = Math.random() * stage.withinMs;
  const until = performance.now() + delayMs;
  while (performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
  await stopEngine(engine.child, "SIGKILL");
  const killedMs = performance.now();
  const before = engine.url;
  engine = await spawnEngine(dir.path);
  downMs.push(performance.now() - killedMs);
  // The first answer: no sandbox is missing, none is half made.
  const found = await onceConnected(list);
  expect(engine.url, "address").toBe(before);
  expect(found.map(({ sandboxId }) => sandboxId)).toContain(witness.sandboxId);
  for (const sandbox of found) expect((await sh(sandbox, "echo whole")).stdout, `${name}, round ${n}`).toBe("whole\n");
  expect(await away.wait(), "exit while the engine was away").toBe(code);
  const outcome = await settled(begun);
  if (name === "image build") {
    const again = await image.dockerfileCommands([`RUN sleep 0.1; echo ${n} > /built`]).build(app);
    expect(again.imageId).toMatch(/^im-/);
  }
  if (name === "exec start") {
    // The SDK gives up after ten seconds: then it must say that the engine was away, and nothing else.
    if ("error" in outcome) expect(String(outcome.error), `round ${n}`).toMatch(/UNAVAILABLE/);
    else expect(outcome.value).toMatchObject({ code: 0, stdout: "started\n" });
  }
  // Ended twice is ended once.
  const others = (await list()).filter(({ sandboxId }) => sandboxId !== witness.sandboxId);
  for (const sandbox of others) {
    await Promise.all([sandbox.terminate(), sandbox.terminate()]);
    await sandbox.terminate();
  }
}

describe("an engine that is killed at any stage", () => {
  it(
    `leaves nothing half made in ${rounds} rounds`,
    async () => {
      witness = await create({ witness: "1" });
      const names = onlyStage === undefined ? Object.keys(stages) : [onlyStage];
      for (let n = 0; n < rounds; n++) {
        await oneRound(n, names[n % names.length] ?? "");
        expect((await list()).map(({ sandboxId }) => sandboxId)).toEqual([witness.sandboxId]);
        await expect.poll(() => held(dir.path, instance).cgroups).toEqual([witness.sandboxId]);
      }
      const now = held(dir.path, instance);
      // The router, the witness and those that are kept ready for the next.
      expect(now.namespaces.length).toBeLessThanOrEqual(2 + 4);
      expect(now.mounts).toEqual([]);
      const known: string[] = [];
      for (let n = 0; n < rounds; n++)
        for (const kind of ["made", "vol", "gone"]) {
          const volume = await modal.volumes.fromName(`${kind}-${n}`).catch(() => undefined);
          if (volume !== undefined) known.push(volume.volumeId);
        }
      // One that a sandbox has had may be an image by now.
      expect(now.volumes.map((name) => name.replace(/\.img$/, "")).toSorted()).toEqual(known.toSorted());
      expect(readdirSync(join(dir.path, "runtime", "trash"))).toEqual([]);
      const sorted = downMs.toSorted((a, b) => a - b);
      const at = (part: number) => Math.round(sorted[Math.floor((sorted.length - 1) * part)] ?? 0);
      console.info(`kill to ready: median ${at(0.5)} ms, 95 % ${at(0.95)} ms, worst ${at(1)} ms in ${rounds} rounds`);
    },
    rounds * roundMs,
  );

  it("whose keeper is killed ends its sandboxes, says so, and goes on", async () => {
    const doomed = await create();
    const ended = doomed.wait();
    const keeper = processesWith(dir.path).find(({ command }) => command.includes("keeper/main.ts"));
    process.kill(keeper?.pid ?? 0, "SIGKILL");
    expect(await ended).toBe(137);
    // Those of the rounds before, too: the next keeper ends them one after the other.
    await expect.poll(list).toEqual([]);
    await expect(sh(doomed, "true")).rejects.toThrow();
    const next = await create();
    expect((await sh(next, "echo works")).stdout).toBe("works\n");
    await expect.poll(() => held(dir.path, instance).cgroups).toEqual([next.sandboxId]);
    await next.terminate();
    await expect.poll(() => held(dir.path, instance).processes).toEqual([]);
  });
});
