import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const port = 9229;
const inspectorUrl = `http://127.0.0.1:${port}`;

/**
 * Makes any running Node process of this machine reject a promise that nobody handles, or throw where nobody catches:
 * through the debugger that every Node process opens when it is asked to by SIGUSR1. Nothing in the process knows.
 */
export async function causeFault(pid: number, kind: "reject" | "throw", text: string): Promise<void> {
  const error = `new Error(${JSON.stringify(text)})`;
  const act = kind === "reject" ? `void Promise.reject(${error})` : `throw ${error}`;
  await evaluateIn(pid, `setTimeout(() => { ${act}; }, 30); 1`);
}

const close = `process.getBuiltinModule("node:inspector").close()`;

/** What an expression is in any running Node process of this machine. Its debugger is closed again by then. */
export async function evaluateIn(pid: number, expression: string): Promise<unknown> {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    signal.throwIfAborted();
    const url = await openDebugger();
    if (url === undefined) {
      // Throws where the process is gone. Asked again when the port was another's in between.
      process.kill(pid, "SIGUSR1");
    } else if ((await evaluate(url, "process.pid"))?.value === pid) {
      const answer = await evaluate(url, `setTimeout(() => { ${close}; }, 20); ${expression}`);
      // The next one must not take this debugger, which is about to close, for its own.
      while (isListening()) await delay(10, undefined, { signal });
      if (answer !== undefined) return answer.value;
    }
    await delay(50, undefined, { signal });
  }
}

/** Not by a connection: the debugger closes when it has none. */
function isListening(): boolean {
  return readFileSync("/proc/net/tcp", "latin1").includes(
    ` 0100007F:${port.toString(16).toUpperCase()} 00000000:0000 0A `,
  );
}

/** The address of the one debugger that is open on this machine. */
async function openDebugger(): Promise<string | undefined> {
  try {
    const answer = await fetch(`${inspectorUrl}/json/list`, { headers: { connection: "close" } });
    return ((await answer.json()) as { webSocketDebuggerUrl: string }[])[0]?.webSocketDebuggerUrl;
  } catch {
    // Nobody listens.
    return undefined;
  }
}

/** What the expression is; undefined when the process could not be asked. */
async function evaluate(url: string, expression: string): Promise<{ value: unknown } | undefined> {
  const socket = new WebSocket(url);
  const done = Promise.withResolvers<{ value: unknown } | undefined>();
  socket.addEventListener("open", () =>
    socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } })),
  );
  socket.addEventListener("message", ({ data }) => {
    const answer = JSON.parse(String(data)) as { id?: number; result?: { result?: { value?: unknown } } };
    if (answer.id === 1) done.resolve({ value: answer.result?.result?.value });
  });
  for (const end of ["error", "close"] as const) socket.addEventListener(end, () => done.resolve(undefined));
  const answer = await done.promise;
  socket.close();
  return answer;
}
