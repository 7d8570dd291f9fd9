import type { Socket } from "node:net";

/** DNS over TCP: every message comes after its length in two bytes. */
export function readMessages(socket: Socket, onMessage: (message: Buffer) => void): void {
  let pending = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 2) {
      const end = 2 + pending.readUInt16BE(0);
      if (pending.length < end) return;
      onMessage(Buffer.from(pending.subarray(2, end)));
      pending = pending.subarray(end);
    }
  });
}

export function writeMessage(socket: Socket, message: Buffer): void {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length, 0);
  socket.write(Buffer.concat([length, message]));
}
