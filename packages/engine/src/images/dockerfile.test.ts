import { describe, expect, it } from "vitest";
import { parseDockerfile, substitute } from "./dockerfile.ts";

const one = (text: string) => parseDockerfile([text])[0];
const dollar = "$";

describe("parseDockerfile", () => {
  it("joins continuations, skips comments and empty lines, even inside", () => {
    const parsed = parseDockerfile(["# first\n\nRUN a \\\n  # inside\n\n  && b\nrun c"]);
    expect(parsed.map((entry) => entry.kind === "run" && entry.form === "shell" && entry.script)).toEqual([
      "a   && b",
      "c",
    ]);
    expect(parsed.map((entry) => entry.line)).toEqual([3, 7]);
  });

  it("tells shell form from exec form; what is no JSON array is shell", () => {
    expect(one('RUN ["a", "b c"]')).toMatchObject({ form: "exec", args: ["a", "b c"] });
    expect(one("RUN ['a']")).toMatchObject({ form: "shell", script: "['a']" });
    expect(one('CMD ["x"]')).toMatchObject({ kind: "cmd", form: "exec", args: ["x"] });
    expect(one("ENTRYPOINT run me")).toMatchObject({ kind: "entrypoint", form: "shell", script: "run me" });
  });

  it("reads ENV with quotes, escapes, several pairs, and the old form", () => {
    expect(one(`ENV A=1 B="two words" C=three\\ words D='${dollar}raw'`)).toMatchObject({
      pairs: [
        ["A", "1"],
        ["B", "two words"],
        ["C", "three words"],
        ["D", `\\${dollar}raw`],
      ],
    });
    expect(one("ENV OLD some value")).toMatchObject({ pairs: [["OLD", "some value"]] });
  });

  it("reads FROM with a platform and a name, ARG with and without a value", () => {
    expect(one("FROM --platform=linux/amd64 debian:12 AS base")).toMatchObject({ image: "debian:12", as: "base" });
    expect(one("ARG A")).toEqual({ kind: "arg", name: "A", line: 1, text: "ARG A" });
    expect(one('ARG A="x y"')).toMatchObject({ name: "A", fallback: "x y" });
  });

  it("hands here-documents on to the shell, or takes them as the script", () => {
    expect(parseDockerfile(["RUN cat > f <<'EOF'\nRUN not an instruction\nEOF\nUSER x"])).toMatchObject([
      { kind: "run", script: "cat > f <<'EOF'\nRUN not an instruction\nEOF" },
      { kind: "user", user: "x" },
    ]);
    expect(one("RUN <<EOF\necho a\necho b\nEOF")).toMatchObject({ script: "echo a\necho b" });
    expect(() => one("RUN cat <<EOF\nnever ends")).toThrow(/<<EOF has no end/);
  });

  it("ignores what Modal ignores", () => {
    for (const name of ["EXPOSE 80", "LABEL a=b", "HEALTHCHECK NONE", "VOLUME /x", "STOPSIGNAL 9", "ONBUILD RUN x"]) {
      expect(one(name)?.kind).toBe("ignored");
    }
  });

  it.each([
    ["COPY a b", /line 1: COPY is not supported: no build context/],
    ["ADD a b", /ADD is not supported/],
    ["RUN --mount=type=cache,target=/x true", /RUN --mount is not supported/],
    ["FLY away", /unknown instruction FLY/],
    ["RUN", /RUN needs a value/],
    ["ENV novalue", /ENV needs NAME=value/],
    ["ARG 1x", /ARG needs/],
    ["SHELL bash", /SHELL needs the form/],
    ["=", /not an instruction/],
  ])("refuses %j", (text, message) => {
    expect(() => one(text)).toThrow(message);
  });
});

describe("substitute", () => {
  it("replaces names, defaults and alternatives, and leaves escaped dollars", () => {
    const values = { A: "1", EMPTY: "" };
    const text = `${dollar}A ${dollar}{A}x ${dollar}{B:-d${dollar}A} ${dollar}{A:+set} [${dollar}{EMPTY:+set}] \\${dollar}A ${dollar}NONE`;
    expect(substitute(text, values)).toBe(`1 1x d1 set [] ${dollar}A `);
  });
});
