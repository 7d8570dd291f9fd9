import { readdirSync, statSync } from "node:fs";
import { readJson, writeJsonDurably } from "./durable-file.ts";
import { execPaths, isSafeName, type Layout, sandboxPaths } from "./paths.ts";
import type { ExecSnapshot } from "./protocol.ts";

/** Execs whose end nobody saw since their keeper died: killed with their sandbox, with the output that was kept. */
export async function closeLostExecs(layout: Layout, sandboxId: string): Promise<void> {
  for (const execId of execIds(sandboxPaths(layout, sandboxId).execs)) {
    const paths = execPaths(layout, sandboxId, execId);
    if ((await readJson(paths.exit)) !== undefined) continue;
    const size = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const lost: ExecSnapshot = {
      exit: { signal: 9 },
      stdinBytes: 0,
      stdinClosed: true,
      stdoutBytes: size(paths.stdout),
      stderrBytes: size(paths.stderr),
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
