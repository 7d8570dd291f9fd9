import type { Kind } from "../kind.ts";
import { server } from "./server.ts";

/** In the order of the report. */
export const kinds: readonly Kind[] = [server];
