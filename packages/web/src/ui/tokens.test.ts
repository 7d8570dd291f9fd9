import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const tokens = readFileSync(join(import.meta.dirname, "tokens.css"), "utf8");

type Rgb = [number, number, number];

/** Both values of every `light-dark()` token. */
const colours = new Map(
  [...tokens.matchAll(/--([a-z-]+):\s*light-dark\(\s*(#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\s*\)/g)].map((match) => [
    match[1] ?? "",
    { light: match[2] ?? "", dark: match[3] ?? "" },
  ]),
);

const rgb = (hex: string): Rgb => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255) as Rgb;
const linear = (part: number) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);

function luminance(hex: string): number {
  const [r, g, b] = rgb(hex).map(linear) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const blocks = ["use", "ok", "err", "warn", "think"];
const pairs: [string, string, number][] = [
  ["text", "bg", 4.5],
  ["text", "surface", 4.5],
  ["text", "sunken", 4.5],
  ["muted", "bg", 4.5],
  ["muted", "surface", 4.5],
  ["muted", "sunken", 4.5],
  ["ctl", "bg", 3],
  ["focus", "bg", 3],
  ["btn-fg", "btn-bg", 4.5],
  ["use-fg", "bg", 4.5],
  ["use-fg", "surface", 4.5],
  ["err-fg", "bg", 4.5],
  ["warn-fg", "bg", 4.5],
  ...blocks.flatMap((name): [string, string, number][] => [
    [`${name}-fg`, `${name}-bg`, 4.5],
    ["text", `${name}-bg`, 4.5],
    ["muted", `${name}-bg`, 4.5],
    [`${name}-bar`, `${name}-bg`, 3],
  ]),
];

test.each(pairs)("%s on %s has a contrast of at least %d in both themes", (front, back, least) => {
  const a = colours.get(front);
  const b = colours.get(back);
  if (!a || !b) throw new Error(`token ${front} or ${back} is missing`);
  expect(contrast(a.light, b.light)).toBeGreaterThanOrEqual(least);
  expect(contrast(a.dark, b.dark)).toBeGreaterThanOrEqual(least);
});
