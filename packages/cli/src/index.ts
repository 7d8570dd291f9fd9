export { CliError } from "./command.ts";
export { type RunningSystem, type StartOptions, startSystem } from "./up/system.ts";
