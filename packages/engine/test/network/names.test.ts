import { execFileSync } from "node:child_process";
import type { Socket as UdpSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { answer, parseQuestion } from "../../src/network/egress/dns-message.ts";
import { readMessages, writeMessage } from "../../src/network/egress/dns-stream.ts";
import type { Network, SandboxNetwork } from "../../src/network/index.ts";
import { allow, createNetworkBench, gateway, type NetworkBench } from "./_bench.ts";
import { hostAddress, otherOutsideAddress, outsideAddress, runInside, udpIn } from "./_fake-host.ts";

let bench: NetworkBench;
let network: Network;
/** Names that the outside's name server was asked for. */
const asked: string[] = [];

const zone: Record<string, string[]> = {
  "allowed.example": [outsideAddress],
  "deep.sub.example": [outsideAddress],
  "other.example": [otherOutsideAddress],
  "rebound.example": [hostAddress, "127.0.0.1", "169.254.169.254", "100.64.0.1"],
};

function serve(query: Buffer): Buffer {
  const question = parseQuestion(query);
  asked.push(`${question?.name}`);
  const addresses = zone[`${question?.name}`];
  if (addresses === undefined) return answer(query, question, { code: 3 });
  return answer(query, question, question?.type === "A" ? { addresses } : {});
}

beforeAll(async () => {
  bench = await createNetworkBench();
  const { host } = bench;
  const udp: UdpSocket = host.udpOutside(53);
  udp.on("message", (query, from) => udp.send(serve(query), from.port, from.address));
  host.listenOutside(
    createServer((socket) => readMessages(socket, (query) => writeMessage(socket, serve(query)))),
    53,
  );
  const [key, cert] = [`${host.dir}/key.pem`, `${host.dir}/cert.pem`];
  execFileSync(
    "openssl",
    [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -keyout".split(" "),
      key,
      "-out",
      cert,
    ],
    { stdio: "ignore" },
  );
  const secure = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket: TLSSocket) => {
    socket.on("error", () => {});
    socket.end(`HTTP/1.0 200 OK\r\n\r\nsecure ${socket.servername}`);
  });
  host.listenOutside(secure, 443);
});
afterAll(() => bench[Symbol.dispose]());
beforeEach(async () => {
  bench.begin();
  asked.length = 0;
  network = await bench.open();
});
afterEach(async () => {
  await network.destroyAll();
  bench.expectUntouched();
});

/** Resolves as programs do, through the resolver that resolv.conf names. */
async function resolve(inside: SandboxNetwork, name: string): Promise<string> {
  const found = await runInside(inside, ["getent", "ahostsv4", name], bench.host);
  return found.stdout.split(/\s/)[0] ?? "";
}

describe("names", () => {
  test("with an open policy any name resolves; published ones never leave the machine", async () => {
    const inside = { ...(await network.attach("sb-1", { kind: "open" })), hosts: "" };
    expect(await resolve(inside, "allowed.example")).toBe(outsideAddress);
    expect(await resolve(inside, gateway)).toMatch(/^100\.127\.255\./);
    expect(await resolve(inside, "missing.example")).toBe("");
    expect(asked).not.toContain(gateway);
    expect((await bench.curl(inside, "http://allowed.example/")).stdout).toBe("outside allowed.example");
  });

  test("with an allowlist only its names are asked for, so that none carries data out", async () => {
    const inside = { ...(await network.attach("sb-1", allow(["allowed.example", "*.sub.example"]))), hosts: "" };
    expect(await resolve(inside, "allowed.example")).toBe(outsideAddress);
    expect(await resolve(inside, "deep.sub.example")).toBe(outsideAddress);
    for (const name of ["other.example", "x.allowed.example", "sub.example", gateway]) {
      expect(await resolve(inside, name)).toBe("");
    }
    expect(new Set(asked)).toEqual(new Set(["allowed.example", "deep.sub.example"]));
    await network.setPolicy("sb-1", { kind: "blocked" });
    expect(await resolve(inside, "allowed.example")).toBe("");
  });

  test("questions to any server's address, by UDP and by TCP, come to our resolver", async () => {
    const inside = await network.attach("sb-1", allow(["allowed.example"]));
    const elsewhere = { ...inside, hosts: "", resolvConf: `nameserver ${otherOutsideAddress}\n` };
    expect(await resolve(elsewhere, "allowed.example")).toBe(outsideAddress);
    expect(await resolve(elsewhere, "other.example")).toBe("");
    const byTcp = { ...elsewhere, resolvConf: `nameserver ${otherOutsideAddress}\noptions use-vc\n` };
    expect(await resolve(byTcp, "allowed.example")).toBe(outsideAddress);
    expect(await resolve(byTcp, "other.example")).toBe("");
  });

  test("garbage never stops the resolver", async () => {
    const inside = { ...(await network.attach("sb-1", { kind: "open" })), hosts: "" };
    const socket = udpIn(inside.namespacePath, 9_001);
    let seed = 7;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed;
    };
    for (let count = 0; count < 300; count += 1) {
      const bytes = Buffer.from(Array.from({ length: random() % 80 }, () => random() % 256));
      // Half of them look like a question at first.
      if (count % 2 === 0 && bytes.length > 12) Buffer.from([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]).copy(bytes, 2);
      await new Promise((sent) => socket.send(bytes, 53, "192.0.2.53", sent));
    }
    socket.close();
    expect(await resolve(inside, "allowed.example")).toBe(outsideAddress);
  });
});

describe("allowed domains", () => {
  test("TLS by its server name and HTTP by its Host go to where the name leads", async () => {
    const inside = await network.attach("sb-1", allow(["allowed.example", gateway]));
    expect((await bench.curl(inside, "-k", "https://allowed.example/")).stdout).toBe("secure allowed.example");
    expect((await bench.curl(inside, "http://allowed.example/")).stdout).toBe("outside allowed.example");
    // Whatever address the sandbox dials: the name is resolved by us.
    const pinned = ["--resolve", "allowed.example:443:198.18.0.1"];
    expect((await bench.curl(inside, "-k", ...pinned, "https://allowed.example/")).stdout).toBe(
      "secure allowed.example",
    );
  });

  test("other names, no name, and what is neither TLS nor HTTP are refused", async () => {
    const inside = await network.attach("sb-1", allow(["allowed.example", gateway]));
    await bench.expectRefused(inside, `https://${outsideAddress}/`, "not_in_allowlist");
    await bench.expectRefused(inside, `http://${outsideAddress}/`, "not_in_allowlist");
    const pinned = ["--resolve", `other.example:443:${outsideAddress}`];
    expect((await bench.curl(inside, "-k", ...pinned, "https://other.example/")).stdout).toBe("");
    const published = await bench.curl(inside, "-H", `Host: ${gateway}`, `http://${outsideAddress}/`);
    expect(published.stdout).toBe("");
    const request = "GET / HTTP/1.1\\r\\nHost: allowed.example\\r\\nHost: other.example\\r\\n\\r\\n";
    const script = `printf '${request}' | socat -t 5 - TCP:${outsideAddress}:80`;
    const smuggled = await runInside(inside, ["sh", "-c", script], bench.host);
    expect(smuggled.stdout).toBe("");
  });

  test("a domain that leads to the host, its loopback or a sandbox is refused", async () => {
    const inside = await network.attach("sb-1", allow(["rebound.example"]));
    const pinned = ["--resolve", `rebound.example:${bench.secretPort}:${outsideAddress}`];
    const { stdout, code } = await bench.curl(inside, ...pinned, `http://rebound.example:${bench.secretPort}/`);
    expect({ stdout, code }).toEqual({ stdout: "", code: 56 });
    expect(bench.logged.map((line) => line.reason)).toContain("forbidden_address: rebound.example");
  });
});
