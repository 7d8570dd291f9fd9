import type { Account } from "../domain/accounts/accounts.ts";

/** What middleware leaves for handlers. */
export interface HttpEnv {
  Variables: {
    requestId: string;
    account: Account;
    /** Aborts when what the request showed is revoked: open streams end. */
    authEnds: AbortSignal;
  };
}
