import { readFile } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { z } from "zod";

/** Host names under which a sandbox or this machine may speak to the gateway. */
const DEFAULT_HOSTS = ["gateway.holdfast.internal", "127.0.0.1", "localhost", "[::1]"];

/** An API key as it can stand in a header. */
export const ApiKey = z
  .string()
  .trim()
  .min(8, "An API key has at least 8 characters.")
  .max(512, "An API key has at most 512 characters.")
  .regex(/^[\x21-\x7e]+$/, "An API key holds only visible ASCII characters and no spaces.");

export const GatewayOptions = z
  .strictObject({
    host: z.string().default("127.0.0.1").describe("Address to listen on"),
    port: z.int().min(0).max(65535).default(0).describe("Port of the model API; 0 takes a free one"),
    adminPort: z
      .int()
      .min(0)
      .max(65535)
      .optional()
      .describe("Port of the admin API, on 127.0.0.1; without it the admin API shares the model API's listener"),
    dataDir: z
      .string()
      .refine(isAbsolute, "must be an absolute path")
      .describe("Key, usage and revocations; mode 0700"),
    tokenSecret: z.string().min(32).describe("HMAC secret of sandbox tokens, shared with the server"),
    adminToken: z.string().min(32).describe("Bearer token of the admin API"),
    upstream: z
      .url({ protocol: /^https?$/ })
      .default("https://api.anthropic.com")
      .describe("Where requests go when there is a credential"),
    credential: ApiKey.optional().describe("API key from the environment; a stored one comes first"),
    allowedHosts: z.array(z.string()).default(DEFAULT_HOSTS).describe("Accepted names in the Host header"),
    scriptedModel: z
      .strictObject({
        deltaDelayMs: z.number().min(0).optional().describe("Wait before each piece of text of the scripted model"),
        deltaChars: z.int().min(1).optional().describe("Characters in each piece"),
        recordLimit: z.int().min(0).optional().describe("Requests that it remembers"),
        allowScripts: z.boolean().default(false).describe("Opens /admin/scripts and /admin/record; for tests"),
      })
      .prefault({}),
    announced: z
      .boolean()
      .default(false)
      .describe(
        "Connections to the model API begin with the engine's word on which sandbox speaks; tokens of others are refused",
      ),
    maxBodyBytes: z
      .int()
      .min(1024)
      .default(32 * 1024 * 1024)
      .describe("One request to the model"),
    maxBufferedBytes: z
      .int()
      .min(1024)
      .default(256 * 1024 * 1024)
      .describe("All request bodies in memory together"),
    upstreamSilenceMs: z
      .int()
      .min(1000)
      .default(15 * 60_000)
      .describe("How long the upstream may say nothing"),
    upstreamConnectMs: z.int().min(1).default(30_000).describe("How long a connection to the upstream may take"),
    logLevel: z.enum(["silent", "error", "warn", "info", "debug"]).default("info").describe("Of the log on stderr"),
    uid: z.int().min(1).optional(),
    gid: z.int().min(1).optional(),
  })
  .refine((options) => (options.uid === undefined) === (options.gid === undefined), "uid and gid come together");
export type GatewayOptions = z.infer<typeof GatewayOptions>;
/** What a caller gives: everything with a default may be left out. */
export type GatewayOptionsInput = z.input<typeof GatewayOptions>;

/** Reads the options of the process. Throws an error that names the file or the fields, never their values. */
export async function readOptionsFile(): Promise<GatewayOptions> {
  const path = process.env.HOLDFAST_OPTIONS_FILE;
  if (!path) throw new Error("The environment variable HOLDFAST_OPTIONS_FILE is not set.");
  const parsed = GatewayOptions.safeParse(JSON.parse(await readFile(path, "utf8")));
  if (!parsed.success) throw new Error(`The gateway's options are wrong. ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
