import { z } from "zod";
import { text, word } from "./parameters.ts";
import { define } from "./route.ts";

const base = { tag: "System" } as const;

const Health = z.object({
  status: z.literal("ok"),
  unhandled_rejections: z
    .record(z.string(), z.int().min(0))
    .describe("By process: promises that failed and were nobody's to handle. Any number but 0 is a fault of ours"),
});

export const systemRoutes = {
  loginLink: define({
    ...base,
    method: "get",
    path: "/login",
    summary: "A login link, which works once",
    auth: "none",
    query: {
      token: word("Without it: the page"),
      problem: text("Of the page: why a link did not work"),
    },
    ok: { status: 302, description: "Logged in; on to the page" },
    problems: ["key_wrong", "login_link_used"],
  }),
  health: define({
    ...base,
    method: "get",
    path: "/health",
    summary: "The process lives",
    auth: "none",
    ok: { status: 200, description: "Always", schema: Health },
  }),
  ready: define({
    ...base,
    method: "get",
    path: "/ready",
    summary: "Database, engine and gateway answer",
    auth: "none",
    ok: { status: 200, description: "All of them", schema: z.object({ status: z.literal("ready") }) },
    problems: ["not_ready"],
  }),
  version: define({
    ...base,
    method: "get",
    path: "/version",
    summary: "Which version this is",
    auth: "none",
    ok: { status: 200, description: "The version", schema: z.object({ version: z.string() }) },
  }),
  openapi: define({
    ...base,
    method: "get",
    path: "/openapi.json",
    summary: "This description",
    auth: "none",
    ok: { status: 200, description: "OpenAPI 3.1", schema: z.record(z.string(), z.unknown()) },
  }),
  docs: define({
    ...base,
    method: "get",
    path: "/docs",
    summary: "The routes, to be read",
    auth: "none",
    ok: { status: 200, description: "A page", type: "text/html" },
  }),
  problems: define({
    ...base,
    method: "get",
    path: "/docs/problems",
    summary: "Every problem with its remedy",
    auth: "none",
    ok: { status: 200, description: "A page; `#code` is the problem", type: "text/html" },
  }),
} as const;
