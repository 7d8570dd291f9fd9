import { withDeadline } from "@holdfast/std";
import { askDaemon, connectToDaemon, type DaemonPlace } from "./daemon-client.ts";
import { closeInheritedDescriptors } from "./descriptors.ts";

export interface StartProcessOptions extends DaemonPlace {
  readonly sessionId: string;
  readonly processId: string;
  readonly generation: number;
  readonly cwd: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const startMs = 30_000;

/** Hands a process to the daemon, which is started when it does not run. Repeating it changes nothing. */
export async function startProcess(options: StartProcessOptions): Promise<{ pid: number }> {
  closeInheritedDescriptors();
  const { sessionId, processId, generation, cwd, argv, env } = options;
  const socket = await connectToDaemon(options);
  try {
    const message = { sessionId, processId, generation, cwd, argv: [...argv], env: { ...env } };
    const asking = () => askDaemon(socket, { type: "start", requestId: 1, ...message });
    const reply = await withDeadline(asking, { what: "starting the process", timeoutMs: startMs });
    return { pid: (reply.ok && reply.pid) || 0 };
  } finally {
    socket.destroy();
  }
}
