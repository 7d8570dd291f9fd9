import { expect, test } from "vitest";
import { anonymousBytes, showsOomKill } from "./memory-files.ts";

const v1Stat = `cache 9867264
rss 135168
rss_huge 0
mapped_file 0
hierarchical_memory_limit 4294967296
total_cache 9867264
total_rss 270336
total_rss_huge 8192
`;
const v2Stat = `anon 1234567
file 98765
kernel 4096
anon_thp 2097152
inactive_anon 1
active_anon 2
`;

test("v1 counts what is below, v2 says it in one; names that only begin the same are others", () => {
  expect(anonymousBytes(v1Stat)).toBe(270_336);
  expect(anonymousBytes(v2Stat)).toBe(1_234_567);
  expect(anonymousBytes("anon_thp 5\nrss_huge 6\ntotal_rss_huge 7\n")).toBe(0);
});

test("a killed process is told by both versions, and no other counter is taken for it", () => {
  expect(showsOomKill("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")).toBe(true);
  expect(showsOomKill("oom_kill_disable 1\nunder_oom 1\noom_kill 0\n")).toBe(false);
  expect(showsOomKill("low 0\nhigh 12\nmax 34\noom 5\noom_kill 2\noom_group_kill 0\n")).toBe(true);
  expect(showsOomKill("low 0\nhigh 12\nmax 34\noom 5\noom_kill 0\noom_group_kill 3\n")).toBe(false);
});

test("whatever else is in the files, in whatever order, torn or empty: the number is the line's own, or none", () => {
  let state = 7;
  const next = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const names = ["anon", "anon_thp", "file", "rss", "total_rss_huge", "oom_kill", "oom_kill_disable", "x"];
  for (let round = 0; round < 500; round++) {
    const lines = Array.from({ length: next(8) }, () => `${names[next(names.length)]} ${next(2 ** 31)}`);
    const bytes = next(2 ** 31);
    lines.splice(next(lines.length + 1), 0, `total_rss ${bytes}`);
    expect(anonymousBytes(lines.join("\n"))).toBe(bytes);
    // As read while it is written: a number that is cut is a smaller number, never NaN.
    const torn = anonymousBytes(lines.join("\n").slice(0, next(lines.join("\n").length + 1)));
    expect(Number.isSafeInteger(torn) && torn >= 0).toBe(true);
  }
  for (const broken of ["", "\n", "anon", "anon ", "anon x", "anon -5", "anon 1 2", "total_rss 0x10"])
    expect(anonymousBytes(broken)).toBe(0);
});
