import { createServer } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Network, SandboxNetwork } from "../../src/network/index.ts";
import { allow, createNetworkBench, gateway, type NetworkBench } from "./_bench.ts";
import {
  carrierlessAddress,
  hostAddress,
  ip,
  otherOutsideAddress,
  outsideAddress,
  runInside,
  spawnInside,
  udpIn,
  until,
} from "./_fake-host.ts";
import { echoServer, openLive } from "./_live.ts";

let bench: NetworkBench;
let network: Network;

beforeAll(async () => {
  bench = await createNetworkBench();
});
afterAll(() => bench[Symbol.dispose]());
beforeEach(async () => {
  bench.begin();
  network = await bench.open();
});
afterEach(async () => {
  await network.destroyAll();
  bench.expectUntouched();
});

const curl = (inside: SandboxNetwork, ...args: string[]) => bench.curl(inside, ...args);
const expectRefused = (inside: SandboxNetwork, url: string, reason: string) => bench.expectRefused(inside, url, reason);

describe("what a sandbox reaches", () => {
  test("a published service by its name, through the hosts file and through our resolver", async () => {
    const inside = await network.attach("sb-1", allow([gateway]));
    expect((await curl(inside, `http://${gateway}:4601/`)).stdout).toBe(`service ${gateway}:4601`);
    const noHosts = { ...inside, hosts: "127.0.0.1 localhost\n" };
    expect((await curl(noHosts, `http://${gateway}:4601/`)).stdout).toBe(`service ${gateway}:4601`);
  });

  test("no published service whose name its policy leaves out, nor another port of one", async () => {
    const inside = await network.attach("sb-1", allow([gateway]));
    const s3 = /(\S+) s3\.holdfast/.exec(inside.hosts)?.[1];
    await expectRefused(inside, `http://${s3}:4603/`, "not_in_allowlist");
    const address = /(\S+) gateway/.exec(inside.hosts)?.[1];
    await bench.expectNobody(inside, `http://${address}:${bench.secretPort}/`);
    const noHosts = { ...inside, hosts: "127.0.0.1 localhost\n" };
    expect((await curl(noHosts, "http://s3.holdfast.internal:4603/")).code).toBe(6);
  });

  test("with an open policy the outside, but never the host, link-local, reserved or our own addresses", async () => {
    const inside = await network.attach("sb-1", { kind: "open" });
    expect((await curl(inside, `http://${outsideAddress}/`)).stdout).toBe(`outside ${outsideAddress}`);
    expect((await curl(inside, `http://${gateway}:4601/`)).stdout).toBe(`service ${gateway}:4601`);
    await expectRefused(inside, `http://${hostAddress}:${bench.secretPort}/`, "host_address");
    await expectRefused(inside, `http://${carrierlessAddress}:${bench.secretPort}/`, "host_address");
    for (const nobody of ["169.254.169.254", "240.0.0.1", "224.0.0.1", "255.255.255.254", "0.1.2.3", "100.100.1.2"]) {
      await bench.expectNobody(inside, `http://${nobody}/`);
    }
    // The router itself: its proxy, its resolver, anything.
    await bench.expectNobody(inside, "http://100.127.255.254:4602/");
    await bench.expectNobody(inside, "http://100.127.255.254:4653/");
    // Its own loopback is its own: the host's is not there.
    expect((await curl(inside, `http://127.0.0.1:${bench.secretPort}/`)).code).toBe(7);
  });

  test("as an image build the outside, but no private network that is not listed", async () => {
    const neighbours = ["10.1.2.3", "172.20.0.9", "192.168.1.1"];
    // Addresses of the test's own outside, which its own host has a route to.
    for (const address of neighbours) ip("-n", `hft${process.pid}-out`, "addr", "add", `${address}/32`, "dev", "lo");
    const inside = await network.attach("bld-1", { kind: "public", cidrs: ["172.20.0.0/16"] });
    expect((await curl(inside, `http://${outsideAddress}/`)).stdout).toBe(`outside ${outsideAddress}`);
    expect((await curl(inside, "http://172.20.0.9/")).stdout).toBe("outside 172.20.0.9");
    await expectRefused(inside, "http://10.1.2.3/", "private_network");
    await expectRefused(inside, "http://192.168.1.1/", "private_network");
    await expectRefused(inside, `http://${hostAddress}:${bench.secretPort}/`, "host_address");
    await bench.expectNobody(inside, "http://100.100.1.2/");
    const open = await network.attach("sb-1", { kind: "open" });
    expect((await curl(open, "http://10.1.2.3/")).stdout).toBe("outside 10.1.2.3");
  });

  test("with an allowlist the listed networks only, and nothing at all when blocked", async () => {
    const inside = await network.attach("sb-1", allow([], [`${outsideAddress}/32`, `${hostAddress}/32`]));
    expect((await curl(inside, `http://${outsideAddress}/`)).stdout).toBe(`outside ${outsideAddress}`);
    await expectRefused(inside, `http://${otherOutsideAddress}/`, "not_in_allowlist");
    await expectRefused(inside, `http://${hostAddress}:${bench.secretPort}/`, "host_address");
    await network.setPolicy("sb-1", { kind: "blocked" });
    await expectRefused(inside, `http://${outsideAddress}/`, "not_in_allowlist");
    expect((await curl(inside, `http://${gateway}:4601/`)).stdout).toBe("");
  });

  test("no other sandbox, not even by its address", async () => {
    const [a, b] = await Promise.all([
      network.attach("sb-a", { kind: "open" }),
      network.attach("sb-b", allow([], ["0.0.0.0/0"])),
    ]);
    const address = ip("-n", `${b.namespacePath.split("/").at(-1)}`, "-o", "-4", "addr", "show", "eth0");
    const target = /inet (\S+)/.exec(address)?.[1];
    const server = spawnInside(b, ["socat", "-u", "TCP-LISTEN:8080,fork", "-"], bench.host);
    try {
      await until(async () => (await runInside(b, ["ss", "-tln"], bench.host)).stdout.includes(":8080"), "a listener");
      await bench.expectNobody(a, `http://${target}:8080/`);
    } finally {
      server.kill();
    }
  });

  test("nothing by UDP, by ICMP or by IPv6", async () => {
    const inside = await network.attach("sb-1", { kind: "open" });
    const heard: string[] = [];
    const outside = bench.host.udpOutside(9_999);
    outside.on("message", (message) => heard.push(message.toString()));
    const socket = udpIn(inside.namespacePath, 9_998);
    await new Promise((resolve) => socket.send("hello", 9_999, outsideAddress, resolve));
    // What is sent later by a way that works arrives: the first had its time.
    expect((await curl(inside, `http://${outsideAddress}/`)).stdout).toBe(`outside ${outsideAddress}`);
    expect(heard).toEqual([]);
    socket.close();
    // A client of HTTP/3 hears at once that there is none, and need not wait for its own patience.
    const ask = `const s = require("dgram").createSocket("udp4"); s.connect(443, "${outsideAddress}", () => s.send("x"));
      s.on("error", (error) => { console.log(error.code); s.close(); })`;
    const told = await runInside(inside, [process.execPath, "-e", ask], bench.host);
    expect(told.stdout.trim()).toMatch(/^(EHOSTUNREACH|ECONNREFUSED|ENETUNREACH)$/);
    const name = `${inside.namespacePath.split("/").at(-1)}`;
    expect(ip("-n", name, "-6", "addr", "show", "dev", "eth0")).toBe("");
    expect(ip("-n", name, "-6", "route", "show", "default")).toBe("");
    expect((await runInside(inside, ["curl", "-sS", "-m", "3", "http://[2001:db8::1]/"], bench.host)).code).toBe(7);
  });

  test("nothing under another sandbox's address", async () => {
    const a = await network.attach("sb-a", { kind: "blocked" });
    const b = await network.attach("sb-b", { kind: "open" });
    const name = (n: SandboxNetwork) => `${n.namespacePath.split("/").at(-1)}`;
    const stolen = `${/inet (\S+)/.exec(ip("-n", name(b), "-o", "-4", "addr", "show", "eth0"))?.[1]}`;
    ip("-n", name(a), "addr", "add", `${stolen}/32`, "dev", "lo");
    const result = await runInside(
      a,
      ["curl", "-sS", "-m", "2", "--interface", stolen, `http://${outsideAddress}/`],
      bench.host,
    );
    expect(result).toMatchObject({ code: 28, stdout: "" });
  });

  test("ports below 1024 can be listened on without privilege", async () => {
    const inside = await network.attach("sb-1", { kind: "blocked" });
    const { stdout } = await runInside(inside, ["sysctl", "-n", "net.ipv4.ip_unprivileged_port_start"], bench.host);
    expect(stdout.trim()).toBe("0");
  });
});

describe("connections", () => {
  test("50 MB arrive whole both ways", async () => {
    const inside = await network.attach("sb-1", allow([gateway]));
    const script = `head -c 52428800 /dev/urandom > ${bench.host.dir}/up; curl -sS --data-binary @${bench.host.dir}/up -o ${bench.host.dir}/down http://${gateway}:4601/ && cmp ${bench.host.dir}/up ${bench.host.dir}/down && stat -c %s ${bench.host.dir}/down`;
    expect(await runInside(inside, ["sh", "-c", script], bench.host)).toEqual({
      code: 0,
      stdout: "52428800\n",
      stderr: "",
    });
  });

  test("each direction ends by itself, and a reset upstream resets inside", async () => {
    const echo = echoServer();
    bench.host.listenOutside(echo, 7);
    const inside = await network.attach("sb-1", { kind: "open" });
    using live = openLive(inside, `${outsideAddress}:7`, bench.host);
    live.say("one");
    expect(await live.hear()).toBe("echo one");
    live.endInput();
    expect(await live.hear()).toBe("bye");
    await live.closed;
    await until(() => echo.sockets.size === 0, "the upstream to be closed");

    using other = openLive(inside, `${outsideAddress}:7`, bench.host);
    other.say("two");
    expect(await other.hear()).toBe("echo two");
    for (const socket of echo.sockets) socket.resetAndDestroy();
    await other.closed;
  });

  test("a policy that no longer allows one cuts it, others live on", async () => {
    const echo = echoServer();
    bench.host.listenOutside(echo, 70);
    const inside = await network.attach("sb-1", { kind: "open" });
    using doomed = openLive(inside, `${outsideAddress}:70`, bench.host);
    using kept = openLive(inside, `${otherOutsideAddress}:70`, bench.host);
    for (const live of [doomed, kept]) {
      live.say("one");
      expect(await live.hear()).toBe("echo one");
    }
    await network.setPolicy("sb-1", allow([], [`${otherOutsideAddress}/32`]));
    await doomed.closed;
    kept.say("two");
    expect(await kept.hear()).toBe("echo two");
    await network.detach("sb-1");
    await until(() => echo.sockets.size === 0, "the upstream to be closed");
  });

  test("one sandbox that opens too many is refused, its neighbour is not", async () => {
    bench.host.listenOutside(echoServer(), 72);
    const [greedy, modest] = await Promise.all(["sb-1", "sb-2"].map((id) => network.attach(id, { kind: "open" })));
    if (greedy === undefined || modest === undefined) throw new Error("attach returned nothing");
    const script = `
      let closed = 0;
      for (let n = 0; n < 2100; n++) {
        const socket = require("net").connect(72, "${outsideAddress}", () => socket.write("x"));
        socket.on("error", () => {});
        socket.on("close", () => { if (++closed === 52) console.log("refused"); });
      }`;
    const child = spawnInside(greedy, [process.execPath, "-e", script], bench.host);
    const gone = new Promise((resolve) => child.on("close", resolve));
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect((await curl(modest, `http://${outsideAddress}/`)).stdout).toBe(`outside ${outsideAddress}`);
    expect(bench.logged.some((line) => line.reason === "too_many_connections")).toBe(true);
    child.kill("SIGKILL");
    await gone;
  });

  test("a slow reader holds the sender back instead of filling memory", async () => {
    let sent = 0;
    const flood = createServer((socket) => {
      socket.on("error", () => {});
      const push = () => {
        while (sent < 200_000_000) {
          sent += 65_536;
          if (!socket.write(Buffer.alloc(65_536))) {
            socket.once("drain", push);
            return;
          }
        }
      };
      push();
    });
    bench.host.listenOutside(flood, 71);
    const inside = await network.attach("sb-1", { kind: "open" });
    const deaf = `require("net").connect(71, "${outsideAddress}").pause().on("close", () => process.exit())`;
    const reader = spawnInside(inside, [process.execPath, "-e", deaf], bench.host);
    const gone = new Promise((resolve) => reader.on("close", resolve));
    let last = -1;
    // Steady for a while means that everything between is full.
    let steady = 0;
    await until(() => {
      steady = sent === last && sent > 0 ? steady + 1 : 0;
      last = sent;
      return steady > 25;
    }, "the sender to be held back");
    expect(sent).toBeLessThan(60_000_000);
    await network.detach("sb-1");
    // Without a link nobody can tell it that the connection is over.
    reader.kill("SIGKILL");
    await gone;
  });
});
