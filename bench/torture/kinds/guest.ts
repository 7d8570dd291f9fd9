import type { Kind } from "../kind.ts";
import { isGuest } from "../machine.ts";

export const guest: Kind = {
  name: "guest",
  what: "SIGKILL of the guest in the sandbox, which holds Claude's pipes; one tool call of the turn never ends by itself",
  rounds: 30,
  turn: "ends",
  sessions: 2,
  wall: true,
  async strike({ installation }) {
    const guests = installation.processes().filter(isGuest);
    for (const { pid } of guests) process.kill(pid, "SIGKILL");
    return { kills: guests.length, detail: "SIGKILL" };
  },
};
