import { type FileHandle, link, open, rename } from "node:fs/promises";

/**
 * The calls on which an acknowledgement rests. The store takes them from here, so that a test can put a recorder or a
 * fault between the store and the real files.
 */
export interface FileCalls {
  open(path: string, flags: string, mode: number): Promise<FileHandle>;
  rename(from: string, to: string): Promise<void>;
  link(from: string, to: string): Promise<void>;
}

export const realFiles: FileCalls = { open, rename, link };
