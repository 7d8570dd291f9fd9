import type { Kind } from "../kind.ts";

export const server: Kind = {
  name: "server",
  what: "SIGKILL of the server's process; it is started again as `holdfast up` does",
  rounds: 100,
  turn: "goes_on",
  sessions: 1,
  async strike({ installation: { kit } }) {
    kit.system.services.server.kill();
    return { kills: 1, detail: "SIGKILL" };
  },
};
