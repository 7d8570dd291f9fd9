import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { CliError } from "../command.ts";

/** What `holdfast login` keeps: which server, and the key for it. */
export interface Login {
  url: string;
  apiKey: string;
}

/** Undefined when nobody logged in. Throws CliError when the file is not what `login` wrote. */
export function readLogin(path: string): Login | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw damaged(path, error);
  }
  try {
    const value = JSON.parse(text) as Partial<Login> | null;
    if (typeof value?.url === "string" && typeof value.apiKey === "string")
      return { url: value.url, apiKey: value.apiKey };
  } catch (error) {
    throw damaged(path, error);
  }
  throw damaged(path, new Error("it lacks the server's address or the key"));
}

function damaged(path: string, error: unknown): CliError {
  const why = error instanceof Error ? error.message : String(error);
  return new CliError(`${path} cannot be read`, why, "Run `holdfast login` again; it writes the file anew.", {
    cause: error,
  });
}

/** Only its owner can read it. */
export function writeLogin(path: string, login: Login): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, `${JSON.stringify(login, null, 2)}\n`, { mode: 0o600 });
  chmodSync(temporary, 0o600);
  renameSync(temporary, path);
}
