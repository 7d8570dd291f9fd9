export type { GatewayStatus } from "./admin-api.ts";
export { GatewayOptions, type GatewayOptionsInput } from "./config/options.ts";
export type { UsageReport, UsageTotals } from "./ledger.ts";
export { type Gateway, startGateway } from "./server.ts";
