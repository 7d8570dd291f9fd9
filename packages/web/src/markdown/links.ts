const allowed = new Set(["https:", "http:", "mailto:"]);

/**
 * The address of a link that may be followed, or null. Only web and mail addresses, and places on this page: whatever
 * else a model writes (`javascript:`, `data:`, `file:`) is shown as text.
 */
export function safeHref(href: string): string | null {
  if (href.startsWith("#")) return href;
  // Control characters inside a scheme are dropped by URL parsers: what is checked is what the browser would use.
  const url = URL.parse(href);
  if (url) return allowed.has(url.protocol) ? url.href : null;
  const relative = /^(?:\.{0,2}\/)?[\w@.~%/-]+(?:[?#].*)?$/.test(href) && !href.startsWith("//");
  return relative ? href : null;
}

export const isExternal = (href: string) => /^(?:https?|mailto):/.test(href);
