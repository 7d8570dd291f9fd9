import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../command.ts";

/** What the parts of one installation know of each other; made at the first start, kept in a root-only file. */
export interface Secrets {
  /** Tells this installation's sandboxes from others' on the same Modal account. */
  installationId: string;
  modalTokenId: string;
  modalTokenSecret: string;
  gatewayAdminToken: string;
  gatewayTokenSecret: string;
  s3AccessKeyId: string;
  s3SecretAccessKey: string;
  /** Signs login links. */
  loginSecret: string;
  cookieSecret: string;
}

const names: (keyof Secrets)[] = [
  "installationId",
  "modalTokenId",
  "modalTokenSecret",
  "gatewayAdminToken",
  "gatewayTokenSecret",
  "s3AccessKeyId",
  "s3SecretAccessKey",
  "cookieSecret",
];

/** Came with a later version: made when it is not there. */
const later = ["loginSecret"] as const satisfies (keyof Secrets)[];

const random = (bytes: number) => randomBytes(bytes).toString("hex");

function newSecrets(): Secrets {
  return {
    installationId: random(6),
    modalTokenId: `ak-${random(11)}`,
    modalTokenSecret: `as-${random(20)}`,
    gatewayAdminToken: random(32),
    gatewayTokenSecret: random(32),
    s3AccessKeyId: `HF${random(9).toUpperCase()}`,
    s3SecretAccessKey: random(20),
    loginSecret: random(32),
    cookieSecret: random(32),
  };
}

/** Reads the installation's secrets, or makes them. Throws CliError when the file is there but not ours. */
export function loadSecrets(dataDir: string): Secrets {
  const path = join(dataDir, "secrets.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return writeSecrets(path, newSecrets());
  }
  const damaged = (why: string) =>
    new CliError(
      `${path} is damaged`,
      why,
      "Restore it from a backup, or choose another --data-dir; without it running sandboxes are not found again.",
    );
  let value: Partial<Record<keyof Secrets, unknown>>;
  try {
    value = JSON.parse(text) as typeof value;
  } catch (error) {
    throw damaged(error instanceof Error ? error.message : String(error));
  }
  const missing = names.filter((name) => typeof value[name] !== "string" || value[name] === "");
  if (missing.length > 0) throw damaged(`it lacks ${missing.join(", ")}`);
  if (later.every((name) => typeof value[name] === "string")) return value as Secrets;
  const { loginSecret } = newSecrets();
  // The token of links that worked for ever is worth nothing any more.
  const { loginToken: _, ...kept } = value as Secrets & { loginToken?: string };
  return writeSecrets(path, { ...kept, loginSecret });
}

function writeSecrets(path: string, secrets: Secrets): Secrets {
  writePrivateFile(path, `${JSON.stringify(secrets, null, 2)}\n`);
  return secrets;
}

/** A 0600 file that is either the old or the new one, whatever dies in between. */
export function writePrivateFile(path: string, content: string): void {
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", 0o600);
  writeSync(file, content);
  fsyncSync(file);
  closeSync(file);
  renameSync(temporary, path);
}
