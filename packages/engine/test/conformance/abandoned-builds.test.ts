import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestEngine, testEngine } from "./_engine.ts";
import { processesWith } from "./_process.ts";

/** A build step that lasts until somebody ends it, and is found by its name. */
const lasting = () => {
  const seconds = 1_000_000 + Math.floor(Math.random() * 1_000_000);
  return { seconds: `sleep ${seconds}`, step: `RUN : ${randomUUID()}; exec sleep ${seconds}` };
};

describe("a build that nobody waits for", () => {
  let t: TestEngine;
  beforeAll(async () => {
    t = await testEngine({ buildAbandonedMs: 1_500 });
  });
  afterAll(() => t[Symbol.asyncDispose]());

  async function start(step: string): Promise<string> {
    const image = { dockerfileCommands: ["FROM debian:12-slim", step] };
    const { imageId } = await t.modal.cpClient.imageGetOrCreate({
      image,
      appId: t.app.appId,
      builderVersion: "2025.06",
    });
    return imageId;
  }
  const runs = (name: string) => processesWith(name).some(({ command }) => command.startsWith(name));
  const until = (name: string, running: boolean) =>
    expect.poll(() => runs(name), { timeout: 20_000, interval: 50 }).toBe(running);

  /** Waits for the build as the SDK does, until it is aborted. */
  function waits(imageId: string) {
    const leave = new AbortController();
    const over = (async () => {
      const signal = leave.signal;
      while (!signal.aborted) {
        for await (const item of t.modal.cpClient.imageJoinStreaming({ imageId, timeout: 2 }, { signal })) {
          if (item.eof) return item.result;
        }
      }
      return undefined;
    })().catch(() => undefined);
    return { leave: () => leave.abort(), over };
  }

  it("is stopped, and built anew for whoever asks next", async () => {
    const { seconds, step } = lasting();
    const imageId = await start(step);
    await until(seconds, true);
    await until(seconds, false);
    const waiter = waits(imageId);
    await until(seconds, true);
    waiter.leave();
    await waiter.over;
    await until(seconds, false);
    expect(await start(step)).toBe(imageId);
  });

  it("goes on while one of several waits, through one join after the other", async () => {
    const { seconds, step } = lasting();
    const imageId = await start(step);
    const [one, two] = [waits(imageId), waits(imageId)];
    await until(seconds, true);
    one.leave();
    await one.over;
    const started = performance.now();
    // Longer than it would go on alone, and than one join lasts.
    await expect.poll(() => performance.now() - started, { timeout: 10_000, interval: 100 }).toBeGreaterThan(5_000);
    expect(runs(seconds)).toBe(true);
    two.leave();
    await two.over;
    await until(seconds, false);
  });
});
