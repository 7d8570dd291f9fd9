import { withDeadline } from "@holdfast/std";
import { askDaemon, connectToDaemon, type DaemonPlace } from "../daemon-client.ts";
import { closeInheritedDescriptors } from "../descriptors.ts";
import type { GuestTerminal } from "../frames.ts";
import type { TerminalOptions } from "./terminal.ts";

const openMs = 30_000;

/** Has the daemon make a terminal; it is started when it does not run. Repeating it changes nothing. */
export async function openTerminal({
  runDir,
  script,
  ...options
}: DaemonPlace & TerminalOptions): Promise<GuestTerminal | undefined> {
  closeInheritedDescriptors();
  const socket = await connectToDaemon({ runDir, script });
  const message = { ...options, argv: [...options.argv], env: { ...options.env } };
  try {
    const asking = () => askDaemon(socket, { type: "open_terminal", requestId: 1, ...message });
    const reply = await withDeadline(asking, { what: "making the terminal", timeoutMs: openMs });
    return reply.ok ? reply.terminals?.[0] : undefined;
  } finally {
    socket.destroy();
  }
}
