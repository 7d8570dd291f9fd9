import { readFileSync } from "node:fs";
import { z } from "zod";

const url = z.url().transform((value) => value.replace(/\/+$/, ""));
const filled = z.string().min(1);
const durationMs = (fallback: number) => z.number().int().positive().default(fallback);

/** Never named in an error: it has a password. */
export const PostgresUrl = z
  .string()
  .refine(
    (value) =>
      URL.canParse(value) && /^postgres(ql)?:$/.test(new URL(value).protocol) && new URL(value).pathname.length > 1,
    "must be a URL like postgresql://user:password@host:5432/database",
  );

/** Where the engine (or Modal) is, and under which names we work there. */
export const ModalOptions = z.object({
  serverUrl: url,
  tokenId: filled,
  tokenSecret: filled,
  appName: filled.default("holdfast"),
  /** Marks every sandbox and volume as ours; another installation's are never touched. */
  installationId: z.string().regex(/^[A-Za-z0-9_-]{1,40}$/),
});

export const GatewayOptions = z.object({
  /** As a sandbox sees it. */
  sandboxUrl: url.default("http://gateway.holdfast.internal:4601"),
  /** The name that a sandbox's network policy must allow. Default: the host of `sandboxUrl`. */
  domain: filled.optional(),
  /** As we see it. */
  adminUrl: url,
  adminToken: filled,
  /** Shared with the gateway: signs what a sandbox shows there. */
  tokenSecret: z.string().min(32),
});

/**
 * The bucket stands where the mission's configuration has it: `s3.buckets["agent-docs"]`. Everything may be missing:
 * then nothing is written to S3, and the status says so.
 */
export const S3Options = z
  .object({
    buckets: z
      .record(z.string(), z.string().nullish())
      .nullish()
      .describe('`{"agent-docs": "name of the bucket"}`: where workspaces are saved after every turn'),
    endpoint: z.string().nullish().describe("As the server sees it. Absent: AWS itself"),
    sandboxEndpoint: z.string().nullish().describe("As a sandbox sees it. Absent: `endpoint`"),
    sandboxDomain: z
      .string()
      .nullish()
      .describe("The name that a sandbox's network policy must allow. Absent: the host of `sandboxEndpoint`"),
    region: z.string().nullish().describe("Absent: us-east-1"),
    accessKeyId: z.string().nullish().describe("Of the server alone; sandboxes get temporary credentials"),
    secretAccessKey: z.string().nullish().describe("A secret: the file must be readable by its owner only"),
    roleArn: z.string().nullish().describe("Role for AssumeRole. The embedded server takes any"),
    allowStaticCredentials: z
      .boolean()
      .nullish()
      .describe(
        "Hands the key above to the sync process where the storage has no temporary ones. Read security.md first",
      ),
  })
  .nullish();
export type S3Options = z.infer<typeof S3Options>;

export const ImageOptions = z
  .object({
    base: filled.default("node:24-bookworm-slim").describe("What the sandbox image begins with"),
    claudeVersion: z
      .string()
      .regex(/^\d+\.\d+\.\d+$/)
      .default("2.1.330")
      .describe("Version of Claude Code that is installed"),
    extraCommands: z
      .array(z.string())
      .default([])
      .describe("Dockerfile commands of your own, as root, after Claude Code is installed"),
  })
  .prefault({});
export type ImageOptions = z.infer<typeof ImageOptions>;

export const SandboxOptions = z
  .object({
    timeoutMs: z
      .number()
      .int()
      .positive()
      // No model token is taken for longer.
      .max(7 * 24 * 60 * 60 * 1000)
      .default(24 * 60 * 60 * 1000)
      .describe("A sandbox lives no longer than this; seven days at the most, as its model token"),
    memoryMiB: z.number().int().positive().default(512).describe("Memory that a sandbox is given"),
    memoryLimitMiB: z.number().int().positive().default(4096).describe("Memory that it may use at the most"),
    cpu: z.number().positive().default(0.5).describe("Cores that a sandbox is given"),
    cpuLimit: z.number().positive().default(4).describe("Cores that it may use at the most"),
    idleProcessMs: durationMs(10 * 60 * 1000).describe(
      "A process of Claude Code without a turn is ended after this; it comes back with its conversation",
    ),
    idleSandboxMs: durationMs(20 * 60 * 1000).describe("A sandbox without a turn is stopped after this"),
    stallNoticeMs: durationMs(60 * 1000).describe(
      "A session says so when the model has been silent for this long in the middle of an answer, and again after five minutes",
    ),
    startLimitMs: durationMs(10 * 60 * 1000).describe(
      "A turn in which Claude Code has not asked the model for this long, e.g. because a hook of its start hangs, is ended",
    ),
    claudeAnswerMs: durationMs(10 * 1000).describe(
      "How long Claude Code may take to say something of itself (`GET /v1/sessions/{id}/claude/…`)",
    ),
    permissionMode: z
      .enum(["default", "acceptEdits", "plan", "bypassPermissions"])
      .default("bypassPermissions")
      .describe("Of Claude Code, where the agent does not say"),
    claudeEnv: z
      .record(z.string(), z.string())
      .default({})
      .describe("More variables for Claude Code. Never secrets: its tools can read them"),
  })
  .prefault({});
export type SandboxOptions = z.infer<typeof SandboxOptions>;

export const ServerOptions = z.object({
  host: filled
    .default("127.0.0.1")
    .describe("Address to listen on. Anything but loopback needs a TLS proxy in front, and its name in `allowedHosts`"),
  port: z.number().int().min(0).max(65535).default(4600),
  dataDir: filled,
  /** Default: `server.sqlite` in `dataDir`. */
  databaseFile: filled.optional(),
  databaseUrl: PostgresUrl.optional().describe(
    "PostgreSQL, as `postgresql://user:password@host:port/database`. Absent: a SQLite file in the data directory",
  ),
  /** Dropped to after port and data directory are open, when started as root. */
  uid: z.number().int().positive().optional(),
  gid: z.number().int().positive().optional(),
  allowedHosts: z
    .array(filled)
    .default([])
    .describe("`host` or `host:port` that requests may name beside our own loopback names"),
  allowedOrigins: z
    .array(filled)
    .default([])
    .describe("Full origins (`https://holdfast.example`) of pages that may call the API, beside our own"),
  /** Signs the links that log a browser in as the account `default`, each once. Absent: no login by link. */
  loginSecret: z.string().min(32).optional(),
  /** Signs login cookies. Default: one of our own, kept in `dataDir`. */
  cookieSecret: z.string().min(16).optional(),
  /** The built UI. Absent or missing: only the API. */
  webDir: z.string().optional(),
  /** Absent: sessions can be read, messages fail with `sandbox_unavailable`. */
  modal: ModalOptions.optional(),
  gateway: GatewayOptions.optional(),
  s3: S3Options,
  image: ImageOptions,
  sandbox: SandboxOptions,
  heartbeatMs: durationMs(15_000).describe("A silent stream says `ping` this often"),
  sweepEveryMs: durationMs(60_000).describe(
    "The sandboxes that run are compared with those that are known, at the start and this often",
  ),
  unknownSandboxKeptMs: durationMs(60 * 60 * 1000).describe(
    "A sandbox with our tag and without a workspace here (an older or empty database was put back) is saved and ended after this",
  ),
  recordsKeptMs: z
    .number()
    .int()
    // Rows of sandboxes count as long as these may live.
    .min(8 * 24 * 60 * 60 * 1000)
    .default(30 * 24 * 60 * 60 * 1000)
    .describe(
      "Ended sandboxes, finished saves, revoked keys, rules that were taken back and deleted workspaces without sessions are forgotten after this",
    ),
  logLevel: z.enum(["silent", "error", "warn", "info", "debug"]).default("info").describe("Of the log on stderr"),
});
export type ServerOptions = z.output<typeof ServerOptions>;
export type ServerOptionsInput = z.input<typeof ServerOptions>;

/** All problems at once, each with its path. */
export function parseOptions(input: unknown): ServerOptions {
  const parsed = ServerOptions.safeParse(input);
  if (parsed.success) return parsed.data;
  const list = parsed.error.issues.map((issue) => `${issue.path.join(".") || "(options)"}: ${issue.message}`);
  throw new Error(`The server's options are not valid: ${list.join("; ")}`);
}

/** The options of a process: a private JSON file that `HOLDFAST_OPTIONS_FILE` names. */
export function readOptionsFile(env: Record<string, string | undefined> = process.env): unknown {
  const path = env.HOLDFAST_OPTIONS_FILE;
  if (path === undefined) throw new Error("HOLDFAST_OPTIONS_FILE is not set; start Holdfast with `script/start`.");
  return JSON.parse(readFileSync(path, "utf8"));
}
