/** Where a workspace's two volumes are in its sandbox. */
export const filesMount = "/mnt/workspace";
export const stateMount = "/mnt/state";
/** HOME of claudeuser, also by the image's own word; the permission step makes it. */
export const homeDir = `${stateMount}/home`;
