import { pino } from "pino";
import { expect, test } from "vitest";
import { Runners } from "./runners.ts";
import type { SessionRunner } from "./session-runner.ts";

const logger = pino({ level: "silent" });

function setUp(open: (id: string) => Promise<void> = async () => undefined) {
  const state = { idle: true, saving: false, opened: 0, released: 0 };
  const runner = {
    workspaceId: "w",
    get isIdle() {
      return state.idle;
    },
    release: async () => {
      state.released++;
    },
  } as unknown as SessionRunner;
  const runners = new Runners({
    open: async (id) => {
      await open(id);
      state.opened++;
      return runner;
    },
    isSaving: () => state.saving,
    logger,
  });
  const look = (times = 100) => {
    for (let n = 0; n < times; n++) runners.forgetIdle();
  };
  return { runners, state, look };
}

test("however many sessions there were, none is kept that rests", async () => {
  const { runners, state, look } = setUp();
  for (let n = 0; n < 5_000; n++) {
    await runners.use(`${n}`, () => undefined);
    if (n % 100 === 0) look();
  }
  look();
  expect([runners.size, state.opened, state.released]).toEqual([0, 5_000, 5_000]);
});

test("none is forgotten under whose lease something goes on", async () => {
  const { runners, state, look } = setUp();
  const asked = Promise.withResolvers<void>();
  const asking = runners.use("s", () => asked.promise);
  await Promise.resolve();
  look();
  expect(runners.has("s")).toBe(true);
  asked.resolve();
  await asking;
  state.saving = true;
  look();
  expect(runners.has("s")).toBe(true);
  state.saving = false;
  state.idle = false;
  look();
  expect(runners.has("s")).toBe(true);
  state.idle = true;
  look(10);
  // Between two looks it was needed.
  await runners.use("s", () => undefined);
  look(29);
  expect(runners.has("s")).toBe(true);
  look(1);
  expect(runners.has("s")).toBe(false);
  await runners.use("s", () => undefined);
  expect([state.opened, state.released]).toEqual([2, 1]);
});

test("one that cannot be opened is not kept, and is opened the next time", async () => {
  let broken = true;
  const { runners, look } = setUp(async () => {
    if (broken) throw new Error("no database");
  });
  await expect(runners.use("s", () => undefined)).rejects.toThrow("no database");
  expect(runners.size).toBe(0);
  broken = false;
  await runners.use("s", () => undefined);
  expect(runners.size).toBe(1);
  look();
  expect(runners.size).toBe(0);
});
