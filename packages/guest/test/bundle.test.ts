import { expect, test } from "vitest";
import { bundleGuest } from "../src/bundle.ts";
import { TestGuest } from "./_guest.ts";

test("the bundle is one small file that needs nothing but Node, and always the same", async () => {
  const first = await bundleGuest();
  // A sandbox reads it at each exec. 10 kB of it are the terminals.
  expect(first.code.length).toBeLessThan(64_000);
  expect(first.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect((await bundleGuest()).sha256).toBe(first.sha256);
  const imports = [...first.code.matchAll(/from"([^"]+)"/g)].map((match) => match[1]);
  expect(imports.filter((name) => !name?.startsWith("node:"))).toEqual([]);
  expect(first.code).not.toContain(import.meta.dirname);
});

test("it explains itself and refuses what it does not know", async () => {
  await using guest = new TestGuest();
  expect(guest.run(["--help"])).toMatchObject({ code: 0, stdout: expect.stringContaining("guest.mjs permissions") });
  for (const args of [[], ["dance"], ["start", "--session", "s"], ["start", "--sess", "x", "--", "true"]]) {
    const result = guest.run(args);
    expect(result.code, JSON.stringify(args)).toBe(64);
    expect(JSON.parse(result.stderr)).toMatchObject({ code: "usage", remedy: expect.any(String) });
  }
  const traversal = ["start", "--session", "../x", "--process", "p", "--generation", "1", "--", "true"];
  expect(guest.run(traversal).code).toBe(64);
});
