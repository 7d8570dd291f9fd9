import { withDeadline } from "@holdfast/std";
import { signalMembers } from "./daemon/process-table.ts";
import { askDaemon, connectToDaemon, type DaemonPlace } from "./daemon-client.ts";
import { closeInheritedDescriptors } from "./descriptors.ts";

export interface FenceOptions extends DaemonPlace {
  readonly sessionId: string;
  readonly generation: number;
  /** Ids of processes, as in their environment, that an earlier generation started beside the daemon: they are ended. */
  readonly end: readonly string[];
}

const fenceMs = 10_000;

/**
 * Shuts out every lower generation of the session; fails with exit code 77 when a higher one has been here. Only then
 * are processes ended: what an earlier generation still starts is refused by then.
 */
export async function fenceSession(options: FenceOptions): Promise<{ ended: number }> {
  closeInheritedDescriptors();
  const { sessionId, generation } = options;
  const socket = await connectToDaemon(options);
  try {
    const asking = () => askDaemon(socket, { type: "fence", requestId: 1, sessionId, generation });
    await withDeadline(asking, { what: "the fence", timeoutMs: fenceMs });
  } finally {
    socket.destroy();
  }
  let ended = 0;
  for (const id of options.end) ended += signalMembers(undefined, { processId: id, gid: null }, "SIGKILL");
  return { ended };
}
