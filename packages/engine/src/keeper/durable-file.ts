import { open, readFile, rename } from "node:fs/promises";

/** Replaces a small JSON file so that a crash leaves the old or the new one, never half. */
export async function writeJsonDurably(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(JSON.stringify(value));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** The parsed file, undefined when it is missing or was torn by a crash. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    // Missing or unreadable means the same to every caller: there is no such record.
    return undefined;
  }
}
