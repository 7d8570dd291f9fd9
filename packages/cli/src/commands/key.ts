import { connection } from "../client/connection.ts";
import type { Handler } from "../command.ts";
import { ago } from "../render/tool-words.ts";

export const keyAdd: Handler = async (input, context) => {
  const { out, signal } = context;
  const name = input.args[0] ?? "";
  const key = await connection(input, context).holdfast.apiKeys.create({ name }, { signal });
  out.data(key);
  out.line(`Key ${name} (${key.id})`);
  out.line(`API key: ${key.api_key}`);
  out.progress("The key is shown only now; only its hash is stored.");
};

export const keyList: Handler = async (input, context) => {
  const { out, signal } = context;
  const keys = await Array.fromAsync(connection(input, context).holdfast.apiKeys.list({ signal }));
  const now = Date.now();
  const rows = keys.map((key) => ({
    cells: [
      key.id,
      `${key.prefix}…`,
      key.name,
      ago(key.created_at, now),
      key.last_used_at === null ? "never" : ago(key.last_used_at, now),
      key.revoked_at === null ? "valid" : "revoked",
    ],
    data: key,
  }));
  out.table({ columns: ["ID", "KEY", "NAME", "CREATED", "LAST USED", "STATE"], rows, empty: "There are no keys." });
};

export const keyRevoke: Handler = async (input, context) => {
  const { out, signal } = context;
  const id = input.args[0] ?? "";
  await connection(input, context).holdfast.apiKeys.revoke(id, { signal });
  out.data({ id, revoked: true });
  out.line(`Revoked ${id}. Whoever uses it is refused from now on.`);
};
