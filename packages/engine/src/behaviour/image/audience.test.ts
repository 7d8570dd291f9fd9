import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createAudience } from "./audience.ts";

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });

describe("those who wait for a build", () => {
  it("stop it by coming never, or by leaving all", async () => {
    let told = 0;
    const never = createAudience(10, () => told++);
    await aborted(never.signal);
    const left = createAudience(10, () => told++);
    const [one, two] = [left.join(), left.join()];
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    await wait(40);
    expect(left.signal.aborted).toBe(false);
    two[Symbol.dispose]();
    await aborted(left.signal);
    expect(told).toBe(2);
  });

  it("may change without a break", async () => {
    const audience = createAudience(200, () => undefined);
    for (let turn = 0; turn < 5; turn++) {
      using _waiter = audience.join();
      await wait(1);
    }
    expect(audience.signal.aborted).toBe(false);
    audience.close();
  });

  it("stop nothing that has ended", async () => {
    const audience = createAudience(5, () => {
      throw new Error("told of the end of what had ended");
    });
    const waiter = audience.join();
    audience.close();
    waiter[Symbol.dispose]();
    await wait(20);
    expect(audience.signal.aborted).toBe(false);
  });
});
