/** Ids that every sandbox gets, from its account's `hostIdBase` on. */
export const ID_COUNT = 65_536;
