import { api } from "@holdfast/protocol";
import type { AppContext } from "../context.ts";
import { type Implemented, implement } from "./implement.ts";

/** What runs beside a session's turns. */
export function backgroundRoutes({ sessions }: AppContext): Implemented[] {
  return [
    implement(api.background.stop, ({ account, params }) => sessions.stopTask(account.id, params.id, params.task_id)),
  ];
}
