import { write } from "node:fs";
import { Socket } from "node:net";
import { inBackground } from "@holdfast/std";
import { KeeperError } from "./keeper-error.ts";

/** More than this waiting for a process that does not read, and the writer has to wait too. */
const HIGH_WATER_BYTES = 1024 * 1024;
const TERMINAL_RETRY_MS = 5;

interface Sink {
  /** Resolves when little enough is waiting. */
  write(data: Uint8Array): Promise<void>;
  end(): void;
  destroy(): void;
}

/** Standard input of one process: counts what it took, so that a client may send the same bytes twice. */
export class Stdin {
  bytes = 0;
  closed = false;
  readonly #sink: Sink;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  async accept(offset: number, data: Uint8Array, eof: boolean): Promise<void> {
    if (offset > this.bytes) {
      throw new KeeperError("offset_gap", `Input from byte ${offset} cannot follow byte ${this.bytes}.`);
    }
    const fresh = data.subarray(Math.min(this.bytes - offset, data.length));
    if (this.closed) {
      if (fresh.length === 0) return;
      throw new KeeperError("not_running", "The process's standard input is closed already.");
    }
    this.bytes += fresh.length;
    const written = fresh.length > 0 ? this.#sink.write(fresh) : Promise.resolve();
    if (eof) {
      this.closed = true;
      this.#sink.end();
    }
    await written;
  }

  destroy(): void {
    this.closed = true;
    this.#sink.destroy();
  }
}

export function pipeSink(fd: number): Sink {
  const socket = new Socket({ fd, readable: false, writable: true });
  socket.on("error", () => {
    // EPIPE: the process closed its input or ended. What it did not read was never promised to arrive.
  });
  return {
    write: (data) =>
      new Promise((resolve) => {
        socket.write(data);
        if (socket.writableLength <= HIGH_WATER_BYTES || socket.destroyed) return resolve();
        const done = () => {
          socket.off("drain", done);
          socket.off("close", done);
          resolve();
        };
        socket.on("drain", done);
        socket.on("close", done);
      }),
    end: () => socket.end(),
    destroy: () => socket.destroy(),
  };
}

/** A terminal has no end of file but the character that means it. */
export function terminalSink(fd: number): Sink {
  let tail: Promise<void> = Promise.resolve();
  let destroyed = false;
  const push = (data: Uint8Array): Promise<void> => {
    tail = tail.then(() => writeAll(fd, data, () => destroyed));
    return tail;
  };
  return {
    write: push,
    end: () => {
      // A terminal that is gone needs no end.
      inBackground(push(Uint8Array.of(4)), () => undefined);
    },
    destroy: () => {
      destroyed = true;
    },
  };
}

async function writeAll(fd: number, data: Uint8Array, stopped: () => boolean): Promise<void> {
  let done = 0;
  while (done < data.length && !stopped()) {
    const written = await writeSome(fd, data.subarray(done));
    if (written === "closed") return;
    done += written;
    if (written === 0) await new Promise((resolve) => setTimeout(resolve, TERMINAL_RETRY_MS));
  }
}

function writeSome(fd: number, data: Uint8Array): Promise<number | "closed"> {
  return new Promise((resolve) => {
    write(fd, data, (error, written) => {
      if (error === null) resolve(written);
      else resolve(error.code === "EAGAIN" ? 0 : "closed");
    });
  });
}

/** For a process without input: takes nothing, says so. */
export function closedStdin(): Stdin {
  const stdin = new Stdin({ write: async () => undefined, end: () => undefined, destroy: () => undefined });
  stdin.closed = true;
  return stdin;
}
