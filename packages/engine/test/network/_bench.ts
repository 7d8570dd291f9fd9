import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { expect } from "vitest";
import {
  createNetwork,
  type Network,
  type NetworkOptions,
  type NetworkPolicy,
  type SandboxNetwork,
} from "../../src/network/index.ts";
import { createFakeHost, type FakeHost, ip, type Ran, runInside, until } from "./_fake-host.ts";

export const gateway = "gateway.holdfast.internal";
export const instance = `t${(process.pid % 46_656).toString(36)}`;

export const allow = (domains: string[], cidrs: string[] = []): NetworkPolicy => ({
  kind: "allowlist",
  domains,
  cidrs,
});

export const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

/** A fake host with two services on it, one of them published, and a web server outside. */
export interface NetworkBench extends Disposable {
  host: FakeHost;
  /** Of a service that nobody published. */
  secretPort: number;
  logged: Record<string, unknown>[];
  options: NetworkOptions;
  open(overrides?: Partial<NetworkOptions>): Promise<Network>;
  curl(inside: SandboxNetwork, ...args: string[]): Promise<Ran>;
  /** Refused at once, with a log line that says why, and without a byte. */
  expectRefused(inside: SandboxNetwork, url: string, reason: string): Promise<void>;
  /** Refused by the kernel, before a handshake: at once, and as one that is not there. */
  expectNobody(inside: SandboxNetwork, url: string): Promise<void>;
  /** Before and after each test: nothing of the machine's own network may change. */
  begin(): void;
  expectUntouched(): void;
}

export async function createNetworkBench(): Promise<NetworkBench> {
  const host = createFakeHost();
  const service = createServer((request, response) => {
    if (request.method === "POST") request.pipe(response);
    else response.end(`service ${request.headers.host}`);
  });
  const secret = createServer((_, response) => response.end("host only"));
  const servers: Server[] = [service, secret];
  for (const server of servers) await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  host.listenOutside(
    createServer((request, response) => response.end(`outside ${request.headers.host}`)),
    80,
  );
  const target = { host: "127.0.0.1", port: portOf(service) };
  const options: NetworkOptions = {
    stateDir: `${host.dir}/state`,
    instance,
    publishedServices: [
      { name: gateway, port: 4601, target },
      { name: "s3.holdfast.internal", port: 4603, target },
    ],
    resolvConfPath: host.resolvConfPath,
  };
  const logged: Record<string, unknown>[] = [];
  const log = pino(
    { level: "info" },
    {
      write: (line: string) => {
        logged.push(JSON.parse(line));
      },
    },
  );
  let before: Record<string, string> = {};
  const curl = (inside: SandboxNetwork, ...args: string[]) =>
    runInside(inside, ["curl", "-sS", "-m", "10", "--noproxy", "*", ...args], host);
  return {
    host,
    secretPort: portOf(secret),
    logged,
    options,
    curl,
    open: (overrides) => createNetwork({ ...options, ...overrides, log }),
    async expectRefused(inside, url, reason) {
      const started = performance.now();
      const { code, stdout } = await curl(inside, url);
      // Cannot connect, TLS failed, empty reply, connection reset: not a timeout (28).
      const refused = expect.toSatisfy((value: number) => [7, 35, 52, 56].includes(value));
      expect({ url, code, stdout }).toEqual({ url, code: refused, stdout: "" });
      expect(performance.now() - started).toBeLessThan(8_000);
      const { host: authority, protocol } = new URL(url);
      const destination = authority.includes(":") ? authority : `${authority}:${protocol === "https:" ? 443 : 80}`;
      await until(
        () => logged.some((line) => line.destination === destination && String(line.reason).startsWith(reason)),
        `a log line that ${destination} was refused for ${reason}, got ${JSON.stringify(logged)}`,
      );
    },
    async expectNobody(inside, url) {
      const started = performance.now();
      const { code, stdout, stderr } = await curl(inside, url);
      expect({ url, code, stdout }).toEqual({ url, code: 7, stdout: "" });
      expect(stderr).toMatch(/refused|Couldn't connect|Failed to connect/i);
      expect(performance.now() - started).toBeLessThan(5_000);
    },
    begin() {
      logged.length = 0;
      before = host.snapshot();
    },
    expectUntouched() {
      expect(host.snapshot()).toEqual(before);
      expect(ip("netns")).not.toContain(`hf-${instance}`);
    },
    [Symbol.dispose]() {
      for (const server of servers) server.close();
      host[Symbol.dispose]();
    },
  };
}
