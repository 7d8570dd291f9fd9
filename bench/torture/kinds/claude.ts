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
    while (kills === 0 && !signal.aborted) {
      const all = installation.processes().filter(isClaude);
      for (const { pid } of all) process.kill(pid, name);
      kills += all.length;
    }
    return { kills, detail: name };
  },
};
