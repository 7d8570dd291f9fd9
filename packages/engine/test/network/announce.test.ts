import { createServer } from "node:net";
import { proxyValue, readProxyHeader } from "@holdfast/std";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Network } from "../../src/network/index.ts";
import { createNetworkBench, gateway, type NetworkBench, portOf } from "./_bench.ts";
import { outsideAddress, until } from "./_fake-host.ts";
import { openLive } from "./_live.ts";

let bench: NetworkBench;
let network: Network;
/** What the service on the host hears, whole, per connection. */
const heard: Buffer[][] = [];
const service = createServer((socket) => {
  const chunks: Buffer[] = [];
  heard.push(chunks);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    socket.write("taken");
  });
});
const owners: Record<string, string> = { "sb-1": "account:acc_1", "sb-2": "account:acc_2" };

beforeAll(async () => {
  bench = await createNetworkBench();
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  service.close();
  bench[Symbol.dispose]();
});
const options = (announce: boolean) => ({
  publishedServices: [{ name: gateway, port: 4601, target: { host: "127.0.0.1", port: portOf(service) }, announce }],
  ownerOf: (id: string) => owners[id],
});
beforeEach(async () => {
  heard.length = 0;
  bench.begin();
  network = await bench.open(options(true));
});
afterEach(async () => {
  await network.destroyAll();
  bench.expectUntouched();
});

/** Opens the service from a sandbox, says "hello" and gives what the service heard. */
async function hello(id: string): Promise<Buffer> {
  const inside = await network.attach(id, { kind: "open" });
  const address = /(\S+) gateway/.exec(inside.hosts)?.[1];
  const count = heard.length;
  using live = openLive(inside, `${address}:4601`, bench.host);
  live.say("hello");
  // A service that is not told would have answered to the header of one that is.
  await until(() => Buffer.concat(heard[count] ?? []).includes("hello"), "the service to hear it");
  return Buffer.concat(heard[count] ?? []);
}

test("a service that is told hears which sandbox speaks, before its first byte, and who owns it", async () => {
  for (const id of ["sb-1", "sb-2"]) {
    const bytes = await hello(id);
    const read = readProxyHeader(bytes);
    if (typeof read === "string") throw new Error(read);
    expect(Object.fromEntries(read.header.values)).toEqual({
      [proxyValue.sandbox]: id,
      [proxyValue.owner]: owners[id],
    });
    expect(read.header.destination).toMatchObject({ port: 4601 });
    expect(read.header.source.address).toMatch(/^100\.(6[4-9]|7\d)\./);
    expect(bytes.subarray(read.length).toString()).toBe("hello");
  }
});

test("of a sandbox whose owner nobody knows it hears the id alone", async () => {
  const read = readProxyHeader(await hello("sb-3"));
  if (typeof read === "string") throw new Error(read);
  expect([...read.header.values]).toEqual([[proxyValue.sandbox, "sb-3"]]);
});

test("a service that does not ask, and the outside, hear nothing but the sandbox", async () => {
  await network[Symbol.asyncDispose]();
  network = await bench.open(options(false));
  expect((await hello("sb-1")).toString()).toBe("hello");
  const inside = await network.attach("sb-1", { kind: "open" });
  expect((await bench.curl(inside, `http://${outsideAddress}/`)).stdout).toBe(`outside ${outsideAddress}`);
});

test("sandboxes of before are announced by an engine that starts again, also over an egress that runs on", async () => {
  await network.attach("sb-1", { kind: "open" });
  await network[Symbol.asyncDispose]();
  owners["sb-1"] = "account:other";
  network = await bench.open(options(true));
  const read = readProxyHeader(await hello("sb-1"));
  owners["sb-1"] = "account:acc_1";
  expect(typeof read === "string" ? read : read.header.values.get(proxyValue.owner)).toBe("account:other");
});
