import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type EndingStep, Leftovers, runSteps } from "./ending.ts";
import { lanes } from "./lanes.ts";

const step = (name: string, failures: number, done: string[]): EndingStep => {
  let left = failures;
  return {
    name,
    run: async () => {
      if (left-- > 0) throw new Error(`${name} cannot`);
      done.push(name);
    },
  };
};

describe("the steps of an ending", () => {
  it("all run whatever becomes of the others, in their order, and those that failed again", async () => {
    const done: string[] = [];
    const told: string[] = [];
    const steps = [step("a", 0, done), step("b", 2, done), step("c", 0, done)];
    const throwing: EndingStep = {
      name: "sync",
      run: () => {
        if (!done.includes("b")) throw new Error("not yet");
        done.push("sync");
      },
    };
    expect(await runSteps([...steps, throwing], (message) => told.push(message))).toEqual([]);
    expect(done).toEqual(["a", "c", "b", "sync"]);
    expect(told).toEqual([
      "b failed and is tried again: Error: b cannot",
      "sync failed and is tried again: Error: not yet",
    ]);
  });

  it("that fail to the last are told and given back", async () => {
    const told: string[] = [];
    const hopeless = step("hopeless", Number.POSITIVE_INFINITY, []);
    expect(await runSteps([hopeless], (message) => told.push(message))).toEqual([hopeless]);
    expect(told).toHaveLength(2);
  });
});

describe("what endings could not do", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("is done later, once, and told then", async () => {
    const done: string[] = [];
    const told: string[] = [];
    const leftovers = new Leftovers((message) => told.push(message));
    const ran = leftovers.run("sb-1", [step("stuck", 6, done), step("easy", 0, done)]);
    await vi.advanceTimersByTimeAsync(1_000);
    await ran;
    expect(done).toEqual(["easy"]);
    expect(leftovers.size).toBe(1);
    await vi.advanceTimersByTimeAsync(25_000);
    expect(done).toEqual(["easy", "stuck"]);
    expect(leftovers.size).toBe(0);
    expect(told.at(-1)).toContain("is removed now");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(done).toEqual(["easy", "stuck"]);
  });
});

describe("lanes", () => {
  it("let no more run at once than there are, in order, whatever fails", async () => {
    const turn = lanes(2);
    let running = 0;
    let most = 0;
    const order: number[] = [];
    const works = Array.from({ length: 9 }, (_, n) =>
      turn(async () => {
        order.push(n);
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        if (n % 3 === 0) throw new Error("fails");
      }).catch(() => undefined),
    );
    await Promise.all(works);
    expect(most).toBe(2);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
});
