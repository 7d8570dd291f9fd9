import { createHmac, timingSafeEqual } from "node:crypto";

/** In a time that does not depend on where they differ. */
export function sameText(left: string, right: string): boolean {
  const digest = (text: string) => createHmac("sha256", "compare").update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}
