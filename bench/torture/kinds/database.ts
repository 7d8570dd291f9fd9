import { sleep } from "@holdfast/std";
import { startPostgres, type TestPostgres } from "@holdfast/testkit";
import type { Kind } from "../kind.ts";
import type { Random } from "../random.ts";

let cluster: TestPostgres | undefined;

export const database: Kind = {
  name: "database",
  what: "the server's connections to PostgreSQL are terminated, all or some, up to three times in a row; or PostgreSQL is restarted, in order or at once",
  rounds: 30,
  turn: "goes_on",
  sessions: 1,
  async prepare(stack) {
    // What is committed must be on the disk: an immediate stop loses the rest.
    const postgres = stack.use(await startPostgres({ durable: true }));
    cluster = postgres;
    return { databaseUrl: await postgres.createDatabase() };
  },
  async strike({ random, signal }) {
    if (cluster === undefined) throw new Error("PostgreSQL was not started");
    if (random.next() < 0.3) {
      const mode = random.pick(["fast", "immediate"] as const);
      await cluster.restart(mode);
      return { kills: 1, detail: `restarted (${mode})` };
    }
    const times = random.between(1, 3);
    let kills = 0;
    for (let time = 0; time < times; time++) {
      if (time > 0) await sleep(random.between(0, 500), signal);
      kills += await terminate(cluster, random);
    }
    return { kills, detail: `${kills} connections terminated` };
  },
};

/** All connections of the server, or each with a chance of a half. */
async function terminate(postgres: TestPostgres, random: Random): Promise<number> {
  const pids = (await postgres.sql("select pid from pg_stat_activity where usename = 'holdfast' order by pid"))
    .split("\n")
    .filter((line) => line !== "");
  const all = random.next() < 0.5;
  const chosen = pids.filter(() => random.next() < 0.5 || all);
  for (const pid of chosen) await postgres.sql(`select pg_terminate_backend(${Number(pid)})`);
  return chosen.length;
}
