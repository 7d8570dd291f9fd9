import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";

/** Tables with a row in which the text occurs, whatever the column; bytes are looked through as they are stored. */
export async function rowsWith(where: { dataDir: string; databaseUrl?: string }, text: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { table, row } of allRows(where)) {
    const holds = Object.values(row).some((value) =>
      value instanceof Uint8Array ? Buffer.from(value).includes(text) : String(value).includes(text),
    );
    if (holds && !found.includes(table)) found.push(table);
  }
  return found;
}

interface Found {
  table: string;
  row: Record<string, unknown>;
}

async function* allRows({ dataDir, databaseUrl }: { dataDir: string; databaseUrl?: string }): AsyncGenerator<Found> {
  if (databaseUrl === undefined) {
    const db = new DatabaseSync(join(dataDir, "server.sqlite"), { readOnly: true });
    const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    for (const { name } of tables)
      for (const row of db.prepare(`SELECT * FROM "${name}"`).all()) yield { table: String(name), row };
    db.close();
    return;
  }
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
  for (const { tablename: table } of rows as { tablename: string }[])
    for (const row of (await client.query(`SELECT * FROM "${table}"`)).rows as Found["row"][]) yield { table, row };
  await client.end();
}
