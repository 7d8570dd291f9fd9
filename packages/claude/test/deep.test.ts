import { expect, test } from "vitest";
import { createMapperState, decodeLine, mapLine } from "../src/index.ts";
import { context, fixtures, rawLines, run } from "./_fixtures.ts";

const levels = 100_000;
const deep = {
  lists: "[".repeat(levels) + "]".repeat(levels),
  objects: '{"a":'.repeat(levels) + "1" + "}".repeat(levels),
};
const place = "the-place-of-what-is-deep";

/** One line of each type and subtype that was ever captured. */
function kinds(): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const { path } of fixtures) {
    for (const { value } of run(rawLines(path))) {
      const { type, subtype, request, event } = value as Record<string, { subtype?: string; type?: string } & string>;
      found.set(`${type}/${subtype ?? request?.subtype ?? event?.type ?? ""}`, value);
    }
  }
  return found;
}

/** The line once for each of its fields, which is then something deep. */
function* spoilt(value: unknown): Generator<unknown> {
  if (typeof value !== "object" || value === null) return;
  for (const key of Object.keys(value)) {
    const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
    if (key !== "type") {
      copy[key] = place;
      yield copy;
    }
    const inner = (value as Record<string, unknown>)[key];
    for (const changed of spoilt(inner)) yield { ...copy, [key]: changed };
  }
}

test("a line that is nested 100 000 levels deep anywhere is mapped, and what comes of it can be written", () => {
  let lines = 0;
  for (const [kind, line] of kinds()) {
    for (const changed of spoilt(line)) {
      if (lines++ % 29 !== 0) continue;
      for (const [what, text] of Object.entries(deep)) {
        const decoded = decodeLine(JSON.stringify(changed).replace(`"${place}"`, text));
        const made = mapLine(createMapperState(), decoded, context);
        expect(() => JSON.stringify(made), `${kind}, ${what}`).not.toThrow();
      }
    }
  }
  expect(lines).toBeGreaterThan(200);
  expect(decodeLine(deep.lists).kind).toBe("text");
  expect(decodeLine(deep.objects).kind).toBe("json");
}, 120_000);

test("two hundred levels stay as they are", () => {
  const depth = 199;
  const text = `{"a":${"[".repeat(depth)}1${"]".repeat(depth)}}`;
  const decoded = decodeLine(text);
  expect(decoded.kind === "json" && JSON.stringify(decoded.value)).toBe(text);
});
