import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { CliError } from "../command.ts";

/**
 * What an operator may set for each service in `config.json`. All other options of a service are decided by `holdfast up`
 * itself: addresses, ports, users, secrets.
 */
export const settable = {
  server: [
    "host",
    "allowedHosts",
    "allowedOrigins",
    "image",
    "sandbox",
    "s3",
    "heartbeatMs",
    "sweepEveryMs",
    "recordsKeptMs",
    "logLevel",
  ],
  gateway: [
    "upstream",
    "scriptedModel",
    "maxBodyBytes",
    "maxBufferedBytes",
    "upstreamSilenceMs",
    "upstreamConnectMs",
    "logLevel",
  ],
  engine: [
    "ociRuntime",
    "honourImageUser",
    "sandboxDefaults",
    "disk",
    "keepFree",
    "memory",
    "registry",
    "buildPrivateNetworks",
    "buildAbandonedMs",
    "buildTimeoutMs",
    "outputRetentionMs",
    "output",
    "imageCacheDir",
    "logLevel",
  ],
  s3: ["maxConcurrent", "idleTimeoutMs", "keepFreeBytes", "logLevel"],
} as const satisfies Record<ServiceName, readonly string[]>;

export type ServiceName = "server" | "gateway" | "engine" | "s3";
/** Options by service, as the operator wrote them. */
export type FileConfig = Partial<Record<ServiceName, Record<string, unknown>>>;

/** The file in the data directory that `holdfast up` reads. */
export const configFileName = "config.json";

/** Everything that is wrong with the file, at once. */
export class ConfigFileError extends CliError {
  override name = "ConfigFileError";
  readonly problems: readonly string[];
  constructor(path: string, problems: readonly string[]) {
    const todo = "Correct the file and start again; docs/configuration.md lists what can be set.";
    super(`${path} is not valid; nothing was started.`, problems.join("\n"), todo);
    this.problems = problems;
  }
}

/** Undefined-free: `{}` when there is no such file. Throws `ConfigFileError`. */
export async function readConfigFile(dataDir: string): Promise<FileConfig> {
  const path = join(dataDir, configFileName);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    throw error;
  }
  const { config, problems } = await checkConfig(text);
  if (hasSecret(config) && (statSync(path).mode & 0o077) !== 0) {
    problems.push("it holds a secret and others may read it: run `chmod 600` on it");
  }
  if (problems.length > 0) throw new ConfigFileError(path, problems);
  return config;
}

/** Parses and checks the text of a file; never throws for what is in it. */
export async function checkConfig(text: string): Promise<{ config: FileConfig; problems: string[] }> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { config: {}, problems: [`it is not JSON: ${error instanceof Error ? error.message : String(error)}`] };
  }
  const parsed = z.strictObject(await schemas()).safeParse(value);
  if (parsed.success) return { config: value as FileConfig, problems: [] };
  return { config: {}, problems: parsed.error.issues.flatMap(explain) };
}

function explain(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const of = issue.path.length === 0 ? "the services are" : "docs/configuration.md lists what can be set;";
    const names = issue.path.length === 0 ? Object.keys(settable).join(", ") : "";
    return issue.keys.map((key) => `${at === "" ? key : `${at}.${key}`}: cannot be set; ${of} ${names}`.trim());
  }
  return [`${at || "the file"}: ${issue.message}`];
}

/** For each service the schema of what can be set; also what docs/configuration.md is made from. */
export async function schemas() {
  // Only who has such a file pays for loading the services.
  const [server, gateway, engine, s3] = await Promise.all([
    import("@holdfast/server"),
    import("@holdfast/gateway"),
    import("@holdfast/engine"),
    import("@holdfast/s3"),
  ]);
  return {
    server: pick(server.ServerOptions.shape, settable.server),
    gateway: pick(gateway.GatewayOptions.shape, settable.gateway),
    engine: pick(engine.EngineOptions.shape, settable.engine),
    s3: pick(s3.S3ProcessOptions.shape, settable.s3),
  };
}

function pick(shape: Readonly<Record<string, z.ZodType>>, names: readonly string[]) {
  const entries = names.map((name) => {
    const schema = shape[name];
    if (schema === undefined) throw new Error(`there is no option ${name}`);
    return [name, schema.optional()] as const;
  });
  return z.strictObject(Object.fromEntries(entries)).optional();
}

/** Named whole or not at all: half of one storage and half of another are neither. */
const replacedWhole = ["server.s3"];

/** The options of one service with the operator's on top: objects are merged, everything else is replaced. */
export function withConfig(
  config: FileConfig,
  name: ServiceName,
  options: Record<string, unknown>,
): Record<string, unknown> {
  return merge(options, config[name] ?? {}, name);
}

function merge(base: Record<string, unknown>, over: Record<string, unknown>, path: string): Record<string, unknown> {
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const at = `${path}.${key}`;
    const before = result[key];
    const both = isPlain(before) && isPlain(value) && !replacedWhole.includes(at);
    result[key] = both ? merge(before, value, at) : value;
  }
  return result;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasSecret(config: FileConfig): boolean {
  const { s3 } = config.server ?? {};
  return isPlain(s3) && typeof s3.secretAccessKey === "string";
}
