import type { BodyOf, ParamsOf, QueryOf, ResultOf, Route } from "@holdfast/protocol";
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Account } from "../domain/accounts/accounts.ts";
import type { RequestIdentity } from "../domain/idempotency.ts";
import { readBody } from "./body.ts";
import type { HttpEnv } from "./env.ts";
import { identityOf } from "./identity.ts";
import { readQuery } from "./query.ts";

/** A request as its route's entry in the table describes it: nothing in it is unchecked. */
export interface Call<R extends Route> {
  params: ParamsOf<R>;
  query: QueryOf<R>;
  body: BodyOf<R>;
  /** Who asks; on routes for everybody nobody is asked. */
  account: R["auth"] extends "none" ? undefined : Account;
  /** What makes two requests the same one. */
  identity: RequestIdentity;
  /** For headers, signals, and who asks in other words. */
  c: Context<HttpEnv>;
}

/** What is not JSON is a whole answer. */
type Answer<R extends Route> = R["ok"] extends { type: string } ? Response : ResultOf<R> | Response;

export interface Implemented {
  route: Route;
  handle: (c: Context<HttpEnv>) => Promise<Response>;
}

/** Binds a handler to its entry of the table, which says what comes in, what goes out and with which status. */
export function implement<R extends Route>(
  route: R,
  handler: (call: Call<R>) => Answer<R> | Promise<Answer<R>>,
): Implemented {
  const handle = async (c: Context<HttpEnv>) => {
    const query = readQuery(route, new URL(c.req.url).searchParams);
    const account = c.get("account") as Call<R>["account"];
    const { value, hash } = await readBody(c.req.raw, route, account?.id ?? "");
    const call = {
      params: c.req.param() as ParamsOf<R>,
      query,
      body: value,
      account,
      identity: identityOf(c, hash),
      c,
    };
    const answer = await handler(call);
    return answer instanceof Response ? answer : c.json(answer as object, route.ok.status as ContentfulStatusCode);
  };
  return { route, handle };
}
