import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";

export interface WebFile {
  bytes: Uint8Array<ArrayBuffer>;
  type: string;
  /** Its name changes with its content. */
  immutable: boolean;
}

/** By URL path. */
export type WebFiles = ReadonlyMap<string, WebFile>;

const types: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

/**
 * The built page, read once: before the server gives up the rights to read the checkout, and so that no request names a
 * path of this machine. Empty when the directory does not exist.
 */
export async function readWebFiles(directory: string | undefined): Promise<WebFiles> {
  const files = new Map<string, WebFile>();
  if (directory === undefined) return files;
  for (const entry of await list(directory)) {
    const path = join(entry.parentPath, entry.name);
    const url = `/${relative(directory, path).split(sep).join("/")}`;
    files.set(url, {
      bytes: new Uint8Array(await readFile(path)),
      type: types[extname(entry.name)] ?? "application/octet-stream",
      immutable: url.startsWith("/assets/"),
    });
  }
  return files;
}

async function list(directory: string) {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile());
  } catch (error) {
    // Not built: only the API is served, and a request for the page is told so.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
