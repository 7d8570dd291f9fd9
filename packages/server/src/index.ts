export { ServerOptions, type ServerOptionsInput } from "./config/options.ts";
export type { Account } from "./domain/accounts/accounts.ts";
export { claudeCodeTemplate, type ImageInput } from "./domain/sandboxes/image-template.ts";
export { type OpenAccounts, openAccounts } from "./open-accounts.ts";
export { DatabaseOpenError } from "./ports/database.ts";
export { type Server, type StartExtras, startServer } from "./server.ts";
