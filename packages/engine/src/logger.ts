import { type DestinationStream, type Logger, pino } from "pino";

/** The engine's logger: JSON lines on stderr. What may hold secret values is never handed to it; this is the net below. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: ["env", "*.env", "tokenSecret", "*.tokenSecret", "*.contents"], censor: "[redacted]" },
    },
    destination ?? pino.destination({ fd: 2, sync: true }),
  );
}
