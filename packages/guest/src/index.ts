export {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type GuestErrorCode,
  type GuestMessage,
  type GuestProcess,
  type GuestRequest,
  type GuestTerminal,
  guestBundlePath,
  guestProtocolVersion,
  guestSocketPath,
  guestStaleExit,
  type SpoolRange,
} from "./frames.ts";
export { Sealer, sealKeyBytes, Unsealer } from "./seal.ts";
