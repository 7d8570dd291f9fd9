import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** How this machine's package clients reach the world; image builds get the same, and nothing of it stays in an image. */
export interface MachineSettings {
  /** PEM bundle of the certificate authorities that this machine trusts; undefined: the image's own. */
  caBundle: string | undefined;
  /** http_proxy, https_proxy, no_proxy in both spellings, as far as they are set. */
  proxies: Record<string, string>;
  /** Environment of the host commands that make base images. */
  hostEnv: Record<string, string>;
  /** apt.conf lines: the machine's proxies and its lenience about dates. */
  aptSettings: string;
  /** The npm that goes with the running Node. */
  npm: string;
}

export function readMachineSettings(env: Record<string, string | undefined> = process.env): MachineSettings {
  const proxies: Record<string, string> = {};
  for (const name of ["http_proxy", "https_proxy", "no_proxy"]) {
    const value = env[name] ?? env[name.toUpperCase()];
    if (value) Object.assign(proxies, { [name]: value, [name.toUpperCase()]: value });
  }
  const bundle = [env.NODE_EXTRA_CA_CERTS, env.SSL_CERT_FILE, "/etc/ssl/certs/ca-certificates.crt"].find(
    (path) => path !== undefined && path !== "" && existsSync(path),
  );
  const npm = join(dirname(process.execPath), "npm");
  return {
    caBundle: bundle === undefined ? undefined : readFileSync(bundle, "utf8"),
    proxies,
    hostEnv: readHostEnv(env),
    aptSettings: readAptSettings(),
    npm: existsSync(npm) ? npm : "npm",
  };
}

/** No more of the environment than npm and mmdebstrap need. */
function readHostEnv(env: Record<string, string | undefined>): Record<string, string> {
  const out: Record<string, string> = {
    // npm is a script that looks for `node`.
    PATH: `${dirname(process.execPath)}:${env.PATH ?? ""}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: env.HOME ?? "/root",
    LANG: "C.UTF-8",
  };
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && /^(npm_config_.*|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR)$/i.test(name)) {
      out[name] = value;
    }
  }
  return out;
}

function readAptSettings(): string {
  const names = ["Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy", "Acquire::https::Proxy"];
  const dump = spawnSync("apt-config", ["dump", '--format=%f "%v";%n', ...names], { encoding: "utf8" });
  // A machine without apt has no settings to pass on.
  return dump.status === 0 ? dump.stdout : "";
}

/** The options file of `main.ts`: a 0600 JSON file named by HOLDFAST_OPTIONS_FILE. */
export function readOptionsFile(env: Record<string, string | undefined> = process.env): unknown {
  const path = env.HOLDFAST_OPTIONS_FILE;
  if (!path) throw new Error("HOLDFAST_OPTIONS_FILE is not set; it names the JSON file with the engine's options");
  return JSON.parse(readFileSync(path, "utf8"));
}
