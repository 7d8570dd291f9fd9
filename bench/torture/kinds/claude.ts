import type { Kind } from "../kind.ts";
import { isClaude } from "../machine.ts";

export const claude: Kind = {
  name: "claude",
  what: "SIGKILL or SIGTERM of the Claude Code processes of all sessions; one tool call of the turn never ends by itself",
  rounds: 30,
  turn: "ends",
  sessions: 2,
  wall: true,
  async strike({ installation, random, signal }) {
    const name = random.pick(["SIGKILL", "SIGTERM"] as const);
    let kills = 0;
    // A turn whose process has not started yet would come to the call that never ends.
    for (let found = 0; found < 2 && !signal.aborted; ) {
      const all = installation.processes().filter(isClaude);
      found = Math.max(found, all.length);
      for (const { pid } of all) process.kill(pid, name);
      kills += all.length;
      if (all.length > 0) break;
    }
    return { kills, detail: name };
  },
};
