import { join } from "node:path";
import { CliError, type Command, type CommandContext, type ParsedInput } from "../command.ts";
import { defaultDataDir } from "./up.ts";

const dataDirOption = {
  "data-dir": { value: "DIR", help: `the data directory of \`holdfast up\` (default ${defaultDataDir})` },
};

/** Loaded here, not at the top: `holdfast --help` must not pay for the server. */
async function openAccounts({ options }: ParsedInput, { env }: CommandContext) {
  const server = await import("@holdfast/server");
  const given = options["data-dir"];
  const dataDir = typeof given === "string" ? given : (env.dataDir ?? defaultDataDir);
  try {
    return await server.openAccounts({ dataDir: join(dataDir, "server") });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(
      `The accounts below ${dataDir} cannot be read`,
      why,
      "Run this as the user who runs `holdfast up`, with the same --data-dir.",
      {
        cause: error,
      },
    );
  }
}

export const accountAdd: Command = {
  name: "account add",
  summary: "Add an account and print its API key, once.",
  args: ["NAME"],
  options: dataDirOption,
  async run(input, context) {
    await using accounts = await openAccounts(input, context);
    const account = await accounts.add(input.args[0] ?? "");
    context.out.line(`Account ${account.name} (${account.id})`);
    context.out.line(`API key: ${account.apiKey}`);
    context.out.progress("The key is shown only now; only its hash is stored.");
  },
};

export const accountList: Command = {
  name: "account list",
  summary: "List the accounts.",
  args: [],
  options: dataDirOption,
  async run(input, context) {
    await using accounts = await openAccounts(input, context);
    for (const account of await accounts.list()) context.out.line(`${account.id}  ${account.name}`);
  },
};
