export { accountTag } from "./behaviour/sandbox/spec.ts";
export { type MachineSettings, readMachineSettings } from "./config/environment.ts";
export { EngineOptions, type EngineOptionsInput, parseOptions, RegistryEntry } from "./config/options.ts";
export { type Engine, type EngineHooks, startEngine } from "./engine.ts";
export { createLogger } from "./logger.ts";
export { DataDirInUseError } from "./state/database.ts";
