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
