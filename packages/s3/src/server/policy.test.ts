import { describe, expect, it } from "vitest";
import { ALL_BUCKETS } from "./context.ts";
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

  it.each(["StringEquals", "StringLike"])(
    "takes an absent key as not matching for %s, and for its contrary as so",
    (name) => {
      const when = (operator: string) => policy({ ...ALLOW, Condition: { [operator]: { "s3:prefix": "a" } } });
      expect(isAllowed(when(name), access("s3:ListBucket"))).toBe(false);
      expect(isAllowed(when(name.replace("String", "StringNot")), access("s3:ListBucket"))).toBe(true);
    },
  );

  it("denies by a condition only what it speaks of, also where another policy statement allows it twice", () => {
    const own = policy(ALLOW, ALLOW, {
      Effect: "Deny",
      Action: "s3:PutObject",
      Resource: "*",
      Condition: { Null: { "s3:if-none-match": "true" } },
    });
    expect(isAllowed(own, access("s3:PutObject"))).toBe(false);
    expect(isAllowed(own, access("s3:PutObject", undefined, { "s3:if-none-match": "*" }))).toBe(true);
    expect(isAllowed(own, access("s3:GetObject"))).toBe(true);
  });

  it("keeps a prefix from its neighbours", () => {
    const own = policy({ Effect: "Allow", Action: "s3:GetObject", Resource: "arn:aws:s3:::b/docs/acc_x/*" });
    const inside = ["docs/acc_x/", "docs/acc_x/a", "docs/acc_x//", "docs/acc_x/../acc_y/a", "docs/acc_x/*"];
    const outside = [
      "docs/acc_x",
      "docs/acc_xy/a",
      "docs/Acc_x/a",
      "/docs/acc_x/a",
      "docs/acc_y/docs/acc_x/a",
      "*",
      "",
    ];
    for (const key of inside) expect(isAllowed(own, access("s3:GetObject", `arn:aws:s3:::b/${key}`)), key).toBe(true);
    for (const key of outside) expect(isAllowed(own, access("s3:GetObject", `arn:aws:s3:::b/${key}`)), key).toBe(false);
  });

  it("denies everything by a statement for every resource, the list of buckets too", () => {
    const deny = policy(ALLOW, { Effect: "Deny", Action: "s3:*", Resource: "arn:aws:s3:::*" });
    expect(isAllowed(deny, access("s3:ListAllMyBuckets", ALL_BUCKETS))).toBe(false);
    const one = policy({ Effect: "Allow", Action: "s3:*", Resource: ["arn:aws:s3:::b", "arn:aws:s3:::b/*"] });
    expect(isAllowed(one, access("s3:ListAllMyBuckets", ALL_BUCKETS))).toBe(false);
  });
});

describe("a session policy is refused, never read in part,", () => {
  const own = (change: object, outer: object = {}) =>
    JSON.stringify({ Version: "2012-10-17", Statement: [{ ...ALLOW, ...change }], ...outer });
  const when = (Condition: unknown) => own({ Condition });

  it.each([
    ["with an operator that every object has", when({ constructor: { "s3:prefix": "a" } })],
    ["with another one", when({ toString: { "s3:prefix": "a" } })],
    [
      "with the name of a prototype",
      own({}).replace('"Resource"', '"Condition":{"__proto__":{"s3:prefix":"a"}},"Resource"'),
    ],
    ["with IfExists", when({ StringEqualsIfExists: { "s3:prefix": "a" } })],
    ["with a set operator", when({ "ForAnyValue:StringLike": { "s3:prefix": "a" } })],
    ["with Null of something else than true or false", when({ Null: { "s3:prefix": "maybe" } })],
    ["with a condition that is a list", when([{ StringLike: { "s3:prefix": "a" } }])],
    ["with a condition without key", when({ StringLike: "a" })],
    ["with an empty list of values", when({ StringLike: { "s3:prefix": [] } })],
    ["with a number as value", when({ StringLike: { "s3:prefix": 1 } })],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a policy variable is spelt so
    ["with a variable in a value", when({ StringLike: { "s3:prefix": "home/${aws:userid}/*" } })],
    ["with an unknown field beside its statements", own({}, { Statements: [] })],
    ["without version", own({}, { Version: undefined })],
    ["with another version", own({}, { Version: "2020-01-01" })],
    ["without statement", own({}, { Statement: [] })],
    ["with a statement that is text", own({}, { Statement: ["Allow"] })],
    ["with both Action and NotAction", own({ NotAction: "s3:Get*" })],
    ["with neither Resource nor NotResource", own({ Resource: undefined })],
    ["with an empty list of actions", own({ Action: [] })],
    ["with an action without service", own({ Action: "GetObject" })],
    ["with an effect in lower case", own({ Effect: "allow" })],
    ["that is a list", "[]"],
    ["that is empty", ""],
  ])("%s", (_, text) => {
    expect(() => parsePolicy(text)).toThrow(/session policy is not valid/);
  });
});
