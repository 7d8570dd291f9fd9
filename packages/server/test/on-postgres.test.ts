/** What the other files test on SQLite, on PostgreSQL. */
process.env.TEST_DATABASE = "postgres";

await import("./accounts.test.ts");
await import("./http.test.ts");
await import("./sessions.test.ts");
await import("./stream.test.ts");
await import("./multi-stream.test.ts");
await import("./follow.test.ts");
await import("./managed-agents.test.ts");
await import("./fuzz.test.ts");
