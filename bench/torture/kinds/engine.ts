import type { Kind } from "../kind.ts";

export const engine: Kind = {
  name: "engine",
  what: "SIGKILL of the engine's process; it is started again as `holdfast up` does",
  rounds: 30,
  turn: "goes_on",
  sessions: 1,
  async strike({ installation: { kit } }) {
    kit.system.services.engine.kill();
    return { kills: 1, detail: "SIGKILL" };
  },
};
