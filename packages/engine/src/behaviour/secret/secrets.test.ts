import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openStore, type Store } from "../../state/store.ts";
import { checkVariables, createSecrets, type Secrets } from "./secrets.ts";

let dir: string;
let store: Store;
let secrets: Secrets;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "hf-secrets-"));
  store = openStore(dir);
  secrets = createSecrets(store);
});
afterEach(() => {
  vi.useRealTimers();
  store[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

type Create = Parameters<Secrets["getOrCreate"]>[0];
const named = (name: string, more: Partial<Create> = {}) =>
  secrets.getOrCreate({ name, ephemeral: false, create: "if_missing", variables: {}, requiredKeys: [], ...more });
const ephemeral = (variables: Record<string, string>) => named("", { ephemeral: true, variables });

test("a named secret is made once, kept over restarts, and overwritten only where that is asked for", () => {
  const { id, keys } = named("s", { variables: { A: "1", B: "2" } });
  expect(keys).toEqual(["A", "B"]);
  expect(named("s", { variables: { A: "other" } })).toEqual({ id, keys: ["A", "B"] });
  expect(secrets.variables(id)).toEqual({ A: "1", B: "2" });
  expect(() => named("s", { create: "fail_if_exists" })).toThrow("Secret 's' already exists");
  expect(named("s", { create: "overwrite", variables: { C: "3" } })).toEqual({ id, keys: ["C"] });
  store[Symbol.dispose]();
  store = openStore(dir);
  secrets = createSecrets(store);
  expect(secrets.variables(named("s", { create: "no" }).id)).toEqual({ C: "3" });
  expect(() => named("none", { create: "no" })).toThrow("Secret 'none' not found");
  expect(() => named("")).toThrow("A Secret needs a name");
});

test("keys that must be there are named when they are not", () => {
  named("s", { variables: { A: "1", B: "2" } });
  expect(named("s", { requiredKeys: ["B", "A"] }).keys).toEqual(["A", "B"]);
  expect(() => named("s", { requiredKeys: ["A", "C", "D"] })).toThrow("Secret is missing key(s): C, D");
});

test("values lie nowhere on the disk as they are, ephemeral ones not at all", () => {
  const stored = named("s", { variables: { TOKEN: "canary-stored" } });
  const passing = ephemeral({ TOKEN: "canary-passing", NAME_OF_PASSING: "x" });
  expect(secrets.variables(stored.id).TOKEN).toBe("canary-stored");
  expect(secrets.variables(passing.id).TOKEN).toBe("canary-passing");
  const files = readdirSync(join(dir, "state")).map((name) => readFileSync(join(dir, "state", name), "latin1"));
  expect(files.join("")).not.toContain("canary");
  expect(files.join("")).not.toContain("NAME_OF_PASSING");
});

test("ephemeral ones end by their time, and never more than ten thousand are kept: the oldest goes", () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const first = ephemeral({ A: "1" });
  vi.setSystemTime(Date.now() + 3_600_000);
  const second = ephemeral({ A: "2" });
  vi.setSystemTime(Date.now() + 3_600_001);
  secrets.collect();
  expect(() => secrets.variables(first.id)).toThrow(/not found/);
  expect(secrets.variables(second.id)).toEqual({ A: "2" });
  for (let n = 0; n < 10_000; n++) ephemeral({ A: String(n) });
  expect(() => secrets.variables(second.id)).toThrow(/not found/);
});

test("what was deleted is gone, for both kinds, and is not found a second time", () => {
  for (const { id } of [named("s", { variables: { A: "1" } }), ephemeral({ A: "1" })]) {
    secrets.delete(id);
    expect(() => secrets.variables(id)).toThrow(/not found/);
    expect(() => secrets.delete(id)).toThrow(/not found/);
  }
  expect(() => named("s", { create: "no" })).toThrow(/not found/);
});

test("sources are merged in their order, the last one wins, and a missing one is an error", () => {
  const { id } = named("s", { variables: { A: "stored", B: "stored" } });
  const env = (contents: Record<string, string>) => ({ secretId: "", env: { contents } });
  const merge = (...sources: object[]) => secrets.merge(sources as Parameters<Secrets["merge"]>[0]);
  expect(merge(env({ A: "given", C: "given" }), { secretId: id, env: null })).toEqual({
    A: "stored",
    B: "stored",
    C: "given",
  });
  expect(merge({ secretId: id, env: null }, env({ A: "given" }))).toEqual({ A: "given", B: "stored" });
  expect(merge()).toEqual({});
  expect(() => merge({ secretId: "st-none", env: null })).toThrow(/not found/);
});

test("a recipe's name changes with any value or name, and not with their order", () => {
  const one = ephemeral({ A: "1", B: "2" });
  const same = ephemeral({ B: "2", A: "1" });
  const print = (...made: { id: string }[]) => secrets.fingerprint(made.map(({ id }) => id));
  expect(print(one)).toBe(print(same));
  for (const other of [{ A: "1", B: "3" }, { A: "1", C: "2" }, { A: "1" }, { A: "2", B: "1" }])
    expect(print(ephemeral(other))).not.toBe(print(one));
  expect(print(one, same)).not.toBe(print(one));
  expect(print()).toBe("");
});

test("what execve would not take is refused, and the value is not in the words", () => {
  for (const name of ["", "1A", "A-B", "A=B", "A B", "Ä", "A\n", "A\0"])
    expect(() => checkVariables({ [name]: "x" }), JSON.stringify(name)).toThrow(/Invalid environment variable name/);
  expect(() => checkVariables({ A: "canary\0" })).toThrow(/^(?!.*canary).*A holds a NUL/);
  expect(() => checkVariables({ A: "x".repeat(32_769) })).toThrow(/longer than 32768/);
  checkVariables({ A: "x".repeat(32_768), _b1: "", PATH: "ä\n=" });
});
