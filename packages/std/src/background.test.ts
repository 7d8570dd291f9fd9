import { expect, test } from "vitest";
import { inBackground } from "./background.ts";

test("gives what the work rejects with to its handler", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  inBackground(Promise.reject(new Error("late")), resolve);
  await expect(promise).resolves.toMatchObject({ message: "late" });
});

test("says nothing of work that succeeds", async () => {
  const heard: unknown[] = [];
  const work = Promise.resolve(1);
  inBackground(work, (error) => heard.push(error));
  await work;
  await new Promise((resolve) => setTimeout(resolve));
  expect(heard).toEqual([]);
});
