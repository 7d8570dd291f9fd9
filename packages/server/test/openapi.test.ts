import { routes } from "@holdfast/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AppContext } from "../src/context.ts";
import { createApp } from "../src/http/app.ts";
import { type TestServer, testServer } from "./_server.ts";

let it: TestServer;
beforeAll(async () => {
  it = await testServer();
});
afterAll(() => it?.[Symbol.asyncDispose]());

test("every route that is served is described, and the other way round", () => {
  // Routes are only mounted, never called: they need nothing yet.
  const app = createApp({ version: "0.0.0" } as AppContext);
  const served = app.routes
    .filter(({ method, path }) => method !== "ALL" && !path.includes("*"))
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}").replace(/(.)\/$/, "$1")}`);
  const described = routes.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  expect([...new Set(served)].sort()).toEqual(described.sort());
});

test("the description is served as it is committed, to anyone", async () => {
  const answer = await it.fetch("/openapi.json");
  const committed = await import("../../../openapi.json", { with: { type: "json" } });
  expect(await answer.json()).toEqual(committed.default);
});

test("the pages are whole by themselves", async () => {
  for (const path of ["/docs", "/docs/problems"]) {
    const answer = await it.fetch(path);
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(answer.headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'sha256-/);
    const text = await answer.text();
    expect(text).not.toMatch(/https?:|<script|src=/);
  }
  const problem = (await (await it.fetch("/v1/nothing")).json()) as { type: string };
  const [page = "", anchor] = problem.type.split("#");
  expect(await (await it.fetch(page)).text()).toContain(`id="${anchor}"`);
});

test("who may ask is what the description says", async () => {
  const { apiKey } = await it.account("someone");
  for (const { method, path, auth } of routes) {
    const ask = (key?: string) =>
      it.fetch(path.replaceAll(/\{\w+\}/g, "x"), {
        method: method.toUpperCase(),
        ...(method === "get" || method === "delete" ? {} : { body: "{}" }),
        ...(key === undefined ? {} : { key }),
      });
    const stranger = await ask();
    await stranger.body?.cancel();
    expect(stranger.status === 401, `${method} ${path}`).toBe(auth !== "none");
    if (auth !== "admin") continue;
    const refused = await ask(apiKey);
    // A body that is checked first is refused first.
    expect([403, 400], `${method} ${path}`).toContain(refused.status);
  }
});
