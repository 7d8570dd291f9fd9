import { expect, test } from "vitest";
import { hostAddresses, parseLocalRoutes } from "./host-addresses.ts";
import { parseNameServers } from "./name-servers.ts";

test("reads local addresses and ranges, not networks or broadcasts", () => {
  const table = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
`;
  expect(parseLocalRoutes(table)).toEqual([
    ["127.0.0.0", 8],
    ["192.0.2.2", 32],
  ]);
});

test("knows this machine's own loopback", () => {
  const isHostAddress = hostAddresses();
  expect(isHostAddress("127.0.0.1")).toBe(true);
  expect(isHostAddress("203.0.113.77")).toBe(false);
});

test("reads name servers, three at most, addresses only", () => {
  const text =
    "# x\nnameserver 192.0.2.1\nsearch a\n nameserver fe80::1%eth0\nnameserver none\nnameserver ::1\nnameserver 1.2.3.4\n";
  expect(parseNameServers(text)).toEqual(["192.0.2.1", "fe80::1%eth0", "::1"]);
});
