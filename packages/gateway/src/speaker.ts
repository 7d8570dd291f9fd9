import type { Server } from "node:http";
import type { Socket } from "node:net";
import { type ProxyHeader, proxyValue, readProxyHeader, type SandboxTokenPayload } from "@holdfast/std";
import type { AnthropicError } from "./anthropic-error.ts";

/** Who is at the other end of a connection, in the words of the engine that opened it. */
export interface Speaker {
  readonly sandbox: string;
  /** As `account:acc_…`. */
  readonly owner: string | undefined;
}

/** A connection that has not said by then for whom it was opened is closed. */
const announcementMs = 10_000;
const speakers = new WeakMap<Socket, Speaker>();

/** Who speaks on a connection of a server that `expectAnnouncements` was called for. */
export function speakerOf(socket: Socket): Speaker | undefined {
  return speakers.get(socket);
}

/** From now on each connection begins with the engine's word on who speaks; one that does not has no speaker. */
export function expectAnnouncements(server: Server): void {
  const serve = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    readAnnouncement(socket, () => {
      for (const listener of serve) listener.call(server, socket);
      socket.resume();
    });
  });
}

function readAnnouncement(socket: Socket, then: () => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const end = () => socket.destroy();
  const timer = setTimeout(end, announcementMs);
  const settle = () => {
    clearTimeout(timer);
    socket.off("readable", look);
    socket.off("error", end);
    socket.off("end", end);
    socket.off("close", settle);
  };
  const look = () => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      seen = Buffer.concat([seen, chunk]);
    }
    const read = readProxyHeader(seen);
    if (read === "incomplete") return;
    settle();
    const speaker = read === "absent" ? undefined : speakerIn(read.header);
    if (speaker !== undefined) speakers.set(socket, speaker);
    const rest = read === "absent" ? seen : seen.subarray(read.length);
    socket.pause();
    if (rest.length > 0) socket.unshift(rest);
    then();
  };
  socket.on("readable", look);
  socket.on("error", end);
  socket.on("end", end);
  socket.on("close", settle);
}

function speakerIn({ values }: ProxyHeader): Speaker | undefined {
  const sandbox = values.get(proxyValue.sandbox);
  return sandbox === undefined ? undefined : { sandbox, owner: values.get(proxyValue.owner) };
}

/** Why whoever speaks may not use this token; undefined when it is its own. */
export function foreignToken(speaker: Speaker | undefined, token: SandboxTokenPayload): AnthropicError | undefined {
  if (speaker === undefined) {
    // Not final: while an engine is replaced by a newer one, connections of the older may still come.
    const message = "This connection does not say which sandbox speaks: the model is reached through the engine alone.";
    return { status: 503, type: "api_error", message };
  }
  if (speaker.owner !== `account:${token.acc}`) return forbidden("This sandbox token belongs to another account.");
  if (token.sbx !== undefined && token.sbx !== speaker.sandbox) {
    return forbidden("This sandbox token belongs to another sandbox.");
  }
  return undefined;
}

function forbidden(message: string): AnthropicError {
  return { status: 403, type: "permission_error", message, final: true };
}
