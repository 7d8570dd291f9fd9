import { AppError } from "@holdfast/protocol";
import { isPostgres, type Tx } from "../../ports/database.ts";

/**
 * For what begins something of an account's own: until the transaction ends, the account is not deleted. Throws
 * `key_wrong` when it was, after the request had shown its key.
 */
export async function holdAccount(tx: Tx, accountId: string): Promise<void> {
  const query = tx.selectFrom("accounts").select("deleted_at").where("id", "=", accountId);
  const row = await (isPostgres(tx) ? query.forShare() : query).executeTakeFirst();
  if (row === undefined || row.deleted_at !== null) throw accountGone();
}

export function accountGone(): AppError {
  return new AppError("key_wrong", { detail: "The account was deleted" });
}
