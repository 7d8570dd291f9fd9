import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { TestKit } from "@holdfast/testkit";

/** A word that occurs nowhere else. */
export function canaryWord(): string {
  return `canary${randomBytes(12).toString("hex")}`;
}

/** Files below the data directory that hold the word, relative to it; journals, logs and spools as well. */
export function filesWith(kit: TestKit, word: string): string[] {
  try {
    // Lines end at NUL: an image of 10 GiB, mostly holes, would else be one line in grep's memory.
    const found = execFileSync("grep", ["-rlazF", "--devices=skip", "--", word, "."], {
      cwd: kit.dataDir,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 64 * 1024 * 1024,
    });
    return found.trim().split("\n").sort();
  } catch (error) {
    // 1: nothing found; 2: a file went away while it was read.
    if (error instanceof Error && "status" in error && (error.status === 1 || error.status === 2)) {
      const said = "stdout" in error ? String(error.stdout).trim() : "";
      return said === "" ? [] : said.split("\n").sort();
    }
    throw error;
  }
}
