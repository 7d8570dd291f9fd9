import {
  Account,
  AccountCreate,
  AccountCreated,
  AccountDeleted,
  ApiKey,
  ApiKeyCreate,
  ApiKeyCreated,
  Credential,
  LoggedIn,
  Login,
  Logout,
} from "../../src/account.ts";
import type { Shape } from "./shape.ts";

export const account: Account = {
  id: "acc_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  name: "anna",
  created_at: "2026-03-01T09:00:00.000Z",
};

export const accountCreated: AccountCreated = { ...account, api_key: "hf_3x4mpl3" };

export const accountDeleted: AccountDeleted = {
  id: account.id,
  name: "anna",
  deleted: true,
  gone: { sessions: 3, workspaces: 2, sandboxes: ["sbx_01K3V6F7Q8ABCDEFGHJKMNPQRS"] },
  pending: ["the volume of the workspace main"],
  kept: ["copies in S3"],
};

export const apiKey: ApiKey = {
  id: "key_01K3V6F7Q8ABCDEFGHJKMNPQRS",
  name: "laptop",
  prefix: "hf_3x4m",
  created_at: "2026-03-01T09:00:00.000Z",
  last_used_at: "2026-03-02T10:30:00.000Z",
  revoked_at: "2026-03-03T11:00:00.000Z",
};

export const apiKeyCreated: ApiKeyCreated = { ...apiKey, api_key: "hf_3x4mpl3" };

export const loggedIn: LoggedIn = { account: { id: account.id, name: "anna" } };

export const accountShapes: readonly Shape[] = [
  { name: "Account", schema: Account, example: account },
  { name: "AccountCreated", schema: AccountCreated, example: accountCreated },
  {
    name: "AccountDeleted",
    schema: AccountDeleted,
    example: accountDeleted,
    fixed: ["deleted"],
    whole: ["gone.sessions", "gone.workspaces"],
  },
  { name: "ApiKey", schema: ApiKey, example: apiKey, nullable: ["last_used_at", "revoked_at"] },
  { name: "ApiKeyCreated", schema: ApiKeyCreated, example: apiKeyCreated, nullable: ["last_used_at", "revoked_at"] },
  { name: "LoggedIn", schema: LoggedIn, example: loggedIn },
  // Its name's rules are the server's, which answers in words of its own.
  { name: "AccountCreate", schema: AccountCreate, example: { name: "anna" }, closed: [""] },
  { name: "ApiKeyCreate", schema: ApiKeyCreate, example: { name: "laptop" }, closed: [""], ruled: ["name"] },
  { name: "Logout", schema: Logout, example: { everywhere: true }, closed: [""], optional: ["everywhere"] },
  { name: "Credential", schema: Credential, example: { api_key: "sk-ant-x" }, closed: [""], ruled: ["api_key"] },
  { name: "Login by a link", schema: Login, example: { token: "t0k3n" }, closed: [""], unions: [""], ruled: ["token"] },
  {
    name: "Login by a key",
    schema: Login,
    example: { api_key: "hf_x" },
    closed: [""],
    unions: [""],
    ruled: ["api_key"],
  },
];
