export { conversationBounds } from "./bounds.ts";
export {
  createScriptedModel,
  type ModelCall,
  type ModelCallResult,
  type ScriptedModelCore,
  type ScriptedModelOptions,
} from "./model.ts";
export { parseScripts, ScriptFormatError } from "./parse-script.ts";
export { createScriptedModelHandler, type ScriptedModel, startScriptedModel } from "./server.ts";
export { SCRIPTED_SIGNATURE } from "./speak.ts";
export type {
  EmittedBlock,
  ModelUsage,
  RecordEntry,
  Script,
  ScriptError,
  ScriptMatch,
  ScriptToolUse,
  ScriptTurn,
} from "./types.ts";
