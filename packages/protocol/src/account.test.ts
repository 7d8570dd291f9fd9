import { expect, test } from "vitest";
import { type Bound, misjudged, wrongAt } from "../test/_kit.ts";
import { AccountCreate, ApiKeyCreate, Credential, Login, Logout } from "./account.ts";

test("an account's name goes to the server as it was written, which says what is wrong with it", () => {
  for (const name of ["", " anna ", "n".repeat(65), "a/b"]) expect(AccountCreate.parse({ name })).toEqual({ name });
});

test("a key's name loses the blanks around it", () => {
  expect(ApiKeyCreate.parse({ name: "\t laptop \n" })).toEqual({ name: "laptop" });
  expect(ApiKeyCreate.parse({ name: `  ${"n".repeat(64)}  ` }).name).toHaveLength(64);
});

const keyNames: Bound = {
  rule: "a key's name has 1 to 64 characters beside blanks",
  at: "name",
  takes: ["a", "n".repeat(64), "my laptop"],
  refuses: ["", "   ", "\n", "n".repeat(65), 5, null],
};

test("a key's name has 1 to 64 characters beside blanks", () => {
  expect(misjudged(ApiKeyCreate, { name: "a" }, keyNames)).toEqual([]);
});

test("a browser logs in with a link's token or with a key, not with both and not without", () => {
  expect(Login.parse({ token: "t" })).toEqual({ token: "t" });
  expect(Login.parse({ api_key: "k" })).toEqual({ api_key: "k" });
  expect(wrongAt(Login, { token: "t", api_key: "k" })).not.toEqual([]);
  expect(wrongAt(Login, {})).toEqual([""]);
});

test.each(["token", "api_key"])("a login's %s has up to 500 characters", (field) => {
  const bound = { rule: "", at: field, takes: ["", "x".repeat(500)], refuses: ["x".repeat(501)] };
  expect(misjudged(Login, { [field]: "x" }, bound)).toEqual([]);
});

test("a model's key has up to 500 characters; what it looks like is the server's to say", () => {
  const bound = { rule: "", at: "api_key", takes: ["", "sk-ant-x", "x".repeat(500)], refuses: ["x".repeat(501), null] };
  expect(misjudged(Credential, { api_key: "" }, bound)).toEqual([]);
});

test("a logout is of one browser unless it says more", () => {
  expect(Logout.parse({})).toEqual({});
  expect(wrongAt(Logout, { everywhere: "yes" })).toEqual(["everywhere"]);
  expect(wrongAt(Logout, { everywhere: null })).toEqual(["everywhere"]);
});
