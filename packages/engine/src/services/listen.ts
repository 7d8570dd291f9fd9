import type { Store } from "../state/store.ts";
import type { ServiceContext } from "./context.ts";
import { createGrpcServer } from "./server.ts";

export interface Listening extends AsyncDisposable {
  port: number;
}

/** Linux begins at 32 768 with ports of outgoing connections. */
const lowestChosen = 20_000;
const chosenPorts = 12_000;

/** How long calls that are under way may go on when the engine stops. */
const graceMs = 500;

/**
 * Serves both services on the loopback interface. A port of 0 is chosen once and kept: a client's handle keeps the
 * address of the command router for its life.
 */
export async function listen(context: ServiceContext, store: Store): Promise<Listening> {
  const { options, log } = context;
  const kept = Number(store.meta("port") ?? 0);
  let port = 0;
  const routed: ServiceContext = { ...context, routerUrl: () => `https://127.0.0.1:${port}` };
  let server = createGrpcServer(routed);
  const bind = (wanted: number) => server.listen(`127.0.0.1:${wanted}`);
  /** Below the range that the kernel gives to outgoing connections: while we are away nobody gets our port by chance. */
  const choose = async () => {
    for (let tries = 0; tries < 20; tries++) {
      try {
        return await bind(lowestChosen + Math.floor(Math.random() * chosenPorts));
      } catch {
        // Taken: another one.
        server = createGrpcServer(routed);
      }
    }
    return await bind(0);
  };
  try {
    const wanted = options.port || kept;
    port = wanted === 0 ? await choose() : await bind(wanted);
  } catch (error) {
    const wanted = options.port || kept;
    if (options.port !== 0 || kept === 0) {
      throw new Error(`port ${wanted} on 127.0.0.1 cannot be used; stop what uses it or choose another port`, {
        cause: error,
      });
    }
    log.warn({ port: kept }, "the port of the last start is taken: a new one is chosen, handles of clients end here");
    server = createGrpcServer(routed);
    port = await choose();
  }
  if (port !== kept) store.setMeta("port", String(port));
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      // Long polls end when they are cut; short calls get their answer.
      const grace = setTimeout(() => server.forceShutdown(), graceMs);
      await server.shutdown().catch(() => server.forceShutdown());
      clearTimeout(grace);
    },
  };
}
