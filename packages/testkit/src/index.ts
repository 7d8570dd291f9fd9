export { endBelow } from "./end-below.ts";
export { causeFault } from "./fault.ts";
export {
  createTestKit,
  type ExecResult,
  eventsOf,
  imageCacheDir,
  spokenText,
  type TestAccount,
  type TestKit,
  type TestKitOptions,
  type Turn,
} from "./kit.ts";
export { instanceOf, type Leftovers, leftovers, processesOf } from "./leftovers.ts";
export { type LoopWatch, watchLoop } from "./loop-watch.ts";
export { startPostgres, type TestPostgres, type TestPostgresOptions } from "./postgres.ts";
export { startWireRecorder, type WireCall, type WireEvent, type WireRecorder } from "./wire-recorder.ts";
