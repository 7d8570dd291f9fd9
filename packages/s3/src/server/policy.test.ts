import { describe, expect, it } from "vitest";
import { type Access, isAllowed, parsePolicy } from "./policy.ts";

function policy(...statements: object[]) {
  return parsePolicy(JSON.stringify({ Version: "2012-10-17", Statement: statements }));
}

function access(action: string, resource = "arn:aws:s3:::b/docs/x", context: Access["context"] = {}): Access {
  return { action, resource, context };
}

const ALLOW = { Effect: "Allow", Action: "s3:*", Resource: "*" };

describe("a session policy", () => {
  it("denies what nothing allows", () => {
    const own = policy({ Effect: "Allow", Action: "s3:GetObject", Resource: "arn:aws:s3:::b/docs/*" });
    expect(isAllowed(own, access("s3:GetObject"))).toBe(true);
    expect(isAllowed(own, access("s3:PutObject"))).toBe(false);
    expect(isAllowed(own, access("s3:GetObject", "arn:aws:s3:::b/other"))).toBe(false);
    expect(isAllowed(own, access("s3:GetObject", "arn:aws:s3:::b2/docs/x"))).toBe(false);
  });

  it("lets a Deny win over any Allow, whatever the order", () => {
    const deny = { Effect: "Deny", Action: "s3:Delete*", Resource: "*" };
    for (const statements of [
      [ALLOW, deny],
      [deny, ALLOW],
    ]) {
      expect(isAllowed(policy(...statements), access("s3:DeleteObject"))).toBe(false);
      expect(isAllowed(policy(...statements), access("s3:GetObject"))).toBe(true);
    }
  });

  it("matches actions without regard to case, resources with", () => {
    const own = policy({ Effect: "Allow", Action: "S3:get*", Resource: "arn:aws:s3:::b/Docs/?" });
    expect(isAllowed(own, access("s3:GetObject", "arn:aws:s3:::b/Docs/x"))).toBe(true);
    expect(isAllowed(own, access("s3:GetObject", "arn:aws:s3:::b/docs/x"))).toBe(false);
    expect(isAllowed(own, access("s3:GetObject", "arn:aws:s3:::b/Docs/xy"))).toBe(false);
  });

  it("takes dots and brackets in patterns as they are, and newlines in keys as characters", () => {
    const own = policy({ Effect: "Allow", Action: "*", Resource: "arn:aws:s3:::b/a.b[1]/*" });
    expect(isAllowed(own, access("s3:GetObject", "arn:aws:s3:::b/a.b[1]/x\ny"))).toBe(true);
    expect(isAllowed(own, access("s3:GetObject", "arn:aws:s3:::b/aXb[1]/x"))).toBe(false);
  });

  it("knows NotAction and NotResource", () => {
    const own = policy(
      ALLOW,
      { Effect: "Deny", NotAction: "s3:Get*", Resource: "*" },
      {
        Effect: "Deny",
        Action: "*",
        NotResource: "arn:aws:s3:::b/docs/*",
      },
    );
    expect(isAllowed(own, access("s3:GetObject"))).toBe(true);
    expect(isAllowed(own, access("s3:PutObject"))).toBe(false);
    expect(isAllowed(own, access("s3:GetObject", "arn:aws:s3:::b/x"))).toBe(false);
  });

  it("holds conditions: all of them, any of their values", () => {
    const when = (Condition: object) => policy({ ...ALLOW, Condition });
    const list = (prefix?: string) =>
      access("s3:ListBucket", "arn:aws:s3:::b", prefix === undefined ? {} : { "s3:prefix": prefix });
    const like = when({ StringLike: { "s3:prefix": ["docs/x/*", "docs/y/*"] } });
    expect([list("docs/x/"), list("docs/y/z"), list("docs/"), list("")].map((a) => isAllowed(like, a))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(isAllowed(like, list())).toBe(false);
    const equals = when({ StringEquals: { "S3:Prefix": "a*" } });
    expect([list("a*"), list("ab")].map((a) => isAllowed(equals, a))).toEqual([true, false]);
    const both = when({ StringLike: { "s3:prefix": "a*" }, StringNotEquals: { "s3:prefix": "ab" } });
    expect([list("aa"), list("ab")].map((a) => isAllowed(both, a))).toEqual([true, false]);
    const createOnly = when({ Null: { "s3:if-none-match": "false" } });
    expect(isAllowed(createOnly, access("s3:PutObject", undefined, { "s3:if-none-match": "*" }))).toBe(true);
    expect(isAllowed(createOnly, access("s3:PutObject"))).toBe(false);
  });

  it("is quick with hostile patterns", () => {
    const own = policy({ Effect: "Allow", Action: "*", Resource: `arn:aws:s3:::b/${"*a".repeat(100)}` });
    const startedMs = performance.now();
    expect(isAllowed(own, access("s3:GetObject", `arn:aws:s3:::b/${"a".repeat(900)}b`))).toBe(false);
    expect(performance.now() - startedMs).toBeLessThan(1000);
  });
});
