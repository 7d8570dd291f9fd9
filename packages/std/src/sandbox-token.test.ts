import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { mintSandboxToken, verifySandboxToken } from "./sandbox-token.ts";

const secret = "0123456789abcdef0123456789abcdef";
const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

test("a minted token verifies and gives its payload back", async () => {
  const token = await mintSandboxToken(secret, { acc: "acc_1", wsp: "wsp_ü", sbx: "sb-1", exp: inAnHour(), jti: "j1" });
  expect(token).toMatch(/^hfs_[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/);
  const verdict = await verifySandboxToken(secret, token);
  expect(verdict).toMatchObject({ ok: true, payload: { v: 1, acc: "acc_1", wsp: "wsp_ü", sbx: "sb-1", jti: "j1" } });
});

test("ids of tokens differ when none is given", async () => {
  const payload = { acc: "acc_1", wsp: "wsp_1", exp: inAnHour() };
  const ids = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const verdict = await verifySandboxToken(secret, await mintSandboxToken(secret, payload));
    if (verdict.ok) ids.add(verdict.payload.jti);
  }
  expect(ids.size).toBe(3);
});

test("refuses another secret, a changed payload and a changed signature", async () => {
  const token = await mintSandboxToken(secret, { acc: "acc_1", wsp: "wsp_1", exp: inAnHour() });
  const bad = { ok: false, reason: "bad_signature" };
  expect(await verifySandboxToken(secret.replace("0", "1"), token)).toEqual(bad);
  const [body = "", mac = ""] = token.slice(4).split(".");
  const other = btoa(atob(body.replaceAll("-", "+").replaceAll("_", "/")).replace("acc_1", "acc_2")).replace(/=+$/, "");
  expect(await verifySandboxToken(secret, `hfs_${other}.${mac}`)).toEqual(bad);
  const flipped = `${mac.startsWith("A") ? "B" : "A"}${mac.slice(1)}`;
  expect(await verifySandboxToken(secret, `hfs_${body}.${flipped}`)).toEqual(bad);
});

test("refuses an expired token at the very second", async () => {
  const exp = inAnHour();
  const token = await mintSandboxToken(secret, { acc: "acc_1", wsp: "wsp_1", exp });
  expect((await verifySandboxToken(secret, token, { nowMs: exp * 1000 - 1 })).ok).toBe(true);
  expect(await verifySandboxToken(secret, token, { nowMs: exp * 1000 })).toEqual({ ok: false, reason: "expired" });
});

test.each([
  "",
  "hfs_",
  "hfs_.",
  "hfs_a.b.c",
  "sk-ant-api03-x",
  "hfs_!!!!.AAAA",
  `hfs_${"a".repeat(5000)}.AA`,
  "hfs_a.a",
])("%j is malformed, and nothing is thrown", async (token) => {
  expect(await verifySandboxToken(secret, token)).toEqual({ ok: false, reason: "malformed" });
});

test("a second spelling of the same signature is refused", async () => {
  const token = await mintSandboxToken(secret, { acc: "acc_1", wsp: "wsp_1", exp: inAnHour() });
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(token.at(-1) ?? "");
  // 32 bytes leave two spare bits in the last character: flipping one would decode to the same bytes.
  const twin = token.slice(0, -1) + alphabet[last ^ 1];
  expect(await verifySandboxToken(secret, twin)).toEqual({ ok: false, reason: "malformed" });
});

test("a short secret is an error of the operator, said at once", async () => {
  await expect(mintSandboxToken("short", { acc: "a", wsp: "w", exp: inAnHour() })).rejects.toThrow(/at least 32/);
});

/** A token of anybody who has the secret: signed well, whatever it says. */
async function sign(payload: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const body = `hfs_${Buffer.from(payload).toString("base64url")}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}

const good = { v: 1, acc: "acc_1", wsp: "wsp_1", exp: 4e9, jti: "j" };

test("is what any HMAC-SHA256 makes: a token of another program is as good", async () => {
  expect(await verifySandboxToken(secret, await sign(JSON.stringify(good)))).toEqual({ ok: true, payload: good });
  const minted = await mintSandboxToken(secret, { acc: "a", wsp: "w", exp: 4e9, iat: 5, jti: "j" });
  const [body = "", mac] = minted.split(".");
  expect(createHmac("sha256", secret).update(body).digest("base64url")).toBe(mac);
});

test.each<[string, unknown]>([
  ["no object", 7],
  ["null", null],
  ["a list", [1]],
  ["of another version", { ...good, v: 2 }],
  ["without an account", { ...good, acc: undefined }],
  ["with a number for a workspace", { ...good, wsp: 7 }],
  ["without an id", { ...good, jti: undefined }],
  ["without an end", { ...good, exp: undefined }],
  ["with an end that is text", { ...good, exp: "4000000000" }],
  ["with an end that was infinite", { ...good, exp: Number.POSITIVE_INFINITY }],
  ["with null for a sandbox", { ...good, sbx: null }],
  ["with a list for a session", { ...good, ses: ["sesn_1"] }],
  ["with a date for its minting", { ...good, iat: "2026-01-01" }],
])("a payload %s is malformed, though it is signed", async (_what, payload) => {
  const token = await sign(JSON.stringify(payload));
  expect(await verifySandboxToken(secret, token)).toEqual({ ok: false, reason: "malformed" });
});

test.each<[string, string | Uint8Array<ArrayBuffer>]>([
  ["JSON", "{"],
  ["UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
])("what is no %s is malformed, though it is signed", async (_what, payload) => {
  expect(await verifySandboxToken(secret, await sign(payload))).toEqual({ ok: false, reason: "malformed" });
});

test("any other character, anywhere, makes a token worth nothing", async () => {
  const token = await mintSandboxToken(secret, { acc: "acc_1", wsp: "wsp_1", sbx: "sb-1", exp: inAnHour() });
  for (let at = 0; at < token.length; at++) {
    for (const character of ["A", "b", ".", "=", " ", "+", "ü"]) {
      if (token[at] === character) continue;
      const changed = `${token.slice(0, at)}${character}${token.slice(at + 1)}`;
      expect((await verifySandboxToken(secret, changed)).ok, changed).toBe(false);
    }
    expect((await verifySandboxToken(secret, token.slice(0, at))).ok, `cut at ${at}`).toBe(false);
  }
});

test("a token with no minting time gets one, to fractions of a second; a given one is kept", async () => {
  const before = Date.now() / 1000;
  const verdicts = await Promise.all(
    [{}, { iat: 5.25 }].map(async (more) =>
      verifySandboxToken(secret, await mintSandboxToken(secret, { acc: "a", wsp: "w", exp: inAnHour(), ...more })),
    ),
  );
  const [now, given] = verdicts.map((verdict) => (verdict.ok ? (verdict.payload.iat ?? 0) : 0));
  expect(now).toBeGreaterThanOrEqual(before);
  expect(now).toBeLessThanOrEqual(Date.now() / 1000);
  expect(given).toBe(5.25);
});

test("a short secret is the operator's error when verifying, too", async () => {
  const token = await mintSandboxToken(secret, { acc: "a", wsp: "w", exp: inAnHour() });
  await expect(verifySandboxToken("x".repeat(31), token)).rejects.toThrow("has 31 characters");
});
