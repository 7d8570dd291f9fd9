import type { Account } from "../domain/accounts/accounts.ts";

/** What middleware leaves for handlers. */
export interface HttpEnv {
  Variables: {
    requestId: string;
    account: Account;
    /** Who asks, in words: a key's name, or a browser. */
    actor: string;
    /** The login of a browser; absent for keys. */
    loginId: string | undefined;
    /** Aborts when what the request showed is revoked: open streams end. */
    authEnds: AbortSignal;
  };
}
