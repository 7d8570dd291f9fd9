import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/**
 * A port of 127.0.0.1 for a program that is started next. Below those that the kernel gives to connections and to whoever
 * listens on port 0: one of them may be taken between this look and the program's start.
 */
export async function freePort(): Promise<number> {
  const [end = 32_768] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/).map(Number);
  const begin = Math.min(20_000, Math.floor(end / 2));
  for (;;) {
    const port = begin + Math.floor(Math.random() * (end - begin));
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    const listening = once(server, "listening");
    server.listen(port, "127.0.0.1");
    await listening;
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
