import { expect, test } from "vitest";
import { parsePlan, shellQuote } from "./plan.ts";

/** Steps in short: the fields that matter, joined. */
function brief(prompt: string): string[] {
  return parsePlan(prompt).map((step) => {
    if (step.kind === "bash") return `bash ${step.command}`;
    return Object.values(step).join(" | ").replaceAll("\n", "⏎");
  });
}

test.each<[string, string[]]>([
  ["Create a file hello.txt that says hello, then run ls -la", ["write | hello.txt | hello⏎", "bash ls -la"]],
  ["Create a file hello.txt that says hello. Then run ls -la.", ["write | hello.txt | hello⏎", "bash ls -la"]],
  ['please create a file called "my notes.md" with the content "a\\nb"', ["write | my notes.md | a⏎b⏎"]],
  ["Create app.py with:\n```python\nprint(1)\n\nx=2\n```", ["write | app.py | print(1)⏎⏎x=2⏎"]],
  ["Create x.txt:\nline1\nline2", ["write | x.txt | line1⏎line2⏎"]],
  ["write hello to out.txt", ["write | out.txt | hello⏎"]],
  ["create a file haiku.txt", ["write | haiku.txt | "]],
  ["create a file a.txt in the folder docs that says hi", ["write | docs/a.txt | hi⏎"]],
  ["Create hello.py that prints hello, then run it", ['write | hello.py | print("hello")⏎', "bash python3 hello.py"]],
  ["Make a directory docs/x", ["bash mkdir -p -- docs/x"]],
  ['add "x" to the end of the file a.txt', ["append | a.txt | x⏎"]],
  ["append the line bye to hello.txt", ["append | hello.txt | bye⏎"]],
  ["replace hello with goodbye in hello.txt", ["replace | hello.txt | hello | goodbye"]],
  ["in hello.txt, change 'a b' to 'c'", ["replace | hello.txt | a b | c"]],
  ["change hello.txt to say bye", ["write | hello.txt | bye⏎"]],
  ["Delete the file hello.txt", ["bash rm -- hello.txt"]],
  ["remove the folder docs", ["bash rm -r -- docs"]],
  ["rename a.txt to 'b c.txt'", ["bash mv -- a.txt 'b c.txt'"]],
  ["run `echo hi && ls`", ["bash echo hi && ls"]],
  ["execute the command: npm test", ["bash npm test"]],
  ["`uname -a`", ["bash uname -a"]],
  ["wait 5 seconds", ["bash sleep 5"]],
  ["Read the file package.json", ["read | package.json"]],
  ["what is in hello.txt?", ["read | hello.txt"]],
  ["create a.txt with one and then show it", ["write | a.txt | one⏎", "read | a.txt"]],
  ["list the files", ["bash ls -la"]],
  ["list files in docs", ["bash ls -la -- docs"]],
  ["fail on purpose", ["fail | 3"]],
  ["Run a command that exits with code 4", ["fail | 4"]],
  ["think about life, then run pwd", ["think | life", "bash pwd"]],
  ["count slowly to 30", ["count | 30"]],
  ["write a long answer of 500 words", ["long | 500"]],
  ["show me a markdown sample", ["markdown"]],
  ["ask me a question", ["ask"]],
  [
    "Do these:\n1. Create a.txt with text one\n2. Create b.txt with two\n3. run wc -l a.txt b.txt\n",
    ["write | a.txt | one⏎", "write | b.txt | two⏎", "bash wc -l a.txt b.txt"],
  ],
])("%j", (prompt, steps) => {
  expect(brief(prompt)).toEqual(steps);
});

test.each([
  "hi",
  "run the tests",
  "Refactor the auth module",
  "don't run anything, it's fine",
  "say hello",
  "what can you do?",
  "",
])("makes nothing up for %j", (prompt) => {
  expect(parsePlan(prompt).filter((step) => step.kind !== "unknown")).toEqual([]);
});

test.each([
  ["create a file ", 360_000],
  ["create a file ", 280],
  ["replace a with a ", 235],
  ["in a, replace b to ", 200],
  ["write a in ", 360],
  ["add a line a to ", 250],
  ["'a ", 300_000],
  ["```a\n", 200_000],
  ["`a\n", 300_000],
  ["run the ", 500],
  [" ", 3999],
  ["write a long 1-word ", 200],
])("%j, %i times, takes bounded time", (piece, times) => {
  const startedAt = performance.now();
  parsePlan(piece.repeat(times));
  expect(performance.now() - startedAt).toBeLessThan(1500);
});

test("quotes what the shell would read", () => {
  expect(shellQuote("a.txt")).toBe("a.txt");
  expect(shellQuote("it's; rm -rf $HOME")).toBe(`'it'\\''s; rm -rf $HOME'`);
});
