import { readFileSync } from "node:fs";
import { z } from "zod";

const url = z.url().transform((value) => value.replace(/\/+$/, ""));
const filled = z.string().min(1);
const durationMs = (fallback: number) => z.number().int().positive().default(fallback);

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
    buckets: z.record(z.string(), z.string().nullish()).nullish(),
    /** As we see it. Absent: AWS itself. */
    endpoint: z.string().nullish(),
    /** As a sandbox sees it. Default: `endpoint`. */
    sandboxEndpoint: z.string().nullish(),
    /** The name that a sandbox's network policy must allow. Default: the host of `sandboxEndpoint`. */
    sandboxDomain: z.string().nullish(),
    region: z.string().nullish(),
    accessKeyId: z.string().nullish(),
    secretAccessKey: z.string().nullish(),
    /** Role for AssumeRole. The embedded server takes any. */
    roleArn: z.string().nullish(),
    /** Hands the key above to the sync process where the storage has no temporary ones. Read docs/security.md first. */
    allowStaticCredentials: z.boolean().nullish(),
  })
  .nullish();
export type S3Options = z.infer<typeof S3Options>;

export const ImageOptions = z
  .object({
    base: filled.default("node:24-bookworm-slim"),
    claudeVersion: z
      .string()
      .regex(/^\d+\.\d+\.\d+$/)
      .default("2.1.330"),
    /** Steps of the operator's own, before `USER root`. */
    extraCommands: z.array(z.string()).default([]),
  })
  .prefault({});
export type ImageOptions = z.infer<typeof ImageOptions>;

export const SandboxOptions = z
  .object({
    timeoutMs: durationMs(24 * 60 * 60 * 1000),
    memoryMiB: z.number().int().positive().default(512),
    memoryLimitMiB: z.number().int().positive().default(4096),
    cpu: z.number().positive().default(0.5),
    cpuLimit: z.number().positive().default(4),
    /** A process of Claude Code without a turn is ended after this; it comes back with `--resume`. */
    idleProcessMs: durationMs(10 * 60 * 1000),
    /** A sandbox without a turn is stopped after this. */
    idleSandboxMs: durationMs(20 * 60 * 1000),
    permissionMode: z.enum(["default", "acceptEdits", "plan", "bypassPermissions"]).default("bypassPermissions"),
    /** More variables for Claude Code. Never secrets: its tools can read them. */
    claudeEnv: z.record(z.string(), z.string()).default({}),
  })
  .prefault({});
export type SandboxOptions = z.infer<typeof SandboxOptions>;

export const ServerOptions = z.object({
  host: filled.default("127.0.0.1"),
  port: z.number().int().min(0).max(65535).default(4600),
  dataDir: filled,
  /** Default: `server.sqlite` in `dataDir`. */
  databaseFile: filled.optional(),
  /** Dropped to after port and data directory are open, when started as root. */
  uid: z.number().int().positive().optional(),
  gid: z.number().int().positive().optional(),
  /** `host` or `host:port` beside our own loopback names. */
  allowedHosts: z.array(filled).default([]),
  /** Full origins (`https://holdfast.example`) beside our own. */
  allowedOrigins: z.array(filled).default([]),
  /** Logs a browser in as the account `default`. Absent: no login by link. */
  loginToken: z.string().min(16).optional(),
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
  heartbeatMs: durationMs(15_000),
  /** What the provider runs is compared with what we know, at the start and every so often. */
  sweepEveryMs: durationMs(60_000),
  logLevel: z.enum(["silent", "error", "warn", "info", "debug"]).default("info"),
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
