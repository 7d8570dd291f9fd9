/** Debian's packages, and the programs that they bring as far as we start any. */
export const programsOf: Record<string, readonly string[]> = {
  apt: ["apt-cache", "apt-config", "apt-get", "apt-key", "apt"],
  awscli: ["aws"],
  bash: ["bash"],
  "busybox-static": ["busybox"],
  chromium: ["chromium"],
  coreutils:
    words(`[ basename cat chgrp chmod chown comm cp cut date dd df dirname du echo env expr false fold groups head
    id install link ln ls md5sum mkdir mkfifo mknod mktemp mv nice nohup nproc od paste printenv printf pwd readlink
    realpath rm rmdir seq sha256sum sleep sort split stat stdbuf stty sync tail tee test timeout touch tr true truncate
    tty uname uniq unlink wc whoami yes`),
  crun: ["crun"],
  curl: ["curl"],
  dash: ["sh"],
  diffutils: ["cmp", "diff"],
  dpkg: ["dpkg", "dpkg-deb", "dpkg-query"],
  e2fsprogs: ["chattr", "debugfs", "e2fsck", "lsattr", "mkfs.ext4", "mke2fs", "resize2fs", "tune2fs"],
  findutils: ["find", "xargs"],
  git: ["git"],
  grep: ["grep"],
  gzip: ["gunzip", "gzip", "zcat"],
  hostname: ["hostname"],
  iproute2: ["ip", "ss", "tc"],
  "libc-bin": ["getent", "ldconfig"],
  mawk: ["awk"],
  mmdebstrap: ["mmdebstrap"],
  mount: ["losetup", "mount", "swapon", "umount"],
  nftables: ["nft"],
  npm: ["node", "npm", "npx"],
  openssl: ["openssl"],
  passwd: ["passwd"],
  "perl-base": ["perl"],
  postgresql: ["initdb", "pg_ctl", "pg_dump", "postgres", "psql"],
  procps: ["free", "pgrep", "pkill", "ps", "sysctl"],
  python3: ["python3"],
  ripgrep: ["rg"],
  runc: ["runc"],
  sed: ["sed"],
  socat: ["socat"],
  tar: ["tar"],
  "user-mode-linux": ["linux.uml"],
  xfsprogs: ["mkfs.xfs"],
  "util-linux": words(`chrt dmesg fallocate flock getopt ionice kill last lsblk mountpoint nsenter pivot_root prlimit
    renice runuser setpriv setsid su switch_root taskset unshare`),
};

/** What `mmdebstrap --variant=minbase` makes of Debian 12, and what the README asks for before `script/start`. */
export const given: ReadonlySet<string> = new Set(
  words(`apt base-files base-passwd bash bsdutils coreutils dash debconf debianutils diffutils dpkg e2fsprogs findutils
    grep gzip hostname init-system-helpers libc-bin login mawk mount ncurses-base ncurses-bin passwd perl-base sed
    sysvinit-utils tar tzdata util-linux
    git npm`),
);

/** Without it script/start and script/test want to be run by root: they say so. */
export const optional: ReadonlySet<string> = new Set(["sudo"]);

/** Names of programs that stand at the head of lists as words of ours, too. */
export const justWords: ReadonlySet<string> = new Set(
  words(`apt cargo choom col column comm cut dir editor env expand factor file fold gem go idle id init join last
    link logger login look mesg more open pager passwd paste pinky pip pip3 rename reset script seq skill slabtop sort
    split stat sync tail tee test time tload top true uptime users vdir view wall watch which who write yes`),
);

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
