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

test("whatever the work rejects with reaches the handler, once, also what is no error", async () => {
  const heard: unknown[] = [];
  const late = Promise.withResolvers<never>();
  for (const reason of [undefined, null, "text", 0]) inBackground(Promise.reject(reason), (error) => heard.push(error));
  inBackground(late.promise, (error) => heard.push(error));
  await new Promise((resolve) => setTimeout(resolve));
  expect(heard).toEqual([undefined, null, "text", 0]);
  late.reject("late");
  await new Promise((resolve) => setTimeout(resolve));
  expect(heard.slice(4)).toEqual(["late"]);
});

test("does not begin with the handler before the caller is done", async () => {
  const order: string[] = [];
  inBackground(Promise.reject(new Error("at once")), () => order.push("handler"));
  order.push("caller");
  await new Promise((resolve) => setTimeout(resolve));
  expect(order).toEqual(["caller", "handler"]);
});

test("work that goes wrong does not keep other work from its handler", async () => {
  const heard: string[] = [];
  const work = (name: string) => Promise.reject(new Error(name));
  for (const name of ["a", "b", "c"]) inBackground(work(name), (error) => heard.push((error as Error).message));
  await new Promise((resolve) => setTimeout(resolve));
  expect(heard).toEqual(["a", "b", "c"]);
});
