import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { RequestIdentity } from "../domain/idempotency.ts";
import type { HttpEnv } from "./env.ts";

const longKey = 200;
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** What makes two requests the same one. */
export function identityOf(c: Context<HttpEnv>, bodyHash: string): RequestIdentity {
  const given = c.req.header("idempotency-key");
  // A long one counts whole: two that only begin alike are two.
  const key = given !== undefined && given.length > longKey ? `sha256:${sha256(given)}` : given;
  return {
    ...(key ? { key } : {}),
    retryCount: Number(c.req.header("x-stainless-retry-count") ?? 0) || 0,
    bodyHash,
  };
}
