import { Account, AccountCreate, AccountCreated, AccountDeleted } from "../account.ts";
import { listOf } from "./answers.ts";
import { paging } from "./parameters.ts";
import { define } from "./route.ts";

const base = { tag: "Holdfast" } as const;

export const accountRoutes = {
  list: define({
    ...base,
    method: "get",
    path: "/v1/accounts",
    summary: "List accounts",
    description: "The administrator sees all of them; every other account sees itself.",
    auth: "account",
    query: paging,
    ok: { status: 200, description: "Oldest first", schema: listOf(Account) },
  }),
  create: define({
    ...base,
    method: "post",
    path: "/v1/accounts",
    summary: "Create an account with a first API key",
    auth: "admin",
    body: AccountCreate,
    ok: { status: 201, description: "The key is shown only here", schema: AccountCreated },
    problems: ["account_name_invalid", "account_exists"],
  }),
  delete: define({
    ...base,
    method: "delete",
    path: "/v1/accounts/{id}",
    summary: "Delete an account with everything in it",
    description:
      "Its keys and logins count no more at once, its streams and running turns end; then its sessions, workspaces, sandboxes, agents and environments are removed, and the account itself last. Safe to repeat: what did not answer is tried again, also by itself, and an account that is gone is answered 404. Copies in S3 stay in the bucket.",
    auth: "admin",
    ok: { status: 200, description: "What is gone, what is still to go and what stays", schema: AccountDeleted },
    problems: ["account_not_found", "account_is_default"],
  }),
} as const;
