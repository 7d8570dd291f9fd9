import { connect, type Socket } from "node:net";
import { encodeProxyHeader, mintSandboxToken, proxyValue } from "@holdfast/std";
import { expect, onTestFinished, test } from "vitest";
import type { Gateway } from "../src/index.ts";
import { admin, ask, start, TOKEN_SECRET, token } from "./_kit.ts";

interface Claims {
  sandbox?: string;
  owner?: string;
}

function announcement({ sandbox, owner }: Claims): Uint8Array {
  const values = new Map<number, string>();
  if (sandbox !== undefined) values.set(proxyValue.sandbox, sandbox);
  if (owner !== undefined) values.set(proxyValue.owner, owner);
  const source = { address: "100.64.0.1", port: 4000 };
  return encodeProxyHeader({ source, destination: { address: "100.127.255.1", port: 4601 }, values });
}

const own = { sandbox: "sb-1", owner: "account:acc_1" };

/** A connection as the engine opens it for a sandbox. */
function dial(gateway: Gateway, head?: Uint8Array): Socket {
  const socket = connect(gateway.port, "127.0.0.1");
  onTestFinished(() => {
    socket.destroy();
  });
  socket.on("error", () => undefined);
  if (head !== undefined) socket.write(head);
  return socket;
}

function request(bearer: string): string {
  const body = JSON.stringify(ask());
  return `POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: ${bearer}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

async function answer(socket: Socket): Promise<{ status: number; text: string }> {
  let seen = "";
  for (;;) {
    const end = seen.indexOf("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(seen)?.[1] ?? Number.NaN);
    const whole = end >= 0 && (Number.isNaN(length) ? seen.endsWith("0\r\n\r\n") : seen.length >= end + 4 + length);
    if (whole) return { status: Number(seen.slice(9, 12)), text: seen.slice(end + 4) };
    const chunk = await new Promise<string>((resolve, reject) => {
      socket.once("data", (data) => resolve(data.toString()));
      socket.once("close", () => reject(new Error(`closed after ${JSON.stringify(seen)}`)));
    });
    seen += chunk;
  }
}

async function speak(gateway: Gateway, claims: Claims, bearer: string) {
  const socket = dial(gateway, announcement(claims));
  socket.write(request(bearer));
  return await answer(socket);
}

test("a token opens the model for its own sandbox, for every request of the connection", async () => {
  const gateway = await start({ announced: true, adminPort: 0 });
  const socket = dial(gateway, announcement(own));
  for (let turn = 0; turn < 3; turn++) {
    socket.write(request(await token()));
    expect((await answer(socket)).status).toBe(200);
  }
});

test("from another account's sandbox, or another sandbox of the account, it is refused in words and for good", async () => {
  const gateway = await start({ announced: true, adminPort: 0 });
  const cases: [Claims, RegExp][] = [
    [{ sandbox: "sb-9", owner: "account:acc_2" }, /belongs to another account/],
    [{ sandbox: "sb-1", owner: "account:acc_2" }, /belongs to another account/],
    [{ sandbox: "sb-1", owner: "app:acc_1" }, /belongs to another account/],
    [{ sandbox: "sb-1" }, /belongs to another account/],
    [{ sandbox: "sb-2", owner: "account:acc_1" }, /belongs to another sandbox/],
  ];
  for (const [claims, words] of cases) {
    const refused = await speak(gateway, claims, await token());
    expect([refused.status, refused.text]).toEqual([403, expect.stringContaining('"permission_error"')]);
    expect(refused.text).toMatch(words);
  }
  const usage = await admin(gateway, "GET /admin/usage");
  expect(usage.text).not.toContain("acc_1");
});

test("a token that names no sandbox opens the model for every sandbox of its account, and of no other", async () => {
  const gateway = await start({ announced: true, adminPort: 0 });
  const exp = Math.floor(Date.now() / 1000) + 600;
  const wide = await mintSandboxToken(TOKEN_SECRET, { acc: "acc_1", wsp: "wsp_1", exp });
  expect((await speak(gateway, { sandbox: "sb-7", owner: "account:acc_1" }, wide)).status).toBe(200);
  expect((await speak(gateway, { sandbox: "sb-7", owner: "account:acc_2" }, wide)).status).toBe(403);
});

test("a connection that does not say who speaks is refused, but may try again", async () => {
  const gateway = await start({ announced: true, adminPort: 0 });
  const socket = dial(gateway);
  socket.write(request(await token()));
  const refused = await answer(socket);
  expect(refused.status).toBe(503);
  expect(refused.text).toContain("does not say which sandbox speaks");
  const anonymous = await speak(gateway, {}, await token());
  expect(anonymous.status).toBe(503);
});

test("what a sandbox says itself counts for nothing: the engine's word comes first", async () => {
  const gateway = await start({ announced: true, adminPort: 0 });
  const socket = dial(gateway, announcement({ sandbox: "sb-9", owner: "account:acc_2" }));
  socket.write(announcement(own));
  socket.write(request(await token()));
  const refused = await answer(socket).catch(() => ({ status: 0 }));
  expect([0, 400, 403]).toContain(refused.status);
});

test("the announcement may come in pieces, a byte at a time, and a client that leaves in it harms nobody", async () => {
  const gateway = await start({ announced: true, adminPort: 0 });
  const leaver = dial(gateway, announcement(own).subarray(0, 20));
  leaver.end();
  await new Promise((resolve) => leaver.once("close", resolve));
  const socket = dial(gateway);
  socket.setNoDelay(true);
  for (const byte of announcement(own)) await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve));
  socket.write(request(await token()));
  expect((await answer(socket)).status).toBe(200);
});

test("where nobody announces (Modal), the token alone opens it, and the admin API never waits for a word", async () => {
  const open = await start();
  const socket = dial(open);
  socket.write(request(await token()));
  expect((await answer(socket)).status).toBe(200);
  const announced = await start({ announced: true, adminPort: 0 });
  expect((await admin(announced, "GET /admin/status")).status).toBe(200);
});
