import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { arch, release } from "node:os";
import { join } from "node:path";
import { CliError } from "../command.ts";
import { ownVersion } from "../commands/version.ts";
import type { CliEnv } from "../config/env.ts";
import { maskSecrets } from "../render/tool-words.ts";
import type { Point } from "./point.ts";

const logBytes = 100_000;

/** Versions, settings and the ends of the logs in one file, without secrets. Throws CliError. */
export function writeBundle(path: string, input: { points: readonly Point[]; dataDir: string; env: CliEnv }): void {
  const { points, dataDir, env } = input;
  const secrets = secretsOf(dataDir, env);
  const bundle = {
    made_at: new Date().toISOString(),
    versions: { holdfast: ownVersion(), node: process.version, kernel: release(), arch: arch() },
    settings: {
      data_dir: dataDir,
      server_url: env.serverUrl ?? null,
      config_file: env.configFile,
      anthropic_key_in_environment: env.anthropicApiKey !== undefined,
      api_key_in_environment: env.apiKey !== undefined,
    },
    points,
    logs: logsOf(join(dataDir, "run", "logs")),
  };
  try {
    writeFileSync(path, `${redact(JSON.stringify(bundle, null, 2), secrets)}\n`, { mode: 0o600 });
  } catch (error) {
    throw new CliError(
      `${path} cannot be written`,
      error instanceof Error ? error.message : String(error),
      "Choose another FILE.",
      {
        cause: error,
      },
    );
  }
}

/** The whole URL, and its password alone: a driver's error may name either. */
function databaseSecrets(url: string | undefined): (string | undefined)[] {
  if (url === undefined || !URL.canParse(url)) return [url];
  const { password } = new URL(url);
  return [url, password, decodeURIComponent(password)];
}

/** Known secrets by their value, others by their look. */
export function redact(text: string, secrets: readonly string[]): string {
  let result = text;
  for (const secret of secrets) result = result.replaceAll(secret, "••••");
  return maskSecrets(result.replace(/([?&]token=)[^\s"'&\\]+/g, "$1••••"));
}

function secretsOf(dataDir: string, env: CliEnv): string[] {
  const known = [
    env.anthropicApiKey,
    ...databaseSecrets(env.databaseUrl),
    env.apiKey,
    ...valuesOf(join(dataDir, "secrets.json")),
    ...valuesOf(env.configFile),
  ];
  return known.filter((value): value is string => value !== undefined && value.length >= 12 && !/^https?:/.test(value));
}

function valuesOf(path: string): string[] {
  try {
    const values: unknown[] = Object.values(JSON.parse(readFileSync(path, "utf8")) as object);
    return values.filter((value) => typeof value === "string");
  } catch {
    // Absent or not ours to read: then neither are the logs that could hold its values.
    return [];
  }
}

function logsOf(directory: string): Record<string, string[]> {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    // Nothing ran here, or it is not ours to read.
    return {};
  }
  return Object.fromEntries(names.map((name) => [name, tailOf(join(directory, name))]));
}

function tailOf(path: string): string[] {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, logBytes));
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    const lines = bytes.toString("utf8").split("\n");
    // The first line is cut in the middle: a secret in it might not be known any more.
    return size > logBytes ? lines.slice(1) : lines;
  } finally {
    closeSync(file);
  }
}
