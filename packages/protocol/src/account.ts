import { z } from "zod";

const time = z.string().describe("RFC 3339");

/** Who owns and pays. */
export const Account = z.object({ id: z.string(), name: z.string(), created_at: time }).meta({ id: "Account" });
export type Account = z.infer<typeof Account>;

export const AccountCreate = z
  .strictObject({ name: z.string().describe("1 to 64 characters: letters, digits, space and . _ @ -") })
  .meta({ id: "AccountCreate" });
export type AccountCreate = z.infer<typeof AccountCreate>;

/** The only time that the key is shown. */
export const AccountCreated = Account.extend({
  api_key: z.string().describe("Shown once; only its hash is stored"),
}).meta({ id: "AccountCreated" });
export type AccountCreated = z.infer<typeof AccountCreated>;

/** What is gone with an account, and what is not. */
export const AccountDeleted = z
  .object({
    id: z.string(),
    name: z.string(),
    deleted: z.literal(true),
    gone: z
      .object({
        sessions: z.number().int().describe("With their events; a turn that ran was ended"),
        workspaces: z.number().int().describe("With every file in them, the default one included"),
        sandboxes: z.array(z.string()).describe("Those that were ended"),
      })
      .describe("By this request, beside the account's keys, logins, agents, environments and rules"),
    pending: z
      .array(z.string())
      .describe("In words: what did not answer, and is tried again every minute until it is gone; mostly empty"),
    kept: z.array(z.string()).describe("In words: what stays"),
  })
  .meta({ id: "AccountDeleted" });
export type AccountDeleted = z.infer<typeof AccountDeleted>;

export const ApiKey = z
  .object({
    id: z.string(),
    name: z.string(),
    prefix: z.string().describe("The key's beginning, to tell keys apart"),
    created_at: time,
    last_used_at: time.nullable().describe("Noted once a minute at the most"),
    revoked_at: time.nullable(),
  })
  .meta({ id: "ApiKey" });
export type ApiKey = z.infer<typeof ApiKey>;

export const ApiKeyCreate = z
  .strictObject({ name: z.string().trim().min(1).max(64).describe("For you, to tell keys apart") })
  .meta({ id: "ApiKeyCreate" });
export type ApiKeyCreate = z.infer<typeof ApiKeyCreate>;

/** The only time that the key is shown. */
export const ApiKeyCreated = ApiKey.extend({
  api_key: z.string().describe("Shown once; only its hash is stored"),
}).meta({ id: "ApiKeyCreated" });
export type ApiKeyCreated = z.infer<typeof ApiKeyCreated>;

/** Logs a browser in: with the token of a login link, once, or with an account's key. */
export const Login = z
  .union([z.strictObject({ token: z.string().max(500) }), z.strictObject({ api_key: z.string().max(500) })], {
    error: "needs a token or an api_key",
  })
  .meta({ id: "Login" });
export type Login = z.infer<typeof Login>;

export const Logout = z
  .strictObject({ everywhere: z.boolean().optional().describe("Every browser of the account") })
  .meta({ id: "Logout" });
export type Logout = z.infer<typeof Logout>;

export const LoggedIn = z.object({ account: z.object({ id: z.string(), name: z.string() }) }).meta({ id: "LoggedIn" });
export type LoggedIn = z.infer<typeof LoggedIn>;

export const Credential = z
  .strictObject({ api_key: z.string().max(500).describe("An Anthropic API key; it stays in the gateway") })
  .meta({ id: "Credential" });
export type Credential = z.infer<typeof Credential>;
