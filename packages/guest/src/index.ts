export {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type GuestErrorCode,
  type GuestMessage,
  type GuestProcess,
  type GuestRequest,
  guestBundlePath,
  guestProtocolVersion,
  guestSocketPath,
  guestStaleExit,
} from "./frames.ts";
