import { expect, test } from "vitest";
import { isId, newId, newSandboxIds, shown, ulid } from "./ids.ts";

test("ids have the form that the SDK looks at, and no two are the same", () => {
  const seen = new Set<string>();
  for (let n = 0; n < 2_000; n++) {
    for (const prefix of ["ap", "im", "vo", "st"] as const) {
      const id = newId(prefix);
      expect(id).toMatch(new RegExp(`^${prefix}-[0-9A-Za-z]{22}$`));
      expect(isId(id, prefix)).toBe(true);
      seen.add(id);
    }
    const { sandboxId, taskId } = newSandboxIds();
    expect(sandboxId).toMatch(/^sb-[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(isId(sandboxId, "sb") && isId(taskId, "ta")).toBe(true);
    seen.add(sandboxId).add(taskId);
  }
  expect(seen.size).toBe(12_000);
});

test("sandboxes' ids are in the order of their making, as far as milliseconds tell", () => {
  const times = [0, 1, 31, 32, 1_000, 1_700_000_000_000, 1_700_000_000_001, 2 ** 47];
  expect(times.map((time) => ulid(time).slice(0, 10)).toSorted()).toEqual(times.map((time) => ulid(time).slice(0, 10)));
});

test("what is no id of that kind is none: nothing else reaches a path, a query or the log", () => {
  const id = newId("vo");
  const others = [
    "",
    "vo-",
    id.slice(0, 20),
    `${id}/..`,
    `${id}\n`,
    `x${id}`,
    ` ${id}`,
    id.replace("vo", "im"),
    `vo-${"a".repeat(41)}`,
  ];
  for (const other of others) expect(isId(other, "vo"), JSON.stringify(other)).toBe(false);
  expect(isId(id, "vo")).toBe(true);
  expect(isId(id, "im")).toBe(false);
});

test("a foreign id is shown clipped and without control characters", () => {
  expect(shown("sb-1")).toBe("sb-1");
  expect(shown('a"b\n\u001b[31m')).toBe('a\\"b\\n\\u001b[31m');
  expect(shown("x".repeat(10_000)).length).toBeLessThan(100);
});
