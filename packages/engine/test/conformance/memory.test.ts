import { totalmem } from "node:os";
import type { Sandbox } from "modal";
import { expect, it } from "vitest";
import { memoryReserve } from "../../src/disk/shortage.ts";
import { clientFor, sh, temporaryDataDir, testEngine } from "./_engine.ts";
import { spawnEngine, stopEngine } from "./_process.ts";

const gib = 2 ** 30;
const usable = totalmem() - memoryReserve(totalmem());
/** One GiB may be reserved, of which one account may have half. */
const memory = { overcommit: gib / usable, accountShare: 0.5 };
const of = (account: string) => ({ tags: { "holdfast.account": account } });

it("admits what fits into the memory that may be reserved, and refuses the rest in words; what runs goes on", async () => {
  await using t = await testEngine({ memory });
  const mine = { ...of("a"), memoryMiB: 200, memoryLimitMiB: 1024 };
  const first = await t.create(mine);
  await t.create(mine);
  await expect(t.create(mine)).rejects.toThrow(
    /reserves 200 MiB does not fit: the sandboxes of this account reserve 400 MiB of 51\d MiB.*Stop one/,
  );
  // Without a reservation it counts as on Modal: 128 MiB.
  await expect(t.create(of("a"))).rejects.toThrow(/reserves 128 MiB does not fit/);
  await t.create({ ...of("b"), memoryMiB: 500, memoryLimitMiB: 500 });
  await expect(t.create({ ...of("c"), memoryMiB: 200, memoryLimitMiB: 200 })).rejects.toThrow(
    /all sandboxes of this machine reserve 900 MiB of 102\d MiB/,
  );
  expect(await sh(first, "echo still")).toMatchObject({ stdout: "still\n" });
  await first.terminate({ wait: true });
  await t.create({ ...of("c"), memoryMiB: 200, memoryLimitMiB: 200 });
});

it("of many that come at once as many are admitted as fit", async () => {
  await using t = await testEngine({ memory });
  const asked = Array.from({ length: 8 }, () => t.create({ ...of("a"), memoryMiB: 128, memoryLimitMiB: 256 }));
  const made = (await Promise.allSettled(asked)).filter(({ status }) => status === "fulfilled");
  expect(made).toHaveLength(4);
});

it("counts those that an engine of before has made, and forgets what it reserved with what has ended", async () => {
  using dir = temporaryDataDir();
  const params = { ...of("a"), memoryMiB: 400, memoryLimitMiB: 512, timeoutMs: 600_000 };
  let engine = await spawnEngine(dir.path, { memory });
  const create = async (): Promise<Sandbox> => {
    const modal = clientFor(engine.url);
    const app = await modal.apps.fromName("memory", { createIfMissing: true });
    const image = await modal.images.fromRegistry("debian:12-slim").build(app);
    return await modal.sandboxes.create(app, image, params);
  };
  try {
    const { sandboxId } = await create();
    await stopEngine(engine.child, "SIGKILL");
    engine = await spawnEngine(dir.path, { memory });
    await expect(create()).rejects.toThrow(/this account reserve 400 MiB/);
    await (await clientFor(engine.url).sandboxes.fromId(sandboxId)).terminate({ wait: true });
    await create();
  } finally {
    await stopEngine(engine.child, "SIGINT");
  }
});
