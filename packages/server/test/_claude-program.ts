/**
 * Stands where the CLI would: started by the guest, holds the real pipes, and does what the test says over a socket.
 * It ends when the test does.
 */
import { spawn } from "node:child_process";
import { connect } from "node:net";
import type { ToProgram, ToTest } from "./_local-claude.ts";

const socket = connect(process.env.LOCAL_CLAUDE_SOCKET ?? "");
const tell = (message: ToTest) => socket.write(`${JSON.stringify(message)}\n`);
socket.on("close", () => process.exit(1));
socket.on("error", () => process.exit(1));

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => tell({ type: "signal", name }));
process.stdout.on("error", () => undefined);

tell({
  type: "hello",
  pid: process.pid,
  argv: process.argv.slice(2),
  env: { ...process.env } as Record<string, string>,
});
eachLine(process.stdin, (line) => tell({ type: "stdin", line }));
process.stdin.on("end", () => tell({ type: "stdin_end" }));
eachLine(socket, (line) => obey(JSON.parse(line) as ToProgram));

function obey(order: ToProgram): void {
  switch (order.type) {
    case "print":
      process.stdout.write(order.text);
      break;
    case "complain":
      process.stderr.write(order.text);
      break;
    case "exit":
      process.stdout.write("", () => process.stderr.write("", () => process.exit(order.code)));
      break;
    case "spawn": {
      const child = spawn("sh", ["-c", order.command], { stdio: "ignore", detached: order.detached });
      tell({ type: "child", pid: child.pid ?? 0 });
    }
  }
}

function eachLine(stream: NodeJS.ReadableStream, work: (line: string) => void): void {
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) work(line);
  });
}
