import { expect, test } from "vitest";
import { lanes } from "./lanes.ts";

test.each([1, 2, 5])(
  "with %d lanes never more work at once, all of it done, begun in the order of its coming",
  async (count) => {
    const turn = lanes(count);
    const begun: number[] = [];
    let running = 0;
    let most = 0;
    const works = Array.from({ length: 40 }, (_, n) =>
      turn(async () => {
        begun.push(n);
        most = Math.max(most, ++running);
        for (let tick = 0; tick < 10 + ((n * 7) % 5); tick++) await Promise.resolve();
        running--;
        return n;
      }),
    );
    expect(await Promise.all(works)).toEqual(Array.from({ length: 40 }, (_, n) => n));
    expect(begun).toEqual(Array.from({ length: 40 }, (_, n) => n));
    expect(most).toBe(count);
  },
);

test("work that fails, at once or later, frees its lane and is told to its caller alone", async () => {
  const turn = lanes(1);
  const fails = [
    turn(() => Promise.reject(new Error("at once"))),
    turn(async () => {
      await Promise.resolve();
      throw new Error("later");
    }),
    turn(() => {
      throw new Error("before any promise");
    }),
  ];
  const good = turn(async () => "done");
  expect((await Promise.allSettled(fails)).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(await good).toBe("done");
  // As many as before may run.
  const gate = Promise.withResolvers<void>();
  let second = false;
  const first = turn(() => gate.promise);
  const next = turn(async () => {
    second = true;
  });
  await Promise.resolve();
  expect(second).toBe(false);
  gate.resolve();
  await Promise.all([first, next]);
  expect(second).toBe(true);
});
