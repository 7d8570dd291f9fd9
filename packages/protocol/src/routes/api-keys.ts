import { ApiKey, ApiKeyCreate, ApiKeyCreated } from "../account.ts";
import { listOf } from "./answers.ts";
import { paging } from "./parameters.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast" } as const;

export const apiKeyRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/api_keys",
    summary: "List the account's API keys",
    auth: "account",
    query: paging,
    ok: {
      status: 200,
      description: "Oldest first; revoked ones for as long as they are remembered (30 days)",
      schema: listOf(ApiKey),
    },
  }),
  create: define({
    ...base,
    method: "post",
    path: "/v1/api_keys",
    summary: "Create an API key",
    auth: "account",
    body: ApiKeyCreate,
    ok: { status: 201, description: "The key is shown only here", schema: ApiKeyCreated },
  }),
  revoke: define({
    ...base,
    method: "delete",
    path: "/v1/api_keys/{id}",
    summary: "Revoke an API key",
    description: "At once: requests with it are refused, its logins count no more, streams that it opened end.",
    auth: "account",
    ok: { status: 200, description: "The revoked key", schema: ApiKey },
    problems: ["api_key_not_found"],
  }),
} as const;
