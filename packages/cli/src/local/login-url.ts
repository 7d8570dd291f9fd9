import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { formatLoginLinkToken, loginLinkLifetimeMs, loginLinkPayload } from "@holdfast/std";
import { CliError } from "../command.ts";

/** A link that logs a browser in as the administrator: once, within a quarter of an hour. `url`: the server's. */
export function makeLoginUrl(url: string, secret: string, nowMs: number = Date.now()): string {
  const link = { nonce: randomBytes(18).toString("base64url"), expiresMs: nowMs + loginLinkLifetimeMs };
  const signature = createHmac("sha256", secret).update(loginLinkPayload(link)).digest("base64url");
  return `${url}/login?token=${formatLoginLinkToken({ ...link, signature })}`;
}

/** What signs the links of a data directory; only its owner can read it. Throws CliError. */
export function readLoginSecret(dataDir: string): string {
  const path = join(dataDir, "secrets.json");
  try {
    const { loginSecret } = JSON.parse(readFileSync(path, "utf8")) as { loginSecret?: unknown };
    if (typeof loginSecret === "string") return loginSecret;
    throw new Error("it holds no secret for login links; an older version made it, and the next start adds one");
  } catch (error) {
    throw new CliError(
      `${path} cannot be read`,
      error instanceof Error ? error.message : String(error),
      "Run this as the user who runs `holdfast up`, with its --data-dir.",
      { cause: error },
    );
  }
}
