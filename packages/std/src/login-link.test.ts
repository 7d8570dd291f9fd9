import { describe, expect, it } from "vitest";
import { formatLoginLinkToken, loginLinkPayload, parseLoginLinkToken } from "./login-link.ts";

const token = { nonce: "Zx_-0123456789ab", expiresMs: 1_800_000_000_000, signature: "s".repeat(43) };
const text = `hfl_Zx_-0123456789ab.1800000000000.${"s".repeat(43)}`;

describe("the token of a login link", () => {
  it("is written and read in one form", () => {
    expect(formatLoginLinkToken(token)).toBe(text);
    expect(parseLoginLinkToken(text)).toEqual(token);
  });

  it.each([16, 64])("takes a nonce of %i characters", (length) => {
    const long = { ...token, nonce: "n".repeat(length) };
    expect(parseLoginLinkToken(formatLoginLinkToken(long))).toEqual(long);
  });

  it("is signed over nonce and expiry, which one cannot be moved into the other", () => {
    expect(loginLinkPayload(token)).toBe("login-link:Zx_-0123456789ab.1800000000000");
    const payloads = ["ab", "ab1", "ab12"].map((nonce) => loginLinkPayload({ nonce, expiresMs: 1 }));
    expect(new Set([...payloads, loginLinkPayload({ nonce: "ab", expiresMs: 11 })]).size).toBe(4);
  });

  it.each([
    ["nothing", ""],
    ["another token", text.replace("hfl_", "hfs_")],
    ["another case", text.replace("hfl_", "HFL_")],
    ["a short nonce", text.replace("Zx_-", "Zx_")],
    ["a long nonce", text.replace("Zx_-", "n".repeat(53))],
    ["a nonce with a dot", text.replace("Zx_-", "Zx.-")],
    ["no expiry", text.replace("1800000000000", "")],
    ["an expiry before the epoch", text.replace("1800000000000", "-1")],
    ["an expiry with a fraction", text.replace("1800000000000", "18.5")],
    ["an expiry in another notation", text.replace("1800000000000", "1e12")],
    ["an expiry of 17 digits", text.replace("1800000000000", "1".repeat(17))],
    ["a short signature", text.slice(0, -1)],
    ["a long signature", `${text}s`],
    ["a padded signature", `${text.slice(0, -1)}=`],
    ["a line behind it", `${text}\n`],
    ["a line before it", `\n${text}`],
    ["a part behind it", `${text}.x`],
  ])("is not %s", (_what, other) => {
    expect(parseLoginLinkToken(other)).toBeUndefined();
  });

  it("with any character changed is none, or another one", () => {
    for (let at = 0; at < text.length; at++) {
      for (const character of ["A", "7", ".", " ", "ä"]) {
        if (text[at] === character) continue;
        const changed = `${text.slice(0, at)}${character}${text.slice(at + 1)}`;
        expect(parseLoginLinkToken(changed), changed).not.toEqual(token);
      }
    }
  });
});
