import { afterEach, expect, it, vi } from "vitest";
import { createTokens } from "./tokens.ts";

const tokens = createTokens({ tokenId: "ak", tokenSecret: "as", signKey: Buffer.alloc(32, 1) });
const others = createTokens({ tokenId: "ak", tokenSecret: "as", signKey: Buffer.alloc(32, 2) });
afterEach(() => vi.useRealTimers());

it("takes the configured pair and no other", () => {
  expect(() => tokens.checkPair("ak", "as")).not.toThrow();
  for (const [id, secret] of [
    ["ak", "x"],
    ["x", "as"],
    ["", ""],
    [undefined, undefined],
    ["aka", "s"],
  ] as const) {
    expect(() => tokens.checkPair(id, secret)).toThrow(/MODAL_TOKEN_ID/);
  }
});

it("issues router tokens that name their task and end", () => {
  vi.useFakeTimers();
  const token = tokens.issueRouterToken("ta-1");
  expect(tokens.checkRouterToken(`Bearer ${token}`)).toBe("ta-1");
  expect(() => others.checkRouterToken(`Bearer ${token}`)).toThrow(/bearer token/);
  expect(() => tokens.checkRouterToken(`Bearer ${token}x`)).toThrow(/bearer token/);
  expect(() => tokens.checkRouterToken(`Bearer ${tokens.issueAuthToken()}`)).toThrow(/bearer token/);
  expect(() => tokens.checkRouterToken(undefined)).toThrow(/bearer token/);
  vi.advanceTimersByTime(2 * 3600_000);
  expect(() => tokens.checkRouterToken(`Bearer ${token}`)).toThrow(/expired/);
});

it("gives the SDK an expiry that it can read", () => {
  const payload = tokens.issueAuthToken().split(".")[1] ?? "";
  const { exp } = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as { exp: number };
  expect(exp).toBeGreaterThan(Date.now() / 1000 + 3600);
});
