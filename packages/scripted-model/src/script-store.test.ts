import { expect, test } from "vitest";
import type { ModelRequest } from "./request.ts";
import { ScriptStore } from "./script-store.ts";

const request = (n: number): ModelRequest =>
  ({ lastUserText: `prompt ${n}`, promptKey: `key ${n}`, sessionId: "s", answered: [] }) as unknown as ModelRequest;

test("what is remembered of prompts does not grow with them", () => {
  const store = new ScriptStore();
  store.add({ turns: [{ text: "always" }] });
  for (let n = 0; n < 30_000; n++) expect(store.next(request(n))).toEqual({ text: "always" });
  expect(store.size).toBeLessThanOrEqual(10_001);
  store.clear();
  store.add({ turns: [{ text: "often" }], times: 25_000 });
  for (let n = 0; n < 30_000; n++) store.next(request(n));
  expect(store.size).toBeLessThanOrEqual(20_001);
});

test("a script counts prompts: one that comes again is answered, one more is not", () => {
  const store = new ScriptStore();
  store.add({ turns: [{ text: "first" }, { text: "second" }], times: 2 });
  expect([1, 2, 1, 3].map((n) => store.next(request(n))?.text)).toEqual(["first", "first", "second", undefined]);
});

test("scripts that were played make room; those that wait are not thrown away", () => {
  const store = new ScriptStore();
  for (let n = 0; n < 5_000; n++) {
    store.add({ turns: [{ text: `${n}` }], times: 1 });
    expect(store.next(request(n))).toEqual({ text: `${n}` });
  }
  expect(store.size).toBeLessThanOrEqual(10_000);
  store.clear();
  for (let n = 0; n < 2_000; n++) store.add({ turns: [{ text: "waits" }], times: 1 });
  expect(() => store.add({ turns: [{ text: "one more" }] })).toThrow(/clear them first/);
});
