import { statusOfLine } from "@holdfast/testkit/hostile";
import { expect, test } from "vitest";
import { start, token } from "./_kit.ts";

test("a request that names another address than a path is refused", async () => {
  const gateway = await start();
  const key = `x-api-key: ${await token()}`;
  for (const target of [`${gateway.url}/v1/models`, "http://api.anthropic.com/v1/models", "*"])
    expect(await statusOfLine(gateway.url, `GET ${target} HTTP/1.1`, [key]), target).toBe(400);
  expect(await statusOfLine(gateway.url, "GET /v1/models HTTP/1.1", [key])).toBe(200);
});
