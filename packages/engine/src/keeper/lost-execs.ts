import { readdirSync } from "node:fs";
import { readJson, writeJsonDurably } from "./durable-file.ts";
import type { OutputBook } from "./output-ledger.ts";
import { execPaths, isSafeName, type Layout, sandboxPaths } from "./paths.ts";
import type { ExecSnapshot } from "./protocol.ts";
import { RestoredExec } from "./restored-exec.ts";

/**
 * Execs of a keeper that died, with the output that was kept: each is `found`, and one whose end nobody saw was killed with
 * its sandbox.
 */
export async function closeLostExecs(
  layout: Layout,
  sandboxId: string,
  { book, found }: { book: OutputBook; found: (execId: string, exec: RestoredExec) => void },
): Promise<void> {
  for (const execId of execIds(sandboxPaths(layout, sandboxId).execs)) {
    const paths = execPaths(layout, sandboxId, execId);
    const exec = new RestoredExec(paths.dir, book);
    found(execId, exec);
    if ((await readJson(paths.exit)) !== undefined) continue;
    const lost: ExecSnapshot = {
      exit: { signal: 9 },
      stdinBytes: 0,
      stdinClosed: true,
      ...exec.counts(),
      lostBytes: 0,
    };
    await writeJsonDurably(paths.exit, lost);
  }
}

function execIds(dir: string): string[] {
  try {
    return readdirSync(dir).filter(isSafeName);
  } catch (error) {
    // One that never had an exec has no directory for them.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
