import { type DestinationStream, type Logger, pino } from "pino";
import { LineLog } from "./log-line.ts";

/** The engine's logger: JSON lines on stderr. What may hold secret values is never handed to it; this is the net below. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: ["env", "*.env", "tokenSecret", "*.tokenSecret", "*.contents"], censor: "[redacted]" },
    },
    destination ?? stderrLines(),
  );
}

/** pino's own destination fails the process when the disk is full. */
function stderrLines(): DestinationStream {
  const lines = new LineLog(2);
  return { write: (line) => lines.write(line.trimEnd()) };
}
