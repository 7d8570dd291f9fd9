import { join } from "node:path";
import { confirm } from "../client/confirm.ts";
import { connection, findConnection } from "../client/connection.ts";
import { CliError, type CommandContext, type Handler, type ParsedInput, textOption } from "../command.ts";
import { defaultDataDir } from "../options.ts";
import { plural } from "../render/tool-words.ts";

interface Listed {
  id: string;
  name: string;
}

interface AccountStore extends AsyncDisposable {
  add(name: string): Promise<Listed & { apiKey: string }>;
  list(): Promise<Listed[]>;
}

/** The server that we are logged in to; with `--data-dir`, or where there is no login, the database itself. */
async function openStore(input: ParsedInput, context: CommandContext): Promise<AccountStore> {
  const local = textOption(input, "data-dir");
  if (local !== undefined) return await openDatabase(local, context.env.databaseUrl);
  const found = findConnection(input, context);
  if (found === undefined) return await openDatabase(context.env.dataDir ?? defaultDataDir, context.env.databaseUrl);
  const { accounts } = connection(input, context).holdfast;
  const { signal } = context;
  return {
    add: async (name) => {
      const { id, api_key: apiKey } = await accounts.create({ name }, { signal });
      return { id, name, apiKey };
    },
    list: () => Array.fromAsync(accounts.list({ signal })),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Works beside a running server as well as without one. Loaded on demand: it brings the server's code. */
async function openDatabase(dataDir: string, databaseUrl: string | undefined): Promise<AccountStore> {
  const server = await import("@holdfast/server");
  try {
    const where = databaseUrl === undefined ? {} : { databaseUrl };
    return await server.openAccounts({ dataDir: join(dataDir, "server"), ...where });
  } catch (error) {
    if (error instanceof server.DatabaseOpenError)
      throw new CliError("The accounts cannot be read", error.message, error.todo, { cause: error });
    throw new CliError(
      `The accounts below ${dataDir} cannot be read`,
      error instanceof Error ? error.message : String(error),
      "Run this as the user who runs `holdfast up`, with the same --data-dir; or log in to a server first.",
      { cause: error },
    );
  }
}

export const accountAdd: Handler = async (input, context) => {
  await using store = await openStore(input, context);
  const { id, name, apiKey } = await store.add(input.args[0] ?? "");
  context.out.data({ id, name, api_key: apiKey });
  context.out.line(`Account ${name} (${id})`);
  context.out.line(`API key: ${apiKey}`);
  context.out.progress("The key is shown only now; only its hash is stored.");
};

export const accountList: Handler = async (input, context) => {
  await using store = await openStore(input, context);
  const rows = (await store.list()).map((account) => ({ cells: [account.id, account.name], data: account }));
  context.out.table({ columns: ["ACCOUNT", "NAME"], rows, empty: "There are no accounts." });
};

export const accountRemove: Handler = async (input, context) => {
  const { out, signal } = context;
  const { accounts } = connection(input, context).holdfast;
  const wanted = input.args[0] ?? "";
  const account = (await Array.fromAsync(accounts.list({ signal }))).find(({ id, name }) =>
    [id, name].includes(wanted),
  );
  // By its id one can be meant whose deletion has begun: it is in no list any more.
  if (account === undefined && !wanted.startsWith("acc_"))
    throw new CliError(`There is no account named "${wanted}"`, "", "`holdfast account list` lists those you may see.");
  const { id, name } = account ?? { id: wanted, name: wanted };
  if (!(await confirm(`Delete account ${name} with all its sessions, workspaces and files?`, input, context))) {
    out.progress("Nothing was deleted.");
    return 1;
  }
  const deleted = await accounts.delete(id, { signal });
  const { gone, pending, kept } = deleted;
  out.data(deleted);
  out.line(
    `Deleted account ${deleted.name} with ${plural(gone.sessions, "session")} and ${plural(gone.workspaces, "workspace")}.`,
  );
  for (const each of pending) out.progress(`Still to go, tried again every minute: ${each}`);
  for (const each of kept) out.progress(`Kept: ${each}`);
  return 0;
};
