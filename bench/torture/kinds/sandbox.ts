import type { Kind } from "../kind.ts";
import { isInit } from "../machine.ts";

export const sandbox: Kind = {
  name: "sandbox",
  what: "the sandbox is terminated through the SDK, or its first process is killed on the machine",
  rounds: 30,
  turn: "forfeits",
  sessions: 2,
  wall: true,
  async strike({ installation, random }) {
    // Everything that is spooled until now can be read to its end.
    installation.tap.look();
    if (random.next() < 0.5) {
      const running = await installation.kit.sandbox();
      await running.terminate();
      return { kills: 1, detail: "terminated" };
    }
    const inits = installation.processes().filter(isInit);
    for (const { pid } of inits) process.kill(pid, "SIGKILL");
    return { kills: inits.length, detail: "first process killed" };
  },
};
