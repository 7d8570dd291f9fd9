import { statusOfLine } from "@holdfast/testkit/hostile";
import { expect, test } from "vitest";
import { testServer } from "./_server.ts";

test("a request that names another address than a path is refused", async () => {
  await using it = await testServer();
  for (const target of [`${it.url}/test/key`, "http://other.example/test/key", "*"])
    expect(await statusOfLine(it.url, `GET ${target} HTTP/1.1`), target).toBe(400);
  // Refused for another reason: the path itself is understood.
  expect(await statusOfLine(it.url, "GET /test/key HTTP/1.1")).toBe(403);
});
