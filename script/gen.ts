import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openApiFile, problemsPage } from "./gen-api.ts";
import { configurationPage } from "./gen-configuration.ts";

const root = join(import.meta.dirname, "..");

/** Every file of the repository that is made from the sources, with what it must hold. */
export async function generated(): Promise<Map<string, string>> {
  return new Map([
    ["openapi.json", openApiFile(root)],
    ["docs/problems.md", problemsPage()],
    ["docs/configuration.md", await configurationPage(root)],
  ]);
}

if (import.meta.main) {
  for (const [name, text] of await generated()) {
    const path = join(root, name);
    let before: string | undefined;
    try {
      before = readFileSync(path, "utf8");
    } catch {
      // The first time.
    }
    if (before === text) continue;
    writeFileSync(path, text);
    console.log(`Wrote ${name}`);
  }
}
