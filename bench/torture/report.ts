import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import type { StoredResults } from "./results.ts";
import { table } from "./table.ts";

const file = fileURLToPath(new URL("../../docs/reliability.md", import.meta.url));

/** `docs/reliability.md`: nothing in it that was not measured. */
export function writeReport(all: readonly StoredResults[]): void {
  const parts = [intro(all), table(all), failures(all), repeated(all), kindsPart(all), compared, apart, notShown];
  writeFileSync(file, `${parts.filter((part) => part !== "").join("\n\n")}\n`);
  console.log(`wrote ${file}`);
}

function intro(all: readonly StoredResults[]): string {
  const total = (of: (result: StoredResults["results"][number]) => number) =>
    all.flatMap(({ results }) => results).reduce((sum, result) => sum + of(result), 0);
  const failed = total(({ failures: found }) => (found.length > 0 ? 1 : 0));
  const days = [...new Set(all.map(({ startedAt }) => startedAt.slice(0, 10)))].toSorted().join(", ");
  const commits = [...new Set(all.flatMap(({ commit }) => commit.split(", ")))].join(", ");
  const seeds = [...new Set(all.map(({ seed }) => seed))].join(", ");
  const minutes = Math.round(total(({ roundMs }) => roundMs) / 60_000);
  return `# Reliability

What happens to a turn when something dies in the middle of it. \`npm run torture\` kills and cuts at random points of turns of 225 events (12 messages of the model, each with thinking, text and eight calls of Bash, Write and Read), waits for the recovery, and compares everything that is left with everything that was said. This page is written by \`npm run torture -- --report\` from the results of the last runs.

**${total(() => 1)} rounds, ${total(({ kills }) => kills)} kills and cuts, ${total(({ turns }) => turns)} turns, ${total(({ events }) => events)} events: ${total(({ lost }) => lost)} lost, ${total(({ doubled }) => doubled)} doubled, ${total(({ disordered }) => disordered)} out of order, ${total(({ orphans }) => orphans)} orphans, ${total(({ leftRunning }) => leftRunning)} turns left running; ${failed} rounds failed.**

${days}; commit ${commits}; seed \`${seeds}\`; ${machine()}. Several kinds, and other work, ran at the same time on this machine, so that the times are those of a busy one; ${minutes} minutes of rounds in all. The real Claude Code CLI in real sandboxes of the engine; the model is the scripted one.

\`\`\`sh
npm run torture                                    # all kinds; as root
npm run torture -- --only server --rounds 100      # one
npm run torture -- --only server --seed holdfast --round 7   # this very blow again
npx vitest run --project e2e e2e/torture.e2e.ts    # the short version in the suite
\`\`\``;
}

function machine(): string {
  const os = /PRETTY_NAME="([^"]+)"/.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  return `${cpus().length} cores, ${Math.round(totalmem() / 1024 ** 3)} GiB, ${os}, kernel ${release()}`;
}

function failures(all: readonly StoredResults[]): string {
  const lines = all.flatMap(({ name, seed, results }) =>
    results
      .filter((result) => result.failures.length > 0)
      .map(
        (result) =>
          `- ${name}, round ${result.round} (seed \`${seed}\`), ${result.detail}: ${result.failures.map((text) => text.slice(0, 300)).join("; ")}`,
      ),
  );
  return lines.length === 0 ? "" : `## Rounds that failed\n\n${lines.join("\n")}`;
}

function repeated(all: readonly StoredResults[]): string {
  const lines = all.flatMap(({ name, seed, results }) =>
    results.flatMap(({ round, before = [] }) =>
      before.length === 0 ? [] : [`- ${name}, round ${round} (seed \`${seed}\`): ${before.join("; ").slice(0, 300)}`],
    ),
  );
  return lines.length === 0
    ? ""
    : `## Rounds that were repeated\n\nThey failed, the cause was mended (in Holdfast or in the bench), and the same blow was dealt again; the table has the second result.\n\n${lines.join("\n")}`;
}

function kindsPart(all: readonly StoredResults[]): string {
  const lines = [...new Set(all.map(({ name, what }) => `- **${name}**: ${what}.`))];
  return `## What is done

The point is a number of events between none and all of the turn, and up to 40 ms more; number, kind of blow and length of cuts follow from the seed and the number of the round.

While the blow falls somebody talks in another session of the same workspace, several things at once: sends, sends with priority, interrupts, answers questions (twice), edits, hastens and removes what waits, and reads; what and when follows from the seed, too.

${lines.join("\n")}`;
}

const compared = `## What is compared

After each round, on its own means and not with what it tests:

- **The log with the model's record.** The scripted model notes every block that it sent. Each must be in the log once, in its order, and nothing else. In a turn that was cut short the log must be an exact beginning of the record.
- **The log with the spool.** The machine opens the guest's spool files beside the guest, so that they can be read to the end after they were dropped or their sandbox was destroyed. Each line that Claude Code printed must be in the log once, in its order, with nothing between.
- **The log with its readers.** A client follows the stream the whole time and resumes by \`Last-Event-ID\`; what it got must be the log, each event once. For the browser, also the rows that the page shows in the end, from top to bottom.
- **Effects.** Each command leaves a mark in the workspace when it runs: one that ran twice counts as doubled.
- **Shape.** \`seq\` is dense, ids are unique, a turn has one \`session.status_running\` and one \`session.status_idle\`, nothing of the agent comes after its end, every call has its one result or is closed, every step has its end.
- **After one sweep.** The provider's sandboxes are the rows' sandboxes; every process of the machine that belongs to the installation is one that is wanted: one server, engine, gateway, storage, keeper and egress, one guest and one connection per sandbox, one Claude Code per session.
- **What was said meanwhile.** Each message that the server acknowledged is in its log once, no command of it ran twice, the log is dense and the same as spool and stream, and the session comes to rest with an empty queue.
- **The next message** works, the session is idle after it, and the model was shown the turn before.

For server, engine, connection, network, browser, database and disk the turn must go on to its own end as if nothing had happened. Recovery is the longest silence of the log after the machine was whole again (for cuts: after the cut), or the time until the API answered, whichever is longer. In turns that were cut short, it lasts to the turn's end being in the log.`;

const apart = `## What is counted apart

- **unread**: what the spool of a destroyed sandbox held and nobody had read. It is gone with the sandbox.
- **unsaid**: what the model had said and a process that died never printed. It was never an event.
- **forgotten**: turns that Claude Code was killed in before it had written them to its own transcript. The log has them; the conversation that goes on does not.`;

const notShown = `## What this does not show

A loss of power (the machine itself was never stopped), two servers on one database (see \`e2e/two-servers.e2e.ts\` and \`packages/server/test/two-servers.test.ts\`), Modal itself (all of this ran on the engine), saving to S3 (switched off here, it has tests of its own), and a model that is Anthropic's.`;
