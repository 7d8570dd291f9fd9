import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function launch(): Promise<Browser> {
  return await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args });
}

/** The page as it is shipped, built into a directory of its own. */
export async function buildPage(): Promise<{ dist: string } & AsyncDisposable> {
  const dist = await mkdtemp(join(tmpdir(), "holdfast-web-"));
  const root = join(import.meta.dirname, "..");
  // A process of its own: inside of the test runner, NODE_ENV would make it React's development build.
  const vite = createRequire(import.meta.url)
    .resolve("vite/package.json")
    .replace(/package\.json$/, "bin/vite.js");
  await promisify(execFile)(process.execPath, [vite, "build", root, "--outDir", dist, "--emptyOutDir"], {
    env: { ...process.env, NODE_ENV: "production" },
  });
  return { dist, [Symbol.asyncDispose]: () => rm(dist, { recursive: true, force: true }) };
}
