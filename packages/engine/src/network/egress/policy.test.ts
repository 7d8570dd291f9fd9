import { expect, test } from "vitest";
import { compilePolicy, decide, forbidden } from "./policy.ts";

const service = { name: "a.internal", address: "100.127.255.1", port: 80, target: { host: "127.0.0.1", port: 1 } };
const context = { services: [service], isHostAddress: (address: string) => address === "192.0.2.2" };
const open = compilePolicy({ kind: "open" });
const blocked = compilePolicy({ kind: "blocked" });
const list = (cidrs: string[], domains: string[] = []) => compilePolicy({ kind: "allowlist", cidrs, domains });

test.each([
  ["127.0.0.1", "loopback"],
  ["127.255.255.255", "loopback"],
  ["0.0.0.0", "loopback"],
  ["0.1.2.3", "loopback"],
  ["169.254.169.254", "link_local"],
  ["224.0.0.1", "multicast_or_reserved"],
  ["255.255.255.255", "multicast_or_reserved"],
  ["100.64.0.1", "sandbox_network"],
  ["100.127.0.1", "sandbox_network"],
  ["192.0.2.2", "host_address"],
  ["::1", "multicast_or_reserved"],
])("no policy reaches %s (%s)", (address, reason) => {
  expect(forbidden(address, context.isHostAddress)).toBe(reason);
  const everything = list(["0.0.0.0/0", "::/0"], ["*"]);
  for (const policy of [open, everything]) {
    expect(decide(policy, { address, port: 443 }, context)).toEqual({ kind: "refuse", reason });
  }
});

test("open reaches the rest and services, blocked nothing", () => {
  expect(decide(open, { address: "198.51.100.7", port: 22 }, context)).toEqual({
    kind: "address",
    address: "198.51.100.7",
  });
  expect(decide(open, { address: service.address, port: 80 }, context)).toEqual({ kind: "service", service });
  for (const address of ["198.51.100.7", service.address]) {
    expect(decide(blocked, { address, port: 80 }, context).kind).toBe("refuse");
  }
});

test("public reaches no private network but those listed, and never what no policy reaches", () => {
  const plain = compilePolicy({ kind: "public", cidrs: [] });
  const listed = compilePolicy({
    kind: "public",
    cidrs: ["10.1.0.0/16", "192.168.7.9/32", "100.64.0.0/10", "169.254.0.0/16"],
  });
  const to = (policy: typeof plain, address: string) => decide(policy, { address, port: 443 }, context);
  const refused = { kind: "refuse", reason: "private_network" };
  for (const address of [
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
  ]) {
    expect(to(plain, address), address).toEqual(refused);
  }
  for (const address of ["9.255.255.255", "11.0.0.0", "172.15.0.1", "172.32.0.0", "192.167.0.1", "192.169.0.0"]) {
    expect(to(plain, address), address).toEqual({ kind: "address", address });
  }
  expect(to(listed, "10.1.2.3").kind).toBe("address");
  expect(to(listed, "192.168.7.9").kind).toBe("address");
  expect(to(listed, "10.2.0.1")).toEqual(refused);
  expect(to(listed, "100.64.0.1")).toEqual({ kind: "refuse", reason: "sandbox_network" });
  expect(to(listed, "169.254.169.254")).toEqual({ kind: "refuse", reason: "link_local" });
  expect(to(listed, "fc00::1").kind).toBe("refuse");
  expect(to(plain, service.address).kind).toBe("refuse");
  expect(decide(plain, { address: service.address, port: 80 }, context)).toEqual({ kind: "service", service });
  expect(() => compilePolicy({ kind: "public", cidrs: ["10.0.0.0/99"] })).toThrow("malformed");
});

test("an allowlist takes networks, single addresses, and asks for the name otherwise", () => {
  const policy = list(["10.1.0.0/16", "198.51.100.7"]);
  const kind = (address: string, p = policy) => decide(p, { address, port: 443 }, context).kind;
  expect(["10.1.255.255", "198.51.100.7"].map((a) => kind(a))).toEqual(["address", "address"]);
  expect(["10.2.0.0", "198.51.100.8"].map((a) => kind(a))).toEqual(["refuse", "refuse"]);
  expect(kind("203.0.113.5", list([], ["example.com"]))).toBe("name");
  expect(kind("203.0.113.5", list(["0.0.0.0/0"]))).toBe("address");
  // A service is allowed by its name, never by its address.
  expect(kind(service.address, list(["100.64.0.0/10"]))).toBe("refuse");
  expect(decide(list([], ["a.internal"]), { address: service.address, port: 81 }, context).kind).toBe("refuse");
});

test.each(["10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/8/8", "x", "", "10.0.0.0/-1"])(
  "refuses the CIDR %j",
  (cidr) => {
    expect(() => list([cidr])).toThrow("malformed");
  },
);

test.each(["", "a b", "*.", "*.*.com", "a..b", "1.2.3.4", "http://x"])("refuses the domain %j", (domain) => {
  expect(() => list([], [domain])).toThrow("malformed");
});
