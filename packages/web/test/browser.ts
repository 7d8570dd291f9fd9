import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { build } from "vite";

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
  await build({ root, logLevel: "error", build: { outDir: dist, emptyOutDir: true } });
  return { dist, [Symbol.asyncDispose]: () => rm(dist, { recursive: true, force: true }) };
}
