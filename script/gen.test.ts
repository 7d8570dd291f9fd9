import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, test } from "vitest";
import { generated } from "./gen.ts";

const root = join(import.meta.dirname, "..");

test("what is made from the sources is committed as it is (npm run gen)", async () => {
  for (const [name, text] of await generated()) expect(readFileSync(join(root, name), "utf8"), name).toBe(text);
});

test("a public linter takes openapi.json", async () => {
  const validator = new Validator();
  const result = await validator.validate(JSON.parse(readFileSync(join(root, "openapi.json"), "utf8")));
  expect(result).toEqual({ valid: true });
});

test("descriptions name no problem that does not exist, and every operation has one id", async () => {
  const { paths } = JSON.parse(readFileSync(join(root, "openapi.json"), "utf8")) as {
    paths: Record<string, Record<string, { operationId: string; responses: object; security: unknown[] }>>;
  };
  const operations = Object.values(paths).flatMap((path) => Object.values(path));
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  for (const { responses, operationId } of operations) expect(Object.keys(responses), operationId).toContain("500");
});
