import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../command.ts";

/** The token of a data directory's login link; only its owner can read it. Throws CliError. */
export function readLoginToken(dataDir: string): string {
  const path = join(dataDir, "secrets.json");
  try {
    const { loginToken } = JSON.parse(readFileSync(path, "utf8")) as { loginToken?: unknown };
    if (typeof loginToken === "string") return loginToken;
    throw new Error("it holds no login token");
  } catch (error) {
    throw new CliError(
      `${path} cannot be read`,
      error instanceof Error ? error.message : String(error),
      "Run this as the user who runs `holdfast up`, with its --data-dir.",
      { cause: error },
    );
  }
}
