import { createHash } from "node:crypto";
import { join } from "node:path";
import { build } from "esbuild";

/** The guest as one file for a sandbox's image; needs nothing but Node there. `sha256` is hexadecimal. */
export async function bundleGuest(): Promise<{ code: string; sha256: string }> {
  const result = await build({
    entryPoints: [join(import.meta.dirname, "main.ts")],
    bundle: true,
    minify: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node24",
    // No path of this machine in the file: its hash is the same everywhere.
    absWorkingDir: import.meta.dirname,
    legalComments: "none",
    logLevel: "silent",
  });
  const code = result.outputFiles[0]?.text ?? "";
  return { code, sha256: createHash("sha256").update(code).digest("hex") };
}
