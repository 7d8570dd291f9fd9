import { afterAll, beforeAll, expect, test } from "vitest";
import { Installation } from "../bench/torture/installation.ts";
import type { Kind } from "../bench/torture/kind.ts";
import { claude } from "../bench/torture/kinds/claude.ts";
import { connection } from "../bench/torture/kinds/connection.ts";
import { engine } from "../bench/torture/kinds/engine.ts";
import { guest } from "../bench/torture/kinds/guest.ts";
import { sandbox } from "../bench/torture/kinds/sandbox.ts";
import { server } from "../bench/torture/kinds/server.ts";
import { runRound, type Seat } from "../bench/torture/round.ts";
import { leave, sit } from "../bench/torture/run-kind.ts";

/** The short version of `npm run torture`: one installation, turns of a hundred events, a blow of each kind. */
let installation: Installation;
let seats: Seat[] = [];
let talks: Seat[] = [];
beforeAll(async () => {
  installation = await Installation.start();
  seats = await sit(installation, 1);
  talks = await sit(installation, 1);
});
afterAll(async () => {
  await leave(installation, [...seats, ...talks]);
  await installation?.[Symbol.asyncDispose]();
});

const blows: [Kind, number][] = [
  [server, 1],
  [server, 2],
  [server, 3],
  [engine, 1],
  [connection, 1],
  [guest, 1],
  [claude, 1],
  [sandbox, 1],
];

test.each(blows.map(([kind, round]) => ({ name: kind.name, kind, round })))(
  "$name dies in the middle of a turn, while somebody talks ($round): nothing is lost, nothing doubled, nobody left behind",
  async ({ kind, round }) => {
    const [talk] = talks;
    if (talk === undefined) throw new Error("nobody talks");
    const result = await runRound({ kind, installation, seats, talk, seed: "e2e", round, messages: 5 });
    expect(result.failures, result.detail).toEqual([]);
    expect(result).toMatchObject({ lost: 0, doubled: 0, disordered: 0, orphans: 0, leftRunning: 0 });
  },
);
