import { expect, test } from "vitest";
import { accountLimits } from "./account-limits.ts";

const file = (
  signals: string,
  bytes: string,
  processes: string,
) => `Limit                     Soft Limit           Hard Limit           Units
Max processes             ${processes}                 ${processes}                 processes
Max pending signals       ${signals}                 ${signals}                 signals
Max msgqueue size         ${bytes}               ${bytes}               bytes
`;

test("a small machine gives an account no more than the kernel lets anybody have", () => {
  const small = accountLimits(32_768, file("2936", "1000", "2936"));
  expect(small).toMatchObject({ pendingSignals: 2_936, messageQueueBytes: 1_000, processes: 2_936 });
});

test("a large one gives what is wanted, and at most half of its process ids", () => {
  const large = accountLimits(4_194_304, file("unlimited", "unlimited", "unlimited"));
  expect(large).toMatchObject({ pendingSignals: 16_384, messageQueueBytes: 819_200, processes: 32_768 });
  expect(accountLimits(10_000, file("96365", "819200", "96365")).processes).toBe(5_000);
});
