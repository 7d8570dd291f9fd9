import { type Logger, ModalClient } from "modal";

/** The SDK reads its server's address from the environment alone, once, in the constructor. */
export function createModalClient(options: {
  serverUrl: string;
  tokenId: string;
  tokenSecret: string;
  logger: Logger;
}): ModalClient {
  const { serverUrl, tokenId, tokenSecret, logger } = options;
  const before = process.env.MODAL_SERVER_URL;
  process.env.MODAL_SERVER_URL = serverUrl;
  try {
    return new ModalClient({ tokenId, tokenSecret, logger });
  } finally {
    if (before === undefined) delete process.env.MODAL_SERVER_URL;
    else process.env.MODAL_SERVER_URL = before;
  }
}
