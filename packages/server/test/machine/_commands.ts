import fc from "fast-check";
import { type ClaudeStep, steps } from "./_claude.ts";
import type { ExecFault } from "./_sandboxes.ts";
import type { Trap } from "./_store.ts";

/** One thing that happens to a session. What does not apply just then does nothing. */
export type Command = { waitMs: number } & (
  | { do: "send"; delivery: "next" | "now" }
  | { do: "edit" | "remove"; which: number }
  /** Without `which`: whatever runs. */
  | { do: "interrupt"; which: number | undefined }
  | { do: "answer"; how: "allow" | "deny" | "stop" }
  | { do: "mode"; mode: "default" | "acceptEdits" | "plan" | "bypassPermissions" }
  | { do: "stop task" | "archive" | "delete" | "ask" }
  | { do: "claude"; step: ClaudeStep }
  | { do: "claude exits"; code: number }
  | { do: "claude is killed" | "claude is deaf" | "claude hears" }
  /** `at`: at the next commit, or now. */
  | { do: "server dies"; at: "now" | Exclude<Trap, "fails">; downMs: number }
  /** Another server takes over, and this one does not know it. */
  | { do: "server is replaced"; lingersMs: number }
  | { do: "commit fails" }
  | { do: "exec fault"; fault: ExecFault }
  | { do: "link lost" | "line refused" | "line hidden" | "guest dies" | "guest forgets" | "sandbox ends" }
);

type Without<T> = T extends { waitMs: number } ? Omit<T, "waitMs"> : never;
type Deed = Without<Command>;

const deed = (what: Deed): fc.Arbitrary<Deed> => fc.constant(what);
const which = fc.nat(4);

const inputs: [number, fc.Arbitrary<Deed>][] = [
  [8, deed({ do: "send", delivery: "next" })],
  [4, deed({ do: "send", delivery: "now" })],
  [1, fc.record({ do: fc.constant("edit" as const), which })],
  [1, fc.record({ do: fc.constant("remove" as const), which })],
  [2, deed({ do: "interrupt", which: undefined })],
  [2, fc.record({ do: fc.constant("interrupt" as const), which })],
  [3, fc.record({ do: fc.constant("answer" as const), how: fc.constantFrom("allow", "deny", "stop") })],
  [
    2,
    fc.record({
      do: fc.constant("mode" as const),
      mode: fc.constantFrom("default", "acceptEdits", "plan", "bypassPermissions"),
    }),
  ],
  [1, deed({ do: "stop task" })],
  [1, deed({ do: "ask" })],
];

const ends: [number, fc.Arbitrary<Deed>][] = [
  [1, deed({ do: "archive" })],
  [1, deed({ do: "delete" })],
];

const claude: [number, fc.Arbitrary<Deed>][] = [
  ...steps.map((step): [number, fc.Arbitrary<Deed>] => [
    { begin: 8, words: 4, result: 6, tool: 2, "tool ends": 2, ask: 2 }[step as string] ?? 1,
    deed({ do: "claude", step }),
  ]),
  [1, fc.record({ do: fc.constant("claude exits" as const), code: fc.constantFrom(0, 1, 137) })],
  [1, deed({ do: "claude is killed" })],
  [1, deed({ do: "claude is deaf" })],
  [1, deed({ do: "claude hears" })],
];

const failures: [number, fc.Arbitrary<Deed>][] = [
  [
    4,
    fc.record({
      do: fc.constant("server dies" as const),
      at: fc.constantFrom("now", "dies before", "dies after"),
      downMs: fc.constantFrom(0, 50, 3_000),
    }),
  ],
  [2, fc.record({ do: fc.constant("server is replaced" as const), lingersMs: fc.constantFrom(30, 1_000, 20_000) })],
  [2, deed({ do: "commit fails" })],
  [
    2,
    fc.record({
      do: fc.constant("exec fault" as const),
      fault: fc.constantFrom("permissions fail", "permissions fail once", "start fails", "create fails"),
    }),
  ],
  [1, deed({ do: "link lost" })],
  [1, deed({ do: "line refused" })],
  [1, deed({ do: "line hidden" })],
  [1, deed({ do: "guest dies" })],
  [1, deed({ do: "guest forgets" })],
  [1, deed({ do: "sandbox ends" })],
];

const command: fc.Arbitrary<Command> = fc
  .tuple(
    fc.oneof(...[...inputs, ...ends, ...claude, ...failures].map(([weight, arbitrary]) => ({ weight, arbitrary }))),
    fc.constantFrom(0, 0, 1, 5, 40, 300, 1_200, 2_500),
  )
  .map(([what, waitMs]) => ({ ...what, waitMs }) as Command);

/** All that a run is. */
export interface Case {
  seed: number;
  /** How long what is on its way may take. */
  delayMs: number;
  commands: Command[];
}

export const cases: fc.Arbitrary<Case> = fc.record({
  seed: fc.nat(1_000_000),
  delayMs: fc.constantFrom(0, 3, 30),
  commands: fc.array(command, { minLength: 1, maxLength: 30, size: "max" }),
});

/** A case in a few lines. */
export function inWords({ seed, delayMs, commands }: Case): string {
  const each = commands.map(({ waitMs, ...what }) => `${JSON.stringify(what)}, then ${waitMs} ms`);
  return [`world ${seed}, delays up to ${delayMs} ms`, ...each].join("\n");
}
