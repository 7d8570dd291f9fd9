import type { IncomingMessage, Server } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { AppError, maxInputBytes } from "@holdfast/protocol";
import { inBackground } from "@holdfast/std";
import type { HttpBindings } from "@hono/node-server";
import type { Context, Hono, MiddlewareHandler } from "hono";
import type { Logger } from "pino";
import { type WebSocket, WebSocketServer } from "ws";
import type { HttpEnv } from "./env.ts";
import { errorResponse } from "./problem.ts";

type Run = (socket: WebSocket) => void;

/** A request that may become a WebSocket. */
interface Upgrade {
  run: Run | undefined;
}

type UpgradeBindings = Partial<HttpBindings> & { upgrade?: Upgrade };

/**
 * Answers a request by making it a WebSocket: what is returned stands for "yes" and is never sent. `run` gets it when it
 * is open. Throws `websocket_required` for a request that asks for none.
 */
export function becomeWebSocket(c: Context<HttpEnv>, run: Run): Response {
  const upgrade = wantedBy(c);
  if (upgrade === undefined) throw new AppError("websocket_required");
  upgrade.run = run;
  return new Response(null, { status: 204 });
}

/** Throws before anything is done for it. */
export function checkUpgrade(c: Context<HttpEnv>): void {
  if (wantedBy(c) === undefined) throw new AppError("websocket_required");
}

/** An answer that is no WebSocket's is not sent where one was asked for: it may be a stream that never ends. */
export function guardUpgrade(): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    await next();
    const upgrade = wantedBy(c);
    if (upgrade === undefined || upgrade.run !== undefined || !c.res.ok) return;
    await c.res.body?.cancel();
    c.res = errorResponse(c, new AppError("websocket_refused"));
  };
}

function wantedBy(c: Context<HttpEnv>): Upgrade | undefined {
  return (c.env as UpgradeBindings | undefined)?.upgrade;
}

/** Of the HTTP server: what asks for another protocol than this is answered as if it had not. */
export function isWebSocket({ headers, method }: IncomingMessage): boolean {
  return method === "GET" && headers.upgrade?.toLowerCase() === "websocket";
}

/**
 * Requests for a WebSocket go through the same application as every other one: who may ask, from where and for what is
 * decided there, and a refusal is an answer of HTTP.
 */
export function serveUpgrades(http: Server, app: Hono<HttpEnv>, { logger }: { logger: Logger }): void {
  // Nothing is compressed: a terminal's frames are small, and a window for each would cost memory.
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: maxInputBytes + 1_024,
  });
  http.on("upgrade", (incoming, socket, head) => {
    // It may break at any time; whoever holds it hears of its close.
    socket.on("error", () => undefined);
    inBackground(upgrade({ incoming, socket, head }, { app, sockets }), (error) => {
      logger.error({ err: error }, "a request for a WebSocket broke");
      socket.destroy();
    });
  });
}

interface Asking {
  incoming: IncomingMessage;
  socket: Duplex;
  head: Buffer;
}

async function upgrade(asking: Asking, { app, sockets }: { app: Hono<HttpEnv>; sockets: WebSocketServer }) {
  const { incoming, socket, head } = asking;
  const wanted: Upgrade = { run: undefined };
  const left = new AbortController();
  socket.once("close", () => left.abort(new Error("the client has left")));
  // The socket stands for the answer: what a request holds is let go of when it closes.
  const bindings = { incoming, outgoing: socket, upgrade: wanted };
  const answer = await app.fetch(requestOf(incoming, left.signal), bindings as never);
  const { run } = wanted;
  if (run === undefined || !answer.ok) return await refuse(socket, answer);
  sockets.handleUpgrade(incoming, socket, head, run);
}

function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request {
  const headers = new Headers();
  for (let at = 0; at + 1 < incoming.rawHeaders.length; at += 2)
    headers.append(incoming.rawHeaders[at] ?? "", incoming.rawHeaders[at + 1] ?? "");
  // Its host is checked by the application; a name that is none is not served under any.
  const url = URL.parse(incoming.url ?? "/", `http://${incoming.headers.host ?? ""}`) ?? "http://unknown.invalid/";
  return new Request(url, { headers, signal });
}

/** One answer, and the end: no other request comes on this connection. */
async function refuse(socket: Duplex, answer: Response): Promise<void> {
  const body = Buffer.from(await answer.arrayBuffer());
  const headers = new Headers(answer.headers);
  headers.set("content-length", String(body.length));
  headers.set("connection", "close");
  const lines = [...headers].map(([name, value]) => `${name}: ${value}`);
  const { status } = answer;
  socket.end(
    Buffer.concat([
      Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("\r\n")}\r\n\r\n`),
      body,
    ]),
  );
}
