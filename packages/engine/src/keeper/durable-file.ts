import { open, readFile, rename, rm } from "node:fs/promises";

/** Replaces a small JSON file so that a crash leaves the old or the new one, never half. */
export async function writeJsonDurably(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(JSON.stringify(value));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // The half-written one would only take room; the failure itself is what is told.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** The parsed file, undefined when it is missing or was torn by a crash; throws when it cannot be read just now. */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text);
  } catch {
    // Torn: the same to every caller as no record.
    return undefined;
  }
}
