import { createSocket } from "node:dgram";
import { fstatSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { createServer } from "node:net";
import { guardProcess } from "@holdfast/std";
import { LineLog } from "../../log-line.ts";
import { proxyPort, resolverPort } from "../names.ts";
import { bindInNamespace } from "../native.ts";
import { createControl } from "./control.ts";
import { hostAddresses } from "./host-addresses.ts";
import { createNameServers } from "./name-servers.ts";
import { controlSocket, pidFile } from "./protocol.ts";
import { accept } from "./proxy.ts";
import { createResolver } from "./resolver.ts";
import { createWorld } from "./sandbox.ts";

/**
 * The process that decides every connection of every sandbox: `node main.ts <directory> <router namespace>`. It
 * listens in the router namespace and dials from the host's; it outlives its engine and is told everything over a
 * Unix socket in the directory. Prints one line when it is ready.
 */
const egressUid = 61_004;
const maxLogBytes = 1_000_000;
const [directory, routerPath] = process.argv.slice(2);
if (directory === undefined || routerPath === undefined)
  throw new Error("usage: main.ts <directory> <router namespace>");
const directoryFd = openSync(directory, "r");
const controlPath = controlSocket(directoryFd);

// The socket file stays: its directory is root's, and whoever starts the next egress removes it.
const stop = () => process.exit(0);
process.on("SIGTERM", stop);

// Exclusive by nature: a second egress of the same router fails here, before it touches anything.
const sockets = bindInNamespace(routerPath, { tcp: proxyPort, udp: resolverPort });

writeFileSync(pidFile(directoryFd), `${process.pid}`, { mode: 0o600 });

// The rest needs no privilege, and reads what strangers write.
const dropPrivileges = () => {
  process.setgroups?.([egressUid]);
  process.setgid?.(egressUid);
  process.setuid?.(egressUid);
};

/**
 * From here on the connections of all accounts are in our hands: what one of them causes is logged and counted, not the
 * end of the others'. Before, a failure is a failed start.
 */
const surviveOthers = () => {
  const lines = new LineLog(2, { maxBytes: maxLogBytes });
  const log = (message: string) => lines.write(JSON.stringify({ time: new Date().toISOString(), msg: message }));
  guardProcess(process, {
    name: "egress",
    uncaught: "go on",
    log: ({ kind, error }) => log(`${kind}: ${error.stack ?? error.message}`),
  });
  // A connection that cannot be taken (no descriptor left) is its client's loss alone.
  for (const server of [proxy, control.server]) server.on("error", (error) => log(`a connection was lost: ${error}`));
};

const control = createControl(() => world, stop);
const world = createWorld({ isHostAddress: hostAddresses(), onRefusal: (refusal) => control.announce(refusal) });
const nameServers = createNameServers(() => world.resolvConfPath);
const resolver = createResolver(world, nameServers);

const proxy = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
  accept({ world, nameServers, resolver }, client);
});
const questions = createSocket("udp4");
resolver.serveUdp(questions);
// One that cannot be sent (a sandbox that is gone) is lost as any datagram may be.
questions.on("error", () => {});

rmSync(controlPath, { force: true });
proxy.listen({ fd: sockets.tcp }, 16_384, () => {
  questions.bind({ fd: sockets.udp }, () => {
    control.server.listen(controlPath, () => {
      flushCompileCache();
      dropPrivileges();
      surviveOthers();
      writeSync(1, `${JSON.stringify({ ready: true, pid: process.pid })}\n`);
    });
  });
});

// Nobody can find an egress whose directory was removed: it ends.
setInterval(() => {
  if (fstatSync(directoryFd).nlink === 0) process.exit(0);
}, 10_000).unref();
