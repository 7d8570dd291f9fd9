import { homedir } from "node:os";
import { join } from "node:path";

/** The only place where the command reads the environment. */
export interface CliEnv {
  /** The operator's key; given to the gateway at its first start, never to a sandbox. */
  anthropicApiKey: string | undefined;
  /** Where everything durable lies, when `--data-dir` does not say. */
  dataDir: string | undefined;
  /** Where image layers lie when several data directories share them. */
  imageCacheDir: string | undefined;
  /** PostgreSQL instead of a SQLite file: `postgresql://user:password@host:port/database`. A secret. */
  databaseUrl: string | undefined;
  /** Where the server is, when `--server` does not say. */
  serverUrl: string | undefined;
  /** The account's key for that server. */
  apiKey: string | undefined;
  /** The file that `holdfast login` writes. */
  configFile: string;
  /** Colours only on a terminal that did not refuse them. */
  noColor: boolean;
  /** A terminal that cannot move its cursor gets no live lines. */
  dumbTerminal: boolean;
}

export function readEnv(env: NodeJS.ProcessEnv = process.env): CliEnv {
  const text = (name: string) => {
    const value = env[name]?.trim();
    return value === undefined || value === "" ? undefined : value;
  };
  return {
    anthropicApiKey: text("ANTHROPIC_API_KEY"),
    dataDir: text("HOLDFAST_DATA_DIR"),
    imageCacheDir: text("HOLDFAST_IMAGE_CACHE_DIR"),
    databaseUrl: text("DATABASE_URL"),
    serverUrl: text("HOLDFAST_URL"),
    apiKey: text("HOLDFAST_API_KEY"),
    configFile: join(text("XDG_CONFIG_HOME") ?? join(text("HOME") ?? homedir(), ".config"), "holdfast", "config.json"),
    noColor: text("NO_COLOR") !== undefined || text("TERM") === "dumb",
    dumbTerminal: text("TERM") === "dumb",
  };
}

/** What a service process inherits: where to find programs, compiled code and the machine's certificates, nothing else. */
export function childEnv(optionsFile: string, env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const passed = [
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "NODE_COMPILE_CACHE",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
  ];
  const result: Record<string, string> = { HOLDFAST_OPTIONS_FILE: optionsFile };
  for (const name of passed) {
    const value = env[name];
    if (value !== undefined) result[name] = value;
  }
  return result;
}

/** Where programs are looked for. */
export function searchPath(env: NodeJS.ProcessEnv = process.env): string[] {
  return (env.PATH ?? "").split(":").filter((directory) => directory !== "");
}
